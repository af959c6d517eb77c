"""Arguments and options that several commands share."""

import json
from pathlib import Path
from typing import Annotated

import typer

from pocketrec.errors import UsageError

Bundle = Annotated[Path, typer.Argument(metavar="BUNDLE", help="A bundle: its folder or .zip.")]
Data = Annotated[
    str,
    typer.Option(
        metavar="DIR", help="A data folder (see `pocketrec data list`), or movielens-small-2016."
    ),
]
History = Annotated[
    str | None,
    typer.Option(
        metavar="ID,ID", help="Item ids, oldest first; a JSON list where ids hold commas."
    ),
]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run.")]
Count = Annotated[int, typer.Option("-k", metavar="K", help="How many items.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]


def parse_history(text: str, option: str = "--history") -> list[str]:
    """``a,b`` or ``["a", "b"]`` as ids.

    Raises:
        UsageError: it starts like a JSON list and is none.
    """
    if not text.lstrip().startswith("["):
        return [part for part in (piece.strip() for piece in text.split(",")) if part]
    try:
        ids = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"{option}: expected a JSON list of ids, found {text[:80]!r}: {error}"
        ) from error
    return as_ids(ids, option, UsageError)


def as_ids(value: object, where: str, error: type[Exception]) -> list[str]:
    """A JSON list of texts or whole numbers as ids; anything else raises ``error``."""
    if not isinstance(value, list):
        raise error(f"{where}: expected a list of item ids, found {json.dumps(value)[:80]}")
    for entry in value:
        if not isinstance(entry, str | int) or isinstance(entry, bool):
            raise error(
                f"{where}: expected item ids, texts or whole numbers, found {json.dumps(entry)[:80]}"
            )
    return [str(entry) for entry in value]


def data_folder(name: str) -> Path:
    """A data folder by its path, or the demo's by its name."""
    from pocketrec import movielens

    path = Path(name)
    return movielens.folder() if name == movielens.NAME and not path.exists() else path
