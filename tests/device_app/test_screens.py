"""Items, bookmarks, hidden titles and settings, as a user meets them."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from fontTools.ttLib import TTFont
from sqlite_utils import Database

from device_app.preferences import TEXT_SIZES, Preferences, preferences_path
from device_app.session import REASONS, SIMILAR, Session

pytestmark = pytest.mark.ui

Start = Callable[..., "Driver"]  # noqa: F821  the class of conftest.py
NARROW, WIDE = (400, 800), (1280, 800)
BOTH = pytest.mark.parametrize("size", [NARROW, WIDE], ids=["narrow", "wide"])


@pytest.fixture
def database(tiny_bundle: Path, tmp_path: Path) -> Path:
    """A history of four likes, two bookmarks, two hidden titles and one that was not for the user."""
    path = tmp_path / "history.db"
    session = Session.open(tiny_bundle, path)
    said = {"like": ("m04", "m09", "m14", "m01"), "save": ("m06", "m07"), "hide": ("m10", "m24")}
    for kind, items in said.items():
        for item_id in items:
            session.mark(item_id, kind)
    session.mark("m03", "dislike")
    session.close()
    return path


def stored(database: Path, item_id: str) -> set[str]:
    """What is said about an item, read past the app."""
    db = Database(database)
    found = {r["kind"] for r in db.query("SELECT kind FROM events WHERE item_id = ?", [item_id])}
    db.close()
    return found


def open_first(driver: Any, kind: str) -> str:
    """Tap the first card or row in view, beside its buttons; returns its id."""
    driver.rest()
    view = driver.app._current.view
    top = view.to_window(0, view.top)[1]
    card = next(c for c in driver.shown(kind) if c.to_window(0, c.top)[1] <= top + 1)
    driver.tap(next(w for w in card.walk() if type(w).__name__ == "Tile"))
    driver.until(lambda: opened(driver) == card.item_id and driver.app._current.title)
    return card.item_id


def opened(driver: Any) -> str | None:
    return getattr(driver.app._current, "item_id", None)


def tap_undo(driver: Any) -> None:
    driver.until(lambda: driver.app._snackbar.rise == 1)
    driver.tap(driver.shown("SnackButton")[0])


def visible(widget: Any) -> Iterator[Any]:
    if widget.opacity and min(widget.size) > 0:
        yield widget
        for child in widget.children:
            yield from visible(child)


def clipped(driver: Any) -> list[str]:
    """Texts that do not fit their labels, or whose labels do not fit what they stand on."""
    from kivy.uix.label import Label

    found = []
    for label in visible(driver.app.root):
        if not isinstance(label, Label) or not label.text or label.disabled:
            continue
        # Facts and titles may end in an ellipsis; a name that we chose may not.
        named = type(label.parent).__name__ in {"BarPlace", "RailPlace", "WordButton", "PageHead"}
        cut = getattr(label, "is_shortened", False) and named
        width, height = label.texture_size
        if type(label).__name__ == "Icon" or hasattr(label, "icon"):
            width = height = label.font_size  # an icon fills its em, and no more
        if cut or width > label.width + 1 or height > label.height + 1:
            found.append(label.text)
        left, right = label.to_window(label.x, 0)[0], label.to_window(label.right, 0)[0]
        if left < -1 or right > driver.window.width + 1:
            found.append(label.text)
    return found


@cache
def letters(font: str) -> frozenset[str]:
    """What a font file can draw."""
    return frozenset(map(chr, TTFont(font).getBestCmap()))


def undrawn(driver: Any) -> list[str]:
    """Texts with a letter that their font lacks."""
    from kivy.core.text import LabelBase
    from kivy.uix.label import Label

    labels = [w for w in visible(driver.app.root) if isinstance(w, Label)]
    return [
        label.text
        for label in labels
        for font in [LabelBase._fonts[label.font_name][2 if label.bold else 0]]
        if not set(label.text) - {"\n"} <= letters(font)
    ]


@BOTH
def test_a_tap_opens_an_item_and_back_leads_to_where_one_was(
    start: Start, database: Path, size: tuple[int, int]
) -> None:
    driver = start(size=size).ready()
    page = driver.app._current
    driver.until(lambda: any(row["reason"] for row in driver.rows()))
    page.view.scroll_y = 0.5
    driver.frames(3)
    item_id = open_first(driver, "Card")
    detail = driver.app._current
    texts = driver.texts()
    number = int(item_id[1:])
    assert str(1980 + number) in detail.facts
    assert detail.title in texts
    assert detail.description.startswith("A ")
    assert detail.description in texts
    assert [w.text for w in driver.shown("Tag")] == [detail.facts.split("Director ")[1]]
    driver.tap(driver.shown("IconButton", icon="back")[0])
    driver.until(lambda: driver.app._current is page)
    assert page.view.scroll_y == pytest.approx(0.5, abs=0.02)
    assert driver.shown("Card")


def test_an_item_names_its_likes_and_what_is_similar_to_it(
    start: Start, database: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    driver = start(size=WIDE).ready()
    item_id = open_first(driver, "Card")
    detail = driver.app._current
    driver.until(lambda: driver.shown("ItemLine"))
    reasons = [line.item_id for line in reversed(detail.ids.reasons.children)]
    similar = [line.item_id for line in reversed(detail.ids.similar.children)]
    # The same questions, put to the bundle itself.
    recommender = Session.open(tiny_bundle, tmp_path / "other.db")._recommender
    likes = ["m04", "m09", "m14", "m01"]
    asked = recommender.explain(likes, item_id, k=REASONS)
    assert reasons == [reason.item_id for reason in asked]
    near = [pick.item_id for pick in recommender.similar(item_id, k=40)]
    against = {"m10", "m24", "m03"}
    assert similar == [near_id for near_id in near if near_id not in against][:SIMILAR]


def test_similar_items_open_in_turn_and_escape_goes_back_through_them(
    start: Start, database: Path
) -> None:
    driver = start().ready()
    first = open_first(driver, "Card")
    driver.rest()
    driver.app._current.view.scroll_y = 0
    driver.rest()
    line = driver.shown("ItemLine")[-1]
    below = driver.app._current
    driver.tap(line)
    driver.until(lambda: opened(driver) == line.item_id and driver.app._current.title)
    assert driver.app._current.way_back == below.title
    driver.window.dispatch("on_keyboard", 27, 0, "", [])
    driver.frames(2)
    assert opened(driver) == first
    assert below.view.scroll_y == pytest.approx(0, abs=0.02)
    driver.window.dispatch("on_keyboard", 27, 0, "", [])
    driver.frames(2)
    assert opened(driver) is None
    assert driver.app.page == "for_you"


def test_an_item_can_be_judged_on_its_own_page(start: Start, database: Path) -> None:
    from device_app.theme import LIGHT

    driver = start().ready()
    item_id = open_first(driver, "Card")
    for text, kind in (("Save", "save"), ("Like", "like"), ("Not for me", "dislike")):
        driver.tap(driver.shown("WordButton", text=text)[0])
        driver.until(lambda kind=kind: kind in stored(database, item_id))
        driver.frames(4)
    assert stored(database, item_id) == {"save", "dislike"}
    driver.until(lambda: driver.app._current.opinion == "dislike" and driver.app._current.saved)
    saved = driver.shown("WordButton", text="Saved")[0]
    assert colour(LIGHT.accent_soft) in driver.pixels().colours(saved)
    tap_undo(driver)
    driver.until(lambda: stored(database, item_id) == {"save", "like"})
    driver.until(lambda: driver.app._current.opinion == "like")


def colour(token: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(token[1:]))


def test_without_likes_a_page_says_how_to_get_a_reason(start: Start) -> None:
    driver = start().ready()
    open_first(driver, "Card")
    assert any(text.startswith("Like a few titles") for text in driver.texts())
    assert not driver.app._current.ids.reasons.children


def test_an_item_of_another_bundle_says_so(start: Start, database: Path, tiny_bundle: Path) -> None:
    db = Database(database)
    db.execute("UPDATE events SET item_id = 'gone' WHERE item_id = 'm03'")
    db.conn.commit()
    db.close()
    driver = start().ready()
    driver.go("history")
    driver.until(lambda: driver.shown("EventRow"))
    driver.tap(next(w for w in driver.shown("Tile")))
    driver.until(lambda: "Not in this catalogue" in driver.texts())


@BOTH
def test_bookmarks_are_a_list_and_one_can_be_removed_and_brought_back(
    start: Start, database: Path, size: tuple[int, int]
) -> None:
    driver = start(size=size).ready()
    driver.go("saved")
    driver.until(lambda: [row["item_id"] for row in driver.rows()] == ["m07", "m06"])
    assert "2 titles for later" in driver.texts()
    driver.press("ResultRow", "bookmark")
    driver.until(lambda: [row["item_id"] for row in driver.rows()] == ["m06"])
    assert stored(database, "m07") == set()
    tap_undo(driver)
    driver.until(lambda: [row["item_id"] for row in driver.rows()] == ["m07", "m06"])
    assert stored(database, "m07") == {"save"}


def test_without_bookmarks_the_list_says_what_it_is_for(start: Start) -> None:
    driver = start().ready()
    driver.go("saved")
    driver.until(lambda: "Nothing saved yet" in driver.texts())


@BOTH
def test_what_is_hidden_can_be_unhidden_and_hidden_again(
    start: Start, database: Path, size: tuple[int, int]
) -> None:
    driver = start(size=size).ready()
    driver.go("history")
    driver.until(lambda: driver.shown("EventRow"))
    chip = driver.shown("FilterChip", kind="hide")[0]
    driver.tap(chip)
    driver.until(lambda: [row["item_id"] for row in driver.rows()] == ["m24", "m10"])
    assert chip.active
    driver.tap(driver.shown("QuietButton", text="Unhide")[0])
    driver.until(lambda: [row["item_id"] for row in driver.rows()] == ["m10"])
    assert stored(database, "m24") == set()
    tap_undo(driver)
    driver.until(lambda: len(driver.rows()) == 2)
    assert stored(database, "m24") == {"hide"}


def test_the_theme_is_chosen_in_the_settings(start: Start, database: Path) -> None:
    from device_app.theme import DARK, LIGHT

    driver = start().ready()
    driver.go("settings")
    assert driver.app.looks.theme_choice == "system"
    assert driver.pixels().at(4, 500) == colour(LIGHT.background)
    driver.tap(driver.shown("ThemeChoice", name="dark")[0])
    assert driver.pixels().at(4, 500) == colour(DARK.background)
    assert [chip.name for chip in driver.shown("ThemeChoice", active=True)] == ["dark"]
    driver.tap(driver.shown("ThemeChoice", name="system")[0])
    assert driver.pixels().at(4, 500) == colour(LIGHT.background)
    driver.close()
    assert Preferences.read(preferences_path(database)) == Preferences(theme="system")


def test_the_system_theme_is_followed(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    from device_app.theme import DARK

    monkeypatch.setattr("device_app.appearance.prefers_dark", lambda: True)
    driver = start().ready()
    assert driver.pixels().at(4, 500) == colour(DARK.background)
    monkeypatch.setattr("device_app.appearance.prefers_dark", lambda: False)
    driver.app._came_back(driver.window, True)
    driver.until(lambda: not driver.app.theme.dark)


def test_the_size_of_text_changes_at_once_and_is_kept(start: Start, database: Path) -> None:
    from kivy.metrics import Metrics

    before = Metrics.fontscale
    driver = start().ready()
    driver.go("search")
    driver.type("waltz")
    driver.until(lambda: driver.shown("ResultRow"))
    driver.go("history")
    driver.until(lambda: driver.shown("EventRow"))
    driver.tap(driver.shown("FilterChip", kind="like")[0])
    driver.until(lambda: len(driver.rows()) == 4)

    def heading() -> float:
        return driver.until(
            lambda: next(
                (w for w in driver.app.root.walk() if getattr(w, "text", "") == "Appearance"), None
            )
        ).font_size

    driver.go("settings")
    normal = heading()
    for name in ("large", "largest", "small"):
        driver.tap(driver.shown("TextSizeChoice", name=name)[0])
        assert heading() == pytest.approx(normal * TEXT_SIZES[name])
        assert [chip.name for chip in driver.shown("TextSizeChoice", active=True)] == [name]
    # What was open is as it was.
    driver.go("history")
    driver.until(lambda: len(driver.rows()) == 4)
    driver.go("search")
    driver.until(lambda: [row["title"] for row in driver.rows()] == ["The Waltz"])
    driver.close()
    assert Metrics.fontscale == before
    assert Preferences.read(preferences_path(database)).text_size == "small"
    driver = start().ready()
    driver.go("settings")
    assert heading() == pytest.approx(normal * TEXT_SIZES["small"])


def test_the_settings_say_what_the_model_is(
    start: Start, database: Path, tiny_bundle: Path
) -> None:
    driver = start(size=WIDE).ready()
    driver.go("settings")
    facts = dict(driver.until(lambda: driver.app._current.facts))
    files = [f for f in tiny_bundle.rglob("*") if f.is_file() and f.name != "manifest.json"]
    assert facts["Titles"] == "40"
    assert facts["Size"] == f"{sum(f.stat().st_size for f in files) / 1e6:.1f} MB"
    assert float(facts["Last ranking"].split(" ms")[0]) > 0
    assert "Ctrl+F" in driver.texts()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("text_size", ["normal", "largest"])
@pytest.mark.parametrize("language", ["en", "zh"])
@BOTH
def test_no_text_is_clipped_and_buttons_are_large_enough(
    start: Start, database: Path, size: tuple[int, int], language: str, text_size: str, theme: str
) -> None:
    from kivy.metrics import dp

    from device_app.theme import DARK, LIGHT
    from device_app.widgets.basics import Hoverable

    Preferences(theme, text_size, language).write(preferences_path(database))
    driver = start(size=size).ready()
    ground = (DARK if theme == "dark" else LIGHT).background
    over = {
        "detail": lambda: driver.app.show_item("m06"),
        "knowledge": lambda: driver.app._current.show_knowledge(),
        "files": lambda: driver.app._current.choose_bundle(),
        "wall": lambda: driver.app.open_wall(),
        "adding": lambda: driver.app._pages["search"].add(),
    }
    for place in ("for_you", "saved", "history", "settings", *over):
        if place in over:
            driver.app.go("settings")
            over[place]()
            driver.until(lambda: driver.app._current.body.children == [driver.app._current.view])
        else:
            driver.app.go(place)
        driver.frames(6)
        for scroll in (1.0, 0.0):
            driver.app._current.view.scroll_y = scroll
            driver.frames(3)
            assert clipped(driver) == [], place
            assert undrawn(driver) == [], place
        for button in visible(driver.app.root):
            if isinstance(button, Hoverable) and not button.disabled:
                assert min(button.size) >= dp(44), (place, button)
        assert driver.pixels().at(driver.window.width - 3, driver.window.height - 3) == colour(
            ground
        )


@pytest.mark.skipif("KIVY_METRICS_DENSITY" in os.environ, reason="this is what it runs")
def test_all_that_with_twice_the_pixels() -> None:
    """Kivy reads the density once."""
    layout = test_no_text_is_clipped_and_buttons_are_large_enough.__name__
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-k", f"{layout} and light", __file__],
        env={**os.environ, "KIVY_METRICS_DENSITY": "2"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-2000:]
    assert "\n8 passed" in done.stdout


@pytest.mark.parametrize("theme", ["light", "dark"])
@BOTH
def test_new_surfaces_follow_the_theme(
    start: Start, database: Path, size: tuple[int, int], theme: str
) -> None:
    from device_app.theme import DARK, LIGHT

    palette = DARK if theme == "dark" else LIGHT
    other = LIGHT if theme == "dark" else DARK
    Preferences(theme="light" if theme == "dark" else "dark").write(preferences_path(database))
    driver = start(size=size).ready()
    open_first(driver, "Card")
    driver.app.looks.toggle_theme()
    driver.frames(3)
    for name in ("Panel", "Section", "ItemLine"):
        found = driver.pixels().colours(driver.shown(name)[0])
        assert colour(palette.surface) in found, name
        assert colour(other.surface) not in found, name
