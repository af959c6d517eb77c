"""Any other table, with a mapping that says what its columns mean."""

from collections.abc import Sequence
from contextlib import suppress
from reprlib import repr as shortened
from typing import Final, TypedDict, cast

from device_app.importers.rows import History, HistoryFileError, Imported
from device_app.importers.table import Table
from device_app.importers.table_rows import read_rows
from device_app.importers.values import read_rating, read_title, read_year
from device_app.language import tr
from pocketrec.catalogue import fold


class Columns(TypedDict, total=False):
    """Which column holds what, by its name in the header; None or left out where none does."""

    title: str | None
    year: str | None
    rating: str | None
    item_id: str | None
    date: str | None


class UnknownColumnsError(HistoryFileError):
    """Neither titles nor ids are in a column whose name says so: somebody must choose.

    Attributes:
        header: the names of all columns.
        guess: what their names do say.
    """

    def __init__(self, message: str, header: Sequence[str], guess: Columns) -> None:
        super().__init__(message)
        self.header = header
        self.guess = guess


SCALES: Final = (1.0, 5.0, 10.0, 100.0)
"""The highest ratings of usual scales; a file's is the lowest that none of its ratings is above."""

_NAMES: Final = {
    "title": ("title", "name", "movie", "film", "book", "game", "titel", "titre", "titulo"),
    "year": ("year", "release year", "original publication year", "jahr", "annee", "ano"),
    "rating": ("my rating", "your rating", "rating", "score", "stars", "bewertung", "note"),
    "item_id": ("item id",),
    "date": (
        *("date rated", "date read", "watched date", "date watched", "date", "timestamp"),
        *("start time", "date added", "datum", "fecha"),
    ),
}
"""Names of columns, folded, the most telling first."""


def guess(header: Sequence[str]) -> Columns:
    """The columns whose names say what they hold."""
    known = {fold(name).replace("_", " "): name for name in reversed(header)}
    found = {
        field: next((known[name] for name in names if name in known), None)
        for field, names in _NAMES.items()
    }
    return cast(Columns, found)


def read(table: Table, columns: Columns, best: float | None = None) -> History:
    """The rows by ``columns``; on a scale up to ``best``, which the ratings tell where it is None.

    Rows without a rating are things watched or read. A rating of 0 is none, but on a scale up to 1.

    Raises:
        UnknownColumnsError: neither title nor id has a column.
        HistoryFileError: a column is not there.
    """
    chosen = {field: column for field, column in columns.items() if isinstance(column, str)}
    _check(table, chosen, columns)
    fields = ("date", "title", "year", "rating", "item_id")
    records = [*table.records(*(chosen.get(field, "") for field in fields))]
    scale = best or _scale([cells[3] for _, cells in records])

    def read_row(
        line: int, timestamp: int | None, title: str, year: str, rating: str, item_id: str
    ) -> Imported:
        points = read_rating(rating, scale)
        if points == 0 and scale > 1:
            points = None
        return Imported(
            title=title if item_id and not title else read_title(title),
            year=read_year(year),
            item_id=item_id or None,
            rating=points,
            liked=True if points is None else None,
            timestamp=timestamp,
            line=line,
        )

    rows = read_rows(records, table.unreadable, read_row, dates=1)
    rated = scale if "rating" in chosen else None
    return History("CSV", rows, best=rated, unreadable=table.unreadable)


def _check(table: Table, chosen: dict[str, str], columns: Columns) -> None:
    found = shortened(list(table.header))
    if missing := [column for column in chosen.values() if not table.has(column)]:
        said = tr("{}: expected column {}, found {}; choose which of them holds it")
        raise HistoryFileError(said.format(table.name, shortened(missing[0]), found))
    if not {"title", "item_id"} & chosen.keys():
        said = tr("{}: expected a column of titles, found {}; choose which of them holds it")
        raise UnknownColumnsError(said.format(table.name, found), table.header, columns)


def _scale(ratings: list[str]) -> float:
    highest = 0.0
    for rating in ratings:
        with suppress(ValueError):
            highest = max(highest, read_rating(rating, SCALES[-1]) or 0)
    return next(scale for scale in SCALES if highest <= scale)
