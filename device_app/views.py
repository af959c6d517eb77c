"""What the screens are given to show."""

from dataclasses import dataclass

from device_app.events import Kind


@dataclass(frozen=True)
class Card:
    """An item as a screen shows it, with what the user said about it."""

    item_id: str
    title: str
    facts: str
    initials: str
    opinion: Kind | None = None
    saved: bool = False


@dataclass(frozen=True)
class Picks:
    """The list of "For you".

    Attributes:
        is_default: whether no like is known, so that these are the popular items.
        history: ids of the likes that the list rests on, oldest first.
    """

    cards: tuple[Card, ...]
    is_default: bool
    history: tuple[str, ...]


@dataclass(frozen=True)
class Entry:
    """One event as the history shows it."""

    item_id: str
    title: str
    initials: str
    kind: Kind
    when: str


@dataclass(frozen=True)
class Details:
    """All that the page of one item shows.

    Attributes:
        text: what the item is about; empty where the catalogue does not say.
        reasons: the likes that speak most for it, strongest first, a sentence each.
        similar: the items most like it, whatever was said of them.
    """

    card: Card
    text: str
    reasons: tuple[str, ...]
    similar: tuple[Card, ...]


@dataclass(frozen=True)
class About:
    """What the bundle is."""

    name: str
    items: int
