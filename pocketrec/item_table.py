"""items.npz: what the ranker needs to know of every item, as int8 rows."""

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
from pocketrec.quantize import dequantize_rows, quantize_rows
from pocketrec.ranker import impute_rows

Float32 = npt.NDArray[np.float32]
Int32 = npt.NDArray[np.int32]
Int8 = npt.NDArray[np.int8]

_ARRAYS: dict[str, tuple[str, str]] = {
    "item_ids": ("U", "N"),
    "vectors": ("int8", "Nd"),
    "scales": ("float32", "N"),
    "neighbours": ("int32", "NK"),
    "weights": ("int8", "NK"),
    "weight_scales": ("float32", "N"),
    "popularity": ("float32", "N"),
}
"""Name -> dtype and shape of each array; the same letter stands for the same size."""


@dataclass(frozen=True)
class ItemTable:
    """One row an item, in catalogue order.

    Attributes:
        item_ids: external ids, unique.
        vectors: int8 [N, d]; row i stands for the unit vector ``vectors[i] * scales[i]``.
        scales: float32 [N].
        neighbours: int32 [N, K]; the history items that speak for target i, -1 = none.
        weights: int8 [N, K]; entry stands for ``weights[i] * weight_scales[i]``.
        weight_scales: float32 [N].
        popularity: float32 [N] interaction counts in training; 0 = a cold item.
    """

    item_ids: tuple[str, ...]
    vectors: Int8
    scales: Float32
    neighbours: Int32
    weights: Int8
    weight_scales: Float32
    popularity: Float32

    @classmethod
    def quantized(
        cls,
        item_ids: Sequence[str],
        vectors: Float32,
        neighbours: Int32,
        weights: Float32,
        popularity: Float32,
    ) -> "ItemTable":
        """The table for float32 [N, d] unit vectors and float32 [N, K] weights."""
        return cls(
            tuple(item_ids),
            *quantize_rows(vectors),
            neighbours.astype(np.int32),
            *quantize_rows(weights),
            popularity.astype(np.float32),
        )

    def __len__(self) -> int:
        return len(self.item_ids)

    def unit_vectors(self) -> Float32:
        return dequantize_rows(self.vectors, self.scales)

    def neighbour_weights(self) -> Float32:
        return dequantize_rows(self.weights, self.weight_scales)

    def warm_row_sum(self) -> float:
        """Mean of the summed table weights of items with interactions; 0 where there are none."""
        warm = self.neighbour_weights()[self.popularity > 0]
        return float(warm.sum(axis=1).mean()) if len(warm) else 0.0

    def extended(self, item_ids: Sequence[str], vectors: Float32) -> "ItemTable":
        """This table with cold items after its own, which stay as they are.

        Args:
            item_ids: ids of the new items.
            vectors: float32 [M, d] their unit vectors; the table's rows for them are imputed from these.
        """
        neighbours, weights = impute_rows(
            vectors, self.unit_vectors(), self.warm_row_sum(), k=self.neighbours.shape[1]
        )
        new = ItemTable.quantized(
            item_ids, vectors, neighbours, weights, np.zeros(len(vectors), dtype=np.float32)
        )
        return ItemTable(
            self.item_ids + new.item_ids,
            *(
                np.concatenate((getattr(self, name), getattr(new, name)))
                for name in _ARRAYS
                if name != "item_ids"
            ),
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
    neighbours = arrays["neighbours"]
    if neighbours.size and not (neighbours.min() >= -1 and neighbours.max() < count):
        raise BundleError(
            f"{path}: array 'neighbours': expected -1 to {count - 1}, "
            f"found {neighbours.min()} to {neighbours.max()}"
        )
    for name in ("scales", "weight_scales", "popularity"):
        if not np.isfinite(arrays[name]).all():
            raise BundleError(
                f"{path}: array {name!r}: expected finite numbers, found NaN or infinity"
            )
