from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_app.presentation import (
    ago,
    categories,
    facts,
    initials,
    own_text,
    short_title,
    shown_title,
    tint,
)
from device_app.typeface import CHINESE, FOLDER, ICONS, JAPANESE, LATIN, font_for
from pocketrec.catalogue import Item


@pytest.mark.parametrize(
    ("title", "year", "shown"),
    [
        ("Toy Story (1995)", 1995, "Toy Story"),
        ("Toy Story (1995)", 1996, "Toy Story (1995)"),
        ("2001: A Space Odyssey", 1968, "2001: A Space Odyssey"),
        ("Usual Suspects, The (1995)", 1995, "The Usual Suspects"),
        ("Avventura, L'", None, "L'Avventura"),
        ("Good, the Bad and the Ugly, The", None, "The Good, the Bad and the Ugly"),
        ("", None, "id"),
    ],
)
def test_titles_read_as_people_say_them(title: str, year: int | None, shown: str) -> None:
    assert shown_title(Item("id", title, text="t", year=year)) == shown


def test_a_short_title_has_no_remark_in_brackets() -> None:
    assert short_title("Spirited Away (Sen to Chihiro)") == "Spirited Away"
    assert short_title("M*A*S*H (a.k.a. MASH)") == "M*A*S*H"
    assert short_title("Birdman (or) The Virtue") == "Birdman (or) The Virtue"
    assert short_title("(500)") == "(500)"


def test_facts_hold_what_is_known() -> None:
    item = Item(
        "1", "T", text="t", categories="Action, FPS, Classic, PvP", creator="Valve", year=2000
    )
    assert facts(item) == "2000  ·  Valve  ·  Action, FPS, Classic"
    assert facts(Item("1", "T", text="t", categories="Drama|Crime")) == "Drama, Crime"
    assert facts(Item("1", "T", text="t")) == ""


@pytest.mark.parametrize(
    ("title", "letters"),
    [
        ("The Lord of the Rings", "LR"),
        ("Moon", "M"),
        ("Paddington 2", "P2"),
        ("千与千寻", "千"),
        ("élan vital", "ÉV"),
        ("The The", "TT"),
        ("...", ""),
        ("", ""),
    ],
)
def test_initials(title: str, letters: str) -> None:
    assert initials(title) == letters


@given(st.text(), st.text())
def test_no_title_breaks_a_card(title: str, item_id: str) -> None:
    assert len(initials(title)) <= 6  # some letters have longer capitals
    assert 0 <= tint("x" + title.encode("utf-8", "replace").decode(), 12) < 12
    assert font_for(title) in (LATIN, CHINESE, JAPANESE)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-100, "just now"),
        (59, "just now"),
        (60, "1 minute ago"),
        (3599, "59 minutes ago"),
        (3600, "1 hour ago"),
        (86399, "23 hours ago"),
        (86400, "1 day ago"),
        (604799, "6 days ago"),
    ],
)
def test_recent_times_count_back(seconds: int, text: str) -> None:
    assert ago(1_700_000_000 - seconds, 1_700_000_000) == text


def test_older_times_are_dates() -> None:
    then = int(datetime(2023, 3, 7, 12).timestamp())
    assert ago(then, then + 604_800) == "7 March 2023"


@pytest.mark.parametrize(
    ("text", "font"),
    [
        ("Arrival", LATIN),
        ("Amélie", LATIN),
        ("千与千寻", CHINESE),
        ("君の名は。", JAPANESE),
        ("Because you liked 千と千尋", JAPANESE),
        ("“千と千尋の神隠し”的作者", JAPANESE),  # every character is written in Japan too
        ("你喜欢过“千と千尋の神隠し”", CHINESE),
        ("ラーメン", JAPANESE),
        ("仏像", JAPANESE),  # no kana, but written so in Japan alone
        ("", LATIN),
    ],
)
def test_the_font_follows_the_script(text: str, font: str) -> None:
    assert font_for(text) == font


def test_fonts_are_small_and_come_with_their_licences() -> None:
    assert sum(file.stat().st_size for file in FOLDER.glob("*.?tf")) < 2_500_000
    assert {file.name for file in FOLDER.glob("*.txt")} >= {
        "OFL-Inter.txt",
        "OFL-NotoSans.txt",
        "Apache-MaterialSymbols.txt",
    }
    assert len(set(ICONS.values())) == len(ICONS)


def test_categories_are_told_once_each() -> None:
    item = Item("1", "T", text="t", categories="Drama| Crime,Drama; ")
    assert categories(item) == ("Drama", "Crime")


def test_own_text_is_what_the_other_fields_do_not_say() -> None:
    assert own_text(Item("1", "T", description=" A film. ")) == "A film."
    assert own_text(Item("1", "T", categories="Drama")) == ""
    assert own_text(Item("1", "T", text="Something else")) == "Something else"
