"""What the user can say about an item, and what saying it changes. Light: no database here."""

from dataclasses import dataclass
from typing import Final, Literal, get_args

from pocketrec.errors import PocketRecError

Kind = Literal["like", "dislike", "hide", "save", "seen"]

KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
OPINIONS: Final[tuple[Kind, ...]] = ("like", "dislike", "hide", "seen")
"""An item has at most one of these; a bookmark ("save") stands beside it."""
AGAINST: Final[tuple[Kind, ...]] = ("dislike", "hide")
"""The opinions that lower what is near the item; one that was seen only leaves the lists."""


class StoreError(PocketRecError):
    """The history could not be read or written; what was recorded before is untouched."""


@dataclass(frozen=True)
class Event:
    """One thing the user did.

    Attributes:
        event_id: grows with every event that is written, is never used twice.
        timestamp: unix seconds of when it was done; None where an imported file did not say. Events are in this
            order, those of unknown time before all others, those of one time in the order of their ids.
    """

    event_id: int
    item_id: str
    kind: Kind
    timestamp: int | None


@dataclass(frozen=True)
class NewEvent:
    """An event to be written: as `Event`, before the store has numbered it."""

    item_id: str
    kind: Kind
    timestamp: int | None


@dataclass(frozen=True)
class Change:
    """What one action did to the store, enough to undo it exactly."""

    added: tuple[Event, ...] = ()
    removed: tuple[Event, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.removed)
