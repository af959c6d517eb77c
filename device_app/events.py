"""What the user can say about an item, and what saying it changes. Light: no database here."""

from dataclasses import dataclass
from typing import Final, Literal, get_args

from pocketrec.errors import PocketRecError

Kind = Literal["like", "dislike", "hide", "save"]

KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
OPINIONS: Final[tuple[Kind, ...]] = ("like", "dislike", "hide")
"""An item has at most one of these; a bookmark ("save") stands beside it."""


class StoreError(PocketRecError):
    """The history could not be read or written; what was recorded before is untouched."""


@dataclass(frozen=True)
class Event:
    """One thing the user did.

    Attributes:
        event_id: grows with every event, is never used twice; the order of events.
        timestamp: unix seconds, for display only (clocks jump, ids do not).
    """

    event_id: int
    item_id: str
    kind: Kind
    timestamp: int


@dataclass(frozen=True)
class Change:
    """What one action did to the store, enough to undo it exactly."""

    added: tuple[Event, ...] = ()
    removed: tuple[Event, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.removed)
