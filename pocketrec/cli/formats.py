"""Other formats read into the one schema: MovieLens folders, and any CSV or parquet with a column mapping."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Final

import polars as pl

from pocketrec import columns as c
from pocketrec import data
from pocketrec.errors import DataError, UsageError
from pocketrec.files import atomic_folder
from pocketrec.movielens import genres
from pocketrec.titles import split_title

Tables = tuple[pl.DataFrame, pl.DataFrame]
"""Items and interactions."""

ITEM_COLUMNS: Final = (c.ITEM_ID, *c.ITEM_TEXT, c.YEAR)
INTERACTION_COLUMNS: Final = (c.USER_ID, c.ITEM_ID, c.RATING, c.TIMESTAMP, c.POSITION)
SCHEMA: Final = tuple(dict.fromkeys(ITEM_COLUMNS + INTERACTION_COLUMNS))

_RATINGS: Final = (c.USER_ID, c.ITEM_ID, c.RATING, c.TIMESTAMP)
_GENRES_100K: Final = [
    "unknown",
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
]


def parse_mapping(text: str) -> dict[str, str]:
    """``user_id=user,item_id=isbn`` as {our column: the source's column}.

    Raises:
        UsageError: a part is not NAME=COLUMN, or names no column of the schema.
    """
    mapping = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, equals, column = (piece.strip() for piece in part.partition("="))
        if not equals or not column or name not in SCHEMA:
            raise UsageError(
                f"--map: expected NAME=COLUMN with a NAME of {', '.join(SCHEMA)}, found {part!r}"
            )
        mapping[name] = column
    return mapping


def import_folder(
    source: Path, out: Path, mapping: dict[str, str], items: Path | None = None
) -> data.Dataset:
    """Read ``source``, check it as every data folder is checked, and write it to ``out``.

    Raises:
        DataError: the source cannot be read or does not pass the checks; ``out`` is then not made.
        UsageError: ``source`` does not exist, is of no known format, or ``out`` exists.
    """
    if out.exists():
        raise UsageError(
            f"{out}: expected a path for a new folder, found something there; choose another"
        )
    items_table, interactions = _tables(source, mapping, items)
    with atomic_folder(out) as temporary:
        items_table.write_parquet(temporary / "items.parquet")
        interactions.write_parquet(temporary / "interactions.parquet")
        try:
            data.load(temporary)
        except DataError as error:
            # The reader names the file it read, which nobody else knows.
            said = str(error)
            for name in ("items", "interactions"):
                said = said.replace(str(temporary / f"{name}.parquet"), f"{source}: {name}")
            raise DataError(said) from error
    return data.load(out)


def _tables(source: Path, mapping: dict[str, str], items: Path | None) -> Tables:
    if not source.exists():
        raise UsageError(f"{source}: expected a folder or file to import, found none")
    if source.is_file():
        interactions = _read(source)
        separate = interactions if items is None else _read(items)
        return _mapped(source, separate, interactions, mapping)
    for names, read in _FOLDERS.items():
        if all((source / name).is_file() for name in names):
            if mapping:
                raise UsageError(f"{source}: a MovieLens folder needs no --map, found {mapping}")
            return read(source)
    paths = [_find(source, stem) for stem in ("items", "interactions")]
    return _mapped(source, _read(paths[0]), _read(paths[1]), mapping)


def _mapped(
    source: Path, items: pl.DataFrame, interactions: pl.DataFrame, mapping: dict[str, str]
) -> Tables:
    """Both tables with our column names, other columns left out."""
    for name, column in mapping.items():
        if column not in items.columns and column not in interactions.columns:
            found = ", ".join(dict.fromkeys(items.columns + interactions.columns))
            raise UsageError(
                f"--map {name}={column}: {source} has no column {column!r}, found {found}"
            )
    ours = _named(source, items, ITEM_COLUMNS, mapping)
    if items is interactions:  # one table with an item's text on each of its rows
        ours = ours.unique(c.ITEM_ID, keep="first", maintain_order=True)
    return ours, _unix_seconds(_named(source, interactions, INTERACTION_COLUMNS, mapping))


def _named(
    source: Path, frame: pl.DataFrame, names: tuple[str, ...], mapping: dict[str, str]
) -> pl.DataFrame:
    """Those of ``names`` that ``frame`` has under its own or their mapped name; the first two must be there."""
    columns = {name: mapping.get(name, name) for name in names}
    for name in names[:2]:
        if columns[name] not in frame.columns:
            raise DataError(
                f"{source}: expected column {name!r}, found {', '.join(frame.columns)}; "
                f"say which it is: --map {name}=COLUMN"
            )
    return frame.select(
        pl.col(column).alias(name) for name, column in columns.items() if column in frame.columns
    )


def _unix_seconds(interactions: pl.DataFrame) -> pl.DataFrame:
    """Dates written as text become unix seconds; what is neither is left for the reader to refuse."""
    if interactions.schema.get(c.TIMESTAMP) != pl.String:
        return interactions
    column = interactions[c.TIMESTAMP].replace("", None)
    if column.cast(pl.Float64, strict=False).null_count() == column.null_count():
        return interactions
    try:
        return interactions.with_columns(column.str.to_datetime(strict=True).dt.epoch("s"))
    except pl.exceptions.PolarsError:
        return interactions


def _read(path: Path) -> pl.DataFrame:
    """A CSV (any of , ; tab as separator), TSV or parquet file; CSV columns stay text."""
    try:
        if path.suffix.lower() == ".parquet":
            return pl.read_parquet(path)
        with path.open("rb") as stream:
            head = stream.readline()
        if not head.strip():
            raise DataError(f"{path}: expected a table with a header, found an empty file")
        separator = max((b",", b";", b"\t"), key=head.count).decode()
        return pl.read_csv(path, separator=separator, infer_schema=False)
    except (pl.exceptions.PolarsError, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(
            f"{path}: expected a readable CSV or parquet file, found: {reason}"
        ) from error


def _find(source: Path, stem: str) -> Path:
    for suffix in (".parquet", ".csv", ".tsv"):
        if (source / f"{stem}{suffix}").is_file():
            return source / f"{stem}{suffix}"
    known = "; ".join(" + ".join(names) for names in _FOLDERS)
    found = ", ".join(sorted(path.name for path in source.iterdir())) or "nothing"
    raise UsageError(
        f"{source}: expected items and interactions (.csv or .parquet) or a MovieLens folder ({known}), "
        f"found {found}"
    )


def _movielens_csv(source: Path) -> Tables:
    names = {"userId": c.USER_ID, "movieId": c.ITEM_ID}
    movies = _read(source / "movies.csv").rename(names, strict=False)
    return _films(source, movies), _read(source / "ratings.csv").rename(names, strict=False)


def _movielens_1m(source: Path) -> Tables:
    movies = _separated(source / "movies.dat", "::", (c.ITEM_ID, c.TITLE, "genres"))
    return _films(source, movies), _separated(source / "ratings.dat", "::", _RATINGS)


def _movielens_100k(source: Path) -> Tables:
    names = (c.ITEM_ID, c.TITLE, "released", "video", "address", *_GENRES_100K)
    movies = _separated(source / "u.item", "|", names)
    chosen = pl.concat_list(pl.when(pl.col(g) == "1").then(pl.lit(g)) for g in _GENRES_100K[1:])
    movies = movies.with_columns(chosen.list.drop_nulls().list.join("|").alias("genres"))
    return _films(source, movies), _separated(source / "u.data", "\t", _RATINGS)


def _separated(path: Path, separator: str, names: tuple[str, ...]) -> pl.DataFrame:
    """A Latin-1 table without a header, as the older MovieLens sets are written."""
    # polars separates by one byte; the unit separator stands in no title.
    text = path.read_text(encoding="latin-1").replace(separator, "\x1f")
    try:
        frame = pl.read_csv(
            io.StringIO(text),
            separator="\x1f",
            has_header=False,
            quote_char=None,
            infer_schema=False,
        )
        return frame.rename(dict(zip(frame.columns, names, strict=True)))
    except (pl.exceptions.PolarsError, ValueError) as error:
        raise DataError(
            f"{path}: expected {len(names)} columns separated by {separator!r}, found: {error}"
        ) from error


def _films(source: Path, movies: pl.DataFrame) -> pl.DataFrame:
    """Items from MovieLens's own way of writing titles, years and genres."""
    for name in (c.ITEM_ID, c.TITLE, "genres"):
        if name not in movies.columns:
            raise DataError(
                f"{source}: expected column {name!r} of the films, found {', '.join(movies.columns)}"
            )
    parsed = [split_title(title or "") for title in movies[c.TITLE]]
    return pl.DataFrame(
        {
            c.ITEM_ID: movies[c.ITEM_ID],
            c.TITLE: [title for title, _ in parsed],
            c.CATEGORIES: [genres(joined or "") for joined in movies["genres"]],
            c.YEAR: pl.Series([year for _, year in parsed], dtype=pl.Int32),
        }
    )


_FOLDERS: Final[dict[tuple[str, str], Callable[[Path], Tables]]] = {
    ("movies.csv", "ratings.csv"): _movielens_csv,
    ("movies.dat", "ratings.dat"): _movielens_1m,
    ("u.item", "u.data"): _movielens_100k,
}
