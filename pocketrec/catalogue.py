"""Titles and text of a bundle's items in one SQLite file, with a search for use while typing."""

import copy
import re
import sqlite3
import threading
import unicodedata
import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, Self

from pocketrec.errors import BundleError, DataError
from pocketrec.files import atomic_write
from pocketrec.packing import WINDOW, deflater, inflater, shared_dictionary
from pocketrec.text import item_text


@dataclass(frozen=True)
class Item:
    """One item of a catalogue.

    Attributes:
        item_id: the id that histories name it by.
        title: what people call it.
        text: what the models read; made by `pocketrec.text.item_text` where it is left empty.
        description: empty where there is none, like categories and creator.
        categories: genres, tags or departments in one string.
        creator: author, director, developer or brand.
        year: None where unknown.
    """

    item_id: str
    title: str
    text: str = ""
    description: str = ""
    categories: str = ""
    creator: str = ""
    year: int | None = None

    def __post_init__(self) -> None:
        if not self.text:
            object.__setattr__(self, "text", self.template_text())

    def template_text(self) -> str:
        """The text that the other fields give."""
        return item_text(self.title, self.description, self.categories, self.creator, self.year)


_COLUMNS = "item_id, title, text, inflate(description), categories, creator, year"
# The position is the rowid: VACUUM may renumber an implicit one under the full-text index.
_SCHEMA = """
CREATE TABLE items (
    position INTEGER PRIMARY KEY,
    item_id TEXT NOT NULL UNIQUE,
    title TEXT NOT NULL,
    text TEXT, -- null where it is the template's, which would double the file
    description BLOB NOT NULL, -- packed: plain it can be more than half of the file
    categories TEXT NOT NULL,
    creator TEXT NOT NULL,
    year INTEGER
)"""
_DICTIONARY_SCHEMA = "CREATE TABLE packing (dictionary BLOB NOT NULL)"
_SAMPLED = 8
"""One description in so many, or fewer, is in the dictionary."""
# Descriptions stay out of the index, a third of the file; what only they hold is found by scanning.
_FULL_TEXT_SCHEMA = """
CREATE VIRTUAL TABLE items_fts USING fts5 (
    title, creator, categories, content='items', content_rowid='position',
    detail=column, tokenize='unicode61 remove_diacritics 2'
)"""

_EXACT, _BEGINS, _HOLDS_WORDS, _HOLDS_BEGINNING, _HOLDS, _REST = range(6)
# Of titles alike, the shortest: BM25 would rank a title low for its long description.
_BEST = f"tier, CASE WHEN tier < {_REST} THEN size ELSE badness END, position"
_WORD_SEARCH = f"""
WITH best AS (
    SELECT position, title_tier(items.title, :query) AS tier, length(items.title) AS size,
        -- One letter is looked for in titles only, none of which is in the last tier.
        CASE WHEN length(:query) > 1 THEN bm25(items_fts, 10, 3, 2) END AS badness
    FROM items_fts JOIN items ON position = items_fts.rowid
    WHERE items_fts MATCH :words
    ORDER BY {_BEST}
    LIMIT :limit
)
SELECT {_COLUMNS} FROM best JOIN items USING (position) ORDER BY {_BEST}"""
_PART_SEARCH = f"""
SELECT {_COLUMNS} FROM items
WHERE holds(title || ' ' || creator || ' ' || categories || ' ' || inflate(description), :query)
ORDER BY title_tier(title, :query), length(title), position
LIMIT :limit"""

# Scripts written without spaces, whose words the full-text index does not know.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff"
    "\U00020000-\U0003ffff]"
)
_WORD = re.compile(r"[^\W_]+")
_MOST_WORDS = 32
_ACCENTS = re.compile("[\u0300-\u036f]+")
_ARTICLE = re.compile("(the|an?) ")
_ID_BATCH = 500
_SCANNED = 3
"""Letters of a query from which on places inside of words, and descriptions, fill up a short list."""


class _StatementError(BundleError):
    """A statement that does not run on this file, which need not be damaged for that."""


class Catalogue:
    """The items of a bundle, read from disk as they are asked for.

    One instance may be used from several threads. Every method raises BundleError where the file
    turns out to be damaged.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self._path = path
        self._connection = connection
        self._lock = threading.Lock()
        self._close = weakref.finalize(self, connection.close)
        connection.create_function("title_tier", 2, title_tier, deterministic=True)
        connection.create_function("holds", 2, _holds, deterministic=True)
        (dictionary,) = self._rows("SELECT (SELECT dictionary FROM packing)")[0]
        if not isinstance(dictionary, bytes):
            raise BundleError(_damage(path, "no dictionary of its descriptions"))
        connection.create_function("inflate", 1, inflater(dictionary), deterministic=True)
        self._items(f"SELECT {_COLUMNS} FROM items LIMIT 1")
        # The highest position and not a count, which would read the whole of a large catalogue.
        (highest,) = self._rows("SELECT max(position) FROM items")[0]
        if not isinstance(highest, int | None):
            raise BundleError(_damage(path, f"position {highest!r}"))
        self._length = 0 if highest is None else highest + 1
        indexed = self._rows("SELECT 1 FROM sqlite_master WHERE name = 'items_fts'")
        self._finds_words = bool(indexed) and _has_fts5(connection)
        self._added: dict[str, Item] = {}
        self._whole: Catalogue | None = None

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Open a catalogue for reading; nothing is ever written beside it.

        Raises:
            BundleError: the file is missing, damaged or no catalogue.
        """
        path = Path(path)
        # Immutable means without locks and journal: a bundle may lie on a read-only medium.
        uri = f"{path.resolve().as_uri()}?mode=ro&immutable=1"
        try:
            connection = sqlite3.connect(uri, uri=True, check_same_thread=False)
        except sqlite3.Error as error:
            raise BundleError(_damage(path, error)) from error
        return cls(path, connection)

    def close(self) -> None:
        """Release the file; happens by itself when nothing refers to the catalogue any more."""
        self._close()

    def __len__(self) -> int:
        return self._length + len(self._added)

    def extended(self, items: Iterable[Item]) -> Self:
        """This catalogue with further items after its own, in memory alone; their ids must be new."""
        more = copy.copy(self)
        more._whole = self  # the file is closed when nothing refers to it any more
        more._added = self._added | {item.item_id: item for item in items}
        return more

    def get(self, item_id: str) -> Item | None:
        """The item with this id, None where there is none."""
        return next(iter(self.get_many([item_id])), None)

    def get_many(self, ids: Sequence[str]) -> list[Item]:
        """The items with these ids, in their order; ids of no item are left out."""
        rows = self._found(_COLUMNS, "item_id", list(map(_without_surrogates, ids)))
        found = {item.item_id: item for item in (_item(self._path, row) for row in rows)}
        found |= self._added
        return [found[item_id] for item_id in ids if item_id in found]

    def ids(self) -> list[str]:
        """Every id, in the catalogue's order."""
        rows = self._rows("SELECT item_id FROM items ORDER BY position")
        return [*(row[0] for row in rows), *self._added]

    def positions(self, ids: Sequence[str]) -> dict[str, int]:
        """Where the known ones of ``ids`` stand in the catalogue's order."""
        known = list(map(_without_surrogates, ids))
        found = dict(self._found("item_id, position", "item_id", known))
        if self._added:
            places = dict(zip(self._added, range(self._length, len(self)), strict=True))
            found |= {item_id: places[item_id] for item_id in known if item_id in places}
        return found

    def ids_at(self, positions: Sequence[int]) -> dict[int, str]:
        """The ids that stand at ``positions``."""
        found = dict(self._found("position, item_id", "position", positions))
        if self._added:
            added = list(self._added)
            found |= {p: added[p - self._length] for p in positions if p >= self._length}
        return found

    def check(self) -> None:
        """Raises BundleError where the file is damaged, or positions are not 0, 1, 2, ..."""
        (answer,) = self._rows("PRAGMA integrity_check(1)")[0]
        if answer != "ok":
            raise BundleError(_damage(self._path, answer))
        (count,) = self._rows("SELECT count(*) FROM items WHERE position >= 0")[0]
        if count != self._length:
            raise BundleError(_damage(self._path, f"{count} items at {self._length} positions"))

    def search(self, query: str, limit: int = 20) -> list[Item]:
        """The items whose title, creator and categories have words that begin as those of ``query`` do, best first.

        Case and accents do not matter and no character has a special meaning. Titles that are the
        query, begin with it or hold it come first, the shortest of each kind leading; then the rest
        by BM25, the title weighted most. One letter is looked for in titles only.

        A list shorter than ``limit`` is filled up with items that hold every part of ``query``
        anywhere, description included; so are queries in scripts written without spaces (Chinese,
        Japanese, ...). Parts beyond the 32nd are
        left out.
        """
        query = _without_surrogates(query)
        folded = " ".join(fold(query).split()[:_MOST_WORDS])
        if not folded or limit < 1:
            return []
        # FTS5 folds by itself, so it is given the words as they stand.
        words = _WORD.findall(unicodedata.normalize("NFC", query))[:_MOST_WORDS]
        found: list[Item] = []
        if self._finds_words and words and not _UNSPACED.search(query):
            column = "title : " if len(folded) == 1 else ""
            match = " ".join(f'{column}"{word}"*' for word in words)
            # FTS5 refuses a word that it takes for two: its edition of Unicode is another.
            with suppress(_StatementError):
                found = self._items(_WORD_SEARCH, words=match, query=folded, limit=limit)
        if not found or (len(found) < limit and len(folded) >= _SCANNED):
            listed = {item.item_id for item in found}
            anywhere = self._items(_PART_SEARCH, query=folded, limit=limit)
            found += [item for item in anywhere if item.item_id not in listed]
        return self._with_added(found, folded)[:limit]

    def _with_added(self, found: list[Item], query: str) -> list[Item]:
        """``found``, best first, and the added items that hold ``query``, each before what answers it less well."""
        held = [item for item in self._added.values() if _holds(" ".join(_read(item)), query)]
        if not held:
            return found
        return sorted([*found, *held], key=lambda item: title_tier(item.title, query))

    def _items(self, sql: str, *values: str, **named: str | int) -> list[Item]:
        return [_item(self._path, row) for row in self._rows(sql, *values, **named)]

    def _found(
        self, columns: str, key: str, values: Sequence[str] | Sequence[int]
    ) -> Iterator[Any]:
        """The rows whose ``key`` is one of ``values``."""
        for start in range(0, len(values), _ID_BATCH):
            batch = values[start : start + _ID_BATCH]
            marks = ", ".join("?" * len(batch))
            yield from self._rows(f"SELECT {columns} FROM items WHERE {key} IN ({marks})", *batch)

    def _rows(self, sql: str, *values: str | int, **named: str | int) -> list[Any]:
        try:
            with self._lock:
                return self._connection.execute(sql, named or values).fetchall()
        except sqlite3.OperationalError as error:
            raise _StatementError(_damage(self._path, error)) from error
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise BundleError(_damage(self._path, error)) from error

    @classmethod
    def write(cls, path: str | Path, items: Iterable[Item]) -> None:
        """Write a catalogue, whole or not at all; the same items give the same bytes.

        Raises:
            DataError: an id stands twice, or a value is one that SQLite cannot hold.
        """
        with (
            atomic_write(Path(path)) as temporary,
            closing(sqlite3.connect(temporary, isolation_level=None)) as connection,
        ):
            # The file is thrown away unless all goes well: no journal is needed.
            for pragma in ("page_size = 4096", "auto_vacuum = NONE", "journal_mode = OFF"):
                connection.execute(f"PRAGMA {pragma}")
            connection.execute(_SCHEMA)
            connection.execute("BEGIN")
            for position, item in enumerate(items):
                _insert(connection, position, item)
            _pack_descriptions(connection)
            connection.execute("COMMIT")
            if _has_fts5(connection):
                connection.execute(_FULL_TEXT_SCHEMA)
                for command in ("rebuild", "optimize"):
                    connection.execute("INSERT INTO items_fts (items_fts) VALUES (?)", (command,))
            connection.execute("VACUUM")


def fold(text: str) -> str:
    """``text`` without case and accents, to compare by."""
    if text.isascii():
        return text.lower()
    return _ACCENTS.sub("", unicodedata.normalize("NFKD", text.casefold()))


def title_tier(title: str, query: str) -> int:
    """How well a title answers a folded query; 0 is best. Its article may be left out."""
    title = fold(title)
    starts = (0, article.end() if (article := _ARTICLE.match(title)) else 0)
    if query in (title[start:] for start in starts):
        return _EXACT
    at = f" {title}".find(f" {query}")
    if at < 0:
        return _HOLDS if query in title else _REST
    end = at + len(query)
    if title[end : end + 1].isalnum():
        return _HOLDS_BEGINNING
    return _BEGINS if at in starts else _HOLDS_WORDS


def _read(item: Item) -> tuple[str, ...]:
    return item.title, item.creator, item.categories, item.description


def _holds(text: str, query: str) -> bool:
    folded = fold(text)
    return all(part in folded for part in query.split())


def _item(path: Path, row: tuple[Any, ...]) -> Item:
    item_id, title, text, description, categories, creator, year = row
    # SQLite notices damage to its structure, not to the values.
    texts = (item_id, title, text or "", description, categories, creator)
    if not all(isinstance(value, str) for value in texts) or not isinstance(year, int | None):
        raise BundleError(_damage(path, f"a value of another type in item {item_id!r}"))
    # An empty text is made from the template again.
    return Item(item_id, title, text or "", description, categories, creator, year)


def _insert(connection: sqlite3.Connection, position: int, item: Item) -> None:
    item_id, title, text, *others = astuple(item)
    own_text = None if text == item.template_text() else text
    try:
        connection.execute(
            "INSERT INTO items VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (position, item_id, title, own_text, *others),
        )
    except (
        sqlite3.IntegrityError,
        sqlite3.ProgrammingError,
        UnicodeEncodeError,
        OverflowError,
    ) as error:
        raise DataError(
            f"item {item_id!r}: expected a unique id, text and a year, found: {error}"
        ) from error


def _pack_descriptions(connection: sqlite3.Connection) -> None:
    """Replace every description by its packed bytes."""
    ((size,),) = connection.execute("SELECT coalesce(sum(length(description)), 0) FROM items")
    every = "SELECT description FROM items WHERE position % ? = 0 ORDER BY position"
    sampled = connection.execute(every, (max(_SAMPLED, size // WINDOW),))
    dictionary = shared_dictionary("".join(text for (text,) in sampled))
    connection.execute(_DICTIONARY_SCHEMA)
    connection.execute("INSERT INTO packing VALUES (?)", (dictionary,))
    connection.create_function("deflate", 1, deflater(dictionary))
    connection.execute("UPDATE items SET description = deflate(description)")


def _has_fts5(connection: sqlite3.Connection) -> bool:
    modules = "SELECT 1 FROM pragma_module_list WHERE name = 'fts5'"
    return bool(connection.execute(modules).fetchall())


def _without_surrogates(text: str) -> str:
    return text if text.isascii() else text.encode(errors="ignore").decode()


def _damage(path: Path, found: Exception | str) -> str:
    return (
        f"{path}: expected a catalogue (SQLite with a table 'items'), found: {found}; "
        "fetch or build the bundle again"
    )
