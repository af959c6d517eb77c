"""Letterboxd: ratings.csv of its export (Date,Name,Year,Letterboxd URI,Rating), and the diary."""

from typing import Final

from device_app.importers.rows import History, HistoryFileError, Imported
from device_app.importers.table import Table
from device_app.importers.table_rows import read_rows
from device_app.importers.values import read_rating, read_title, read_year
from device_app.language import tr

BEST: Final = 5.0


def recognises(table: Table) -> bool:
    return table.has("Name", "Year", "Letterboxd URI")


def read(table: Table) -> History:
    """Raises: HistoryFileError: the file holds no ratings."""
    if not table.has("Rating"):
        said = tr(
            "{}: expected a column Rating, found none: films watched and films to watch look the "
            "same here; choose ratings.csv or the whole .zip"
        )
        raise HistoryFileError(said.format(table.name))
    records = [*table.records("Watched Date", "Date", "Name", "Year", "Rating")]
    rows = read_rows(records, table.unreadable, _row, dates=2)
    return History("Letterboxd", rows, best=BEST, unreadable=table.unreadable)


def _row(line: int, timestamp: int | None, name: str, year: str, rating: str) -> Imported:
    stars = read_rating(rating, BEST)
    return Imported(
        title=read_title(name),
        year=read_year(year),
        item_id=None,
        rating=stars,
        liked=True if stars is None else None,
        timestamp=timestamp,
        line=line,
    )
