"""Rows matched to the items of a catalogue, for a person to look over before anything is written."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from device_app.events import Kind, NewEvent
from device_app.importers.opinions import opinion
from device_app.importers.rows import History, Imported
from device_app.importers.titles import Candidate, Closeness, Fit, Name, Titles
from pocketrec.catalogue import Catalogue, Item

CHOICES: Final = 3
"""How many items a person is asked to choose from."""


@dataclass(frozen=True)
class Matched:
    """A row and the item that it means."""

    row: Imported
    item: Item


@dataclass(frozen=True)
class Unsure:
    """A row and the items that it may mean, the likeliest first; at most `CHOICES`."""

    row: Imported
    candidates: tuple[Item, ...]


@dataclass
class Preview:
    """What an import would do; nothing is written by it.

    Attributes:
        history: what was read.
        matched: in file order, as the next two.
        unsure: rows that mean one of a few items, or none of them.
        unmatched: rows of no item of the catalogue.
        accepted: the person's own choices so far.
    """

    history: History
    matched: tuple[Matched, ...]
    unsure: tuple[Unsure, ...]
    unmatched: tuple[Imported, ...]
    accepted: dict[Imported, Item] = field(default_factory=dict)

    def kind(self, row: Imported) -> Kind | None:
        """What a row says of its item; None where it is neither for nor against it."""
        return opinion(row, self.history.best)

    def accept(self, row: Imported, item: Item) -> None:
        """Take a row for ``item``: one of its candidates, or another that the person found."""
        self.accepted[row] = item

    def decline(self, row: Imported) -> None:
        """Take `accept` back."""
        self.accepted.pop(row, None)

    @property
    def events(self) -> tuple[NewEvent, ...]:
        """What would be written, oldest first: of an item its last opinion and its last bookmark.

        Rows without a time come first; of rows with the same time, the lower is the later, or the
        upper where the file begins with the newest. A last rating in between leaves no opinion.
        """
        meant = {one.row: one.item for one in self.matched} | self.accepted
        last: dict[tuple[str, bool], NewEvent | None] = {}
        for row in sorted(meant, key=self._age):
            kind, item_id = self.kind(row), meant[row].item_id
            if kind or row.rating is not None:
                place = item_id, kind == "save"
                last.pop(place, None)  # the order is that of the last
                last[place] = NewEvent(item_id, kind, row.timestamp) if kind else None
        return tuple(event for event in last.values() if event)

    def _age(self, row: Imported) -> tuple[bool, int, int]:
        line = -row.line if self.history.newest_first else row.line
        return row.timestamp is not None, row.timestamp or 0, line


def match(history: History, catalogue: Catalogue, name: str) -> Preview:
    """Look up every row of ``history`` in ``catalogue``, whose events carry ``name``.

    An id counts where the file names this very catalogue, or has ids alone, or where the title
    agrees. Otherwise exactly the same title and a year that is the same, one off or unknown is a
    match, if there is but one such item, or but one of the same year. Other titles that are alike
    are for the person to decide.

    Raises:
        BundleError: the catalogue is damaged.
    """
    items = catalogue.get_many(catalogue.ids())
    places = {item.item_id: place for place, item in enumerate(items)}
    titles = Titles(Name.of(item.title, item.year) for item in items)
    matched, unsure, unmatched = [], [], []
    for row in history.rows:
        title = Name.of(row.title, row.year)
        found = titles.candidates(title) if row.title else []
        place = places.get(row.item_id or "")
        if place is None or not (
            history.catalogue == name
            or (history.catalogue is None and not row.title)
            or any(one.place == place and one.fit is not Fit.FAR for one in found)
        ):
            place = _only(found)
        if place is not None:
            matched.append(Matched(row, items[place]))
        elif found:
            candidates = tuple(items[one.place] for one in found[:CHOICES])
            unsure.append(Unsure(row, candidates))
        else:
            unmatched.append(row)
    return Preview(history, tuple(matched), tuple(unsure), tuple(unmatched))


def _only(found: Sequence[Candidate]) -> int | None:
    """The place of the one item that a title means without doubt."""
    exact = [one for one in found if one.closeness is Closeness.EXACT and one.fit is not Fit.FAR]
    same = [one for one in exact if one.fit is Fit.SAME]
    for sure in (same, exact):
        if len(sure) == 1:
            return sure[0].place
    return None
