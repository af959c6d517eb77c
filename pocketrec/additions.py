"""Items that a person added: kept in a file of their own, so that a new edition of the bundle does not lose them."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pocketrec.catalogue import Item
from pocketrec.errors import DataError
from pocketrec.recommender import Recommender

_COLUMNS = "item_id, title, description, categories, creator, year"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS additions (
    position INTEGER PRIMARY KEY,
    item_id TEXT NOT NULL UNIQUE,
    title TEXT NOT NULL,
    description TEXT NOT NULL,
    categories TEXT NOT NULL,
    creator TEXT NOT NULL,
    year INTEGER
)"""


class Additions:
    """The added items of one catalogue, oldest first, in a SQLite file that is made where there is none.

    What `add` was given is in the file when it returns, all of it or nothing; the process may be killed at any time.
    `added_to` makes them recommendable. Belongs to the thread that made it.

    Raises:
        DataError: from every method, the file cannot be read or written, or is no such database.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        with self._clear_errors():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(self._path)
            # A write-ahead log takes one short write for an item where a journal takes several files.
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = NORMAL")
            self._connection.execute(_SCHEMA)

    def added_to(self, recommender: Recommender) -> Recommender:
        """``recommender`` with these items, but for those that its bundle has by now."""
        known = recommender.ids
        return recommender.with_items([i for i in self.items() if i.item_id not in known])

    def items(self) -> list[Item]:
        with self._clear_errors():
            rows = self._connection.execute(f"SELECT {_COLUMNS} FROM additions ORDER BY position")
            return [
                Item(item_id, title, "", description, categories, creator, year)
                for item_id, title, description, categories, creator, year in rows
            ]

    def add(self, items: Sequence[Item]) -> None:
        """Add items; the text of each is what its other fields give.

        Raises:
            DataError: an id is there already or stands twice.
        """
        rows = [(i.item_id, i.title, i.description, i.categories, i.creator, i.year) for i in items]
        with self._clear_errors(), self._connection:
            self._connection.executemany(
                f"INSERT INTO additions ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)", rows
            )

    def remove(self, item_ids: Sequence[str]) -> None:
        """Remove items; ids that are not there are passed over."""
        with self._clear_errors(), self._connection:
            self._connection.executemany(
                "DELETE FROM additions WHERE item_id = ?", [(i,) for i in item_ids]
            )

    def close(self) -> None:
        self._connection.close()

    @contextmanager
    def _clear_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.IntegrityError as error:
            raise DataError(
                f"{self._path}: expected new ids and a title, found: {error}"
            ) from error
        except (OSError, sqlite3.Error, UnicodeEncodeError, OverflowError) as error:
            raise DataError(
                f"{self._path}: expected a file of added items that can be read and written, found: {error}"
            ) from error
