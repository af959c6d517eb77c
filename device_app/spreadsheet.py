"""The history as a table for other programs."""

import csv
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from device_app.events import Event
from device_app.importers.rows import not_written
from pocketrec.catalogue import Item
from pocketrec.files import atomic_write

COLUMNS = ("title", "year", "creator", "categories", "kind", "time", "item_id")


def write(path: Path, events: Iterable[Event], items: Mapping[str, Item]) -> None:
    """Write one row an event, in their order, as CSV that opens in any spreadsheet; whole or not at all.

    Times are ISO 8601 in UTC. What a spreadsheet would take for a formula has a ' before it.

    Raises:
        HistoryFileError: the file cannot be written.
    """
    try:
        # Excel takes a CSV without a mark for Windows-1252.
        with (
            atomic_write(path) as temporary,
            temporary.open("w", encoding="utf-8-sig", newline="") as stream,
        ):
            table = csv.writer(stream)
            table.writerow(COLUMNS)
            for event in events:
                item = items.get(event.item_id) or Item(event.item_id, "")
                texts = map(_plain, (item.title, item.creator, item.categories, event.item_id))
                title, creator, categories, item_id = texts
                time = _time(event.timestamp)
                table.writerow((title, item.year, creator, categories, event.kind, time, item_id))
    except OSError as error:
        raise not_written(path, error) from error


def _time(timestamp: int | None) -> str:
    return "" if timestamp is None else datetime.fromtimestamp(timestamp, UTC).isoformat()


def _plain(text: str) -> str:
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
