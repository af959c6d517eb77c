"""What each format says, read from small files as people export them."""

import calendar
import json
import zipfile
from pathlib import Path

import pytest

from device_app.events import Event
from device_app.importers import own_export, plain
from device_app.importers.dates import day_order, read_time
from device_app.importers.netflix import series_or_film
from device_app.importers.opinions import opinion
from device_app.importers.plain import Columns
from device_app.importers.reading import header, read
from device_app.importers.rows import History, HistoryFileError, Imported
from pocketrec.catalogue import Catalogue, Item

MOVIES = """\
movieId,title,genres
1,Toy Story (1995),Adventure|Animation
2571,"Matrix, The (1999)",Action|Sci-Fi
29,"City of Lost Children, The (Cité des enfants perdus, La) (1995)",Fantasy
"""
RATINGS = """\
userId,movieId,rating,timestamp
7,1,4.0,964982703
7,2571,0.5,964982931
7,29,3.0,964981179
"""
LETTERBOXD = """\
Date,Name,Year,Letterboxd URI,Rating
2023-05-01,Amélie,2001,https://boxd.it/29iG,4.5
2023-05-02,"Good Night, and Good Luck.",2005,https://boxd.it/21uk,2
2023-05-02,Cats,2019,https://boxd.it/iQxk,3
"""
GOODREADS = '''\
Book Id,Title,Author,Author l-f,Additional Authors,ISBN,ISBN13,My Rating,Average Rating,Publisher,Binding,Number of Pages,Year Published,Original Publication Year,Date Read,Date Added,Bookshelves,Bookshelves with positions,Exclusive Shelf,My Review,Spoiler,Private Notes,Read Count,Owned Copies
44767458,"Dune (Dune, #1)",Frank Herbert,"Herbert, Frank",,"=""059309932X""","=""9780593099322""",5,4.27,Ace,Hardcover,658,2019,1965,2022/03/04,2022/01/02,,,read,,,,1,0
1381,The Odyssey,Homer,"Homer, Homer",,"=""0143039954""","=""9780143039952""",0,3.80,Penguin,Paperback,541,2006,-700,,2021/11/30,,,read,,,,1,0
5107,The Catcher in the Rye,J.D. Salinger,"Salinger, J.D.",,"=""""","=""""",2,3.80,LB,Paperback,277,2001,1951,,2021/11/29,,,read,"long<br/>dull",,,1,0
18423,The Left Hand of Darkness,Ursula K. Le Guin,"Le Guin, Ursula K.",,,,0,4.10,Ace,Paperback,304,2000,1969,,2021/11/28,to-read,to-read (#1),to-read,,,,0,0
7144,Crime and Punishment,Fyodor Dostoevsky,"Dostoevsky, Fyodor",,,,0,4.27,Penguin,Paperback,671,2002,1866,,2021/11/27,,,currently-reading,,,,1,0
'''
NETFLIX = """\
Title,Date
"Dark: Season 2: Beginnings and Endings","6/21/23"
"Roma","6/20/23"
"Dark: Season 1: Secrets","6/13/23"
"Dark: Season 1: Lies","6/13/23"
"""


def noon(year: int, month: int, day: int) -> int:
    return calendar.timegm((year, month, day, 12, 0, 0))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A name that says nothing about the format."""
    return tmp_path / "download.dat"


def read_text(path: Path, text: str, encoding: str = "utf-8", **arguments: object) -> History:
    path.write_bytes(text.encode(encoding))
    return read(path, **arguments)  # type: ignore[arg-type]


def kinds(history: History) -> list[tuple[str, str | None]]:
    return [(row.title, opinion(row, history.best)) for row in history.rows]


def test_letterboxd(path: Path) -> None:
    history = read_text(path, LETTERBOXD)
    assert history.format == "Letterboxd"
    assert history.rows[0] == Imported("Amélie", 2001, None, 4.5, None, noon(2023, 5, 1), 2)
    # 4.5, 2 and 3 of 5 stars: 90, 40 and 60 % of the scale.
    assert kinds(history) == [
        ("Amélie", "like"),
        ("Good Night, and Good Luck.", "dislike"),
        ("Cats", None),
    ]


def test_the_diary_of_letterboxd_gives_the_day_of_watching_and_unrated_films(path: Path) -> None:
    diary = (
        "Date,Name,Year,Letterboxd URI,Rating,Rewatch,Tags,Watched Date\n"
        "2023-05-09,Heat,1995,https://boxd.it/1,,,,2023-05-08\n"
    )
    (row,) = read_text(path, diary).rows
    assert row == Imported("Heat", 1995, None, None, True, noon(2023, 5, 8), 2)


def test_letterboxd_without_ratings_could_be_the_watchlist(path: Path) -> None:
    with pytest.raises(HistoryFileError, match=r"Rating.*choose ratings.csv"):
        read_text(path, "Date,Name,Year,Letterboxd URI\n2023-05-01,Heat,1995,https://boxd.it/1\n")


def test_goodreads(path: Path) -> None:
    history = read_text(path, GOODREADS)
    assert history.format == "Goodreads"
    dune, odyssey, *_ = history.rows
    assert dune == Imported("Dune (Dune, #1)", 1965, "44767458", 5, None, noon(2022, 3, 4), 2)
    # Unrated and read: liked, dated by the day it was added.
    assert odyssey == Imported("The Odyssey", -700, "1381", None, True, noon(2021, 11, 30), 3)
    assert [kind for _, kind in kinds(history)] == ["like", "like", "dislike", "save", None]


def test_goodreads_saved_again_by_a_spreadsheet(path: Path) -> None:
    changed = GOODREADS.replace("2022/03/04", "04/03/2022").replace("2021/11/30", "30/11/2021")
    dune, odyssey, *_ = read_text(path, changed).rows
    assert (dune.timestamp, odyssey.timestamp) == (noon(2022, 3, 4), noon(2021, 11, 30))


def test_netflix_names_a_series_once_with_its_latest_date(path: Path) -> None:
    history = read_text(path, NETFLIX)
    assert history.format == "Netflix"
    assert history.newest_first
    assert history.rows == (
        Imported("Dark", None, None, None, True, noon(2023, 6, 21), 2),
        Imported("Roma", None, None, None, True, noon(2023, 6, 20), 3),
    )
    assert kinds(history) == [("Dark", "like"), ("Roma", "like")]


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("Dark: Season 1: Secrets", "Dark"),
        ("Marvel's Jessica Jones: Season 1: AKA Ladies Night", "Marvel's Jessica Jones"),
        ("Haus des Geldes: Teil 2: Folge 1", "Haus des Geldes"),
        ("Chernobyl: Limited Series: 1:23:45", "Chernobyl"),
        ("Lupin: 1. évad: 2. rész", "Lupin"),
        ("ダーク: シーズン1: 秘密", "ダーク"),
        ("Kill Bill: Vol. 1", "Kill Bill: Vol. 1"),
        ("Star Wars: Episode IV: A New Hope", "Star Wars: Episode IV: A New Hope"),
        ("The Hunger Games: Mockingjay: Part 1", "The Hunger Games: Mockingjay: Part 1"),
        ("Season 1: Nothing before: it", "Season 1: Nothing before: it"),
    ],
)
def test_what_is_a_series_on_netflix(title: str, name: str) -> None:
    assert series_or_film(title) == name


@pytest.mark.parametrize(
    ("texts", "order"),
    [
        (["13/1/23", "2/1/23"], "day first"),
        (["1/13/23", "1/2/23"], "month first"),
        (["1.2.23"], "day first"),
        (["4/2/23", "3/2/23", "5/1/23"], "day first"),  # backwards from February to January
        (["3/2/23", "5/1/23", "6/1/23"], "month first"),  # forwards from March to June
        (["3/2/23", "5/1/23", "4/2/23"], None),  # neither way in either reading
        (["3/2/23", "5/1/23"], None),
        (["1/2/23"], None),
        (["13/1/23", "1/13/23"], None),
        (["13/1/23", "1/13/23", "14/1/23"], "day first"),
        (["99/99/99", ""], None),
        (["2023-01-02"], None),
    ],
)
def test_the_order_of_day_and_month_follows_from_the_whole_file(
    texts: list[str], order: str | None
) -> None:
    assert day_order(texts) == order


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2023-05-01", noon(2023, 5, 1)),
        ("20230501", noon(2023, 5, 1)),
        ("2023/5/1", noon(2023, 5, 1)),
        ("1/5/2023", noon(2023, 5, 1)),
        ("01.05.23 20:15", noon(2023, 5, 1)),
        ("1/5/98", noon(1998, 5, 1)),
        ("2023-05-01T10:00:00Z", noon(2023, 5, 1) - 7200),
        ("2023-05-01 10:00", noon(2023, 5, 1) - 7200),
        ("2023-05-01T10:00+02:00", noon(2023, 5, 1) - 14400),
        ("964982703", 964982703),
        ("1682942400123", noon(2023, 5, 1)),
        ("", None),
        ("yesterday", None),
        ("31/2/2023", None),
        ("2199-01-01", None),
        ("1800-01-01", None),
        ("0001-01-01T00:00+23:59", None),
        ("9999999999999", None),
        ("1" * 5000, None),
    ],
)
def test_times(text: str, time: int | None) -> None:
    assert read_time(text, "day first") == time


def test_two_days_are_no_time() -> None:
    assert read_time("1/5/2023", None) is None


def test_movielens(tmp_path: Path, path: Path) -> None:
    (tmp_path / "movies.csv").write_text(MOVIES, encoding="utf-8")
    history = read_text(path, RATINGS)
    assert history.format == "MovieLens"
    assert history.rows == (
        Imported("Toy Story", 1995, "1", 4.0, None, 964982703, 2),
        Imported("The Matrix", 1999, "2571", 0.5, None, 964982931, 3),
        Imported(
            *("The City of Lost Children (Cité des enfants perdus, La)", 1995),
            *("29", 3.0, None, 964981179, 4),
        ),
    )
    assert [kind for _, kind in kinds(history)] == ["like", "dislike", None]


def test_movielens_of_several_people_wants_one_named(tmp_path: Path, path: Path) -> None:
    (tmp_path / "movies.csv").write_text(MOVIES, encoding="utf-8")
    several = RATINGS + "8,1,5.0,964982703\n"
    with pytest.raises(HistoryFileError, match=r"found those of 2 users; give one userId"):
        read_text(path, several)
    with pytest.raises(HistoryFileError, match=r"of user '9', found those of 2 users"):
        read_text(path, several, user="9")
    assert [row.line for row in read_text(path, several, user="8").rows] == [5]


def test_movielens_needs_its_titles(tmp_path: Path, path: Path) -> None:
    with pytest.raises(HistoryFileError, match=r"movies\.csv: expected the titles.*copy movies"):
        read_text(path, RATINGS)
    (tmp_path / "movies.csv").write_text("id,name\n1,Toy Story\n", encoding="utf-8")
    with pytest.raises(HistoryFileError, match=r"expected the columns movieId and title"):
        read_text(path, RATINGS)
    (tmp_path / "movies.csv").write_text("movieId,title\n1,Toy Story (1995)\n", encoding="utf-8")
    history = read_text(path, RATINGS)
    assert len(history.rows) == 1
    assert str(history.unreadable) == (
        "2 rows could not be read, the first on line 3: "
        "expected a movieId of movies.csv, found '2571'"
    )


def test_a_zip_of_movielens_brings_its_titles(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("ml-latest-small/README.txt", "Summary")
        packed.writestr("ml-latest-small/movies.csv", MOVIES)
        packed.writestr("ml-latest-small/ratings.csv", RATINGS)
    assert [row.title for row in read(path).rows][:2] == ["Toy Story", "The Matrix"]


def test_a_zip_of_letterboxd_holds_deleted_ratings_further_down(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("deleted/ratings.csv", LETTERBOXD.replace("Cats", "Deleted"))
        packed.writestr("ratings.csv", LETTERBOXD)
        packed.writestr("watchlist.csv", "Date,Name,Year,Letterboxd URI\n")
    assert [row.title for row in read(path).rows][-1] == "Cats"


def test_a_zip_of_one_file(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("goodreads_library_export.csv", GOODREADS)
        packed.writestr("__MACOSX/._goodreads_library_export.csv", b"\0\0")
    assert read(path).format == "Goodreads"


EVENTS = (
    Event(1, "m1", "like", 1_700_000_000),
    Event(2, "m2", "save", 1_700_000_100),
    Event(5, "gone", "hide", 1_700_000_200),
    Event(6, "m2", "dislike", 1_700_000_300),
)


@pytest.fixture
def films(tmp_path: Path) -> Catalogue:
    target = tmp_path / "catalogue.sqlite"
    Catalogue.write(target, [Item("m1", "Amélie", year=2001), Item("m2", "千と千尋の神隠し")])
    return Catalogue.open(target)


def test_our_own_export(path: Path, films: Catalogue) -> None:
    own_export.write(path, EVENTS, films, "films")
    written = json.loads(path.read_text(encoding="utf-8"))
    assert {name: written[name] for name in ("format", "version", "catalogue")} == {
        "format": "pocketrec-history",
        "version": 1,
        "catalogue": "films",
    }
    assert written["events"][0] == {
        "item_id": "m1",
        "title": "Amélie",
        "year": 2001,
        "kind": "like",
        "timestamp": 1_700_000_000,
    }
    history = read(path)
    assert (history.format, history.catalogue) == ("PocketRec", "films")
    assert history.rows == (
        Imported("Amélie", 2001, "m1", None, True, 1_700_000_000, 1),
        Imported("千と千尋の神隠し", None, "m2", None, None, 1_700_000_100, 2, "save"),
        Imported("", None, "gone", None, None, 1_700_000_200, 3, "hide"),
        Imported("千と千尋の神隠し", None, "m2", None, False, 1_700_000_300, 4),
    )
    assert [kind for _, kind in kinds(history)] == ["like", "save", "hide", "dislike"]


def test_an_export_that_cannot_be_written_says_so(tmp_path: Path, films: Catalogue) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HistoryFileError, match=r"could not be written.*choose another folder"):
        own_export.write(tmp_path / "file" / "history.json", EVENTS, films, "films")


def own(events: object, **changes: object) -> str:
    fields = {"format": "pocketrec-history", "version": 1, "catalogue": "films", "events": events}
    return json.dumps(fields | changes)


def test_events_that_are_none_are_counted(path: Path) -> None:
    good = {"item_id": "m1", "title": "A", "year": 2001, "kind": "like", "timestamp": 1}
    events = [
        good,
        3,
        good | {"kind": "love"},
        good | {"item_id": None},
        good | {"year": True, "timestamp": 10**30, "title": ["x"]},
    ]
    history = read_text(path, own(events))
    assert history.rows == (
        Imported("A", 2001, "m1", None, True, 1, 1),
        Imported("", None, "m1", None, True, None, 5),
    )
    assert str(history.unreadable) == (
        "3 rows could not be read, the first on event 2: expected an event, found 3"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (own([], version=2), r"expected version 1, found 2; update PocketRec"),
        (own({}), r"a list of events, found str and dict"),
        (own([]), r"expected at least one row of a history, found none"),
        ('{"type": "FeatureCollection"}', r"expected a PocketRec history .* found other JSON"),
        ("[1, 2]", r"found other JSON"),
        ('{"format":\n"pocketrec-history",', r"line 2: expected JSON, found"),
    ],
)
def test_json_that_is_no_export_says_what_it_is(path: Path, text: str, message: str) -> None:
    with pytest.raises(HistoryFileError, match=message):
        read_text(path, text)


IMDB = """\
Const,Your Rating,Date Rated,Title,Original Title,URL,Title Type,IMDb Rating,Runtime (mins),Year
tt0113277,9,2023-05-01,Heat,Heat,https://www.imdb.com/title/tt0113277,Movie,8.3,170,1995
tt0118715,4,2023-05-02,The Big Lebowski,The Big Lebowski,https://www.imdb.com/x,Movie,8.1,117,1998
"""


def test_a_table_of_no_known_format_is_read_by_the_names_of_its_columns(path: Path) -> None:
    history = read_text(path, IMDB)
    assert (history.format, history.best) == ("CSV", 10)
    assert history.rows[0] == Imported("Heat", 1995, None, 9, None, noon(2023, 5, 1), 2)
    assert [kind for _, kind in kinds(history)] == ["like", "dislike"]


def test_a_guess_takes_the_most_telling_column() -> None:
    assert plain.guess(["Rating", "Name", "My Rating", "ITEM_ID"]) == {
        "title": "Name",
        "year": None,
        "rating": "My Rating",
        "item_id": "ITEM_ID",
        "date": None,
    }


def test_a_mapping_says_what_the_columns_hold(path: Path) -> None:
    text = "wann;was;wie\n31.12.2022;Das Boot;4,5\n01.01.2023;Metropolis;\n"
    with pytest.raises(
        HistoryFileError, match=r"a column of titles, found \['wann', 'was', 'wie'\]"
    ):
        read_text(path, text)
    assert header(path) == ("wann", "was", "wie")
    columns: Columns = {"title": "was", "rating": "wie", "date": "wann", "year": None}
    history = read(path, columns=columns)
    assert history.best == 5
    assert history.rows == (
        Imported("Das Boot", None, None, 4.5, None, noon(2022, 12, 31), 2),
        Imported("Metropolis", None, None, None, True, noon(2023, 1, 1), 3),
    )
    with pytest.raises(HistoryFileError, match=r"expected column 'wo', found \['wann'"):
        read(path, columns={"title": "was", "year": "wo"})


def test_ids_alone_are_enough(path: Path) -> None:
    (row,) = read_text(path, "item_id\n007\n").rows
    assert row == Imported("", None, "007", None, True, None, 2)


@pytest.mark.parametrize(
    ("ratings", "best", "expected"),
    [
        ("5 4 1", 5, ["like", "like", "dislike"]),
        ("10 4 6", 10, ["like", "dislike", None]),
        ("95 30 70", 100, ["like", "dislike", "like"]),
        ("1 0 1", 1, ["like", "dislike", "like"]),
        ("5 0 3", 5, ["like", "like", None]),  # 0 is unrated
        ("3.5 2 2.1", 5, ["like", "dislike", None]),  # the edges of the rule
    ],
)
def test_the_scale_is_the_lowest_that_holds_every_rating(
    path: Path, ratings: str, best: float, expected: list[str | None]
) -> None:
    history = read_text(path, "title,rating\n" + "\n".join(f"T,{r}" for r in ratings.split()))
    assert history.best == best
    assert [kind for _, kind in kinds(history)] == expected


def test_the_scale_can_be_given(path: Path) -> None:
    history = read_text(path, "title,rating\nHeat,5\nCats,2\n", best=10)
    assert kinds(history) == [("Heat", None), ("Cats", "dislike")]
