"""JSON lines in, JSON lines out: histories to recommendations, and items to add."""

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from pocketrec import columns as c
from pocketrec.catalogue import Item
from pocketrec.cli.options import as_ids
from pocketrec.cli.output import say, to_json
from pocketrec.cli.progress import RichReport
from pocketrec.errors import DataError, UsageError
from pocketrec.files import atomic_write
from pocketrec.text import item_text

if TYPE_CHECKING:
    from pocketrec.recommender import Recommender
    from pocketrec.rules import BoundRules

STREAM = Path("-")

_TEXTS = (c.ITEM_ID, c.TITLE, c.DESCRIPTION, c.CATEGORIES, c.CREATOR)


def recommend_file(
    recommender: "Recommender",
    source: Path,
    out: Path | None,
    k: int,
    rules: "BoundRules | None" = None,
) -> None:
    """Answer every line of ``source`` on the same line of ``out``; both may be ``-``.

    Raises:
        DataError: a line is not what it should be; ``out`` is then left as it was.
        UsageError: ``k`` is below 1 or ``source`` does not exist.
    """
    if k < 1:
        raise UsageError(f"k: expected at least 1, found {k}")  # told before anything is read
    users = asked = unknown = defaults = 0
    with _lines(source) as lines, _writer(out or STREAM) as stream, _bytes_read(source) as advance:
        for number, row, read in lines:
            where = f"{source}: line {number}"
            if "user_id" not in row or "history" not in row:
                raise DataError(
                    f'{where}: expected {{"user_id": ..., "history": [ids]}}, found {_short(row)}'
                )
            history = as_ids(row["history"], where, DataError)
            disliked = as_ids(row.get("disliked", []), where, DataError)
            found = recommender.recommend(history, k, disliked=disliked, rules=rules)
            answer = {
                "user_id": row["user_id"],
                "items": [one.item_id for one in found],
                "scores": [one.score for one in found],
            }
            stream.write(to_json(answer) + "\n")
            users += 1
            asked += len(history) + len(disliked)
            unknown += len(found.unknown)
            defaults += found.is_default
            advance(read)
    if unknown:
        say(f"skipped: {unknown:,} of {asked:,} ids, which are not in the bundle")
    if defaults:
        say(
            f"default list: {defaults:,} of {users:,} users, who have no known item in their history"
        )


def read_items(source: Path) -> list[Item]:
    """Items of a JSON lines file with the fields of the item schema; ``-`` is stdin.

    Raises:
        DataError: a line is not a JSON object, or a field is missing, unknown or of another type.
        UsageError: ``source`` does not exist.
    """
    with _lines(source) as lines:
        return [_item(row, f"{source}: line {number}") for number, row, _ in lines]


def _item(row: dict[str, Any], where: str) -> Item:
    allowed = (*_TEXTS, c.YEAR)
    if stranger := next((name for name in row if name not in allowed), None):
        raise DataError(f"{where}: expected fields {', '.join(allowed)}, found {stranger!r}")
    for name in (c.ITEM_ID, c.TITLE):
        if not isinstance(row.get(name), str) or not row[name].strip():
            raise DataError(
                f"{where}: field {name!r}: expected text, found {_short(row.get(name))}"
            )
    for name in _TEXTS:
        if not isinstance(row.get(name, ""), str):
            raise DataError(f"{where}: field {name!r}: expected text, found {_short(row[name])}")
    year = row.get(c.YEAR)
    if year is not None and (not isinstance(year, int) or isinstance(year, bool)):
        raise DataError(
            f"{where}: field 'year': expected a whole number or null, found {_short(year)}"
        )
    fields = {name: row.get(name, "") for name in _TEXTS if name != c.ITEM_ID}
    return Item(item_id=row[c.ITEM_ID], text=item_text(**fields, year=year), **fields, year=year)


@contextmanager
def _lines(source: Path) -> Iterator[Iterator[tuple[int, dict[str, Any], int]]]:
    """The JSON objects of a file, each with its line number and the bytes read so far."""
    if source == STREAM:
        yield _parsed(sys.stdin.buffer, source)
        return
    if not source.exists():
        raise UsageError(f"{source}: expected a file of JSON lines, found no such file")
    with source.open("rb") as stream:
        yield _parsed(stream, source)


def _parsed(stream: Iterable[bytes], source: Path) -> Iterator[tuple[int, dict[str, Any], int]]:
    read = 0
    for number, line in enumerate(stream, start=1):
        read += len(line)
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:  # ValueError: not JSON, or not UTF-8
            raise DataError(
                f"{source}: line {number}: expected a JSON object, found: {error}"
            ) from error
        if not isinstance(row, dict):
            raise DataError(f"{source}: line {number}: expected a JSON object, found {_short(row)}")
        yield number, row, read
    if read == 0:
        raise DataError(f"{source}: expected at least one JSON line, found an empty file")


@contextmanager
def _writer(out: Path) -> Iterator[IO[str]]:
    if out == STREAM:
        yield sys.stdout
    elif out.exists() and not out.is_file():
        # A pipe or a device such as /dev/null is written to; renaming a file over it would destroy it.
        with out.open("w", encoding="utf-8") as stream:
            yield stream
    else:
        with atomic_write(out) as temporary, temporary.open("w", encoding="utf-8") as stream:
            yield stream


@contextmanager
def _bytes_read(source: Path) -> Iterator[Callable[[float], None]]:
    total = source.stat().st_size if source.is_file() else None
    with RichReport().task("recommend", total) as advance:
        yield advance


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:79]}…"
