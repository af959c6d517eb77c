"""What the screens show and do: a recommender and a store put together. No Kivy, one thread."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Self

from device_app import knowledge, spreadsheet
from device_app.bundles import Bundles
from device_app.cards import Marks, cards, entries, marks
from device_app.events import AGAINST, Change, Event, Kind
from device_app.importers import own_export, reading
from device_app.importers.matching import Preview, match
from device_app.importers.plain import Columns
from device_app.installing import Installed, install
from device_app.own_item import own_item
from device_app.own_items import OwnItems
from device_app.picking import Taste, picked
from device_app.presentation import (
    categories,
    facts,
    own_text,
    short_title,
    shown_title,
)
from device_app.settings import Settings
from device_app.store import Store
from device_app.taste_wall import taste_wall
from device_app.views import About, Card, Details, Entry, Found, Model, Picks, Reason
from pocketrec.catalogue import Item
from pocketrec.engine import Loader
from pocketrec.errors import UsageError
from pocketrec.recommender import Recommender

PICKS = 24
RESULTS = 40
NEAREST = 12
SHORTEST_WORD = 3
"""Letters that a word has at least to say something."""
REASONS = 3
SIMILAR = 6
EXPLAINED = 100
"""The newest likes, among which the reasons for an item are looked for: each takes a ranking of its own."""


class Session:
    """Everything a screen asks for; each answer follows from the store and the bundle alone."""

    def __init__(
        self, recommender: Recommender, store: Store, own: OwnItems, engine: Loader | None = None
    ) -> None:
        self._bundle = recommender
        self._store = store
        self._own = own
        self._engine = engine
        self._passed: set[str] = set()

    @classmethod
    def open(cls, bundle: Path, database: Path, engine: Loader | None = None) -> Self:
        """Open the bundle and its history.

        Args:
            engine: loads the graphs; None leaves the choice to `Recommender.open`.

        Raises:
            BundleError: from `Recommender.open`.
            StoreError: from `Store.open`.
            DataError: the file of the items of one's own cannot be read.
        """
        recommender = Recommender.open(bundle, backend=engine)
        store = Store.open(database, recommender.manifest.data.name)
        try:
            own = OwnItems(database, recommender)
        except BaseException:
            store.close()
            raise
        return cls(recommender, store, own, engine)

    @property
    def _recommender(self) -> Recommender:
        return self._own.recommender

    @property
    def about(self) -> About:
        return About(self._recommender.manifest.name, len(self._recommender.catalogue))

    def model(self) -> Model:
        """What ranks, with the time of one ranking, taken now."""
        settings = self._store.settings()
        taste = Taste.of(self._store.events(), settings)
        start = time.perf_counter()
        picked(self._recommender, taste, PICKS, (), settings.diversity)
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

    @property
    def is_new(self) -> bool:
        """Whether nothing was said yet."""
        return not self._store.events()

    def picks(self) -> Picks:
        """The best items the user has not judged, nor passed over by `other_picks` within a day."""
        settings = self._store.settings()
        taste = Taste.of(self._store.events(), settings)
        passed = self._passed | self._store.shown().keys()
        found = picked(self._recommender, taste, PICKS, passed, settings.diversity)
        if not found and passed:
            self._passed.clear()
            self._store.forget_shown()
            found = picked(self._recommender, taste, PICKS, (), settings.diversity)
        known = tuple(item_id for item_id in taste.likes if item_id not in found.unknown)
        return Picks(self._cards([pick.item_id for pick in found]), found.is_default, known)

    def other_picks(self) -> Picks:
        """The picks after the present ones; after the last of the catalogue, the first again.

        That the present ones were shown is kept for a day, so that they stay away after a new start too; while
        learning is paused, until the session is closed.

        Raises:
            StoreError: it could not be kept.
        """
        shown = [card.item_id for card in self.picks().cards]
        if self._store.settings().is_paused:
            self._passed.update(shown)
        else:
            self._store.note_shown(shown)
        return self.picks()

    def taste_wall(self, page: int = 0) -> tuple[Card, ...]:
        """Known titles that tell tastes apart, for a start without likes; see `device_app.taste_wall`.

        Empty after the last page.
        """
        return self._cards(taste_wall(self._bundle, page))

    def details(self, item_id: str) -> Details | None:
        """What is known of one item and how it goes with what the user likes; None where the catalogue lacks it.

        Reasons are measured (`Recommender.explain`), among the `EXPLAINED` newest likes but for the item itself.
        """
        item = self._recommender.catalogue.get(item_id)
        if item is None:
            return None
        likes = self._explained(item_id)
        said = self._marks().items()
        against = {known for known, (opinion, _) in said if opinion in AGAINST}
        near = self._recommender.similar(item_id, k=SIMILAR + len(against))
        similar = [pick.item_id for pick in near if pick.item_id not in against][:SIMILAR]
        return Details(
            card=self._cards_of([item])[0],
            facts=facts(replace(item, categories="")),
            categories=categories(item),
            description=own_text(item),
            reasons=self._reasons(likes, item_id),
            has_likes=bool(likes),
            similar=self._cards(similar),
            is_own=item in self._own.items(),
        )

    def strongest(self, item_ids: Sequence[str]) -> dict[str, str]:
        """The like that speaks most for each of some items that are not liked, by its short title, where one does."""
        found = self._recommender.explain_all(self._explained(), item_ids, k=1)
        return {
            item_id: short_title(self.title(reasons[0].item_id))
            for item_id, reasons in zip(item_ids, found, strict=True)
            if reasons
        }

    def search(self, query: str) -> Found:
        """The items that have the words of a query, or where none has the nearest to its meaning.

        A query without any word of the catalogue has no meaning that could be known: a title that is not in it would
        else be answered with strange ones.

        Raises:
            BundleError: the text encoder of the bundle cannot be loaded.
        """
        catalogue = self._recommender.catalogue
        if found := catalogue.search(query, limit=RESULTS):
            return Found(self._cards_of(found))
        words = [word for word in query.split() if len(word) >= SHORTEST_WORD]
        if not any(catalogue.search(word, limit=1) for word in words):
            return Found(())
        nearest = self._recommender.nearest(query, k=NEAREST)
        return Found(self._cards([one.item_id for one in nearest]), by_meaning=True)

    def saved(self) -> tuple[Card, ...]:
        """The bookmarks, newest first."""
        return self._cards([e.item_id for e in self._store.events() if e.kind == "save"])

    def history(self, kind: Kind | None = None) -> tuple[Entry, ...]:
        """Events, newest first, all or of one kind."""
        events = [event for event in self._store.events() if kind in (None, event.kind)]
        return entries(events, self._items(events), int(time.time()))

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

    def settings(self) -> Settings:
        return self._store.settings()

    def set_diversity(self, share: float) -> None:
        """How different from each other the picks are: 0 is the plain ranking, 1 the most.

        Raises:
            UsageError: it is not between 0 and 1.
            StoreError: nothing was set.
        """
        if not 0 <= share <= 1:
            raise UsageError(f"diversity: expected a number from 0 to 1, found {share}")
        self._store.set(replace(self._store.settings(), diversity=share))

    def pause(self) -> None:
        """Keep the lists as they are by what was said up to now, until `resume`.

        What is said while learning is paused is recorded all the same, since somebody pressed a button for it: it is
        in the history, can be undone, and keeps its item out of the lists. It does not change what the ranking rests
        on before `resume`, from which on it counts as if it had been said then. What is taken back counts no more at
        once. What was passed over is not recorded.

        Raises:
            StoreError: nothing was set.
        """
        settings = self._store.settings()
        if not settings.is_paused:
            self._store.set(replace(settings, paused_after=self._store.last_id()))

    def resume(self) -> None:
        """Raises: StoreError: nothing was set."""
        self._store.set(replace(self._store.settings(), paused_after=None))

    def preview(
        self,
        path: Path,
        *,
        user: str | None = None,
        columns: Columns | None = None,
        best: float | None = None,
    ) -> Preview:
        """What importing a file would do; see `device_app.importers.reading.read` for the arguments.

        Raises:
            HistoryFileError: from `reading.read`.
        """
        history = reading.read(path, user=user, columns=columns, best=best)
        catalogue = self._recommender.catalogue.extended(self._new(history.own_items))
        return match(history, catalogue, self._store.catalogue)

    def import_history(self, preview: Preview) -> Change:
        """Write the events of a preview, in one transaction; see `Store.add` for what is left out.

        Own items of the file that the events are about are added first; undoing leaves them.

        Raises:
            StoreError: no event was written.
            DataError: an item could not be added, no event was written.
        """
        events = preview.events
        meant = {event.item_id for event in events}
        self._own.add([i for i in self._new(preview.history.own_items) if i.item_id in meant])
        return self._store.add(events)

    def export_json(self, path: Path) -> None:
        """Write all that is kept of this catalogue, so that `preview` can read it again.

        Raises:
            HistoryFileError: the file cannot be written.
        """
        shown = [{"item_id": i, "timestamp": when} for i, when in self._store.shown().items()]
        own_export.write(
            path,
            reversed(self._store.events()),
            self._recommender.catalogue,
            self._store.catalogue,
            own_items=self._own.items(),
            also={"passed_over": shown, "settings": asdict(self._store.settings())},
        )

    def export_csv(self, path: Path) -> None:
        """Write the events as a table, oldest first, for other programs.

        Raises:
            HistoryFileError: the file cannot be written.
        """
        events = tuple(reversed(self._store.events()))
        spreadsheet.write(path, events, self._items(events))

    def knowledge(self) -> tuple[str, ...]:
        """What this app knows about the user, in plain sentences."""
        events = self._store.events()
        return knowledge.sentences(
            events,
            self._items(events),
            own=len(self._own.items()),
            shown=len(self._store.shown()),
            settings=self._store.settings(),
        )

    def wipe(self) -> None:
        """Delete events, settings, what was shown and own items, of every catalogue, and their bytes.

        The theme and the bundles stay, which say nothing of the user. Changes from before must not be undone.

        Raises:
            StoreError: not everything is gone; wipe again.
        """
        self._passed.clear()
        self._store.wipe()
        self._own.wipe()

    def own_items(self) -> tuple[Card, ...]:
        """The items the user added, oldest first."""
        return self._cards([item.item_id for item in self._own.items()])

    def add_item(self, title: str, description: str = "") -> Card:
        """Add an item to the catalogue, known by its text alone. Durable on return.

        Raises:
            UsageError: the title is empty, or a text too long.
            DataError: it could not be kept.
            BundleError: the text encoder of the bundle cannot be loaded.
        """
        item = own_item(title, description)
        self._own.add([item])
        return self._cards([item.item_id])[0]

    def remove_item(self, item_id: str) -> None:
        """Remove an item the user added, and what was said of it.

        Raises:
            UsageError: it is no item of one's own.
            DataError: it is still there.
            StoreError: the item is gone, what was said of it is not.
        """
        self._own.remove(item_id)
        for event in self._store.events(item_id=item_id):
            self._store.withdraw(item_id, event.kind)

    def install(self, source: Path, bundles: Bundles) -> Installed:
        """Install another bundle, for the next session; see `device_app.installing.install`.

        Raises:
            BundleError: it is no bundle, or not whole and unaltered, or cannot be copied.
            StoreError: the choice of the bundle cannot be written.
        """
        judged = {event.item_id for event in self._store.events()}
        judged -= {item.item_id for item in self._own.items()}
        return install(
            source, bundles, catalogue=self._store.catalogue, judged=judged, engine=self._engine
        )

    def close(self) -> None:
        self._own.close()
        self._store.close()

    def _explained(self, item_id: str | None = None) -> list[str]:
        """The newest likes but for the item itself, oldest first."""
        taste = Taste.of(self._store.events(), self._store.settings())
        return [one for one in taste.likes if one != item_id][-EXPLAINED:]

    def _reasons(self, likes: list[str], item_id: str) -> tuple[Reason, ...]:
        found = self._recommender.explain(likes, item_id, k=REASONS)
        liked = self._cards([reason.item_id for reason in found])
        return tuple(
            Reason(card, reason.drop / found[0].drop)
            for card, reason in zip(liked, found, strict=True)
        )

    def _new(self, items: Iterable[Item]) -> list[Item]:
        return [item for item in items if item.item_id not in self._recommender.ids]

    def _items(self, events: Iterable[Event]) -> dict[str, Item]:
        """The items of the catalogue that the events are about."""
        ids = list({event.item_id for event in events})
        return {item.item_id: item for item in self._recommender.catalogue.get_many(ids)}

    def _marks(self) -> Marks:
        return marks(self._store.events())

    def _cards(self, ids: list[str]) -> tuple[Card, ...]:
        return self._cards_of(self._recommender.catalogue.get_many(ids))

    def _cards_of(self, items: Iterable[Item]) -> tuple[Card, ...]:
        return cards(items, self._marks())
