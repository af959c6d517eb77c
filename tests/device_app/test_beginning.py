"""A start without a history, and titles of one's own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlite_utils import Database

pytestmark = pytest.mark.ui

Start = Callable[..., "Driver"]  # noqa: F821  the class of conftest.py
BOTH = pytest.mark.parametrize("size", [(400, 800), (1280, 800)], ids=["narrow", "wide"])


def liked(database: Path) -> list[str]:
    """Oldest first, read past the app."""
    db = Database(database)
    found = [r["item_id"] for r in db.query("SELECT * FROM events WHERE kind = 'like'")]
    db.close()
    return found


def data_of(driver: Any, item_id: str) -> dict[str, Any]:
    return next(row for row in driver.rows() if row["item_id"] == item_id)


@BOTH
def test_the_wall_gives_the_first_likes(
    start: Start, tmp_path: Path, size: tuple[int, int]
) -> None:
    driver = start(size=size)
    tiles = driver.until(lambda: driver.shown("WallTile"))
    assert driver.shown("PillButton", text="Skip for now")
    first, second = (tile.item_id for tile in tiles[:2])
    for item_id in (first, second):
        driver.tap(driver.shown("WallTile", item_id=item_id)[0])
        driver.until(lambda item_id=item_id: data_of(driver, item_id)["liked"])
    driver.tap(driver.shown("WallTile", item_id=first)[0])
    driver.until(lambda: not data_of(driver, first)["liked"])
    assert liked(tmp_path / "history.db") == [second]
    driver.tap(driver.shown("PillButton", text="Show my picks")[0])
    driver.until(lambda: "From your 1 like" in driver.texts())
    assert second not in [row["item_id"] for row in driver.rows()]


def test_the_wall_has_other_titles_and_begins_again_after_the_last(start: Start) -> None:
    driver = start()
    driver.until(lambda: driver.shown("WallTile"))
    pages = [[row["item_id"] for row in driver.rows()]]
    for _ in range(3):
        driver.tap(driver.shown("QuietButton", text="Other titles")[0])
        driver.until(lambda: [row["item_id"] for row in driver.rows()] != pages[-1])
        pages.append([row["item_id"] for row in driver.rows()])
        if pages[-1] == pages[0]:
            break
    assert len(pages) > 2
    assert pages[-1] == pages[0]


def test_the_wall_comes_once_and_can_be_opened_again(start: Start) -> None:
    driver = start().ready()
    driver.tap(driver.shown("DefaultBanner")[0])
    tile = driver.until(lambda: driver.shown("WallTile"))[0]
    driver.tap(tile)
    driver.until(lambda: driver.shown("PillButton", text="Show my picks"))
    driver.close()
    driver = start()
    driver.until(lambda: driver.shown("Card"))
    assert not driver.shown("WallTile")


def test_what_was_passed_over_stays_away_after_a_new_start(start: Start) -> None:
    driver = start().ready()
    before = {row["item_id"] for row in driver.rows()}
    driver.tap(driver.shown("IconButton", icon="refresh")[0])
    driver.until(lambda: not before & {row["item_id"] for row in driver.rows()})
    driver = start().ready()
    assert not before & {row["item_id"] for row in driver.rows()}


@BOTH
def test_a_title_of_ones_own_is_added_found_and_removed(
    start: Start, size: tuple[int, int]
) -> None:
    driver = start(size=size).ready()
    driver.go("search")
    driver.type("Harbour")
    driver.until(lambda: "Nothing found for “Harbour”" in driver.texts())
    driver.tap(driver.shown("PillButton", text="Add it yourself")[0])
    page = driver.until(lambda: driver.shown("AddingPage"))[0]
    assert page.ids.name.text == "Harbour"
    page.ids.description.focus = True
    driver.frames()
    for letter in "A western":
        driver.window.dispatch("on_textinput", letter)
        driver.frames()
    driver.tap(driver.shown("PillButton", text="Add")[0])
    driver.until(lambda: driver.snack == "Added Harbour")
    driver.until(lambda: driver.app._current.title == "Harbour" and "A western" in driver.texts())
    driver.tap(driver.shown("IconButton", icon="back")[0])
    driver.until(lambda: [row["title"] for row in driver.rows()] == ["Harbour"])
    driver.app.show_item(driver.rows()[0]["item_id"])
    driver.until(lambda: driver.shown("DangerButton"))
    driver.tap(driver.shown("DangerButton", text="Remove this title")[0])
    driver.until(lambda: driver.shown("QuietButton", text="Keep"))
    driver.tap(driver.shown("DangerButton", text="Remove this title")[0])
    driver.until(lambda: driver.snack == "Removed Harbour")
    driver.until(lambda: "Nothing found for “Harbour”" in driver.texts())


def test_a_title_is_needed(start: Start) -> None:
    driver = start().ready()
    driver.go("search")
    driver.tap(driver.shown("IconButton", icon="add")[0])
    driver.until(lambda: driver.shown("PillButton", text="Add"))
    driver.tap(driver.shown("PillButton", text="Add")[0])
    driver.until(lambda: any("type a title" in text for text in driver.texts()))
