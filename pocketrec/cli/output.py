"""What is printed where: results on stdout, everything else on stderr."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from pocketrec.catalogue import Catalogue


@cache
def results() -> "Console":
    """The console for what was asked for."""
    from rich.console import Console

    return Console(highlight=False)


@cache
def messages() -> "Console":
    """The console for progress, notes and warnings."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def say(text: str) -> None:
    """One line on stderr, never read as markup: ids and titles may hold square brackets."""
    messages().print(text, markup=False, soft_wrap=True)


def to_json(value: Any) -> str:
    # Characters that the terminal's encoding does not know leave as \u escapes.
    unicode = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    try:
        text = json.dumps(value, ensure_ascii=not unicode, allow_nan=False)
        text.encode("utf-8")
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can hold and UTF-8 cannot
        text = json.dumps(value, allow_nan=False)
    return text


def print_json(value: Any) -> None:
    """One JSON value on one line of stdout."""
    print(to_json(value))


def table(
    *columns: str, right: Iterable[str] = (), title: str | None = None, narrow: bool = False
) -> "Table":
    """A plain table; the columns in ``right`` hold numbers. The first column and the numbers are never cut.

    Args:
        narrow: fits more columns into a line of 80 characters.
    """
    from rich import box
    from rich.table import Table

    made = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        number = column in right
        made.add_column(
            column, justify="right" if number else "left", overflow="fold", no_wrap=number
        )
    if narrow:
        made.padding, made.show_edge = (0, 1, 0, 0), False
    return made


def cell(text: str) -> str:
    """Text for a table, with its square brackets kept."""
    from rich.markup import escape

    return escape(text)


def print_ledger(rows: Sequence[Mapping[str, Any]]) -> None:
    """The accuracy at every hand-over, then what stood for each stage: its names are too long for a table."""
    numbers = ("Recall@10", "NDCG@10", "95 % interval", "Recall@20", "MRR")
    made = table("stage", *numbers, right=numbers)
    for row in rows:
        low, high = row.get("ndcg@10_ci", (None, None))
        made.add_row(
            cell(str(row["stage"])),
            _number(row.get("recall@10")),
            _number(row.get("ndcg@10")),
            "" if low is None else f"{low:.4f} to {high:.4f}",
            _number(row.get("recall@20")),
            _number(row.get("mrr")),
        )
    results().print(made)
    for row in rows:
        if row.get("name", row["stage"]) != row["stage"]:
            print(f"{row['stage']:<14} {row['name']}")
    print()


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def titles(catalogue: "Catalogue", ids: Iterable[str]) -> dict[str, str]:
    """Title (year) of each item that the catalogue holds."""
    found = catalogue.get_many(list(dict.fromkeys(ids)))
    return {
        item.item_id: f"{item.title} ({item.year})" if item.year is not None else item.title
        for item in found
    }


def size(path: Path) -> str:
    """Size of a file, or of all files of a folder, in the unit a person would use."""
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    count = sum(file.stat().st_size for file in files)
    for unit, factor in (("MB", 1_000_000), ("kB", 1_000)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count} bytes"
