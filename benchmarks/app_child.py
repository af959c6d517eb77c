"""The app in a fresh process, used for a while by nobody; see `benchmarks.app`. Prints what it saw as JSON."""

import json
import math
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.child import peak_memory
from device_app.main import configure_kivy, leave_out_unused
from device_app.opengl import require_opengl

if TYPE_CHECKING:
    from device_app.app import PocketRecApp
    from device_app.screens.for_you import ForYouPage

SETTLES = 0.5
"""Seconds from one like to the next."""
SWING = 4.0
"""Seconds to scroll to the end of the list and back."""


@dataclass
class Seen:
    """Seconds, all but the last, which is bytes.

    Attributes:
        first_frame, first_list: from the start of the process until something is drawn, and the first picks are.
        answers: of each like, until the list without it is drawn.
        gaps: between one frame and the next while the list scrolls and things are liked.
        peak_rss: most resident memory.
    """

    first_frame: float = 0.0
    first_list: float = 0.0
    answers: list[float] = field(default_factory=list)
    gaps: list[float] = field(default_factory=list)
    peak_rss: int = 0


def main(bundle: str, database: str, began: float, likes: int, seconds: float) -> None:
    """Open the app, like ``likes`` titles one after the other, then scroll for ``seconds`` and like on.

    Args:
        began: when the process was started, by `time.time`.
    """
    require_opengl()
    leave_out_unused()
    configure_kivy()
    from kivy.clock import Clock
    from kivy.core.window import Window
    from kivy.graphics.opengl import glFinish

    from device_app.app import PocketRecApp

    app, seen = PocketRecApp(Path(bundle), Path(database)), Seen()
    frames: list[float] = []

    def drawn(*_: object) -> None:
        # Without a display nothing waits for OpenGL's own threads: a frame would count as drawn before it is, and those
        # in the queue take hundreds of megabytes.
        glFinish()
        frames.append(time.perf_counter())
        seen.first_frame = seen.first_frame or time.time() - began

    using = use(app, seen, frames, began, likes, seconds)

    def go_on(_: float) -> None:
        if next(using, "done") == "done":
            app.stop()

    Window.bind(on_flip=drawn)
    Clock.schedule_interval(go_on, 0)
    app.run()
    seen.peak_rss = peak_memory()
    print(json.dumps(asdict(seen)))


def use(
    app: "PocketRecApp",
    seen: Seen,
    frames: list[float],
    began: float,
    likes: int,
    seconds: float,
) -> Iterator[None]:
    """What a user does, one step between two frames.

    Args:
        frames: when each frame was drawn, by `time.perf_counter`; grows meanwhile.
    """
    while not app.is_open or not (page := _for_you(app)).list_view.data:
        yield
    yield from _next_frame(frames)
    seen.first_list = time.time() - began
    filled: list[int] = []  # how many frames were drawn before each new list
    page.list_view.bind(data=lambda *_: filled.append(len(frames)))
    for _ in range(likes):
        yield from _rest(SETTLES)
        started, changed = time.perf_counter(), len(filled)
        _like_first(app, page)
        while len(filled) == changed or len(frames) == filled[changed]:
            yield
        seen.answers.append(frames[filled[changed]] - started)
    yield from _rest(SETTLES)
    first, started, liked = len(frames), time.perf_counter(), 0
    while (passed := time.perf_counter() - started) < seconds:
        page.list_view.scroll_y = 0.5 + 0.5 * math.cos(2 * math.pi * passed / SWING)
        if passed > liked * SETTLES:
            liked += 1
            _like_first(app, page)
        yield
    seen.gaps = [later - earlier for earlier, later in pairwise(frames[first:])]


def _for_you(app: "PocketRecApp") -> "ForYouPage":
    from device_app.screens.for_you import ForYouPage

    return next(w for w in app.root.walk() if isinstance(w, ForYouPage))


def _like_first(app: "PocketRecApp", page: "ForYouPage") -> None:
    """Do what its button does."""
    card = page.list_view.data[0]
    app.changes.mark(card["item_id"], card["title"], "like")


def _next_frame(frames: list[float]) -> Iterator[None]:
    drawn = len(frames)
    while len(frames) == drawn:
        yield


def _rest(seconds: float) -> Iterator[None]:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        yield


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5]))
