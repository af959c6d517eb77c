"""A window without a display: real OpenGL, real pixels, real clicks, real SQLite."""

import ctypes
import os
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

# Kivy reads these once, when it is first imported.
os.environ.pop("DISPLAY", None)
os.environ.pop("WAYLAND_DISPLAY", None)
os.environ.update(
    SDL_VIDEODRIVER="offscreen",
    KIVY_NO_ARGS="1",
    KIVY_NO_FILELOG="1",
    KIVY_NO_CONSOLELOG="1",
    KIVY_USE_DEFAULTCONFIG="1",
    KIVY_IMAGE="sdl2",
    KIVY_CLIPBOARD="sdl2",
    KCFG_GRAPHICS_MAXFPS="0",
    KCFG_GRAPHICS_MULTISAMPLES="0",
    KIVY_HOME=tempfile.mkdtemp(prefix="kivy-"),
)

PATIENCE = 30.0


def _opengl_missing() -> str | None:
    for library in ("libGL.so.1", "libEGL.so.1"):
        try:
            ctypes.CDLL(library)
        except OSError:
            return f"{library} is missing: apt install libgl1 libegl1 libgl1-mesa-dri"
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = _opengl_missing()
    if missing is None:
        return
    for item in items:
        if item.get_closest_marker("ui") and Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.skip(reason=missing))


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test touches the user's history."""
    monkeypatch.setenv("POCKETREC_HOME", str(tmp_path / "home"))
    # Nor does the theme of this machine matter: its own programs are not found.
    monkeypatch.setattr("device_app.system_theme.answer", lambda *_: None)


class Network:
    """Blocked while an app is tested, and whatever tries to use it is remembered; sockets of this machine alone may be."""

    EVENTS = frozenset({"connect", "bind", "sendto", "sendmsg"})
    NAMES = frozenset({"getaddrinfo", "gethostbyname", "gethostbyaddr", "getnameinfo"})

    def __init__(self) -> None:
        self.is_blocked = False
        self.attempts: list[str] = []
        sys.addaudithook(self._heard)

    def _heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.is_blocked or not event.startswith("socket."):
            return
        kind = event.removeprefix("socket.")
        local = kind in self.EVENTS and arguments[0].family not in (socket.AF_INET, socket.AF_INET6)
        if kind in self.EVENTS | self.NAMES and not local:
            self.attempts.append(f"{event} {arguments[-1]!r}")
            raise OSError("the app is tested without a network")


_network = Network()


@pytest.fixture(autouse=True)
def network() -> Iterator[Network]:
    """Nothing that is tested here asks for a network."""
    _network.is_blocked = True
    yield _network
    _network.is_blocked = False
    attempts, _network.attempts = _network.attempts, []
    assert not attempts


class Driver:
    """The app as a user has it: looks, taps, types."""

    def __init__(self, bundle: Path, database: Path, size: tuple[int, int]) -> None:
        from kivy.base import runTouchApp
        from kivy.core.window import Window
        from kivy.metrics import dp

        from device_app.app import PocketRecApp

        self.window = Window
        Window.size = tuple(round(dp(length)) for length in size)
        self.app = PocketRecApp(bundle, database)
        self.app._run_prepare()
        runTouchApp(embedded=True)
        self.frames(2)

    def frames(self, count: int = 1) -> None:
        from kivy.base import EventLoop

        for _ in range(count):
            EventLoop.idle()

    def until(self, what: Callable[[], Any]) -> Any:
        """Draw frames until something holds; returns it."""
        deadline = time.monotonic() + PATIENCE
        while not (found := what()):
            assert time.monotonic() < deadline, f"still waiting; the window shows {self.texts()}"
            self.frames()
            time.sleep(0.002)
        self.frames(2)
        return found

    def ready(self) -> "Driver":
        """For you, past the wall where the history is empty."""
        self.until(lambda: self.shown("WallTile") or self.shown("Card"))
        if self.shown("WallTile"):
            self.tap(self.shown("PillButton", text="Skip for now")[0])
        self.until(lambda: self.rows() and self.shown("Card"))
        return self

    def shown(self, name: str, /, **attributes: object) -> list[Any]:
        """Widgets of a class inside the window, in view, from the top."""
        found = []
        for widget in self.app.root.walk():
            if type(widget).__name__ != name or widget.disabled or not widget.get_root_window():
                continue
            x, y = widget.to_window(*widget.center)
            inside = 0 < x < self.window.width and 0 < y < self.window.height
            if inside and all(getattr(widget, k) == v for k, v in attributes.items()):
                found.append(widget)
        return sorted(found, key=lambda w: (-w.to_window(*w.center)[1], w.to_window(*w.center)[0]))

    def texts(self) -> list[str]:
        from kivy.uix.label import Label

        return [w.text for w in self.app.root.walk() if isinstance(w, Label) and w.text.strip()]

    def rows(self) -> list[dict[str, Any]]:
        """What the list of the present screen holds."""
        return list(self.app._current.list_view.data)

    def rest(self, seconds: float = 0.4) -> None:
        """Until a view that was scrolled stands still and has handed on the taps that it held back."""
        started = time.monotonic()
        self.until(lambda: time.monotonic() > started + seconds)

    def tap(self, widget: Any) -> None:
        from kivy.tests.common import UnitTestTouch

        touch = UnitTestTouch(*widget.to_window(*widget.center))
        touch.touch_down()
        self.frames()
        touch.touch_up()
        self.frames(2)

    def press(self, kind: str, icon: str) -> dict[str, Any]:
        """Tap a button of the first card or row in view; returns the row's data."""
        row = self.shown(kind)[0]
        data = next(r for r in self.rows() if r["item_id"] == row.item_id)
        button = next(
            w for w in row.walk() if getattr(w, "icon", "") == icon and hasattr(w, "hint")
        )
        self.tap(button)
        return data

    def go(self, page: str) -> None:
        name = page.replace("_", " ").capitalize()
        kind = "RailPlace" if self.app.wide else "BarPlace"
        self.tap(self.shown(kind, text=name)[0])
        self.until(lambda: self.app.page == page)

    def type(self, text: str) -> None:
        self.app._current.focus()
        self.frames()
        for letter in text:
            self.window.dispatch("on_textinput", letter)
            self.frames()

    @property
    def snack(self) -> str:
        snackbar = self.app._snackbar
        return snackbar.text if snackbar.is_shown else ""

    def pixels(self) -> "Pixels":
        self.frames(2)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "window.png"
            self.save_picture(path)
            return Pixels(path)

    def save_picture(self, path: Path) -> None:
        """As `Widget.export_to_png`, on the ground that the window is cleared with."""
        from kivy.graphics import ClearBuffers, ClearColor, Fbo, Scale, Translate

        root = self.app.root
        fbo = Fbo(size=root.size, with_stencilbuffer=True)
        with fbo:
            ClearColor(*self.window.clearcolor)
            ClearBuffers()
            Scale(1, -1, 1)
            Translate(0, -root.height, 0)
        root.parent.canvas.remove(root.canvas)
        fbo.add(root.canvas)
        fbo.draw()
        fbo.texture.save(str(path), flipped=False)
        fbo.remove(root.canvas)
        root.parent.canvas.add(root.canvas)

    def close(self) -> None:
        from kivy.base import stopTouchApp

        if self.app._stopped:
            return
        if self.app.is_typing:  # else the next window's keys would go to this one's field
            self.app.focus.enter(self.app.root)
            self.frames()
        self.app.stop()
        stopTouchApp()
        self.window.children.clear()
        self.window.canvas.clear()


class Pixels:
    """A picture of the window; positions count from the bottom left, as Kivy's do."""

    def __init__(self, path: Path) -> None:
        from kivy.core.image import Image

        texture = Image(str(path), keep_data=True)
        self._data = texture._data[0] if hasattr(texture, "_data") else texture.image._data[0]
        self.width, self.height = self._data.width, self._data.height
        self._bytes = bytes(self._data.data)
        self._step = len(self._bytes) // (self.width * self.height)

    def at(self, x: float, y: float) -> tuple[int, int, int]:
        row = self.height - 1 - int(y)
        start = (row * self.width + int(x)) * self._step
        red, green, blue = self._bytes[start : start + 3]
        return red, green, blue

    def colours(self, widget: Any) -> set[tuple[int, int, int]]:
        """The colours on a grid of points inside a widget."""
        x, y = widget.to_window(widget.x, widget.y)
        return {
            self.at(x + widget.width * i / 24, y + widget.height * j / 24)
            for i in range(1, 24)
            for j in range(1, 24)
        }


@pytest.fixture
def start(tiny_bundle: Path, tmp_path: Path) -> Iterator[Callable[..., Driver]]:
    """Opens the app over the tiny bundle, narrow unless told; closed after the test."""
    drivers: list[Driver] = []

    def open_app(
        bundle: Path = tiny_bundle,
        database: Path = tmp_path / "history.db",
        size: tuple[int, int] = (420, 860),
    ) -> Driver:
        while drivers:
            drivers.pop().close()
        drivers.append(Driver(bundle, database, size))
        return drivers[-1]

    yield open_app
    while drivers:
        drivers.pop().close()


@pytest.fixture
def downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder of downloads, empty."""
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "user")
    folder = tmp_path / "user" / "Downloads"
    folder.mkdir(parents=True)
    return folder
