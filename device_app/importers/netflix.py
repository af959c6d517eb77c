"""Netflix: the CSV of the viewing activity (Title,Date), an episode a row."""

import re

from device_app.importers.rows import History, Imported
from device_app.importers.table import Table
from device_app.importers.table_rows import read_rows
from device_app.importers.values import read_title
from pocketrec.catalogue import fold

_WORDS = (
    "season series part volume book chapter collection staffel teil saison partie temporada parte "
    "stagione seizoen deel sæson sesong säsong kausi sezon sezona évad сезон シーズン 시즌 第"
)
_WORD = fold(_WORDS).replace(" ", "|")
_SEASON = re.compile(rf"limited series|miniserie|(?:{_WORD}) ?\d+|\d+\. ?(?:{_WORD})")


def recognises(table: Table) -> bool:
    return table.has("Title", "Date") and len(table.header) == 2


def read(table: Table) -> History:
    """Each title once, with its latest date: the file begins with the latest."""
    records = [*table.records("Date", "Title")]
    once: dict[str, Imported] = {}
    for row in read_rows(records, table.unreadable, _row, dates=1):
        once.setdefault(fold(row.title), row)
    rows = tuple(once.values())
    return History("Netflix", rows, newest_first=True, unreadable=table.unreadable)


def series_or_film(title: str) -> str:
    """``Dark: Season 1: Secrets`` -> ``Dark``; a title without a season and an episode stays."""
    parts = title.split(": ")
    for place in range(1, len(parts) - 1):
        if _SEASON.match(fold(parts[place])):
            return ": ".join(parts[:place])
    return title


def _row(line: int, timestamp: int | None, title: str) -> Imported:
    return Imported(
        title=series_or_film(read_title(title)),
        year=None,
        item_id=None,
        rating=None,
        liked=True,
        timestamp=timestamp,
        line=line,
    )
