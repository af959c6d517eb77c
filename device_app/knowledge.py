"""What the app knows about a person, in plain sentences made of counts."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from device_app.events import Event, Kind
from device_app.language import mark, tr, trn
from device_app.presentation import categories, date
from device_app.settings import Settings
from pocketrec.catalogue import Item

FAVOURITES: Final = 3

SAID: Final[dict[Kind, str]] = {
    "like": mark("liked {}"),
    "dislike": mark("turned down {}"),
    "hide": mark("hid {}"),
    "seen": mark("marked {} as already seen"),
    "save": mark("saved {} for later"),
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
        found.append(tr("You added {} of your own.").format(_titles(own)))
    if shown:
        found.append(
            tr("Within the last day you passed over {} of those picked for you.").format(
                _titles(shown)
            )
        )
    if settings.is_paused:
        found.append(tr("Learning is paused: the lists do not follow what you say now."))
    return (*found, tr("All of this is kept on this device alone."))


def _history(events: Sequence[Event], items: Mapping[str, Item]) -> Iterable[str]:
    if not events:
        yield tr("This app knows nothing about your taste yet.")
        return
    counts = Counter(event.kind for event in events)
    parts = [tr(said).format(_titles(counts[kind])) for kind, said in SAID.items() if counts[kind]]
    yield tr("You {}.").format(_listed(parts))
    yield from _span([event.timestamp for event in events])
    likes = [items[e.item_id] for e in events if e.kind == "like" and e.item_id in items]
    yield from _favourites(tr("What you like most: {}."), (categories(item) for item in likes))
    yield from _favourites(tr("Who made it: {}."), ([item.creator.strip()] for item in likes))
    if missing := len({event.item_id for event in events} - items.keys()):
        said = tr("Not in the present catalogue, so without effect: {}.")
        yield said.format(_titles(missing))


def _span(timestamps: Sequence[int | None]) -> Iterable[str]:
    known = [timestamp for timestamp in timestamps if timestamp is not None]
    if known:
        first, last = date(min(known)), date(max(known))
        said = tr("This was on {}.") if first == last else tr("This was from {} to {}.")
        yield said.format(first, last)
    if unknown := len(timestamps) - len(known):
        yield tr("Imported without a date: {:,}.").format(unknown)


def _favourites(said: str, groups: Iterable[Iterable[str]]) -> Iterable[str]:
    """One sentence on the names that come more than once, if there are any."""
    counts = Counter(name for group in groups for name in dict.fromkeys(group) if name)
    often = [(name, count) for name, count in counts.most_common(FAVOURITES) if count > 1]
    if often:
        counted = [tr("{} ({:,} likes)").format(name, count) for name, count in often]
        yield said.format(_listed(counted))


def _titles(count: int) -> str:
    return trn("{:,} title", "{:,} titles", count).format(count)


def _listed(parts: Sequence[str]) -> str:
    """a, b and c."""
    *first, last = parts
    return tr("{} and {}").format(tr(", ").join(first), last) if first else last
