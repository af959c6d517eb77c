"""items.npz: what the ranker needs to know of every item, in int8."""

import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pocketrec.errors import BundleError
from pocketrec.files import atomic_write
from pocketrec.neighbour_table import NeighbourTable
from pocketrec.quantize import LEVELS, dequantize_rows, quantize, quantize_rows
from pocketrec.ranker import impute

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]
Int8 = npt.NDArray[np.int8]

_ARRAYS: dict[str, tuple[str, str]] = {
    "item_ids": ("U", "N"),
    "vectors": ("int8", "Nd"),
    "scales": ("float32", "N"),
    "gaps": ("int64", "E"),
    "weights": ("int8", "E"),
    "weight_scales": ("float32", "N"),
    "popularity": ("float32", "N"),
}
"""Name -> dtype and shape of each array; the same letter stands for the same size."""


@dataclass(frozen=True)
class ItemTable:
    """One row an item, in catalogue order, and the entries of the neighbour table.

    Attributes:
        item_ids: external ids, unique.
        vectors: int8 [N, d]; row i stands for the unit vector ``vectors[i] * scales[i]``.
        scales: float32 [N].
        gaps: int64 [E]; the running sum of the gaps is ``source * N + target`` of each entry. Gaps are small numbers
            where positions are large ones, which the file's compression is good at.
        weights: int8 [E]; an entry stands for ``weights[e] * weight_scales[target]``.
        weight_scales: float32 [N].
        popularity: float32 [N] interaction counts in training; 0 = a cold item.
    """

    item_ids: tuple[str, ...]
    vectors: Int8
    scales: Float32
    gaps: Int64
    weights: Int8
    weight_scales: Float32
    popularity: Float32

    @classmethod
    def quantized(
        cls, item_ids: Sequence[str], vectors: Float32, table: NeighbourTable, popularity: Float32
    ) -> "ItemTable":
        """The table for float32 [N, d] unit vectors and a neighbour table in full precision."""
        scales = weight_scales(table)
        return cls(
            tuple(item_ids),
            *quantize_rows(vectors),
            _gaps(table),
            quantize(table.weights, scales[table.targets]),
            scales,
            popularity.astype(np.float32),
        )

    def __len__(self) -> int:
        return len(self.item_ids)

    def unit_vectors(self) -> Float32:
        return dequantize_rows(self.vectors, self.scales)

    def neighbours(self) -> NeighbourTable:
        positions = np.cumsum(self.gaps)
        sources, targets = np.divmod(positions, len(self))
        weights = self.weights * self.weight_scales[targets]
        return NeighbourTable(len(self), sources, targets, weights)

    def extended(self, item_ids: Sequence[str], vectors: Float32) -> "ItemTable":
        """This table with cold items after its own, which stay as they are.

        Args:
            item_ids: ids of the new items.
            vectors: float32 [M, d] their unit vectors; what speaks for them is imputed from these.
        """
        known, warm = self.neighbours(), self.popularity > 0
        support = float(known.support()[warm].mean()) if warm.any() else 0.0
        sources, targets, weights = impute(vectors, self.unit_vectors(), support)
        items = len(self) + len(vectors)
        levels, scales = quantize_rows(vectors)
        new = NeighbourTable.from_entries(items, sources, len(self) + targets, weights)
        new_scales = weight_scales(new)
        entries = np.concatenate([self.weights, quantize(new.weights, new_scales[new.targets])])
        positions = np.concatenate(
            [known.sources * items + known.targets, new.sources * items + new.targets]
        )
        order = np.argsort(positions)
        return ItemTable(
            self.item_ids + tuple(item_ids),
            np.concatenate([self.vectors, levels]),
            np.concatenate([self.scales, scales]),
            np.diff(positions[order], prepend=0),
            entries[order],
            np.concatenate([self.weight_scales, new_scales[len(self) :]]),
            np.concatenate([self.popularity, np.zeros(len(vectors), dtype=np.float32)]),
        )

    def write(self, path: Path) -> None:
        with atomic_write(path) as temporary, temporary.open("wb") as stream:
            arrays: dict[str, Any] = {name: getattr(self, name) for name in _ARRAYS}
            np.savez_compressed(stream, **arrays)

    @classmethod
    def read(cls, path: Path) -> "ItemTable":
        """Read and check a table.

        Raises:
            BundleError: the file cannot be read, or an array is missing, of another dtype or shape, or holds values
                that no table has.
        """
        arrays = _read_arrays(path)
        sizes: dict[str, int] = {}
        for name, (kind, shape) in _ARRAYS.items():
            _check_shape(path, name, arrays[name], kind, shape, sizes)
        _check_values(path, arrays)
        ids = tuple(arrays.pop("item_ids").tolist())
        return cls(item_ids=ids, **arrays)


def weight_scales(table: NeighbourTable) -> Float32:
    """The scale of each item's entries, its largest absolute weight / 127; float32 [N]."""
    largest = np.zeros(table.items, dtype=np.float32)
    np.maximum.at(largest, table.targets, np.abs(table.weights))
    return largest / np.float32(LEVELS)


def _gaps(table: NeighbourTable) -> Int64:
    return np.diff(table.sources * table.items + table.targets, prepend=0)


def _read_arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    try:
        with np.load(path, allow_pickle=False) as stored:
            if missing := [name for name in _ARRAYS if name not in stored]:
                found = ", ".join(stored.files) or "nothing"
                raise BundleError(f"{path}: expected array {missing[0]!r}, found {found}")
            return {name: stored[name] for name in _ARRAYS}
    # np.load gives a bare array, and no context manager, for a .npy file: TypeError.
    except (OSError, EOFError, ValueError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise BundleError(f"{path}: expected an npz file of arrays, found: {error}") from error


def _check_shape(
    path: Path, name: str, array: npt.NDArray[Any], kind: str, shape: str, sizes: dict[str, int]
) -> None:
    typed = array.dtype.kind == "U" if kind == "U" else array.dtype == np.dtype(kind)
    expected = [sizes.get(letter, letter) for letter in shape]
    fits = array.ndim == len(shape) and all(
        sizes.setdefault(letter, size) == size
        for letter, size in zip(shape, array.shape, strict=True)
    )
    if not typed or not fits:
        raise BundleError(
            f"{path}: array {name!r}: expected {'text' if kind == 'U' else kind} {expected}, "
            f"found {array.dtype} {list(array.shape)}; build the bundle again"
        )


def _check_values(path: Path, arrays: dict[str, npt.NDArray[Any]]) -> None:
    count = len(arrays["item_ids"])
    if count == 0 or arrays["vectors"].shape[1] == 0:
        raise BundleError(f"{path}: expected at least one item and dimension, found none")
    if len(set(arrays["item_ids"].tolist())) != count:
        raise BundleError(f"{path}: array 'item_ids': expected unique ids, found one twice")
    gaps = arrays["gaps"]
    # In int64 the sum of damaged gaps could wrap round to a small number.
    last = gaps.sum(dtype=np.float64)
    if gaps.size and not (gaps[0] >= 0 and (gaps[1:] > 0).all() and last < count**2):
        raise BundleError(
            f"{path}: array 'gaps': expected rising positions below {count**2}, found others up to {last:.0f}; "
            "build the bundle again"
        )
    for name in ("scales", "weight_scales", "popularity"):
        if not np.isfinite(arrays[name]).all():
            raise BundleError(
                f"{path}: array {name!r}: expected finite numbers, found NaN or infinity"
            )
