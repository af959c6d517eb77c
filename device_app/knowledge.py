"""What the app knows about a person, in plain sentences made of counts."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from device_app.events import Event, Kind
from device_app.presentation import categories, date
from device_app.settings import Settings
from pocketrec.catalogue import Item

FAVOURITES: Final = 3

SAID: Final[dict[Kind, str]] = {
    "like": "liked {}",
    "dislike": "turned down {}",
    "hide": "hid {}",
    "seen": "marked {} as already seen",
    "save": "saved {} for later",
}


def sentences(
    events: Sequence[Event],
    items: Mapping[str, Item],
    *,
    own: int,
    shown: int,
    settings: Settings,
) -> tuple[str, ...]:
    """What follows from the events of one catalogue.

    Args:
        events: newest first.
        items: the catalogue's items that the events are about; those it lacks are counted.
        own: how many items the person added.
        shown: how many shown items are remembered.
        settings: what the lists are made by.
    """
    found = list(_history(events, items))
    if own:
        found.append(f"You added {_titles(own)} of your own.")
    if shown:
        found.append(
            f"Within the last day you passed over {_titles(shown)} of those picked for you."
        )
    if settings.is_paused:
        found.append("Learning is paused: the lists do not follow what you say now.")
    return (*found, "All of this is kept on this device alone.")


def _history(events: Sequence[Event], items: Mapping[str, Item]) -> Iterable[str]:
    if not events:
        yield "This app knows nothing about your taste yet."
        return
    counts = Counter(event.kind for event in events)
    parts = [said.format(_titles(counts[kind])) for kind, said in SAID.items() if counts[kind]]
    yield f"You {_listed(parts)}."
    yield from _span([event.timestamp for event in events])
    likes = [items[e.item_id] for e in events if e.kind == "like" and e.item_id in items]
    yield from _favourites("What you like most", (categories(item) for item in likes))
    yield from _favourites("Who made it", ([item.creator.strip()] for item in likes))
    if missing := len({event.item_id for event in events} - items.keys()):
        yield f"Not in the present catalogue, so without effect: {_titles(missing)}."


def _span(timestamps: Sequence[int | None]) -> Iterable[str]:
    known = [timestamp for timestamp in timestamps if timestamp is not None]
    if known:
        first, last = date(min(known)), date(max(known))
        yield f"This was on {first}." if first == last else f"This was from {first} to {last}."
    if unknown := len(timestamps) - len(known):
        yield f"Imported without a date: {unknown:,}."


def _favourites(what: str, groups: Iterable[Iterable[str]]) -> Iterable[str]:
    """One sentence on the names that come more than once, if there are any."""
    counts = Counter(name for group in groups for name in dict.fromkeys(group) if name)
    often = [(name, count) for name, count in counts.most_common(FAVOURITES) if count > 1]
    if often:
        yield f"{what}: {_listed([f'{name} ({count:,} likes)' for name, count in often])}."


def _titles(count: int) -> str:
    return f"{count:,} title{'' if count == 1 else 's'}"


def _listed(parts: Sequence[str]) -> str:
    """a, b and c."""
    *first, last = parts
    return f"{', '.join(first)} and {last}" if first else last
