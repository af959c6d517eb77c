"""Real ratings and item text, checked once at the edge and trusted after that.

A data folder holds ``items`` and ``interactions`` as parquet or CSV. Required columns: ``item_id`` and ``title``;
``user_id`` and ``item_id``. Optional: description, categories, creator, year; rating, timestamp (unix seconds) and
position (order within the user).
"""

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pocketrec import columns as c
from pocketrec.errors import DataError
from pocketrec.ids import IdMap
from pocketrec.text import item_text

if TYPE_CHECKING:
    import polars

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Dataset:
    """One domain: a catalogue with its users.

    Attributes:
        name: the folder's name.
        items: the catalogue, one row an item, in the order of ``ids``.
        user_ids: external ids, one for each sequence.
        sequences: per user the item indices, oldest first, each item once; int64 [n_u]. Rows without a known order
            come first, so that they never stand for the last choice.
        unordered: per user how many leading entries of the sequence have no known order; int64 [U].
        ratings: per user the ratings beside ``sequences``, NaN where the source has none; float32 [n_u].
        timestamps: per user unix seconds beside ``sequences``, -1 where unknown; int64 [n_u].
        notes: what was repaired while reading, one line each.
    """

    name: str
    items: "polars.DataFrame"
    user_ids: list[str]
    sequences: list[Indices]
    unordered: Indices
    ratings: list[npt.NDArray[np.float32]]
    timestamps: list[Indices]
    notes: tuple[str, ...] = field(default=())

    @cached_property
    def ids(self) -> IdMap:
        return IdMap(self.items[c.ITEM_ID].to_list())

    @cached_property
    def texts(self) -> list[str]:
        names = (c.TITLE, c.DESCRIPTION, c.CATEGORIES, c.CREATOR, c.YEAR)
        return [item_text(*row) for row in self.items.select(names).iter_rows()]

    @cached_property
    def titles(self) -> list[str]:
        """The beginnings of ``texts``: title, year and creator."""
        rows = self.items.select(c.TITLE, c.CREATOR, c.YEAR).iter_rows()
        return [item_text(title, creator=creator, year=year) for title, creator, year in rows]

    @property
    def ordered(self) -> bool:
        """Whether any interaction has a known place in its user's history."""
        return any(len(s) > n for s, n in zip(self.sequences, self.unordered, strict=True))

    @cached_property
    def fingerprint(self) -> str:
        """Hash of everything that a model can see."""
        digest = hashlib.blake2b(digest_size=16)
        for external, text in zip(self.ids.ids, self.texts, strict=True):
            digest.update(f"{external}\x1f{text}\x1e".encode("utf-8", "surrogatepass"))
        for user, sequence in zip(self.user_ids, self.sequences, strict=True):
            digest.update(f"{user}\x1f".encode("utf-8", "surrogatepass"))
            digest.update(sequence.tobytes())
        digest.update(self.unordered.tobytes())
        return digest.hexdigest()


def load(folder: Path) -> Dataset:
    """Read and check a data folder.

    Raises:
        DataError: a file or column is missing, of the wrong type, empty, or an id is missing or stands twice.
    """
    items, interactions, notes = tables(folder)
    return _assemble(folder.resolve().name, items, interactions, notes)


def tables(folder: Path) -> tuple["polars.DataFrame", "polars.DataFrame", list[str]]:
    """The checked items and interactions of a data folder, and what was repaired.

    Raises:
        DataError: as ``load`` does.
    """
    if not folder.is_dir():
        raise DataError(
            f"{folder}: expected a data folder with items and interactions, found no such folder"
        )
    notes: list[str] = []
    items = _read_items(_find(folder, "items"))
    return items, _read_interactions(_find(folder, "interactions"), items, notes), notes


def _find(folder: Path, stem: str) -> Path:
    for suffix in (".parquet", ".csv"):
        if (folder / f"{stem}{suffix}").is_file():
            return folder / f"{stem}{suffix}"
    found = ", ".join(sorted(p.name for p in folder.iterdir())) or "nothing"
    raise DataError(f"{folder}: expected {stem}.parquet or {stem}.csv, found {found}")


def _read(path: Path, required: tuple[str, ...]) -> "polars.DataFrame":
    import polars as pl

    if path.stat().st_size == 0:
        raise DataError(f"{path}: the file is empty; expected columns {', '.join(required)}")
    try:
        if path.suffix == ".csv":
            frame = pl.read_csv(path, infer_schema=False)  # ids such as 007 stay text
        else:
            frame = pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(
            f"{path}: expected a readable {path.suffix[1:]} file, found: {reason}"
        ) from error
    if missing := [name for name in required if name not in frame.columns]:
        found = ", ".join(frame.columns)
        raise DataError(f"{path}: expected column {missing[0]!r}, found {found}; rename or add it")
    if frame.is_empty():
        raise DataError(f"{path}: expected at least one row, found none")
    return frame


def _cast(path: Path, frame: "polars.DataFrame", name: str, dtype: Any) -> "polars.DataFrame":
    """``frame`` with column ``name`` as ``dtype`` (added as nulls when absent); NaN becomes null."""
    import polars as pl

    if name not in frame.columns:
        return frame.with_columns(pl.lit(None, dtype=dtype).alias(name))
    column = frame[name]
    if column.dtype.is_nested():
        raise DataError(
            f"{path}: column {name!r}: expected {dtype}, found {column.dtype}; flatten it"
        )
    if column.dtype.is_temporal() and dtype == pl.Int64:
        column = column.dt.epoch("s")
    if column.dtype == pl.String and dtype != pl.String:
        column = column.replace(["", "NaN", "nan"], [None, None, None])
    whole = column
    if dtype.is_integer() and not column.dtype.is_integer():
        whole = column.cast(pl.Float64, strict=False)  # "1997.0" is a year too
    if whole.dtype.is_float():
        whole = whole.fill_nan(None)
        column = column.fill_nan(None) if column.dtype.is_float() else column
    cast = whole.cast(dtype, strict=False)
    bad = column.is_not_null() & cast.is_null()
    if bad.any():
        found = column.filter(bad)[0]
        raise DataError(
            f"{path}: column {name!r}: expected {dtype}, found {found!r} ({int(bad.sum())} such rows)"
        )
    return frame.with_columns(cast.alias(name))


def _require_ids(path: Path, frame: "polars.DataFrame", name: str) -> None:
    import polars as pl

    missing = int((frame[name].is_null() | frame[name].is_in(["", "NaN", "nan"])).sum())
    if missing:
        first = frame.with_row_index("row").filter(
            pl.col(name).is_null() | (pl.col(name).is_in(["", "NaN", "nan"]))
        )
        raise DataError(
            f"{path}: column {name!r}: expected an id in every row, found {missing} rows without one "
            f"(the first is row {first['row'][0] + 1}); fill or drop them"
        )


def _read_items(path: Path) -> "polars.DataFrame":
    import polars as pl

    frame = _read(path, (c.ITEM_ID, c.TITLE))
    for name in (c.ITEM_ID, *c.ITEM_TEXT):
        frame = _cast(path, frame, name, pl.String())
    frame = _cast(path, frame, c.YEAR, pl.Int32())
    _require_ids(path, frame, c.ITEM_ID)
    twice = frame.filter(frame[c.ITEM_ID].is_duplicated())
    if not twice.is_empty():
        raise DataError(
            f"{path}: column 'item_id': expected each id once, found {twice[c.ITEM_ID][0]!r} "
            f"{int((frame[c.ITEM_ID] == twice[c.ITEM_ID][0]).sum())} times; keep one row an item"
        )
    untitled = pl.col(c.TITLE).is_null() | (pl.col(c.TITLE).str.strip_chars() == "")
    return frame.select(
        c.ITEM_ID,
        # An item whose title is missing can still be recommended; its id is all there is to call it by.
        pl.when(untitled).then(pl.col(c.ITEM_ID)).otherwise(pl.col(c.TITLE)).alias(c.TITLE),
        *(pl.col(name).fill_null("") for name in (c.DESCRIPTION, c.CATEGORIES, c.CREATOR)),
        c.YEAR,
    )


def _read_interactions(
    path: Path, items: "polars.DataFrame", notes: list[str]
) -> "polars.DataFrame":
    import polars as pl

    frame = _read(path, (c.USER_ID, c.ITEM_ID))
    for name, dtype in (
        (c.USER_ID, pl.String()),
        (c.ITEM_ID, pl.String()),
        (c.RATING, pl.Float32()),
        (c.TIMESTAMP, pl.Int64()),
        (c.POSITION, pl.Int64()),
    ):
        frame = _cast(path, frame, name, dtype)
    _require_ids(path, frame, c.USER_ID)
    _require_ids(path, frame, c.ITEM_ID)
    frame = frame.select(c.USER_ID, c.ITEM_ID, c.RATING, c.TIMESTAMP, c.POSITION)
    known = frame.filter(frame[c.ITEM_ID].is_in(items[c.ITEM_ID].implode()))
    if known.is_empty():
        raise DataError(
            f"{path}: no interaction names an item of the catalogue, for example {frame[c.ITEM_ID][0]!r}; "
            "check that both files use the same item ids"
        )
    if lost := frame.height - known.height:
        notes.append(
            f"{lost:,} of {frame.height:,} interactions name no item of the catalogue and were left out"
        )
    return known


def _assemble(
    name: str, items: "polars.DataFrame", interactions: "polars.DataFrame", notes: list[str]
) -> Dataset:
    import polars as pl

    index = pl.DataFrame(
        {c.ITEM_ID: items[c.ITEM_ID], "item": np.arange(items.height, dtype=np.int64)}
    )
    # Order within a user: timestamp, else position. Rows with neither go first and are counted as unordered.
    time = pl.coalesce(c.TIMESTAMP, c.POSITION)
    placed = (
        interactions.join(index, on=c.ITEM_ID, how="left", maintain_order="left")
        .with_columns(time.is_not_null().alias("placed"))
        .with_columns(time.fill_null(0).alias("time"))
        .sort("placed", "time", maintain_order=True)
    )
    unique = placed.unique(subset=[c.USER_ID, "item"], keep="first", maintain_order=True)
    if repeated := placed.height - unique.height:
        notes.append(f"{repeated:,} repeated (user, item) pairs were left out, the first kept")
    users = unique.group_by(c.USER_ID, maintain_order=True).agg(
        "item",
        pl.col(c.RATING).fill_null(float("nan")),
        pl.col(c.TIMESTAMP).fill_null(-1),
        (~pl.col("placed")).sum().alias("unordered"),
    )
    return Dataset(
        name=name,
        items=items,
        user_ids=users[c.USER_ID].to_list(),
        sequences=[s.to_numpy().astype(np.int64) for s in users["item"]],
        unordered=users["unordered"].to_numpy().astype(np.int64),
        ratings=[s.to_numpy().astype(np.float32) for s in users[c.RATING]],
        timestamps=[s.to_numpy().astype(np.int64) for s in users[c.TIMESTAMP]],
        notes=tuple(notes),
    )
