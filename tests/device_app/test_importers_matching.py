"""Rows and the items that they mean, worked out by hand over a small catalogue."""

import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from device_app.events import KINDS, OPINIONS, Event, NewEvent
from device_app.importers import own_export
from device_app.importers.matching import Preview, match
from device_app.importers.reading import read
from device_app.importers.rows import History, Imported
from device_app.importers.titles import Closeness, Name
from pocketrec.catalogue import Catalogue, Item

FILMS = (
    Item("heat", "Heat", year=1995),
    Item("old-heat", "Heat", year=1986),
    Item("amelie", "Amélie", year=2001),
    Item("matrix", "Matrix, The (1999)", year=1999),
    Item("seven", "Seven (a.k.a. Se7en)", year=1995),
    Item("spider", "Spider-Man", year=2002),
    Item("rings", "The Lord of the Rings: The Two Towers", year=2002),
    Item("dune", "Dune (Dune Chronicles, #1)", year=1965),
    Item("wars4", "Star Wars: Episode IV - A New Hope", year=1977),
    Item("wars5", "Star Wars: Episode V - The Empire Strikes Back", year=1980),
    Item("wars6", "Star Wars: Episode VI - Return of the Jedi", year=1983),
    Item("wars1", "Star Wars: Episode I - The Phantom Menace", year=1999),
    Item("psycho", "Psycho", year=1960),
    Item("moon", "Moon"),
    Item("question", "???", year=2010),
    Item("schindler", "Schindler's List", year=1993),
    Item("2012", "2012", year=2009),
)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    path = tmp_path_factory.mktemp("films") / "catalogue.sqlite"
    Catalogue.write(path, FILMS)
    return Catalogue.open(path)


def row(
    title: str,
    year: int | None = None,
    *,
    item_id: str | None = None,
    rating: float | None = None,
    liked: bool | None = True,
    timestamp: int | None = None,
    line: int = 2,
) -> Imported:
    return Imported(title, year, item_id, rating, liked, timestamp, line)


@pytest.fixture
def look(films: Catalogue) -> Callable[..., Preview]:
    def look(*rows: Imported, catalogue: str | None = None, **fields: bool) -> Preview:
        history = History("CSV", rows, best=5, catalogue=catalogue, **fields)
        return match(history, films, "films")

    return look


def outcome(preview: Preview) -> str | list[str] | None:
    """The one row's item, its candidates, or None."""
    if preview.matched:
        return preview.matched[0].item.item_id
    return [item.item_id for item in preview.unsure[0].candidates] if preview.unsure else None


@pytest.mark.parametrize(
    ("title", "year", "expected"),
    [
        ("Heat", 1995, "heat"),
        ("heat", 1986, "old-heat"),
        ("Heat", 1987, "old-heat"),  # one off
        ("Heat", None, ["heat", "old-heat"]),
        ("Heat (1995)", None, "heat"),  # the year in the title
        ("Heat", 2013, ["heat", "old-heat"]),  # exactly this title, but another film
        ("Amelie", 2001, "amelie"),
        ("AMÉLIE", None, "amelie"),
        ("The Matrix", 1999, "matrix"),
        ("Matrix, The", 1999, "matrix"),
        ("Matrix", 1999, ["matrix"]),  # without the article
        ("Matrix", 2003, None),  # alike, but of another year
        ("Seven", 1995, ["seven"]),
        ("Se7en", 1995, ["seven"]),
        ("Spider Man", 2002, ["spider"]),
        ("Spiderman", 2002, ["spider"]),
        ("Spider-Man 2", 2004, None),
        ("The Lord of the Rings", 2002, ["rings"]),
        ("The Two Towers", 2002, None),
        ("The Lord of the Rings: The Return of the King", 2002, None),  # both have a subtitle
        ("Dune", 1965, ["dune"]),
        ("Dune (Dune, #1)", 1965, ["dune"]),
        ("Dune: Messiah", 1965, ["dune"]),
        ("Star Wars", None, ["wars4", "wars1", "wars6"]),  # the shortest three of four
        ("Star Wars", 1977, ["wars4"]),
        ("Psycho", 1998, ["psycho"]),
        ("Moon", 2009, "moon"),
        ("???", 2010, "question"),
        ("!!!", 2010, None),
        ("Schindler’s List", 1993, "schindler"),
        ("2012", 2009, "2012"),
        ("2012 (2009)", None, "2012"),
        ("(1995)", None, None),
        ("Nothing of the kind", 1995, None),
    ],
)
def test_what_a_title_means(
    look: Callable[..., Preview], title: str, year: int | None, expected: str | list[str] | None
) -> None:
    assert outcome(look(row(title, year))) == expected


def test_an_id_of_this_catalogue_needs_no_title(look: Callable[..., Preview]) -> None:
    assert outcome(look(row("Renamed", item_id="heat"), catalogue="films")) == "heat"
    assert outcome(look(row("Moon", item_id="gone"), catalogue="films")) == "moon"


def test_an_id_of_elsewhere_needs_a_title_that_agrees(look: Callable[..., Preview]) -> None:
    assert outcome(look(row("Moon", item_id="heat"))) == "moon"
    assert outcome(look(row("Heat", item_id="old-heat"))) == "old-heat"
    assert outcome(look(row("Dune (Dune, #1)", 1965, item_id="dune"))) == "dune"
    assert outcome(look(row("Psycho", 1998, item_id="psycho"))) == ["psycho"]
    assert outcome(look(row("", item_id="heat"))) == "heat"
    assert outcome(look(row("", item_id="heat"), catalogue="books")) is None
    assert outcome(look(row("", item_id="\ud800"))) is None


def test_rows_stay_in_file_order(look: Callable[..., Preview]) -> None:
    titles = ["Moon", "Se7en", "Nothing", "Heat (1995)", "Dune", "Nothing else"]
    preview = look(*(row(title, line=line) for line, title in enumerate(titles)))
    assert [one.row.title for one in preview.matched] == ["Moon", "Heat (1995)"]
    assert [one.row.title for one in preview.unsure] == ["Se7en", "Dune"]
    assert [one.title for one in preview.unmatched] == ["Nothing", "Nothing else"]


def test_nothing_unsure_is_written_before_it_is_accepted(look: Callable[..., Preview]) -> None:
    unsure = row("Heat", line=3, timestamp=50)
    preview = look(row("Moon", line=2, timestamp=99), unsure, row("Nothing", line=4))
    assert preview.events == (NewEvent("moon", "like", 99),)
    (question,) = preview.unsure
    preview.accept(unsure, question.candidates[0])
    assert preview.events == (NewEvent("heat", "like", 50), NewEvent("moon", "like", 99))
    preview.accept(unsure, question.candidates[1])
    assert preview.events == (NewEvent("old-heat", "like", 50), NewEvent("moon", "like", 99))
    preview.decline(unsure)
    preview.decline(unsure)
    assert preview.events == (NewEvent("moon", "like", 99),)


def test_a_rating_in_between_is_listed_and_not_written(look: Callable[..., Preview]) -> None:
    (moon,) = look(row("Moon", rating=3, liked=None)).matched
    preview = look(moon.row)
    assert preview.kind(moon.row) is None
    assert preview.events == ()


def rated(rating: float, timestamp: int | None, line: int, title: str = "Moon") -> Imported:
    return row(title, rating=rating, liked=None, timestamp=timestamp, line=line)


def test_the_latest_row_of_an_item_wins(look: Callable[..., Preview]) -> None:
    assert look(rated(1, 20, 2), rated(5, 10, 3)).events == (NewEvent("moon", "dislike", 20),)
    assert look(rated(1, 20, 2), rated(5, 20, 3)).events == (NewEvent("moon", "like", 20),)
    # Without a time first, in between last.
    assert look(rated(1, 20, 2), rated(5, None, 3)).events == (NewEvent("moon", "dislike", 20),)
    assert look(rated(5, 10, 2), rated(3, 20, 3)).events == ()
    # A row that says nothing takes nothing back.
    nothing = row("Moon", liked=None, timestamp=30, line=3)
    assert look(rated(5, 10, 2), nothing).events == (NewEvent("moon", "like", 10),)


def test_of_one_day_the_upper_row_is_the_later_where_the_newest_come_first(
    look: Callable[..., Preview],
) -> None:
    rows = rated(5, 20, 2), rated(5, 20, 3, "Amélie"), rated(5, None, 4, "2012")
    assert [event.item_id for event in look(*rows).events] == ["2012", "moon", "amelie"]
    assert [event.item_id for event in look(*rows, newest_first=True).events] == [
        *("2012", "amelie", "moon"),
    ]


def test_a_bookmark_stands_beside_an_opinion(look: Callable[..., Preview]) -> None:
    save = Imported("Moon", None, None, None, None, 10, 2, "save")
    assert look(save, rated(1, 20, 3)).events == (
        NewEvent("moon", "save", 10),
        NewEvent("moon", "dislike", 20),
    )


def histories() -> st.SearchStrategy[list[Event]]:
    """Stores as they can be: of an item one opinion and one bookmark, in any order, clocks that jump."""
    ids = st.sampled_from([*(film.item_id for film in FILMS), "gone", "ünïcode 🍿"])
    places = st.tuples(ids, st.sampled_from(KINDS), st.integers(0, 2_000_000_000))

    def number(entries: Sequence[tuple[str, str, int]]) -> list[Event]:
        return [Event(i, *entry) for i, entry in enumerate(entries, 1)]  # type: ignore[arg-type]

    return st.lists(places, unique_by=lambda entry: (entry[0], entry[1] in OPINIONS)).map(number)


@given(histories())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_our_own_export_round_trips(films: Catalogue, tmp_path: Path, events: list[Event]) -> None:
    known = [event for event in events if any(event.item_id == film.item_id for film in FILMS)]
    path = tmp_path / "history.json"
    own_export.write(path, events, films, "films")
    if not events:
        return
    preview = match(read(path), films, "films")
    assert [row.item_id for row in preview.unmatched] == [
        event.item_id for event in events if event not in known
    ]
    assert preview.unsure == ()
    assert preview.events == tuple(
        NewEvent(event.item_id, event.kind, event.timestamp)
        for event in sorted(known, key=lambda event: event.timestamp)
    )


def without_accents(text: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c))


SPELLINGS = (str.upper, str.lower, str.title, without_accents, lambda text: f"  {text} ")


@given(
    st.sampled_from(FILMS),
    st.sampled_from(SPELLINGS),
    st.one_of(st.none(), st.integers(1950, 2030)),
)
@example(FILMS[3], SPELLINGS[-1], 1998)  # a year in brackets that is not the row's
def test_case_accents_and_spaces_change_nothing(
    films: Catalogue, film: Item, spell: Callable[[str], str], year: int | None
) -> None:
    def found(title: str) -> str | list[str] | None:
        return outcome(match(History("CSV", (row(title, year),)), films, "films"))

    # An article at the end is known by its capital.
    title = film.title.replace("Matrix, The", "The Matrix")
    assert found(spell(title)) == found(title)


@given(st.text(max_size=40), st.text(max_size=40))
def test_closeness_is_symmetric_and_exact_with_itself(one: str, other: str) -> None:
    first, second = Name.of(one, None), Name.of(other, None)
    assert first.closeness(second) == second.closeness(first)
    assert first.closeness(first) is Closeness.EXACT
