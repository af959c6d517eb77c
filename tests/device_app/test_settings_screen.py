"""What the settings do with the picks, the user's data and the model."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from device_app.places import installed_bundles
from device_app.session import Session

pytestmark = pytest.mark.ui

Start = Callable[..., "Driver"]  # noqa: F821  the class of conftest.py
WIDE = (1280, 800)


@pytest.fixture
def database(tiny_bundle: Path, tmp_path: Path) -> Path:
    path = tmp_path / "history.db"
    session = Session.open(tiny_bundle, path)
    for item_id in ("m04", "m09", "m14"):
        session.mark(item_id, "like")
    session.close()
    return path


@pytest.fixture
def settings(start: Start, database: Path, downloads: Path) -> Any:
    driver = start(size=WIDE).ready()
    driver.go("settings")
    driver.until(lambda: driver.app._current.facts)
    return driver


def tap_word(driver: Any, kind: str, text: str) -> None:
    """Tap a button, where it must be scrolled into view first."""
    button = next(w for w in driver.app.root.walk() if getattr(w, "text", "") == text)
    driver.app.focus.on(button)
    driver.frames(3)
    driver.tap(driver.shown(kind, text=text)[0])


def kept(driver: Any, what: Callable[[Session], Any]) -> Any:
    """Ask the session of the app, on its thread."""
    answers: list[Any] = []
    driver.app.ask(what, answers.append)
    driver.until(lambda: answers)
    return answers[0]


def test_learning_is_paused_and_goes_on(settings: Any) -> None:
    before = kept(settings, lambda s: [card.item_id for card in s.picks().cards])
    settings.tap(settings.shown("SwitchRow")[0])
    settings.until(lambda: not settings.app._current.learns)
    kept(settings, lambda s: s.mark(before[0], "like"))
    paused = kept(settings, lambda s: s.picks())
    assert [card.item_id for card in paused.cards][: len(before) - 1] == before[1:]
    assert len(paused.history) == 3
    settings.tap(settings.shown("SwitchRow")[0])
    settings.until(lambda: settings.app._current.learns)
    assert len(kept(settings, lambda s: s.picks()).history) == 4


def test_variety_is_set_by_a_tap_and_by_keys(settings: Any) -> None:
    slide = settings.shown("Slide")[0]
    settings.tap(slide)
    settings.until(lambda: kept(settings, lambda s: s.settings()).diversity == 0.5)
    settings.app.focus.on(slide)
    settings.frames(2)
    settings.window.dispatch("on_keyboard", 275, 0, "", [])
    settings.until(lambda: kept(settings, lambda s: s.settings()).diversity == 0.6)


def test_what_is_known_is_told(settings: Any) -> None:
    settings.tap(settings.shown("LeadRow")[0])
    settings.until(lambda: "You liked 3 titles." in settings.texts())
    settings.tap(settings.shown("IconButton", icon="back")[0])
    settings.until(lambda: settings.shown("LeadRow"))


def test_all_data_is_exported(settings: Any, downloads: Path) -> None:
    tap_word(settings, "QuietButton", "Export JSON")
    settings.until(lambda: ".json" in settings.snack)
    (path,) = downloads.glob("*.json")
    assert str(path) in settings.snack
    assert len(json.loads(path.read_text())["events"]) == 3
    tap_word(settings, "QuietButton", "Export CSV")
    settings.until(lambda: ".csv" in settings.snack)
    (path,) = downloads.glob("*.csv")
    with path.open(encoding="utf-8-sig", newline="") as stream:
        assert [row["kind"] for row in csv.DictReader(stream)] == ["like"] * 3
    assert f"The latest export: {path}" in settings.texts()


def test_everything_is_deleted_once_the_question_is_answered(settings: Any) -> None:
    tap_word(settings, "DangerButton", "Delete everything")
    tap_word(settings, "QuietButton", "Keep")
    assert len(kept(settings, lambda s: s.history())) == 3
    tap_word(settings, "DangerButton", "Delete everything")
    assert any(text.startswith("This deletes all you said") for text in settings.texts())
    tap_word(settings, "DangerButton", "Delete everything")
    settings.until(lambda: settings.snack == "Everything you said is deleted")
    assert kept(settings, lambda s: s.history()) == ()


def test_what_was_said_before_everything_was_deleted_is_not_undone(settings: Any) -> None:
    settings.app.changes.mark("m20", "Twenty", "like")
    settings.until(lambda: settings.snack == "Liked Twenty")
    settings.app._current.wipe()
    settings.until(lambda: settings.snack == "Everything you said is deleted")
    settings.window.dispatch("on_keyboard", ord("z"), 0, "z", ["ctrl"])
    settings.frames(4)
    assert kept(settings, lambda s: s.history()) == ()


def test_a_model_is_installed_from_a_file_and_the_one_before_comes_back(
    settings: Any, downloads: Path, tiny_bundle: Path
) -> None:
    shutil.make_archive(str(downloads / "newer"), "zip", tiny_bundle)
    (downloads / "folder").mkdir()
    tap_word(settings, "QuietButton", "Install from a file")
    settings.until(lambda: settings.shown("FileRow", name="newer.zip"))
    settings.tap(settings.shown("FileRow", name="folder")[0])
    settings.until(lambda: not settings.shown("FileRow", name="newer.zip"))
    settings.tap(settings.shown("FileRow", name="Up")[0])
    settings.until(lambda: settings.shown("FileRow", name="newer.zip"))
    settings.tap(settings.shown("FileRow", name="newer.zip")[0])
    settings.until(lambda: settings.snack.startswith("Installed ") and settings.app.is_open)
    assert settings.app._bundle == installed_bundles().present
    assert len(kept(settings, lambda s: s.history())) == 3
    settings.until(lambda: settings.app._current.facts)
    tap_word(settings, "QuietButton", "Back to the one before")
    settings.until(lambda: settings.snack == "The model from before is back")
    settings.until(lambda: settings.app.is_open)
    assert settings.app._bundle == tiny_bundle


def test_what_is_no_bundle_is_refused_and_all_stays(settings: Any, downloads: Path) -> None:
    (downloads / "photos.zip").write_bytes(b"no zip at all")
    tap_word(settings, "QuietButton", "Install from a file")
    settings.until(lambda: settings.shown("FileRow", name="photos.zip"))
    settings.tap(settings.shown("FileRow", name="photos.zip")[0])
    settings.until(lambda: "photos.zip: " in settings.snack)
    assert settings.snack.startswith("The bundle cannot be used. ")
    assert installed_bundles().present is None
    assert settings.app.is_open


def test_own_items_that_cannot_be_read_are_said(
    start: Start, database: Path, tiny_bundle: Path
) -> None:
    session = Session.open(tiny_bundle, database)
    session.add_item("Mine")
    session.close()
    (own,) = database.parent.glob("history.own-*.db")
    own.write_bytes(b"not a database " * 100)
    driver = start()
    driver.until(lambda: "Your own titles cannot be opened" in driver.texts())
