"""data list, data import: known data sets, and other formats brought into the one schema."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pocketrec.cli.options import Json

if TYPE_CHECKING:
    import polars

app = typer.Typer(help="List data sets, import other formats.")


@app.command("list")
def list_folders(
    data_root: Annotated[
        Path,
        typer.Option(
            envvar="POCKETREC_DATA", metavar="DIR", help="Folder whose data folders are listed."
        ),
    ] = Path("data"),
    json: Json = False,
) -> None:
    """List the data folders under --data-root, and the demo's."""
    from pocketrec import movielens
    from pocketrec.cli.output import cell, print_json, results, say, table
    from pocketrec.errors import DataError

    folders = (
        sorted(path for path in data_root.glob("*") if path.is_dir()) if data_root.is_dir() else []
    )
    try:
        folders.append(movielens.folder())
    except DataError as error:
        say(str(error))
    found = [facts for folder in folders if (facts := _facts(folder)) is not None]
    if json:
        print_json({"data_root": str(data_root), "data": found})
        return
    numbers = ("items", "interactions")
    made = table("name", *numbers, "order", "text", right=numbers)
    for facts in found:
        made.add_row(
            cell(facts["name"]),
            f"{facts['items']:,}",
            f"{facts['interactions']:,}",
            facts["order"],
            ", ".join(facts["text"]),
        )
    results().print(made)


@app.command("import")
def import_data(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SRC", help="A MovieLens folder, or a folder or file of CSV or parquet."
        ),
    ],
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="The new data folder; must not exist yet.")
    ],
    columns: Annotated[
        str,
        typer.Option(
            "--map",
            metavar="NAME=COLUMN,...",
            help="What SRC calls our columns, for example user_id=user,item_id=isbn.",
        ),
    ] = "",
    items: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="The item table, where SRC is a file of interactions alone."
        ),
    ] = None,
) -> None:
    """Bring ratings and item text of another format into the one schema, checked."""
    from pocketrec.cli.formats import import_folder, parse_mapping
    from pocketrec.cli.output import say

    dataset = import_folder(source, out, parse_mapping(columns), items)
    for note in dataset.notes:
        say(note)
    count = sum(len(sequence) for sequence in dataset.sequences)
    say(
        f"{out}: {len(dataset.user_ids):,} users, {len(dataset.ids):,} items, {count:,} interactions"
    )
    if not dataset.ordered:
        say("no timestamp or position: the order of choices is unknown, histories are read as sets")


def _facts(folder: Path) -> dict[str, Any] | None:
    """Counts and columns of a data folder, without reading it whole; None where it is none."""
    import polars as pl

    from pocketrec import columns as c

    try:
        items, interactions = _scan(folder, "items"), _scan(folder, "interactions")
        if items is None or interactions is None:
            return None
        text = [name for name in c.ITEM_TEXT if name in items.collect_schema().names()]
        order = [
            name
            for name in (c.TIMESTAMP, c.POSITION)
            if name in interactions.collect_schema().names()
        ]
        # An empty CSV cell reads as a missing value here, as it does when the folder is loaded.
        filled = items.select(
            pl.len().alias("n"), *((pl.col(n).fill_null("") != "").sum() for n in text)
        )
        known = interactions.select(pl.len().alias("n"), *(pl.col(name).count() for name in order))
        filled_counts, known_counts = (
            filled.collect().row(0, named=True),
            known.collect().row(0, named=True),
        )
    except (pl.exceptions.PolarsError, OSError):
        return None
    return {
        "name": folder.name,
        "folder": str(folder),
        "items": filled_counts["n"],
        "interactions": known_counts["n"],
        "order": next((name for name in order if known_counts[name]), "none"),
        "text": [name for name in text if filled_counts[name]],
    }


def _scan(folder: Path, stem: str) -> "polars.LazyFrame | None":
    import polars as pl

    if (folder / f"{stem}.parquet").is_file():
        return pl.scan_parquet(folder / f"{stem}.parquet")
    if (folder / f"{stem}.csv").is_file():
        return pl.scan_csv(folder / f"{stem}.csv", infer_schema=False)
    return None
