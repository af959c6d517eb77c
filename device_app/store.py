"""The history on the device: every like, dislike, save and hide, in one SQLite file.

An event is on disk when `record` returns: the file is in write-ahead mode with synchronous=FULL.
Item ids mean something within one catalogue only, so every event carries the catalogue's name and
a store shows the events of its own catalogue alone.

A store belongs to the thread that opened it.
"""

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Final, Self

from sqlite_utils import Database, Migrations

from device_app.events import KINDS, OPINIONS, Change, Event, Kind, StoreError

BUSY_SECONDS: Final = 3.0

migrations = Migrations("history")


@migrations()
def m001_events(db: Database) -> None:
    kinds = ", ".join(f"'{kind}'" for kind in KINDS)
    # AUTOINCREMENT: an undone event's id must not come back with another event.
    db.execute(
        f"""
        CREATE TABLE events (
            event_id INTEGER PRIMARY KEY AUTOINCREMENT,
            catalogue TEXT NOT NULL,
            item_id TEXT NOT NULL,
            kind TEXT NOT NULL CHECK (kind IN ({kinds})),
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


class Store:
    """The events of one catalogue, in a SQLite file that other catalogues may share."""

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
        now = int(time.time())
        with self._transaction():
            self._delete(replaced)
            row = {"catalogue": self.catalogue, "item_id": item_id, "kind": kind, "timestamp": now}
            event_id = self._db.table("events").insert(row).last_pk
        return Change(added=(Event(event_id, item_id, kind, now),), removed=replaced)

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
        """All events, or those of one item, newest first."""
        where, values = "catalogue = ?", [self.catalogue]
        if item_id is not None:
            where, values = where + " AND item_id = ?", [*values, item_id]
        with _clear_errors(self.path):
            rows = self._db.table("events").rows_where(
                where,
                values,
                select="event_id, item_id, kind, timestamp",
                order_by="event_id DESC",
            )
            return tuple(Event(**row) for row in rows)

    def close(self) -> None:
        self._db.close()

    def _delete(self, events: Sequence[Event]) -> None:
        for event in events:
            self._db.table("events").delete_where("event_id = ?", [event.event_id])

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with _clear_errors(self.path), self._db.atomic():
            yield


def _refuse_newer(path: Path, db: Database) -> None:
    ours = {migration.name for migration in migrations.pending(Database(memory=True))}
    if unknown := {migration.name for migration in migrations.applied(db)} - ours:
        raise StoreError(
            f"{path}: expected a history of this version or an older one, found a newer one "
            f"({min(unknown)}); update PocketRec"
        )


@contextmanager
def _clear_errors(path: Path) -> Iterator[None]:
    """Turn what SQLite and the file system raise into one line that says what to do."""
    try:
        yield
    except sqlite3.Error as error:
        raise StoreError(f"{path}: {_advice(error)}") from error
    except OSError as error:
        raise StoreError(
            f"{path}: the folder cannot be made ({error.strerror or error}); choose another"
        ) from error


def _advice(error: sqlite3.Error) -> str:
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith("SQLITE_FULL"):
        return "not saved, the disk is full; free some space and try again"
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
        return "not saved, the folder cannot be written; make it writable and try again"
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return "not saved, another program is using the history; close it and try again"
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return "expected a PocketRec history, found a damaged or foreign file; move it away"
    return f"not saved, SQLite answered: {error} ({name or 'no code'}); try again"
