"""Goodreads: the CSV of its library export."""

from typing import Final

from device_app.importers.rows import History, Imported
from device_app.importers.table import Table
from device_app.importers.table_rows import read_rows
from device_app.importers.values import read_rating, read_title, read_year

BEST: Final = 5.0


def recognises(table: Table) -> bool:
    return table.has("Book Id", "Title", "My Rating", "Exclusive Shelf")


def read(table: Table) -> History:
    # The year of the edition ("Year Published") is not the one a catalogue knows a book by.
    columns = ("Book Id", "Title", "Original Publication Year", "My Rating", "Exclusive Shelf")
    records = [*table.records("Date Read", "Date Added", *columns)]
    rows = read_rows(records, table.unreadable, _row, dates=2)
    return History("Goodreads", rows, best=BEST, unreadable=table.unreadable)


def _row(
    line: int, timestamp: int | None, book: str, title: str, year: str, rating: str, shelf: str
) -> Imported:
    # 0 is no rating; shelves of people's own ("abandoned") say nothing about having read a book.
    stars = read_rating(rating, BEST) or None
    return Imported(
        title=read_title(title),
        year=read_year(year),
        item_id=book or None,
        rating=stars,
        liked=True if stars is None and shelf == "read" else None,
        timestamp=timestamp,
        line=line,
        mark="save" if stars is None and shelf == "to-read" else None,
    )
