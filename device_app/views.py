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
class Found:
    """What a search found, best first.

    Attributes:
        by_meaning: whether no item has the words, so that these are the ones nearest in meaning.
    """

    cards: tuple[Card, ...]
    by_meaning: bool = False


@dataclass(frozen=True)
class Entry:
    """One event as the history shows it."""

    item_id: str
    title: str
    initials: str
    kind: Kind
    when: str


@dataclass(frozen=True)
class Reason:
    """A like that speaks for an item.

    Attributes:
        share: how much it does, as a share of the like that speaks most for it; above 0.
    """

    card: Card
    share: float


@dataclass(frozen=True)
class Details:
    """All that the page of one item shows.

    Attributes:
        facts: year and creator.
        description: what the catalogue says beyond the other fields; mostly empty.
        reasons: the likes that speak most for the item, the strongest first.
        has_likes: whether there is another like that could speak for it.
        similar: the items most like it, the nearest first, none that was judged badly or hidden.
        is_own: whether the user added it.
    """

    card: Card
    facts: str
    categories: tuple[str, ...]
    description: str
    reasons: tuple[Reason, ...]
    has_likes: bool
    similar: tuple[Card, ...]
    is_own: bool


@dataclass(frozen=True)
class About:
    """What the bundle is."""

    name: str
    items: int


@dataclass(frozen=True)
class Model:
    """What the settings tell about the bundle.

    Attributes:
        created: ISO date of the build; bundles have no other version.
        size: bytes of all files.
        milliseconds: one ranking of the whole catalogue for the present likes.
    """

    name: str
    created: str
    precision: str
    size: int
    items: int
    milliseconds: float
