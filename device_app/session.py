"""What the screens show and do: a recommender and a store put together. No Kivy, one thread."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from device_app.events import OPINIONS, Change, Event, Kind
from device_app.presentation import (
    ago,
    categories,
    facts,
    initials,
    own_text,
    short_title,
    shown_title,
)
from device_app.store import Store
from pocketrec.catalogue import Item
from pocketrec.engine import Loader
from pocketrec.recommender import Recommender

PICKS = 24
RESULTS = 40


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
class About:
    """What the bundle is."""

    name: str
    items: int


class Session:
    """Everything a screen asks for; each answer follows from the store and the bundle alone."""

    def __init__(self, recommender: Recommender, store: Store) -> None:
        self._recommender = recommender
        self._store = store
        self._passed: set[str] = set()

    @classmethod
    def open(cls, bundle: Path, database: Path, engine: Loader | None = None) -> Self:
        """Open the bundle and its history.

        Args:
            engine: loads the graphs; None leaves the choice to `Recommender.open`.

        Raises:
            BundleError: from `Recommender.open`.
            StoreError: from `Store.open`.
        """
        recommender = Recommender.open(bundle, backend=engine)
        return cls(recommender, Store.open(database, recommender.manifest.data.name))

    @property
    def about(self) -> About:
        return About(self._recommender.manifest.name, len(self._recommender.catalogue))

    def picks(self) -> Picks:
        """The best items the user has not judged, nor passed over by `other_picks`."""
        likes = self._likes()
        opinions = {item_id: opinion for item_id, (opinion, _) in self._marks().items() if opinion}
        against = [item_id for item_id, opinion in opinions.items() if opinion != "like"]
        found = self._recommender.recommend(likes, PICKS, disliked=against, exclude=self._passed)
        if not found and self._passed:
            self._passed.clear()
            found = self._recommender.recommend(likes, PICKS, disliked=against)
        known = tuple(item_id for item_id in likes if item_id not in found.unknown)
        return Picks(self._cards([pick.item_id for pick in found]), found.is_default, known)

    def other_picks(self) -> Picks:
        """The picks after the present ones; after the last of the catalogue, the first again."""
        self._passed.update(card.item_id for card in self.picks().cards)
        return self.picks()

    def reason(self, item_id: str) -> str | None:
        """The like that speaks most for an item, by its short title; None where none does."""
        reasons = self._recommender.explain(self._likes(), item_id, k=1)
        item = self._recommender.catalogue.get(reasons[0].item_id) if reasons else None
        return short_title(shown_title(item)) if item else None

    def search(self, query: str) -> tuple[Card, ...]:
        found = self._recommender.catalogue.search(query, limit=RESULTS) if query.strip() else []
        return self._cards_of(found)

    def history(self, kind: Kind | None = None) -> tuple[Entry, ...]:
        """Events, newest first, all or of one kind."""
        events = [event for event in self._store.events() if kind in (None, event.kind)]
        titles = self._titles(events)
        now = int(time.time())
        entries = []
        for event in events:
            title = titles.get(event.item_id, event.item_id)
            when = ago(event.timestamp, now)
            entries.append(Entry(event.item_id, title, initials(title), event.kind, when))
        return tuple(entries)

    def mark(self, item_id: str, kind: Kind) -> Change:
        """Say something about an item; saying it again takes it back. Durable on return.

        Raises:
            StoreError: nothing was written.
        """
        return self._store.record(item_id, kind) or self._store.withdraw(item_id, kind)

    def withdraw(self, item_id: str, kind: Kind) -> Change:
        """Raises: StoreError: nothing was removed."""
        return self._store.withdraw(item_id, kind)

    def undo(self, change: Change) -> None:
        """Raises: StoreError: nothing was taken back."""
        self._store.undo(change)

    def title(self, item_id: str) -> str:
        item = self._recommender.catalogue.get(item_id)
        return shown_title(item) if item else item_id

    def close(self) -> None:
        self._store.close()

    def _likes(self) -> list[str]:
        """Oldest first, as `Recommender.recommend` wants a history."""
        return [event.item_id for event in reversed(self._store.events()) if event.kind == "like"]

    def _marks(self) -> dict[str, tuple[Kind | None, bool]]:
        """item_id -> (opinion, saved), for every item with an event."""
        marks: dict[str, tuple[Kind | None, bool]] = {}
        for event in self._store.events():
            opinion, saved = marks.get(event.item_id, (None, False))
            if event.kind in OPINIONS:
                marks[event.item_id] = (event.kind, saved)
            else:
                marks[event.item_id] = (opinion, True)
        return marks

    def _titles(self, events: Iterable[Event]) -> dict[str, str]:
        ids = list({event.item_id for event in events})
        return {i.item_id: shown_title(i) for i in self._recommender.catalogue.get_many(ids)}

    def _cards(self, ids: list[str]) -> tuple[Card, ...]:
        return self._cards_of(self._recommender.catalogue.get_many(ids))

    def _cards_of(self, items: Iterable[Item]) -> tuple[Card, ...]:
        marks = self._marks()
        cards = []
        for item in items:
            opinion, saved = marks.get(item.item_id, (None, False))
            title = shown_title(item)
            cards.append(
                Card(
                    item_id=item.item_id,
                    title=title,
                    facts=facts(item),
                    initials=initials(title),
                    opinion=opinion,
                    saved=saved,
                )
            )
        return tuple(cards)

    def saved(self) -> tuple[Card, ...]:
        """The bookmarks, newest first."""
        return self._cards([e.item_id for e in self._store.events() if e.kind == "save"])

    def detail(self, item_id: str) -> "Detail | None":
        """All there is to say about one item; None where the catalogue does not hold it."""
        item = self._recommender.catalogue.get(item_id)
        if item is None:
            return None
        others = [like for like in self._likes() if like != item_id]
        reasons = self._recommender.explain(others, item_id, k=REASONS)
        marks = self._marks()
        against = {known for known, (opinion, _) in marks.items() if opinion in ("dislike", "hide")}
        near = self._recommender.similar(item_id, k=SIMILAR + len(against))
        similar = [pick.item_id for pick in near if pick.item_id not in against][:SIMILAR]
        return Detail(
            card=self._cards_of([item])[0],
            facts=facts(replace(item, categories="")),
            categories=categories(item),
            description=own_text(item),
            reasons=self._cards([reason.item_id for reason in reasons]),
            has_likes=bool(others),
            similar=self._cards(similar),
        )

    def model(self) -> "Model":
        """What ranks, with the time of one ranking, taken now."""
        likes = self._likes()
        start = time.perf_counter()
        self._recommender.recommend(likes, PICKS)
        milliseconds = (time.perf_counter() - start) * 1000
        manifest = self._recommender.manifest
        return Model(
            name=manifest.name,
            created=manifest.created,
            precision=self._recommender.precision,
            size=sum(file.bytes for file in manifest.files.values()),
            items=len(self._recommender.catalogue),
            milliseconds=milliseconds,
        )


REASONS = 3
SIMILAR = 6


@dataclass(frozen=True)
class Detail:
    """One item with everything around it.

    Attributes:
        facts: year and creator.
        description: what the catalogue says beyond the other fields; mostly empty.
        reasons: the likes that speak most for the item, the strongest first.
        has_likes: whether there is another like that could speak for it.
        similar: the items most like it, the nearest first, none that was judged badly or hidden.
    """

    card: Card
    facts: str
    categories: tuple[str, ...]
    description: str
    reasons: tuple[Card, ...]
    has_likes: bool
    similar: tuple[Card, ...]


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
