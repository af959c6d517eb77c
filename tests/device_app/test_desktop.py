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


def test_what_was_said_by_mouse_and_keys_outlives_a_kill(
    tiny_bundle: Path, tmp_path: Path, display: dict[str, str]
) -> None:
    database = tmp_path / "history.db"
    (waltz,) = Catalogue.open(tiny_bundle / "catalogue.sqlite").search("Waltz")

    def xdotool(*words: object) -> str:
        command = ["xdotool", *map(str, words)]
        return subprocess.run(command, env=display, capture_output=True, text=True).stdout

    def stored() -> list[tuple[str, str]]:
        if not database.is_file():
            return []
        with closing(sqlite3.connect(database)) as connection:
            try:
                return connection.execute("SELECT item_id, kind FROM events ORDER BY 1").fetchall()
            except sqlite3.OperationalError:  # not made yet
                return []

    command = [sys.executable, "-m", "device_app", str(tiny_bundle), "--database", str(database)]
    app = subprocess.Popen(command, env=display)
    try:
        window = until(lambda: xdotool("search", "--pid", app.pid).split())[-1]

        def tap_tile() -> list[tuple[str, str]]:
            xdotool("mousemove", "--window", window, *TILE, "click", 1)
            time.sleep(1)
            return stored()

        ((first, kind),) = until(tap_tile)  # until the wall is there
        assert kind == "like"
        xdotool("windowfocus", window)
        xdotool("key", "ctrl+f")
        time.sleep(2)
        xdotool("type", "Waltz")
        time.sleep(3)
        xdotool("key", "Down")
        xdotool("key", "Tab")  # from the row to its first button
        xdotool("key", "Return")
        found = until(lambda: len(now := stored()) == 2 and now)
        assert dict(found) == {first: "like", waltz.item_id: "like"}
    finally:
        app.kill()
        app.wait()
    assert stored() == found
