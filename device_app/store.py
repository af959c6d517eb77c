"""The history on the device: what the user said, was shown and has set, in one SQLite file.

An event is on disk when `record` returns: the file is in write-ahead mode with synchronous=FULL.
Item ids mean something within one catalogue only, so every event carries the catalogue's name and
a store shows the events of its own catalogue alone.

A store belongs to the thread that opened it.
"""

import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Final, Self

from sqlite_utils import Database, Migrations

from device_app.events import OPINIONS, Change, Event, Kind, NewEvent, StoreError
from device_app.language import tr
from device_app.settings import Settings

BUSY_SECONDS: Final = 3.0
SHOWN_SECONDS: Final = 24 * 60 * 60
"""For so long an item that was shown and passed over is not shown again."""

migrations = Migrations("history")


@migrations()
def m001_events(db: Database) -> None:
    # AUTOINCREMENT: an undone event's id must not come back with another event.
    db.execute(
        """
        CREATE TABLE events (
            event_id INTEGER PRIMARY KEY AUTOINCREMENT,
            catalogue TEXT NOT NULL,
            item_id TEXT NOT NULL,
            kind TEXT NOT NULL CHECK (kind IN ('like', 'dislike', 'hide', 'save')),
            timestamp INTEGER NOT NULL
        )
        """
    )


@migrations()
def m002_one_opinion_and_one_bookmark_per_item(db: Database) -> None:
    db.execute(
        "CREATE UNIQUE INDEX one_opinion ON events (catalogue, item_id) WHERE kind != 'save'"
    )
    db.execute(
        "CREATE UNIQUE INDEX one_bookmark ON events (catalogue, item_id) WHERE kind = 'save'"
    )


@migrations()
def m003_items_already_seen_and_events_of_unknown_time(db: Database) -> None:
    # SQLite cannot change the constraints of a table that is there.
    db.execute("ALTER TABLE events RENAME TO former_events")
    db.execute(
        """
        CREATE TABLE events (
            event_id INTEGER PRIMARY KEY AUTOINCREMENT,
            catalogue TEXT NOT NULL,
            item_id TEXT NOT NULL,
            kind TEXT NOT NULL CHECK (kind IN ('like', 'dislike', 'hide', 'save', 'seen')),
            timestamp INTEGER
        )
        """
    )
    columns = "event_id, catalogue, item_id, kind, timestamp"
    db.execute(f"INSERT INTO events ({columns}) SELECT {columns} FROM former_events")
    # The highest id ever given may be that of an event that was undone.
    db.execute("DELETE FROM sqlite_sequence WHERE name = 'events'")
    db.execute("UPDATE sqlite_sequence SET name = 'events' WHERE name = 'former_events'")
    db.execute("DROP TABLE former_events")
    db.execute(
        "CREATE UNIQUE INDEX one_opinion ON events (catalogue, item_id) WHERE kind != 'save'"
    )
    db.execute(
        "CREATE UNIQUE INDEX one_bookmark ON events (catalogue, item_id) WHERE kind = 'save'"
    )


@migrations()
def m004_impressions(db: Database) -> None:
    db.execute(
        """
        CREATE TABLE impressions (
            catalogue TEXT NOT NULL,
            item_id TEXT NOT NULL,
            timestamp INTEGER NOT NULL,
            PRIMARY KEY (catalogue, item_id)
        ) WITHOUT ROWID
        """
    )


@migrations()
def m005_settings(db: Database) -> None:
    db.execute("CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID")


class Store:
    """The events of one catalogue, in a SQLite file that other catalogues may share.

    Settings are those of all of them.
    """

    def __init__(self, path: Path, db: Database, catalogue: str) -> None:
        self.path = path
        self.catalogue = catalogue
        self._db = db

    @classmethod
    def open(cls, path: Path, catalogue: str) -> Self:
        """Open or create the file and bring it up to date, each migration in its transaction.

        Raises:
            StoreError: the file cannot be opened or written, is damaged, is no such database, is
                in use by another program, or was written by a newer version.
        """
        with _clear_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            db = Database(sqlite3.connect(path, timeout=BUSY_SECONDS))
            try:
                _refuse_newer(path, db)
                db.enable_wal()
                db.execute("PRAGMA synchronous = FULL")
                migrations.apply(db)
            except BaseException:
                db.close()
                raise
        return cls(path, db, catalogue)

    def record(self, item_id: str, kind: Kind) -> Change:
        """Add an event; an opinion takes the place of the item's earlier one. Durable on return.

        Raises:
            StoreError: nothing was written.
        """
        present = self.events(item_id=item_id)
        if any(event.kind == kind for event in present):
            return Change()
        replaced = tuple(e for e in present if kind in OPINIONS and e.kind in OPINIONS)
        with self._transaction():
            self._delete(replaced)
            event = self._insert(NewEvent(item_id, kind, int(time.time())))
        return Change(added=(event,), removed=replaced)

    def add(self, events: Iterable[NewEvent]) -> Change:
        """Write events that happened elsewhere, each at its own time, all or none. Durable on return.

        Of several opinions on one item the last counts. Left out is what the item has already, and an opinion that
        is not known to be later than its present one. A time to come is taken for now.

        Raises:
            StoreError: nothing was written.
        """
        now = int(time.time())
        wanted = {(event.item_id, event.kind in OPINIONS): event for event in events}
        added, removed = [], []
        with self._transaction():
            present = {(e.item_id, e.kind in OPINIONS): e for e in self.events()}
            for place, event in wanted.items():
                when = None if event.timestamp is None else min(event.timestamp, now)
                event = replace(event, timestamp=when)
                if (known := present.get(place)) is not None:
                    if event.kind == known.kind or not _is_later(event, known):
                        continue
                    self._delete([known])
                    removed.append(known)
                added.append(self._insert(event))
        return Change(tuple(added), tuple(removed))

    def withdraw(self, item_id: str, kind: Kind) -> Change:
        """Remove the item's event of this kind, if there is one. Durable on return.

        Raises:
            StoreError: nothing was removed.
        """
        removed = tuple(event for event in self.events(item_id=item_id) if event.kind == kind)
        with self._transaction():
            self._delete(removed)
        return Change(removed=removed)

    def undo(self, change: Change) -> None:
        """Take a change back: ids, times and order are as before. A second undo does nothing.

        A removed event stays away where the item has a later event of its kind by now.

        Raises:
            StoreError: nothing was taken back.
        """
        rows = [{"catalogue": self.catalogue, **asdict(event)} for event in change.removed]
        with self._transaction():
            self._delete(change.added)
            self._db.table("events").insert_all(rows, ignore=True)

    def events(self, *, item_id: str | None = None) -> tuple[Event, ...]:
        """All events, or those of one item, newest first; see `Event` for their order."""
        where, values = "catalogue = ?", [self.catalogue]
        if item_id is not None:
            where, values = where + " AND item_id = ?", [*values, item_id]
        with _clear_errors(self.path):
            rows = self._db.table("events").rows_where(
                where,
                values,
                select="event_id, item_id, kind, timestamp",
                order_by="timestamp DESC, event_id DESC",  # an unknown one is the least
            )
            return tuple(Event(**row) for row in rows)

    def last_id(self) -> int:
        """The highest id that an event was ever given, of any catalogue; 0 before the first."""
        with _clear_errors(self.path):
            found = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'events'")
            return next((int(row[0]) for row in found), 0)

    def note_shown(self, item_ids: Iterable[str]) -> None:
        """Note that items are shown now, and forget what was shown more than `SHOWN_SECONDS` ago.

        Raises:
            StoreError: nothing was noted.
        """
        now = int(time.time())
        rows = [
            {"catalogue": self.catalogue, "item_id": item_id, "timestamp": now}
            for item_id in item_ids
        ]
        with self._transaction():
            self._db.table("impressions").delete_where("timestamp <= ?", [now - SHOWN_SECONDS])
            self._db.table("impressions").insert_all(rows, replace=True)

    def shown(self) -> dict[str, int]:
        """The items shown within the last `SHOWN_SECONDS`, with the time of the last showing."""
        since = int(time.time()) - SHOWN_SECONDS
        with _clear_errors(self.path):
            where, values = "catalogue = ? AND timestamp > ?", [self.catalogue, since]
            rows = self._db.table("impressions").rows_where(where, values, order_by="item_id")
            return {row["item_id"]: row["timestamp"] for row in rows}

    def forget_shown(self) -> None:
        """Raises: StoreError: nothing was forgotten."""
        with self._transaction():
            self._db.table("impressions").delete_where("catalogue = ?", [self.catalogue])

    def settings(self) -> Settings:
        """What is set, with defaults for the rest."""
        with _clear_errors(self.path):
            rows = self._db.table("settings").rows
            return Settings.parse({row["name"]: row["value"] for row in rows})

    def set(self, settings: Settings) -> None:
        """Raises: StoreError: nothing was set."""
        rows = [{"name": name, "value": value} for name, value in settings.dump().items()]
        with self._transaction():
            self._db.table("settings").insert_all(rows, replace=True)

    def wipe(self) -> None:
        """Delete all that the file holds, of every catalogue, and its bytes from the file.

        A change from before must not be undone after: it would bring events back.

        Raises:
            StoreError: not everything is gone; wipe again.
        """
        with _clear_errors(self.path):
            self._db.execute("PRAGMA secure_delete = ON")
        with self._transaction():
            for table in ("events", "impressions", "settings"):
                self._db.table(table).delete_where()
        with _clear_errors(self.path):
            self._db.execute("VACUUM")
            # What was deleted is still in the write-ahead log.
            (is_busy, *_) = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if is_busy:
            said = tr(
                "{}: deleted, but another program keeps the old file in use; close it and wipe "
                "again"
            )
            raise StoreError(said.format(self.path))

    def close(self) -> None:
        self._db.close()

    def _insert(self, event: NewEvent) -> Event:
        row = {"catalogue": self.catalogue, **asdict(event)}
        inserted = self._db.execute(
            f"INSERT INTO events ({', '.join(row)}) VALUES (:{', :'.join(row)})", row
        )
        assert inserted.lastrowid is not None, "an insert gives its row an id"
        return Event(inserted.lastrowid, **asdict(event))

    def _delete(self, events: Sequence[Event]) -> None:
        for event in events:
            self._db.execute("DELETE FROM events WHERE event_id = ?", [event.event_id])

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with _clear_errors(self.path), self._db.atomic():
            yield


def _is_later(event: NewEvent, known: Event) -> bool:
    if event.timestamp is None:
        return False
    return known.timestamp is None or event.timestamp > known.timestamp


def _refuse_newer(path: Path, db: Database) -> None:
    ours = {migration.name for migration in migrations.pending(Database(memory=True))}
    if unknown := {migration.name for migration in migrations.applied(db)} - ours:
        said = tr(
            "{}: expected a history of this version or an older one, found a newer one ({}); "
            "update PocketRec"
        )
        raise StoreError(said.format(path, min(unknown)))


@contextmanager
def _clear_errors(path: Path) -> Iterator[None]:
    """Turn what SQLite and the file system raise into one line that says what to do."""
    try:
        yield
    except sqlite3.Error as error:
        raise StoreError(tr("{}: {}").format(path, _advice(error))) from error
    except OSError as error:
        said = tr("{}: the folder cannot be made ({}); choose another")
        raise StoreError(said.format(path, error.strerror or error)) from error


def _advice(error: sqlite3.Error) -> str:
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith("SQLITE_FULL"):
        return tr("not saved, the disk is full; free some space and try again")
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
        return tr("not saved, the folder cannot be written; make it writable and try again")
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return tr("not saved, another program is using the history; close it and try again")
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return tr("expected a PocketRec history, found a damaged or foreign file; move it away")
    said = tr("not saved, SQLite answered: {} ({}); try again")
    return said.format(error, name or tr("no code"))
