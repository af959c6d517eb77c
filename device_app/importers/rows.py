"""What every reader hands on: the rows of a file, and a word on those that could not be read."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from device_app.language import mark, tr, trn
from pocketrec.catalogue import Item
from pocketrec.errors import PocketRecError

LONGEST_TITLE: Final = 1_000
"""Characters; the longest titles of books have about 400, and a screen shows far fewer."""


class HistoryFileError(PocketRecError):
    """A history file that cannot be read or written as it stands; nothing was changed."""


def not_written(path: Path, error: OSError) -> HistoryFileError:
    said = tr("{}: the history could not be written ({}); choose another folder")
    return HistoryFileError(said.format(path, error.strerror or error))


@dataclass(frozen=True, slots=True)
class Imported:
    """One row of somebody's history, as the file has it.

    Attributes:
        title: what the file calls the item, without a year; empty where it gives the id alone.
        year: None where unknown.
        item_id: the id that the file gives, which need not be one of our catalogue.
        rating: on the format's own scale; None where unrated.
        liked: what is known without a rating: True for liked, and for read or watched and not
            rated; False for disliked; None where the file says nothing.
        timestamp: unix seconds; None where unknown.
        line: of the file, from 1; in our own export the place in the list of events.
        mark: a bookmark ("save"), a wish not to see the item ("hide"), or seen already and nothing
            more ("seen").
    """

    title: str
    year: int | None
    item_id: str | None
    rating: float | None
    liked: bool | None
    timestamp: int | None
    line: int
    mark: Literal["save", "hide", "seen"] | None = None


@dataclass
class Unreadable:
    """The rows that were left out because they could not be read. False where there are none.

    Attributes:
        where: what ``line`` counts, for `tr`.
    """

    count: int = 0
    line: int = 0
    reason: str = ""
    where: str = mark("line {}")

    def add(self, line: int, reason: str) -> None:
        if not self.count or line < self.line:
            self.line, self.reason = line, reason
        self.count += 1

    def __bool__(self) -> bool:
        return self.count > 0

    def __str__(self) -> str:
        """``3 rows could not be read, the first on line 17: expected ..., found ...``."""
        said = trn(
            "{:,} row could not be read, the first on {}: {}",
            "{:,} rows could not be read, the first on {}: {}",
            self.count,
        )
        return said.format(self.count, tr(self.where).format(self.line), self.reason)


@dataclass(frozen=True)
class History:
    """What one file holds.

    Attributes:
        format: what people call the kind of file.
        rows: in file order; at least one.
        best: the highest rating of the file's scale, which starts at 0; None without ratings.
        catalogue: the catalogue that the ids of the rows belong to; None where unknown.
        own_items: what the person had added to that catalogue.
        newest_first: whether of two rows with the same time the upper one is the later.
        unreadable: rows that were left out.
    """

    format: str
    rows: tuple[Imported, ...]
    best: float | None = None
    catalogue: str | None = None
    own_items: tuple[Item, ...] = ()
    newest_first: bool = False
    unreadable: Unreadable = field(default_factory=Unreadable)
