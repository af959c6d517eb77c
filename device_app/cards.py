"""Items and events as the screens show them."""

from collections.abc import Iterable, Mapping

from device_app.events import OPINIONS, Event, Kind
from device_app.presentation import ago, facts, initials, shown_title
from device_app.views import Card, Entry
from pocketrec.catalogue import Item

Marks = Mapping[str, tuple[Kind | None, bool]]
"""item_id -> (opinion, saved), for every item with an event."""


def marks(events: Iterable[Event]) -> Marks:
    found: dict[str, tuple[Kind | None, bool]] = {}
    for event in events:
        opinion, saved = found.get(event.item_id, (None, False))
        is_opinion = event.kind in OPINIONS
        found[event.item_id] = (event.kind, saved) if is_opinion else (opinion, True)
    return found


def cards(items: Iterable[Item], said: Marks) -> tuple[Card, ...]:
    """One an item, in their order."""
    return tuple(_card(item, *said.get(item.item_id, (None, False))) for item in items)


def entries(events: Iterable[Event], items: Mapping[str, Item], now: int) -> tuple[Entry, ...]:
    """One an event, in their order; of an item that the catalogue lacks only the id is known.

    Args:
        items: the catalogue's, by their id.
        now: unix seconds.
    """
    return tuple(_entry(event, items.get(event.item_id), now) for event in events)


def _card(item: Item, opinion: Kind | None, saved: bool) -> Card:
    title = shown_title(item)
    return Card(item.item_id, title, facts(item), initials(title), opinion, saved)


def _entry(event: Event, item: Item | None, now: int) -> Entry:
    title = shown_title(item) if item else event.item_id
    return Entry(event.item_id, title, initials(title), event.kind, ago(event.timestamp, now))
