"""MovieLens: ratings.csv (userId,movieId,rating,timestamp) with the titles in movies.csv beside it."""

from collections.abc import Collection
from reprlib import repr as shortened
from typing import Final

from device_app.importers.rows import History, HistoryFileError, Imported
from device_app.importers.table import Table
from device_app.importers.table_rows import Record, read_rows
from device_app.importers.values import read_rating, read_title
from device_app.language import tr
from pocketrec.titles import split_title

TITLES: Final = "movies.csv"
BEST: Final = 5.0


class ManyPeopleError(HistoryFileError):
    """The ratings of several people, and nothing says whose to read: somebody must choose.

    Attributes:
        users: every userId of the file.
    """

    def __init__(self, message: str, users: Collection[str]) -> None:
        super().__init__(message)
        self.users = users


def recognises(table: Table) -> bool:
    return table.has("userId", "movieId", "rating")


def read_titles(movies: Table) -> dict[str, str]:
    """movieId -> title, of movies.csv.

    Raises:
        HistoryFileError: it has no such columns.
    """
    if not movies.has("movieId", "title"):
        said = tr(
            "{}: expected the columns movieId and title, found {}; copy {} of the same data set "
            "there"
        )
        found = shortened(list(movies.header))
        raise HistoryFileError(said.format(movies.name, found, TITLES))
    return {movie: title for _, (movie, title) in movies.records("movieId", "title")}


def read(table: Table, titles: dict[str, str], user: str | None) -> History:
    """The ratings of one person: of ``user``, which may be None where the file has but one.

    Raises:
        ManyPeopleError: the file has several users, or not this one.
    """

    def read_row(line: int, timestamp: int | None, movie: str, rating: str) -> Imported:
        if movie not in titles:
            said = tr("expected a movieId of {}, found {}")
            raise ValueError(said.format(TITLES, shortened(movie)))
        title, year = split_title(read_title(titles[movie]))
        stars = read_rating(rating, BEST)
        return Imported(
            title=title,
            year=year,
            item_id=movie,
            rating=stars,
            liked=True if stars is None else None,
            timestamp=timestamp,
            line=line,
        )

    people: dict[str, list[Record]] = {}
    for line, (person, *cells) in table.records("userId", "timestamp", "movieId", "rating"):
        people.setdefault(person, []).append((line, cells))
    records = _ratings_of(user, people, table.name)
    rows = read_rows(records, table.unreadable, read_row, dates=1)
    return History("MovieLens", rows, best=BEST, unreadable=table.unreadable)


def _ratings_of(user: str | None, people: dict[str, list[Record]], name: str) -> list[Record]:
    if not people:
        return []
    if user is None and len(people) == 1:
        (user,) = people
    if user is None or user not in people:
        wanted = tr("one person") if user is None else tr("user {}").format(shortened(user))
        said = tr(
            "{}: expected the ratings of {}, found those of {:,} users; give one userId of the "
            "file, for example {}"
        )
        example = shortened(next(iter(people)))
        raise ManyPeopleError(said.format(name, wanted, len(people), example), people.keys())
    return people[user]
