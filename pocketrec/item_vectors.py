"""Item vectors that a user vector is multiplied with: in full precision, or as int8 through a graph of the bundle."""

from typing import Protocol

import numpy as np
import numpy.typing as npt

from pocketrec.engine import Array, Engine
from pocketrec.errors import BundleError
from pocketrec.quantize import dequantize_rows

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]
Int8 = npt.NDArray[np.int8]
UInt8 = npt.NDArray[np.uint8]

SCORER_INPUTS = ("user", "digits", "zero", "vectors", "sums", "scales")
SCORER_OUTPUT = "products"
DIGIT_BITS = 7
"""Of a digit of the user vector. With 8, kernels for CPUs before AVX512-VNNI add two products past the end of int16."""
ONE_BY_ONE = 200_000
"""Items from which on digits are multiplied one after the other: kernels for a single row read a large matrix faster."""
# OpenBLAS spreads a matrix-vector product over threads from 9,216 values on. On a busy device waiting for those threads
# takes a hundred times as long as the product (12 ms against 0.05 ms), so it is handed over in smaller blocks.
BLOCK_VALUES = 8192


class ItemVectors(Protocol):
    """N item vectors of d dimensions."""

    def __len__(self) -> int: ...

    def rows(self, items: Int64) -> Float32:
        """The vectors of ``items`` int64 [n]; float32 [n, d]."""
        ...

    def products(self, user: Float32, digits: int = 2) -> Float32:
        """Every item's dot product with ``user`` float32 [d], in the calling thread alone; float32 [N], the caller's own.

        Args:
            digits: how finely ``user`` may be read: 2 as good as exactly, 1 twice as fast in a large catalogue.
        """
        ...


class FloatVectors:
    """Vectors in full precision; float32 [N, d]."""

    def __init__(self, vectors: Float32) -> None:
        self._blocks = _in_blocks(vectors)
        self._vectors = self._blocks.reshape(-1, vectors.shape[1])[: len(vectors)]

    def __len__(self) -> int:
        return len(self._vectors)

    def rows(self, items: Int64) -> Float32:
        return self._vectors[items]

    def products(self, user: Float32, digits: int = 2) -> Float32:
        products: Float32 = np.matmul(self._blocks, user).reshape(-1)
        return products[: len(self)]


class Int8Vectors:
    """Vectors as int8, which may be mapped from a file and are never held in another form.

    The user vector is cut into digits of 7 bits, so that the products are of uint8 by int8, which CPUs have
    instructions for: with user = step * (digits - zero) they are step * (digits @ vectors - zero * sums) * scales.

    Args:
        vectors: int8 [d, N], one column an item.
        scales: float32 [N]; item i has the vector ``vectors[:, i] * scales[i]``.
        sums: float32 [N], each column added up.
        scorer: the graph that multiplies.

    Raises:
        BundleError: the graph has other inputs or outputs.
    """

    def __init__(self, vectors: Int8, scales: Float32, sums: Float32, scorer: Engine) -> None:
        if set(scorer.inputs) != set(SCORER_INPUTS) or scorer.outputs != (SCORER_OUTPUT,):
            raise BundleError(
                f"{scorer.name}: expected inputs {', '.join(SCORER_INPUTS)} and output {SCORER_OUTPUT!r}, "
                f"found inputs {', '.join(scorer.inputs)} and outputs {', '.join(scorer.outputs)}"
            )
        self._items: dict[str, Array] = {"vectors": vectors, "scales": scales, "sums": sums}
        self._scorer = scorer

    def __len__(self) -> int:
        return len(self._items["scales"])

    def rows(self, items: Int64) -> Float32:
        rows = np.ascontiguousarray(self._items["vectors"][:, items].T)
        return dequantize_rows(rows, self._items["scales"][items])

    def products(self, user: Float32, digits: int = 2) -> Float32:
        cut, weights, zero = _digits(user, digits)
        if len(self) < ONE_BY_ONE:
            return self._run(cut, weights, zero)
        products = self._run(cut[:1], weights[:, :1], zero)
        for digit in range(1, digits):
            here = slice(digit, digit + 1)
            products += self._run(cut[here], weights[:, here], 0 * zero)
        return products

    def _run(self, digits: UInt8, weights: Float32, zero: Float32) -> Float32:
        products: Float32 = self._scorer.run(
            {"user": digits, "digits": weights, "zero": zero, **self._items}
        )
        if products.shape != (len(self),) or products.dtype != np.float32:
            raise BundleError(
                f"{self._scorer.name}: output {SCORER_OUTPUT!r}: expected float32 [{len(self)}], "
                f"found {products.dtype} {list(products.shape)}"
            )
        return products


class JoinedVectors:
    """Vectors with further ones after them: ``first``, then ``second`` [M, d]."""

    def __init__(self, first: ItemVectors, second: ItemVectors) -> None:
        self._first, self._second = first, second

    def __len__(self) -> int:
        return len(self._first) + len(self._second)

    def rows(self, items: Int64) -> Float32:
        late = items >= len(self._first)
        if not late.any():
            return self._first.rows(items)
        second = self._second.rows(items[late] - len(self._first))
        rows = np.empty((len(items), second.shape[1]), dtype=np.float32)
        rows[late], rows[~late] = second, self._first.rows(items[~late])
        return rows

    def products(self, user: Float32, digits: int = 2) -> Float32:
        return np.concatenate([v.products(user, digits) for v in (self._first, self._second)])


def _digits(user: Float32, count: int) -> tuple[UInt8, Float32, Float32]:
    """``user`` [d] as uint8 [count, d] below 128, the weights float32 [1, count] of these rows, and their zero [1]."""
    half = 1 << (DIGIT_BITS * count - 1)
    step = float(np.abs(user).max()) / (half - 1) or 1.0
    levels = np.rint(user.astype(np.float64) / step).astype(np.int64) + half
    places = DIGIT_BITS * np.arange(count - 1, -1, -1)
    cut = (levels >> places[:, None]) & ((1 << DIGIT_BITS) - 1)
    weights = (2.0**places * step).astype(np.float32)
    return cut.astype(np.uint8), weights[None], np.array([half * step], dtype=np.float32)


def _in_blocks(vectors: Float32) -> Float32:
    """float32 [N, d] as [blocks, rows, d], filled up with zeros."""
    count, dimensions = vectors.shape
    rows = max(BLOCK_VALUES // dimensions, 1)
    blocks = np.zeros((-(-count // rows), rows, dimensions), dtype=np.float32)
    blocks.reshape(-1, dimensions)[:count] = vectors
    return blocks
