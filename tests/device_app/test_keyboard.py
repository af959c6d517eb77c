"""The whole app without a mouse."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlite_utils import Database

pytestmark = pytest.mark.ui

Start = Callable[..., "Driver"]  # noqa: F821  the class of conftest.py
NARROW, WIDE = (400, 800), (1280, 800)
TAB, ENTER, ESCAPE, SPACE = 9, 13, 27, 32
UP, DOWN, RIGHT, LEFT = 273, 274, 275, 276


def key(driver: Any, code: int, *modifiers: str) -> None:
    """A key as the window hands it on: to a field that is being typed in first."""
    taken = driver.window.dispatch("on_key_down", code, 0, "", list(modifiers))
    if not taken:
        driver.window.dispatch("on_keyboard", code, 0, "", list(modifiers))
    driver.frames(3)


def focused(driver: Any) -> Any:
    assert driver.app.focus.is_shown
    return driver.app.focus.widget


def name(driver: Any) -> str:
    widget = focused(driver)
    return getattr(widget, "hint", "") or getattr(widget, "text", "") or widget.title


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [NARROW, WIDE], ids=["narrow", "wide"])
def test_the_focus_is_a_ring_in_the_accent(
    start: Start, tmp_path: Path, size: tuple[int, int], theme: str
) -> None:
    from device_app.preferences import Preferences, preferences_path
    from device_app.theme import DARK, LIGHT

    Preferences(theme=theme).write(preferences_path(tmp_path / "history.db"))
    driver = start(size=size).ready()
    palette = DARK if theme == "dark" else LIGHT
    accent = tuple(bytes.fromhex(palette.accent[1:]))
    card = driver.shown("Card")[0]

    def edge() -> set[tuple[int, ...]]:
        """The pixels across the middle of the card's left edge."""
        pixels = driver.pixels()
        x, y = card.to_window(card.x, card.center_y)
        return {pixels.at(x + step, y) for step in range(-5, 3)}

    assert accent not in edge()
    key(driver, DOWN)
    assert focused(driver) is card
    assert accent in edge()
    driver.tap(driver.shown("TextLine", text="For you")[0])
    assert not driver.app.focus.is_shown
    assert accent not in edge()


def test_arrows_go_from_card_to_card_and_scroll(start: Start) -> None:
    driver = start(size=WIDE).ready()
    ids = [row["item_id"] for row in driver.rows()]
    key(driver, DOWN)
    assert focused(driver).item_id == ids[0]
    key(driver, RIGHT)
    assert focused(driver).item_id == ids[1]
    key(driver, DOWN)
    assert focused(driver).item_id == ids[3]
    key(driver, LEFT)
    assert focused(driver).item_id == ids[2]
    for step in range(2, 12):
        key(driver, DOWN)
        driver.until(lambda: driver.app.focus.widget is not None)
        card = focused(driver)
        assert card.item_id == ids[2 * step]
        bottom, top = card.to_window(0, card.y)[1], card.to_window(0, card.top)[1]
        view = driver.app._current.view
        assert bottom >= view.to_window(0, view.y)[1] - 1
        assert top <= view.to_window(0, view.top)[1] + 1
    key(driver, DOWN)  # there is no further card
    assert focused(driver).item_id == ids[22]
    for _ in range(11):
        key(driver, UP)
    assert focused(driver).item_id == ids[0]
    assert driver.app._current.view.scroll_y == pytest.approx(1, abs=0.01)


def test_tab_goes_through_the_buttons_of_a_card_and_back(start: Start) -> None:
    driver = start().ready()
    first, second = (row["title"] for row in driver.rows()[:2])
    seen = []
    for _ in range(10):
        key(driver, TAB)
        seen.append(name(driver))
    buttons = ["Like", "Not for me", "Save for later", "Already seen", "Not interested"]
    assert seen == ["Other picks", "Dark theme", "Choose titles you like", first, *buttons, second]
    for _ in range(8):
        key(driver, TAB, "shift")
    assert name(driver) == "Dark theme"
    key(driver, TAB, "shift")
    key(driver, TAB, "shift")
    assert name(driver) == "Settings"  # around, to the end of the navigation


@pytest.mark.parametrize("size", [NARROW, WIDE], ids=["narrow", "wide"])
def test_enter_opens_and_escape_returns_to_the_same_card(
    start: Start, size: tuple[int, int]
) -> None:
    driver = start(size=size).ready()
    for _ in range(4):
        key(driver, DOWN)
    card = focused(driver).item_id
    scroll = driver.app._current.view.scroll_y
    key(driver, ENTER)
    driver.until(lambda: driver.app._opened_pages and driver.app._current.title)
    assert driver.app._current.item_id == card
    key(driver, TAB)
    assert name(driver) == "Back to For you"
    key(driver, ESCAPE)
    assert not driver.app._opened_pages
    assert focused(driver).item_id == card
    assert driver.app._current.view.scroll_y == pytest.approx(scroll, abs=0.01)


def test_space_presses_a_button_and_the_next_card_takes_the_place(
    start: Start, tmp_path: Path
) -> None:
    driver = start().ready()
    ids = [row["item_id"] for row in driver.rows()]
    key(driver, DOWN)
    key(driver, RIGHT)
    assert name(driver) == "Like"
    key(driver, SPACE)
    driver.until(lambda: driver.rows()[0]["item_id"] != ids[0])
    db = Database(tmp_path / "history.db")
    assert [(r["item_id"], r["kind"]) for r in db.query("SELECT * FROM events")] == [
        (ids[0], "like")
    ]
    db.close()
    assert name(driver) == "Like"


def test_the_search_field_can_be_left_and_a_result_opened(start: Start) -> None:
    driver = start(size=WIDE).ready()
    driver.go("search")
    driver.until(lambda: driver.app.is_typing)
    driver.type("waltz")
    driver.until(lambda: driver.shown("ResultRow"))
    key(driver, DOWN)
    assert not driver.app.is_typing
    assert focused(driver).title == "The Waltz"
    key(driver, ENTER)
    driver.until(lambda: driver.app._opened_pages)
    key(driver, ESCAPE)
    assert focused(driver).title == "The Waltz"
    key(driver, UP)
    key(driver, TAB, "shift")
    driver.until(lambda: driver.app.is_typing)


def test_a_list_that_is_shorter_than_its_view_stays_where_it_is(start: Start) -> None:
    driver = start(size=WIDE).ready()
    driver.go("search")
    driver.type("waltz")
    row = driver.until(lambda: driver.shown("ResultRow"))[0]
    before = row.to_window(*row.pos)
    key(driver, DOWN)
    assert focused(driver) is row
    driver.rest()
    assert row.to_window(*row.pos) == before


def test_settings_are_set_and_the_focus_stays(start: Start) -> None:
    driver = start().ready()
    driver.window.dispatch("on_keyboard", ord("5"), 0, "5", ["ctrl"])
    driver.until(lambda: driver.app.page == "settings")
    while not (driver.app.focus.is_shown and name(driver) == "Largest"):
        key(driver, TAB)
    key(driver, ENTER)
    driver.frames(3)
    assert driver.app.looks.text_size == "largest"
    assert name(driver) == "Largest"
    assert focused(driver).get_root_window() is not None


def test_a_field_that_is_left_takes_no_more_keys(start: Start) -> None:
    driver = start(size=WIDE).ready()
    driver.window.dispatch("on_keyboard", ord("f"), 0, "f", ["ctrl"])
    driver.until(lambda: driver.app.is_typing)
    driver.window.dispatch("on_keyboard", ord("1"), 0, "1", ["ctrl"])
    driver.until(lambda: driver.shown("Card"))
    key(driver, DOWN)
    assert focused(driver).item_id == driver.rows()[0]["item_id"]
