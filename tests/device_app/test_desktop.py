"""The app as a process in a real window: mouse and keys from outside, the answer read from the disk."""

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from pocketrec.catalogue import Catalogue

pytestmark = [
    pytest.mark.ui,
    pytest.mark.skipif(
        not (shutil.which("Xvfb") and shutil.which("xdotool")),
        reason="Xvfb or xdotool is missing: apt install xvfb xdotool",
    ),
]

PATIENCE = 60.0
TILE = (290, 190)
"""A point of the first title of the wall; pixels of a window of 1180 x 780."""
PROGRAM = os.environ.get("POCKETREC_APP")
"""A packaged app to test in place of this one."""
APP = [PROGRAM] if PROGRAM else [sys.executable, "-m", "device_app"]


def until(what: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE
    while not (found := what()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return found


@pytest.fixture
def display() -> Iterator[dict[str, str]]:
    """The environment of a screen that nobody sees."""
    reading, writing = os.pipe()
    command = [
        "Xvfb",
        "-displayfd",
        str(writing),
        "-screen",
        "0",
        "1280x900x24",
        "-nolisten",
        "tcp",
    ]
    server = subprocess.Popen(command, pass_fds=[writing], stderr=subprocess.DEVNULL)
    os.close(writing)
    with os.fdopen(reading) as stream:
        number = stream.readline().strip()
    offscreen = ("SDL_VIDEODRIVER", "KCFG_", "KIVY_")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(offscreen)}
    yield {**kept, "DISPLAY": f":{number}", "LANG": "C"}
    server.terminate()
    server.wait()


class User:
    """Works on the app from outside.

    Args:
        arguments: of the program.
        display: the environment of the screen.
    """

    def __init__(self, arguments: list[str], database: Path, display: dict[str, str]) -> None:
        self._database, self._display = database, display
        self.app = subprocess.Popen([*APP, *arguments], env=display)

    def __enter__(self) -> "User":
        self._window = until(lambda: self._xdotool("search", "--pid", self.app.pid).split())[-1]
        return self

    def __exit__(self, *_: object) -> None:
        self.app.kill()
        self.app.wait()

    def like_first_tile(self) -> str:
        """Tap the wall until it is there; returns the item."""

        def tap() -> list[tuple[str, str]]:
            self._xdotool("mousemove", "--window", self._window, *TILE, "click", 1)
            time.sleep(1)
            return self.stored()

        ((item, kind),) = until(tap)
        assert kind == "like"
        self._xdotool("windowfocus", self._window)
        return item

    def press(self, *keys: str) -> None:
        for key in keys:
            self._xdotool("key", key)
        time.sleep(2)

    def type(self, text: str) -> None:
        self._xdotool("type", text)
        time.sleep(3)

    def stored(self) -> list[tuple[str, str]]:
        """The events in the database: item and kind."""
        if not self._database.is_file():
            return []
        with closing(sqlite3.connect(self._database)) as connection:
            try:
                return connection.execute("SELECT item_id, kind FROM events ORDER BY 1").fetchall()
            except sqlite3.OperationalError:  # not made yet
                return []

    def _xdotool(self, *words: object) -> str:
        command = ["xdotool", *map(str, words)]
        return subprocess.run(command, env=self._display, capture_output=True, text=True).stdout


def test_what_was_said_by_mouse_and_keys_outlives_a_kill(
    tiny_bundle: Path, tmp_path: Path, display: dict[str, str]
) -> None:
    database = tmp_path / "history.db"
    (waltz,) = Catalogue.open(tiny_bundle / "catalogue.sqlite").search("Waltz")
    arguments = [str(tiny_bundle), "--database", str(database)]
    with User(arguments, database, display) as user:
        first = user.like_first_tile()
        user.press("ctrl+f")
        user.type("Waltz")
        user.press("Down", "Tab", "Return")  # to the row, from it to its first button
        found = until(lambda: len(now := user.stored()) == 2 and now)
        assert dict(found) == {first: "like", waltz.item_id: "like"}
    assert user.stored() == found


@pytest.mark.skipif(not PROGRAM, reason="only a packaged app comes with a bundle")
def test_a_packaged_app_recommends_from_the_bundle_it_came_with(
    tmp_path: Path, display: dict[str, str]
) -> None:
    surroundings = {**display, "POCKETREC_HOME": str(tmp_path)}
    with User([], tmp_path / "history.db", surroundings) as user:
        first = user.like_first_tile()
        user.press("Escape")  # from the wall to the picks
        user.press("Down", "Tab", "Return")  # to the first card, from it to its like
        (both,) = until(lambda: [now for now in [user.stored()] if len(now) == 2])
        assert {item for item, _ in both} > {first}
        assert {kind for _, kind in both} == {"like"}
