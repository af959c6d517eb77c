"""Our own export of a history: JSON with the titles, so that another catalogue can be found by them."""

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from reprlib import repr as shortened
from typing import Any, BinaryIO, Final

from device_app.events import KINDS, Event
from device_app.importers.dates import LATEST
from device_app.importers.rows import (
    LONGEST_TITLE,
    History,
    HistoryFileError,
    Imported,
    Unreadable,
    not_written,
)
from device_app.importers.values import LATEST_YEAR, clean
from device_app.language import mark, tr
from device_app.own_item import own_item
from pocketrec.catalogue import Catalogue, Item
from pocketrec.errors import UsageError
from pocketrec.files import write_json

FORMAT: Final = "pocketrec-history"
VERSION: Final = 1

_OWN_FIELDS: Final = ("title", "description", "item_id")

LARGEST: Final = 20_000_000
"""Bytes, about 100,000 events; JSON takes up to 20 times its size in memory while it is read."""


def write(
    path: Path,
    events: Iterable[Event],
    catalogue: Catalogue,
    name: str,
    *,
    own_items: Sequence[Item] = (),
    also: Mapping[str, Any] | None = None,
) -> None:
    """Write ``events``, in their order, of the catalogue called ``name``: whole or not at all.

    Args:
        own_items: what the person added to the catalogue.
        also: further fields for a person to read, which `read` passes over.

    Raises:
        HistoryFileError: the file cannot be written.
    """
    events = list(events)
    items = {item.item_id: item for item in catalogue.get_many([e.item_id for e in events])}
    entries = []
    for event in events:
        item = items.get(event.item_id)
        entries.append(
            {
                "item_id": event.item_id,
                "title": item.title if item else "",
                "year": item.year if item else None,
                "kind": event.kind,
                "timestamp": event.timestamp,
            }
        )
    own = [{name: getattr(item, name) for name in _OWN_FIELDS} for item in own_items]
    content = {"format": FORMAT, "version": VERSION, "catalogue": name, "events": entries}
    content |= {"own_items": own, **(also or {})}
    try:
        write_json(path, content)
    except OSError as error:
        raise not_written(path, error) from error


def read(name: str, stream: BinaryIO) -> History:
    """The events in the order of the file.

    Raises:
        HistoryFileError: it is no JSON, no export of ours, too large, or of a newer version.
    """
    content = _content(name, stream)
    catalogue, events = content.get("catalogue"), content.get("events")
    if not isinstance(catalogue, str) or not isinstance(events, list):
        said = tr(
            "{}: expected the name of a catalogue and a list of events, found {} and {}; export "
            "the history again"
        )
        found = type(catalogue).__name__, type(events).__name__
        raise HistoryFileError(said.format(name, *found))
    unreadable = Unreadable(where=mark("event {}"))
    rows = []
    for place, event in enumerate(events, start=1):
        try:
            rows.append(_row(place, event))
        except ValueError as error:
            unreadable.add(place, str(error))
    return History(
        "PocketRec",
        tuple(rows),
        catalogue=catalogue,
        own_items=_own_items(content.get("own_items")),
        unreadable=unreadable,
    )


def _content(name: str, stream: BinaryIO) -> dict[str, Any]:
    text = stream.read(LARGEST + 1)
    if len(text) > LARGEST:
        said = tr("{}: expected an export of at most {} MB, found more; choose another file")
        raise HistoryFileError(said.format(name, LARGEST // 10**6))
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        said = tr("{}: line {}: expected JSON, found: {}; export the history again")
        raise HistoryFileError(said.format(name, error.lineno, error.msg)) from error
    except (ValueError, RecursionError) as error:
        said = tr(
            "{}: expected JSON in UTF-8, found another encoding, or numbers or lists beyond "
            "measure; export the history again"
        )
        raise HistoryFileError(said.format(name)) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        said = tr(
            '{}: expected a PocketRec history ("format": "{}"), found other JSON; choose an '
            "export of PocketRec or a CSV file"
        )
        raise HistoryFileError(said.format(name, FORMAT))
    if content.get("version") != VERSION:
        said = tr("{}: expected version {}, found {}; update PocketRec")
        raise HistoryFileError(said.format(name, VERSION, shortened(content.get("version"))))
    return content


def _row(place: int, event: Any) -> Imported:
    if not isinstance(event, Mapping):
        raise ValueError(tr("expected an event, found {}").format(shortened(event)))
    item_id, kind = event.get("item_id"), event.get("kind")
    if not isinstance(item_id, str) or not item_id:
        raise ValueError(tr("expected an item_id, found {}").format(shortened(item_id)))
    if kind not in KINDS:
        said = tr("expected a kind of {}, found {}")
        raise ValueError(said.format(", ".join(KINDS), shortened(kind)))
    title = event.get("title")
    return Imported(
        title=clean(title)[:LONGEST_TITLE] if isinstance(title, str) else "",
        year=_whole(event.get("year"), LATEST_YEAR),
        item_id=item_id,
        rating=None,
        liked=kind == "like" if kind in ("like", "dislike") else None,
        timestamp=_time(event.get("timestamp")),
        line=place,
        mark=kind if kind in ("save", "hide", "seen") else None,
    )


def _own_items(value: Any) -> tuple[Item, ...]:
    """Those that can be added; what cannot is left out."""
    found: dict[str, Item] = {}
    for entry in value if isinstance(value, list) else ():
        texts = [entry.get(name) for name in _OWN_FIELDS] if isinstance(entry, Mapping) else [None]
        if all(isinstance(text, str) for text in texts):
            with suppress(UsageError):
                item = own_item(*texts)
                found[item.item_id] = item
    return tuple(found.values())


def _time(value: Any) -> int | None:
    seconds = _whole(value, LATEST)
    return seconds if seconds is not None and seconds >= 0 else None


def _whole(value: Any, most: int) -> int | None:
    """A whole number up to ``most``; None for anything else, as for true."""
    return value if type(value) is int and abs(value) <= most else None
