"""items/: what the ranker needs to know of every item, in arrays that are mapped from disk and not read."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pocketrec.cold_items import impute
from pocketrec.encoders import SequenceEncoder
from pocketrec.engine import Engine
from pocketrec.errors import BundleError
from pocketrec.files import atomic_write
from pocketrec.item_vectors import Int8Vectors
from pocketrec.neighbour_table import NeighbourIndex, NeighbourTable
from pocketrec.quantize import LEVELS, quantize, quantize_rows
from pocketrec.ranker import Ranker, RankerSettings

Float32 = npt.NDArray[np.float32]
Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
Int8 = npt.NDArray[np.int8]

_ARRAYS: Final[dict[str, tuple[tuple[str, ...], str]]] = {
    "vectors": (("int8",), "dN"),
    "scales": (("float32",), "N"),
    "sums": (("float32",), "N"),
    "popularity": (("float32",), "N"),
    "starts": (("int32",), "S"),
    "targets": (("uint16", "uint32"), "E"),
    "weights": (("int8",), "E"),
    "weight_scales": (("float32",), "N"),
}
"""Name -> dtypes and shape of each array; the same letter stands for the same size."""
FILES: Final = tuple(f"{name}.npy" for name in _ARRAYS)


@dataclass(frozen=True)
class ItemTable:
    """One place an item, in the catalogue's order, and the entries of the neighbour table.

    Attributes:
        vectors: int8 [d, N]; item i has the unit vector ``vectors[:, i] * scales[i]``.
        scales: float32 [N].
        sums: float32 [N], the columns of ``vectors`` added up.
        popularity: float32 [N] interaction counts in training; 0 = a cold item.
        starts: int32 [N + 1]; history item i has the entries ``starts[i]`` to ``starts[i + 1]``.
        targets: uint16 [E], or uint32 where N is over 65,536: the scored item of each entry, rising within a history
            item.
        weights: int8 [E]; an entry stands for ``weights[e] * weight_scales[targets[e]]``.
        weight_scales: float32 [N].
    """

    vectors: Int8
    scales: Float32
    sums: Float32
    popularity: Float32
    starts: Int32
    targets: npt.NDArray[np.unsignedinteger]
    weights: Int8
    weight_scales: Float32

    @classmethod
    def quantized(cls, vectors: Float32, table: NeighbourTable, popularity: Float32) -> "ItemTable":
        """The table for float32 [N, d] unit vectors and a neighbour table in full precision."""
        scales = weight_scales(table)
        weights = quantize(table.weights, scales[table.targets])
        return cls._of(
            *quantize_rows(vectors), popularity, table.sources, table.targets, weights, scales
        )

    @classmethod
    def _of(
        cls,
        levels: Int8,
        scales: Float32,
        popularity: Float32,
        sources: Int64,
        targets: Int64,
        weights: Int8,
        weight_scales: Float32,
    ) -> "ItemTable":
        """``levels`` int8 [N, d], entries in the order of ``NeighbourTable``."""
        items = len(levels)
        counts = np.bincount(sources, minlength=items)
        return cls(
            np.ascontiguousarray(levels.T),
            scales,
            levels.sum(axis=1, dtype=np.float32),
            popularity.astype(np.float32),
            np.concatenate([[0], np.cumsum(counts)]).astype(np.int32),
            targets.astype(np.uint16 if items <= 1 << 16 else np.uint32),
            weights,
            weight_scales,
        )

    def __len__(self) -> int:
        return len(self.scales)

    @property
    def dimensions(self) -> int:
        return len(self.vectors)

    def unit_vectors(self) -> Float32:
        """float32 [N, d]."""
        return (self.vectors * self.scales).T

    def index(self) -> NeighbourIndex:
        """The neighbour table as the ranker reads it, on these very arrays."""
        return NeighbourIndex(self.starts, self.targets, self.weights, self.weight_scales)

    def neighbours(self) -> NeighbourTable:
        """The neighbour table in full precision."""
        sources = np.repeat(np.arange(len(self)), np.diff(self.starts))
        targets = self.targets.astype(np.int64)
        weights = self.weights * self.weight_scales[targets]
        return NeighbourTable(len(self), sources, targets, weights)

    def extended(self, vectors: Float32, support: float) -> "ItemTable":
        """This table with cold items after its own, which stay as they are.

        Args:
            vectors: float32 [M, d] unit vectors of the new items; what speaks for them is imputed from these.
            support: what the weights of a new item add up to.
        """
        known = self.neighbours()
        sources, targets, weights = impute(vectors, self.unit_vectors(), support)
        items = len(self) + len(vectors)
        new = NeighbourTable.from_entries(items, sources, len(self) + targets, weights)
        new_scales = weight_scales(new)
        sources = np.concatenate([known.sources, new.sources])
        targets = np.concatenate([known.targets, new.targets])
        entries = np.concatenate([self.weights, quantize(new.weights, new_scales[new.targets])])
        order = np.argsort(sources * items + targets)
        levels, scales = quantize_rows(vectors)
        return self._of(
            np.concatenate([self.vectors.T, levels]),
            np.concatenate([self.scales, scales]),
            np.concatenate([self.popularity, np.zeros(len(vectors), dtype=np.float32)]),
            sources[order],
            targets[order],
            entries[order],
            np.concatenate([self.weight_scales, new_scales[len(self) :]]),
        )

    def write(self, folder: Path) -> None:
        """Write every array into ``folder``, which is made."""
        for name in _ARRAYS:
            with atomic_write(folder / f"{name}.npy") as temporary, temporary.open("wb") as stream:
                np.save(stream, getattr(self, name))

    @classmethod
    def read(cls, folder: Path) -> "ItemTable":
        """Map a table; nothing but names, types and sizes is looked at yet, see `check`.

        Raises:
            BundleError: an array is missing, or of another dtype or shape.
        """
        sizes: dict[str, int] = {}
        arrays = {}
        for name, (kinds, shape) in _ARRAYS.items():
            path = folder / f"{name}.npy"
            array = arrays[name] = _mapped(path)
            _check_shape(path, array, kinds, shape, sizes)
        table = cls(**arrays)
        if not len(table) or not table.dimensions:
            raise BundleError(f"{folder}: expected at least one item and dimension, found none")
        if sizes["S"] != len(table) + 1 or table.starts[-1] != sizes["E"]:
            raise BundleError(
                f"{folder / 'starts.npy'}: expected {len(table) + 1} numbers up to {sizes['E']}, "
                f"found {sizes['S']} up to {table.starts[-1]}; build the bundle again"
            )
        return table

    def check(self, folder: Path) -> None:
        """Look at every value of a table that was read from ``folder``.

        Raises:
            BundleError: an array holds values that no table has.
        """
        inner = np.ones(len(self.targets), dtype=bool)
        inner[self.starts[:-1][self.starts[:-1] < len(inner)]] = False
        sound = {
            "starts": self.starts[0] == 0 and (np.diff(self.starts) >= 0).all(),
            "targets": bool((self.targets < len(self)).all())
            and bool((np.diff(self.targets.astype(np.int64))[inner[1:]] > 0).all()),
            "sums": np.array_equal(self.sums, self.vectors.sum(axis=0, dtype=np.float32)),
            **{
                name: np.isfinite(getattr(self, name)).all()
                for name in ("scales", "weight_scales", "popularity")
            },
        }
        expected = {
            "starts": "rising numbers from 0",
            "targets": f"items below {len(self)}, rising within a history item",
            "sums": "the sums of the vectors",
        }
        for name, holds in sound.items():
            if not holds:
                raise BundleError(
                    f"{folder / f'{name}.npy'}: expected {expected.get(name, 'finite numbers')}, found others; "
                    "build the bundle again"
                )


def table_ranker(
    table: ItemTable, encoder: Engine, scorer: Engine, settings: RankerSettings
) -> Ranker:
    """The ranker on the arrays of ``table``, with a bundle's graphs.

    Raises:
        BundleError: a graph has other inputs or outputs.
    """
    vectors = Int8Vectors(table.vectors, table.scales, table.sums, scorer)
    return Ranker(vectors, SequenceEncoder(encoder), [table.index()], table.popularity, settings)


def weight_scales(table: NeighbourTable) -> Float32:
    """The scale of each item's entries, its largest absolute weight / 127; float32 [N]."""
    largest = np.zeros(table.items, dtype=np.float32)
    np.maximum.at(largest, table.targets, np.abs(table.weights))
    return largest / np.float32(LEVELS)


def _mapped(path: Path) -> npt.NDArray[Any]:
    try:
        # A plain view: the map itself answers every slice with a Python object of its own.
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except FileNotFoundError as error:
        raise BundleError(f"{path}: expected an array, found no such file") from error
    except (OSError, EOFError, ValueError, TypeError) as error:
        raise BundleError(f"{path}: expected an array, found: {error}") from error


def _check_shape(
    path: Path, array: npt.NDArray[Any], kinds: tuple[str, ...], shape: str, sizes: dict[str, int]
) -> None:
    expected = [sizes.get(letter, letter) for letter in shape]
    fits = array.ndim == len(shape) and all(
        sizes.setdefault(letter, size) == size
        for letter, size in zip(shape, array.shape, strict=True)
    )
    if array.dtype.name not in kinds or not fits or not array.flags.c_contiguous:
        raise BundleError(
            f"{path}: expected {' or '.join(kinds)} {expected}, found {array.dtype} {list(array.shape)}; "
            "build the bundle again"
        )
