import gc
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlite_utils import Database

from device_app.preferences import Preferences, preferences_path

pytestmark = pytest.mark.ui

Start = Callable[..., "Driver"]  # noqa: F821  the class of conftest.py
WIDE = (1180, 780)


def stored(database: Path) -> list[tuple[str, str]]:
    """(item, kind), oldest first, read past the app."""
    db = Database(database)
    found = [(r["item_id"], r["kind"]) for r in db.query("SELECT * FROM events ORDER BY event_id")]
    db.close()
    return found


def shown_ids(driver) -> list[str]:
    return [row["item_id"] for row in driver.rows()]


def rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def close_to(one: tuple[int, int, int], other: tuple[int, int, int]) -> bool:
    return all(abs(a - b) <= 2 for a, b in zip(one, other, strict=True))


def contains(colours: set[tuple[int, int, int]], colour: str) -> bool:
    return any(close_to(found, rgb(colour)) for found in colours)


def test_the_first_list_is_labelled_as_popular_and_gives_no_reason(start: Start) -> None:
    driver = start().ready()
    assert "Popular picks to start from" in driver.texts()
    assert shown_ids(driver)[:2] == ["m01", "m02"]
    assert {row["reason"] for row in driver.rows()} == {""}
    assert not any("%" in text for text in driver.texts())


def test_a_like_is_on_disk_leaves_the_list_and_gives_reasons(start: Start, tmp_path: Path) -> None:
    driver = start().ready()
    liked = driver.press("Card", "like")
    driver.until(lambda: driver.snack)
    assert driver.snack == f"Liked {liked['title']}"
    assert stored(tmp_path / "history.db") == [(liked["item_id"], "like")]
    driver.until(lambda: any(row["reason"] for row in driver.rows()))
    assert liked["item_id"] not in shown_ids(driver)
    assert {row["reason"] for row in driver.rows()} <= {liked["title"], ""}
    assert f"Because you liked {liked['title']}" in driver.texts()
    assert "From your 1 like" in driver.texts()
    assert not driver.app._current.is_default


@pytest.mark.parametrize(
    ("icon", "said"),
    [
        ("dislike", "Not for you: The Laugh"),
        ("hide", "Hidden: The Laugh"),
        ("seen", "Already seen: The Laugh"),
    ],
)
def test_what_is_not_wanted_leaves_and_undo_brings_it_back(
    start: Start, tmp_path: Path, icon: str, said: str
) -> None:
    driver = start().ready()
    before = shown_ids(driver)
    driver.press("Card", icon)
    driver.until(lambda: shown_ids(driver) != before)
    assert driver.snack == said
    assert before[0] not in shown_ids(driver)
    assert stored(tmp_path / "history.db") == [(before[0], icon)]
    driver.until(lambda: driver.app._snackbar.rise == 1)
    driver.tap(driver.shown("SnackButton")[0])
    driver.until(lambda: shown_ids(driver) == before)
    assert stored(tmp_path / "history.db") == []


def test_saving_fills_the_bookmark_and_keeps_the_card(start: Start, tmp_path: Path) -> None:
    driver = start().ready()
    before = shown_ids(driver)
    driver.press("Card", "bookmark")
    driver.until(lambda: driver.rows()[0]["saved"])
    assert shown_ids(driver) == before
    assert stored(tmp_path / "history.db") == [(before[0], "save")]
    driver.press("Card", "bookmark")
    driver.until(lambda: not driver.rows()[0]["saved"])
    assert stored(tmp_path / "history.db") == []


def test_refresh_shows_other_picks(start: Start) -> None:
    driver = start().ready()
    before = shown_ids(driver)
    driver.tap(driver.shown("IconButton", icon="refresh")[0])
    driver.until(lambda: shown_ids(driver) != before)
    assert not set(before) & set(shown_ids(driver))


def test_search_finds_as_one_types_and_marks(start: Start, tmp_path: Path) -> None:
    driver = start().ready()
    driver.go("search")
    assert "Find something you know" in driver.texts()
    driver.type("waltz")
    driver.until(lambda: [row["title"] for row in driver.rows()] == ["The Waltz"])
    marked = driver.press("ResultRow", "like")
    driver.until(lambda: driver.rows()[0]["opinion"] == "like")
    assert stored(tmp_path / "history.db") == [(marked["item_id"], "like")]
    driver.press("ResultRow", "dislike")
    driver.until(lambda: driver.rows()[0]["opinion"] == "dislike")
    assert stored(tmp_path / "history.db") == [(marked["item_id"], "dislike")]


def test_search_finds_two_chinese_characters(start: Start) -> None:
    driver = start().ready()
    driver.go("search")
    driver.type("星际")
    driver.until(lambda: [row["title"] for row in driver.rows()] == ["The 星际"])
    title = next(w for w in driver.app.root.walk() if getattr(w, "text", "") == "The 星际")
    assert title.font_name == "NotoSansSC"


def test_search_says_when_nothing_is_found(start: Start) -> None:
    driver = start().ready()
    driver.go("search")
    driver.type("zzz")
    driver.until(lambda: "Nothing found for “zzz”" in driver.texts())


def test_history_lists_filters_and_removes(start: Start, tmp_path: Path) -> None:
    driver = start().ready()
    driver.go("history")
    driver.until(lambda: "Nothing here yet" in driver.texts())
    driver.go("for_you")
    driver.until(lambda: driver.shown("Card"))
    driver.press("Card", "bookmark")
    driver.until(lambda: driver.rows()[0]["saved"])
    driver.press("Card", "like")
    driver.until(lambda: "From your 1 like" in driver.texts())
    driver.go("history")
    driver.until(lambda: len(driver.rows()) == 2)
    assert [row["when"] for row in driver.rows()] == ["Liked  ·  just now", "Saved  ·  just now"]

    driver.tap(driver.shown("FilterChip", kind="save")[0])
    driver.until(lambda: [row["kind"] for row in driver.rows()] == ["save"])
    driver.press("EventRow", "remove")
    driver.until(lambda: "Nothing saved yet" in driver.texts())
    assert [kind for _, kind in stored(tmp_path / "history.db")] == ["like"]
    driver.until(lambda: driver.app._snackbar.rise == 1)
    driver.tap(driver.shown("SnackButton")[0])
    driver.until(lambda: driver.shown("EventRow"))
    assert [kind for _, kind in stored(tmp_path / "history.db")] == ["save", "like"]


def test_the_bar_can_be_pressed_while_a_message_rises_past_it(start: Start, tmp_path: Path) -> None:
    from kivy.animation import Animation

    driver = start().ready()
    driver.press("Card", "like")
    driver.until(lambda: driver.snack)
    Animation.cancel_all(driver.app._snackbar)
    for rise in (0.4, 0.5, 0.6):
        driver.app._snackbar.rise = rise
        driver.frames(2)
        for page in ("history", "settings"):
            driver.go(page)
    assert [kind for _, kind in stored(tmp_path / "history.db")] == ["like"]


def test_the_theme_changes_pixels_and_is_kept(start: Start, tmp_path: Path) -> None:
    from device_app.theme import DARK, LIGHT

    driver = start().ready()
    assert close_to(driver.pixels().at(4, 500), rgb(LIGHT.background))
    driver.tap(driver.shown("ThemeButton")[0])
    dark = driver.pixels()
    assert close_to(dark.at(4, 500), rgb(DARK.background))
    assert contains(dark.colours(driver.shown("Card")[1]), DARK.surface)
    title = next(w for w in driver.app.root.walk() if getattr(w, "text", "") == "For you")
    assert contains(dark.colours(title), DARK.text)
    driver.close()
    assert Preferences.read(preferences_path(tmp_path / "history.db")) == Preferences(theme="dark")
    assert close_to(start().ready().pixels().at(4, 500), rgb(DARK.background))


def test_every_text_token_can_be_read() -> None:
    """WCAG AA: a contrast of 4.5 for text, on every ground it stands on."""
    from device_app.theme import DARK, LIGHT

    def luminance(colour: str) -> float:
        parts = [value / 255 for value in rgb(colour)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    def contrast(one: str, other: str) -> float:
        low, high = sorted((luminance(one), luminance(other)))
        return (high + 0.05) / (low + 0.05)

    for p in (LIGHT, DARK):
        for ink in (p.text, p.muted, p.accent):
            for ground in (p.background, p.surface, p.raised):
                assert contrast(ink, ground) >= 4.5, (ink, ground)
        pairs = [(p.accent, p.accent_soft), (p.muted, p.accent_soft), (p.text, p.accent_soft)]
        pairs += [(p.accent_text, p.accent), (p.danger, p.danger_soft), (p.danger, p.surface)]
        pairs += [(p.snack_text, p.snack), (p.snack_accent, p.snack)]
        for ink, ground in pairs:
            assert contrast(ink, ground) >= 4.5, (ink, ground)


def test_narrow_has_a_bar_wide_a_rail_and_two_columns(start: Start) -> None:
    driver = start().ready()
    assert driver.shown("BarPlace")
    assert not driver.shown("RailPlace")
    cards = driver.shown("Card")
    assert len({card.x for card in cards}) == 1

    driver = start(size=WIDE).ready()
    driver.until(lambda: len({card.x for card in driver.shown("Card")}) == 2)
    assert driver.shown("RailPlace")
    assert not driver.shown("BarPlace")


@pytest.mark.parametrize("size", [(420, 860), (360, 640), WIDE])
def test_buttons_are_large_enough_and_nothing_overlaps(start: Start, size: tuple[int, int]) -> None:
    from kivy.metrics import dp

    driver = start(size=size).ready()
    buttons = [w for w in driver.shown("IconButton") if w.hint]
    assert len(buttons) >= 8
    for button in buttons:
        assert min(button.size) >= dp(44)
    for card in driver.shown("Card"):
        inside = [w for w in card.walk(restrict=True) if w is not card and not w.children]
        for widget in inside:
            x, y = widget.to_window(widget.x, widget.y)
            left, bottom = card.to_window(card.x, card.y)
            assert left - 1 <= x
            assert x + widget.width <= left + card.width + 1
            assert bottom - 1 <= y
            assert y + widget.height <= bottom + card.height + 1


def test_a_tile_is_a_gradient_and_a_like_is_in_the_accent(start: Start) -> None:
    from device_app.theme import LIGHT

    driver = start().ready()
    tile = driver.shown("Tile")[0]
    assert len(driver.pixels().colours(tile)) > 100
    driver.go("search")
    driver.type("waltz")
    driver.until(lambda: len(driver.rows()) == 1)
    button = driver.shown("IconButton", icon="like")[0]
    assert not contains(driver.pixels().colours(button), LIGHT.accent)
    driver.press("ResultRow", "like")
    driver.until(lambda: driver.rows()[0]["opinion"] == "like")
    assert contains(driver.pixels().colours(button), LIGHT.accent)


def test_only_what_is_liked_has_a_ring_after_the_theme_changed(start: Start) -> None:
    from device_app.theme import DARK

    driver = start()
    tiles = driver.until(lambda: driver.shown("WallTile"))
    driver.tap(tiles[0])
    driver.until(lambda: driver.rows()[0]["liked"])
    driver.app.looks.choose_theme("dark")
    picture, ringed = driver.pixels(), []
    for tile in driver.shown("Tile")[:2]:
        x, y = tile.to_window(tile.x, tile.center_y)
        ringed.append(close_to(picture.at(x + 1, y), rgb(DARK.accent)))
    assert ringed == [True, False]


def test_long_titles_take_two_lines_and_end_in_an_ellipsis(start: Start) -> None:
    from device_app.widgets.fitting import fitted, line_count

    start()
    long = "Dr. Strangelove or: How I Learned to Stop Worrying and Love the Bomb, " * 3
    assert line_count("Moon", 17, 260) == 1
    assert line_count(long, 17, 260) == 2
    assert fitted("Moon", 17, 260) == "Moon"
    cut = fitted(long, 17, 260)
    assert cut.endswith("…")
    assert long.startswith(cut[:-1])
    assert 30 < len(cut) < len(long)


def test_the_window_has_an_icon_of_its_own(start: Start) -> None:
    driver = start()
    assert Path(driver.app.get_application_icon()).name == "icon.png"
    assert Path(driver.app.get_application_icon()).is_file()


def test_the_first_frame_comes_before_the_model(start: Start) -> None:
    driver = start()
    assert driver.app._session is None
    assert driver.shown("Skeleton")
    driver.ready()
    assert not driver.shown("Skeleton")


def test_no_garbage_is_looked_for_among_what_stays(start: Start) -> None:
    gc.unfreeze()
    driver = start().ready()
    frozen = gc.get_freeze_count()
    assert frozen > 10_000  # what the imports alone make
    driver.app.reopen()
    driver.ready()
    assert gc.get_freeze_count() <= frozen


def test_a_missing_bundle_is_said_and_can_be_tried_again(
    start: Start, tmp_path: Path, tiny_bundle: Path
) -> None:
    driver = start(bundle=tmp_path / "later")
    driver.until(lambda: "No recommendations to show" in driver.texts())
    assert any("later" in text for text in driver.texts())
    (tmp_path / "later").symlink_to(tiny_bundle)
    driver.tap(driver.shown("PillButton")[0])
    driver.ready()


def test_a_history_that_cannot_be_opened_is_said(start: Start, tmp_path: Path) -> None:
    (tmp_path / "history.db").write_bytes(b"dear diary " * 100)
    driver = start()
    driver.until(lambda: "Your history cannot be opened" in driver.texts())
    assert any("move it away" in text for text in driver.texts())
    (tmp_path / "history.db").unlink()
    driver.tap(driver.shown("PillButton")[0])
    driver.ready()


def test_a_full_disk_is_said_and_the_card_stays(start: Start, tmp_path: Path) -> None:
    driver = start().ready()
    before = shown_ids(driver)
    store = driver.app._session._store
    driver.app.ask(lambda _: store._db.execute("PRAGMA query_only = 1"), lambda _: None)
    driver.press("Card", "like")
    driver.until(lambda: "make it writable" in driver.snack)
    assert shown_ids(driver) == before
    assert driver.rows()[0]["opinion"] is None
    assert stored(tmp_path / "history.db") == []
    driver.app.ask(lambda _: store._db.execute("PRAGMA query_only = 0"), lambda _: None)
    driver.press("Card", "like")
    driver.until(lambda: shown_ids(driver) != before)
    assert [kind for _, kind in stored(tmp_path / "history.db")] == ["like"]


def test_likes_outlive_the_window(start: Start) -> None:
    driver = start().ready()
    liked = driver.press("Card", "like")
    driver.until(lambda: "From your 1 like" in driver.texts())
    driver.close()
    driver = start().ready()
    assert "From your 1 like" in driver.texts()
    assert liked["item_id"] not in shown_ids(driver)


def test_a_second_press_before_the_answer_counts_once(start: Start, tmp_path: Path) -> None:
    driver = start().ready()
    item = driver.rows()[0]
    driver.app.changes.mark(item["item_id"], item["title"], "like")
    driver.app.changes.mark(item["item_id"], item["title"], "like")
    driver.until(lambda: "From your 1 like" in driver.texts())
    assert stored(tmp_path / "history.db") == [(item["item_id"], "like")]


def test_another_button_before_the_answer_counts_too(start: Start, tmp_path: Path) -> None:
    driver = start().ready()
    item = driver.rows()[0]
    driver.app.changes.mark(item["item_id"], item["title"], "save")
    driver.app.changes.mark(item["item_id"], item["title"], "like")
    driver.until(lambda: "From your 1 like" in driver.texts())
    assert [kind for _, kind in stored(tmp_path / "history.db")] == ["save", "like"]


def test_ctrl_z_takes_back_when_the_message_is_gone(start: Start, tmp_path: Path) -> None:
    driver = start().ready()
    before = shown_ids(driver)
    driver.press("Card", "hide")
    driver.until(lambda: shown_ids(driver) != before)
    driver.app._snackbar.hide()
    for _ in range(2):
        driver.window.dispatch("on_keyboard", ord("z"), 0, "z", ["ctrl"])
    driver.until(lambda: shown_ids(driver) == before)
    assert stored(tmp_path / "history.db") == []


def test_keys_reach_every_screen(start: Start) -> None:
    driver = start(size=WIDE).ready()

    def key(text: str) -> None:
        driver.window.dispatch("on_keyboard", ord(text), 0, text, ["ctrl"])
        driver.frames(2)

    key("4")
    assert driver.app.page == "history"
    key("f")
    assert driver.app.page == "search"
    dark = driver.app.theme.dark
    key("d")
    assert driver.app.theme.dark is not dark
    driver.window.dispatch("on_keyboard", 27, 0, "", [])
    driver.frames(2)
    assert driver.app.page == "for_you"
