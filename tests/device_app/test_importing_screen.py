"""A history of another place: looked over, chosen from, written at once."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlite_utils import Database

pytestmark = pytest.mark.ui

Start = Callable[..., "Driver"]  # noqa: F821  the class of conftest.py
BOTH = pytest.mark.parametrize("size", [(400, 800), (1280, 800)], ids=["narrow", "wide"])
TAB, ENTER = 9, 13
LETTERBOXD = """\
Date,Name,Year,Letterboxd URI,Rating
2023-05-01,The Laugh,1981,https://boxd.it/a,4.5
2023-05-02,The Ghost,1982,https://boxd.it/b,1
2023-05-03,The Saddle,1983,https://boxd.it/c,3
2023-05-04,Orbit,1984,https://boxd.it/d,5
2023-05-05,Kiss,1985,https://boxd.it/e,5
2023-05-06,A Film of Nowhere,2001,https://boxd.it/f,2
2023-05-07,,1999,https://boxd.it/g,4
"""
"""One liked, one not, one rated in between, two unsure for their articles, one of no item, one unreadable."""


@pytest.fixture
def events(tmp_path: Path) -> Callable[[], list[tuple[str, str]]]:
    """What is kept, oldest first, read past the app."""

    def read() -> list[tuple[str, str]]:
        db = Database(tmp_path / "history.db")
        found = [(row["item_id"], row["kind"]) for row in db["events"].rows]
        db.close()
        return found

    return read


def open_file(driver: Any, name: str) -> None:
    """From the wall, where a new history begins."""
    driver.until(lambda: driver.shown("WallTile"))
    driver.tap(driver.shown("QuietButton", text="Bring in a history")[0])
    driver.until(lambda: driver.shown("FileRow", name=name))
    driver.tap(driver.shown("FileRow", name=name)[0])


def in_view(driver: Any, widget: Any) -> Any:
    driver.app.focus.on(widget)
    driver.frames(3)
    return widget


def facts(driver: Any) -> dict[str, str]:
    return {w.name: w.value for w in driver.app.root.walk() if type(w).__name__ == "Fact"}


def candidates(driver: Any) -> list[Any]:
    return [w for w in driver.app.root.walk() if type(w).__name__ == "CandidateRow"]


@BOTH
def test_a_history_is_looked_over_and_brought_in(
    start: Start, downloads: Path, events: Any, size: tuple[int, int]
) -> None:
    (downloads / "ratings.csv").write_text(LETTERBOXD)
    (downloads / "photo.jpg").write_bytes(b"no history")
    driver = start(size=size)
    driver.until(lambda: driver.shown("WallTile"))
    driver.tap(driver.shown("QuietButton", text="Bring in a history")[0])
    driver.until(lambda: driver.shown("FileRow", name="ratings.csv"))
    assert not driver.shown("FileRow", name="photo.jpg")
    driver.tap(driver.shown("FileRow", name="ratings.csv")[0])
    driver.until(lambda: driver.shown("PillButton", text="Import 2"))
    assert facts(driver) == {
        "Matched": "3", "Unsure": "2", "Not in this catalogue": "1", "Liked": "1", "Not for me": "1",
    }  # fmt: skip
    assert "Letterboxd  ·  6 rows" in driver.texts()
    assert any(
        text.startswith("1 row could not be read, the first on line 8") for text in driver.texts()
    )
    assert "A Film of Nowhere (2001)" in driver.texts()
    assert "Orbit (1984)  ·  liked" in driver.texts()
    orbit, kiss = candidates(driver)
    assert (orbit.title, orbit.active, kiss.title, kiss.active) == (
        "The Orbit",
        False,
        "The Kiss",
        False,
    )
    for row in (orbit, kiss):
        driver.tap(in_view(driver, row))
        driver.until(lambda row=row: row.active)
    driver.tap(in_view(driver, kiss))
    driver.until(lambda: not kiss.active)
    assert orbit.active
    assert facts(driver)["Liked"] == "2"
    assert events() == []
    driver.tap(driver.shown("PillButton", text="Import 3")[0])
    driver.until(lambda: driver.snack == "Imported 3")
    assert events() == [("m01", "like"), ("m02", "dislike"), ("m04", "like")]
    driver.until(lambda: "From your 2 likes" in driver.texts())
    driver.until(lambda: driver.app._snackbar.rise == 1)
    driver.tap(driver.shown("SnackButton", text="Undo")[0])
    driver.until(lambda: not events())
    driver.until(lambda: "From your 2 likes" not in driver.texts())


def test_what_is_known_already_is_told(start: Start, downloads: Path, events: Any) -> None:
    (downloads / "ratings.csv").write_text(LETTERBOXD)
    driver = start()
    open_file(driver, "ratings.csv")
    driver.until(lambda: driver.shown("PillButton", text="Import 2"))
    driver.tap(driver.shown("PillButton", text="Import 2")[0])
    driver.until(lambda: driver.snack == "Imported 2")
    driver.go("settings")
    button = next(
        w for w in driver.app.root.walk() if getattr(w, "text", "") == "Bring in a history"
    )
    driver.tap(in_view(driver, button))
    driver.until(lambda: driver.shown("FileRow", name="ratings.csv"))
    driver.tap(driver.shown("FileRow", name="ratings.csv")[0])
    driver.until(lambda: candidates(driver))
    driver.tap(in_view(driver, candidates(driver)[0]))
    driver.until(lambda: driver.shown("PillButton", text="Import 3"))
    driver.tap(driver.shown("PillButton", text="Import 3")[0])
    driver.until(lambda: driver.snack == "Imported 1; the other 2 were known already")
    assert len(events()) == 3


def test_the_preview_is_used_by_keys(start: Start, downloads: Path, events: Any) -> None:
    (downloads / "ratings.csv").write_text(LETTERBOXD)
    driver = start()
    open_file(driver, "ratings.csv")
    driver.until(lambda: driver.shown("PillButton", text="Import 2"))

    def press(code: int) -> None:
        driver.window.dispatch("on_keyboard", code, 0, "", [])
        driver.frames(3)

    def tab_to(reached: Callable[[Any], bool]) -> None:
        for _ in range(12):
            press(TAB)
            if reached(driver.app.focus.widget):
                return
        raise AssertionError("Tab does not lead there")

    tab_to(lambda widget: widget is candidates(driver)[0])
    press(ENTER)
    driver.until(lambda: candidates(driver)[0].active)
    tab_to(lambda widget: getattr(widget, "text", "") == "Import 3")
    press(ENTER)
    driver.until(lambda: driver.snack == "Imported 3")
    assert len(events()) == 3


def test_many_unsure_rows_are_asked_about_in_portions(start: Start, downloads: Path) -> None:
    rows = [
        f"{word},5\n" for word in ("Laugh", "Ghost", "Saddle", "Orbit", "Kiss") for _ in range(9)
    ]
    (downloads / "many.csv").write_text("Title,Rating\n" + "".join(rows))
    driver = start()
    open_file(driver, "many.csv")
    driver.until(lambda: len(candidates(driver)) == 20)
    assert not driver.shown("PillButton")
    for count in (40, 45):
        more = next(
            w for w in driver.app.root.walk() if getattr(w, "text", "").startswith("Show more")
        )
        driver.tap(in_view(driver, more))
        driver.until(lambda count=count: len(candidates(driver)) == count)
    assert not driver.app._current.waiting


def test_where_nothing_matches_there_is_nothing_to_import(
    start: Start, downloads: Path, events: Any
) -> None:
    (downloads / "other.csv").write_text("Title,Rating\nNobody Knows It,5\n[b]Nor[/b] This,1\n")
    driver = start()
    open_file(driver, "other.csv")
    driver.until(lambda: facts(driver))
    assert facts(driver) == {"Matched": "0", "Unsure": "0", "Not in this catalogue": "2"}
    assert "[b]Nor[/b] This" in driver.texts()
    assert "Nothing: no row says what you think of a title of this catalogue." in driver.texts()
    assert not driver.shown("PillButton")
    assert "Unsure" in driver.texts()  # the count, but no list
    assert not candidates(driver)
    assert events() == []


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("zeros.csv", b"\0" * 5_000, "a NUL character"),
        ("bomb.zip", b"PK\3\4 and nothing that makes sense", "without damage"),
        ("deep.json", b"[" * 100_000, "beyond measure"),
        ("theirs.json", b'{"format": "x"}', "expected a PocketRec history"),
        ("ratings.csv", b"userId,movieId,rating\n1,1,5\n", "expected the titles of the films"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(
    start: Start, downloads: Path, events: Any, name: str, content: bytes, said: str
) -> None:
    (downloads / name).write_bytes(content)
    driver = start()
    open_file(driver, name)
    driver.until(lambda: "That did not work" in driver.texts())
    assert any(said in text for text in driver.texts()), driver.texts()
    (downloads / name).write_text(LETTERBOXD)
    driver.tap(driver.shown("PillButton", text="Try again")[0])
    if name.endswith(".csv"):
        driver.until(lambda: driver.shown("PillButton", text="Import 2"))
    assert events() == []


def test_columns_that_do_not_say_what_they_hold_are_asked_for(
    start: Start, downloads: Path, events: Any
) -> None:
    (downloads / "list.csv").write_text(
        "What,How good,When\nThe Laugh,5,2020-01-02\nThe Ghost,1,\n"
    )
    driver = start()
    open_file(driver, "list.csv")
    driver.until(lambda: driver.shown("TitleChip"))
    assert not driver.shown("PillButton", text="Read it", opacity=1)
    driver.tap(driver.shown("TitleChip", column="What")[0])
    driver.tap(driver.shown("RatingChip", column="How good")[0])
    driver.tap(driver.shown("PillButton", text="Read it")[0])
    driver.until(lambda: driver.shown("PillButton", text="Import 2"))
    driver.tap(driver.shown("PillButton", text="Import 2")[0])
    driver.until(lambda: driver.snack == "Imported 2")
    assert events() == [("m01", "like"), ("m02", "dislike")]


def test_a_file_of_several_people_asks_whose_ratings_are_meant(
    start: Start, downloads: Path, events: Any
) -> None:
    (downloads / "movies.csv").write_text("movieId,title\n1,The Laugh\n2,The Ghost\n")
    (downloads / "ratings.csv").write_text(
        "userId,movieId,rating,timestamp\n7,1,5.0,964982703\n8,1,1.0,964982704\n8,2,4.5,964982705\n"
    )
    driver = start()
    open_file(driver, "ratings.csv")
    driver.until(lambda: driver.shown("PersonChoice"))
    choice = driver.shown("PersonChoice")[0]
    read = driver.shown("PillButton", text="Read it")[0]
    driver.tap(read)
    assert choice.ids.error.text == "Give the userId of your ratings."
    driver.tap(choice.ids.user)
    driver.window.dispatch("on_textinput", "9")
    driver.tap(read)
    assert choice.ids.error.text == "The file has no userId 9."
    choice.ids.user.text = ""
    driver.tap(choice.ids.user)
    driver.window.dispatch("on_textinput", "8")
    driver.tap(read)
    driver.until(lambda: driver.shown("PillButton", text="Import 2"))
    driver.tap(driver.shown("PillButton", text="Import 2")[0])
    driver.until(lambda: driver.snack == "Imported 2")
    assert events() == [("m01", "dislike"), ("m02", "like")]
