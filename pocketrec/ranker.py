"""Fused scores of a catalogue for one history: a sequence encoder and an item-to-item table, z-scores added.

    s = z(exp((logits - max logits) / 2))                    = z(sqrt(softmax(logits)))
    e = z(sum over history items i in a target's row of weight * decay ** age(i))
    score = sequence_weight * s + neighbour_weight * e

with z = (x - mean) / std over the whole catalogue (zeros where std is 0) and age 0 for the newest item. The table is
EASE (Steck, 2019, arXiv:1905.03375) or a relative of it, cut to the largest entries of each target.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pocketrec.encoders import SequenceEncoder

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]

NEIGHBOURS = 20
# OpenBLAS spreads a matrix-vector product over threads from 9,216 values on. On a busy device waiting for those threads
# takes a hundred times as long as the product (12 ms against 0.05 ms), so it is handed over in smaller blocks.
BLOCK_VALUES = 8192
IMPUTED_AT_ONCE = 64


@dataclass(frozen=True)
class RankerSettings:
    """How the two scorers are added; chosen on validation and kept in the manifest.

    Attributes:
        max_length: how many of the newest history items the sequence encoder sees.
        sequence_weight: weight of the sequence encoder's z-scores.
        neighbour_weight: weight of the table's z-scores.
        decay: what an item's table entry is multiplied with for every newer item in the history; 1 = no decay.
    """

    max_length: int
    sequence_weight: float
    neighbour_weight: float
    decay: float


class Ranker:
    """Scores every item of a catalogue for a history of item indices.

    Args:
        vectors: float32 [N, d] item vectors.
        encoder: turns history vectors into a user vector.
        neighbours: int32 [N, K]; row j lists the history items that speak for target j, -1 = none.
        weights: float32 [N, K], beside ``neighbours``.
        settings: how the two scorers are added.
    """

    def __init__(
        self,
        vectors: Float32,
        encoder: SequenceEncoder,
        neighbours: Int32,
        weights: Float32,
        settings: RankerSettings,
    ) -> None:
        self._blocks = _in_blocks(vectors)
        self.vectors: Float32 = self._blocks.reshape(-1, vectors.shape[1])[: len(vectors)]
        self.settings = settings
        self._encoder = encoder
        self._neighbours = neighbours
        self._row_weights = weights
        # Turned round once: the entries of a history item must lie together to be gathered fast. A sort of
        # (history item, place) pairs as single numbers takes a tenth of the time of a stable argsort. int64 and
        # float64 because np.bincount would convert anything else at every call.
        sources = neighbours.ravel()
        pairs = sources.astype(np.int64) * sources.size + np.arange(sources.size)
        pairs.sort()
        places = pairs[np.count_nonzero(sources < 0) :] % max(sources.size, 1)
        self._targets = places // max(neighbours.shape[1], 1)
        self._weights = weights.ravel()[places].astype(np.float64)
        self._counts = np.bincount(sources[sources >= 0], minlength=len(vectors))
        self._starts = np.cumsum(self._counts) - self._counts

    def __len__(self) -> int:
        return len(self.vectors)

    def scores(self, history: Int64) -> Float32:
        """Fused scores for item indices, oldest first, each at most once; float32 [N].

        An empty history is scored as the encoder's answer to no items.

        Raises:
            BundleError: the encoder fails.
        """
        window = history[max(len(history) - self.settings.max_length, 0) :]
        user = self._encoder.encode(self.vectors[window][None])[0]
        scores = self._products(user / 2)
        scores -= scores.max()
        np.exp(scores, out=scores)
        standardize(scores, self.settings.sequence_weight)
        evidence = self.evidence(history)
        if evidence is not None:
            standardize(evidence, self.settings.neighbour_weight)
            scores += evidence.astype(np.float32)
        return scores

    def without_each(self, history: Int64, targets: Int64) -> Float32:
        """Fused scores of ``targets`` when each history item in turn was never there; float32 [n, T].

        Each row is a plain call of ``scores`` on the shorter history: the window then reaches one item further back
        and older items have one newer item less, exactly as they would have on the device. One batch through the
        encoder is no faster and, where the graph quantizes its activations by batch, not exact.
        """
        rows = [self.scores(np.delete(history, i))[targets] for i in range(len(history))]
        return np.array(rows, dtype=np.float32).reshape(len(history), len(targets))

    def similarities(self, item: int) -> Float32:
        """How alike the catalogue is to one item; float32 [N].

        The mean of z(cosine) and z(table weight, both directions added), or the cosine alone where the table has no
        entry for the item.
        """
        cosines = self._products(self.vectors[item])
        speaks_for = slice(self._starts[item], self._starts[item] + self._counts[item])
        filled = self._neighbours[item] >= 0
        table = np.zeros(len(self), dtype=np.float32)
        table[self._targets[speaks_for]] = self._weights[speaks_for]
        table[self._neighbours[item, filled]] += self._row_weights[item, filled]
        if not table.any():
            return cosines
        standardize(cosines, 0.5)
        standardize(table, 0.5)
        return cosines + table

    def _products(self, vector: Float32) -> Float32:
        """``vectors @ vector``, float32 [N], in the calling thread alone."""
        products: Float32 = np.matmul(self._blocks, vector).reshape(-1)
        return products[: len(self)]

    def evidence(self, history: Int64) -> Float64 | None:
        """The table's decayed weights summed per target, float64 [N]; None where no history item has an entry."""
        counts = self._counts[history]
        ends = counts.cumsum()
        total = int(ends[-1]) if len(ends) else 0
        if total == 0:
            return None
        # Where the entries of all history items stand: those of one item follow each other from its start.
        entries = np.arange(total) + (self._starts[history] - ends + counts).repeat(counts)
        ages = np.arange(len(history) - 1, -1, -1)
        weights = self._weights[entries] * (self.settings.decay**ages).repeat(counts)
        evidence = np.bincount(self._targets[entries], weights=weights, minlength=len(self))
        return evidence.astype(np.float64, copy=False)


def top_k(scores: Float32, k: int, excluded: Int64) -> Int64:
    """Indices of the ``k`` highest scores without ``excluded``, highest first, ties in catalogue order; int64.

    Returns fewer where the catalogue has no more.
    """
    scores = scores.copy()
    scores[excluded] = -np.inf
    if k + len(excluded) > len(scores):
        k = min(k, int(np.count_nonzero(scores > -np.inf)))
        if k == 0:
            return np.empty(0, dtype=np.int64)
    # The k-th score, then everything that reaches it: a partition of indices would pick among ties at random.
    least = np.partition(scores, len(scores) - k)[len(scores) - k]
    reached = np.flatnonzero(scores >= least)
    return reached[np.argsort(-scores[reached], kind="stable")[:k]]


def impute_rows(
    vectors: Float32, known_vectors: Float32, known_row_sum_mean: float, k: int = NEIGHBOURS
) -> tuple[Int32, Float32]:
    """Table rows for items that nobody has chosen yet, from their content.

    A new item is spoken for by its ``k`` nearest known items, in proportion to cosine ** 4 (cosines below 0 count as
    0), and its row adds up to what a row of a known item adds up to on average.

    Args:
        vectors: float32 [M, d] unit vectors of the new items.
        known_vectors: float32 [N, d] unit vectors of the known items.
        known_row_sum_mean: mean of the summed weights of known items with interactions.
        k: entries in a row.

    Returns:
        int32 [M, k] indices into ``known_vectors``, -1 = none, and float32 [M, k] weights, largest first.
    """
    neighbours = np.full((len(vectors), k), -1, dtype=np.int32)
    weights = np.zeros((len(vectors), k), dtype=np.float32)
    for start in range(0, len(vectors), IMPUTED_AT_ONCE):
        cosines = vectors[start : start + IMPUTED_AT_ONCE] @ known_vectors.T
        for row, values in enumerate(cosines, start):
            nearest = top_k(values, k, np.empty(0, dtype=np.int64))
            nearest = nearest[values[nearest] > 0]
            if len(nearest) == 0:
                continue
            shares = (values[nearest] / values[nearest[0]]) ** 4
            neighbours[row, : len(nearest)] = nearest
            weights[row, : len(nearest)] = shares * (known_row_sum_mean / shares.sum())
    return neighbours, weights


def standardize(x: Float32 | Float64, weight: float) -> None:
    """Replace ``x`` by weight * (x - mean) / std, in place; by zeros where all of ``x`` is one value."""
    mean = x.sum() / len(x)
    x -= mean
    spread = float(np.sqrt(np.square(x).sum() / len(x)))
    # Equal values differ from their mean by rounding alone.
    x *= weight / spread if spread > 1e-6 * abs(mean) else 0.0


def _in_blocks(vectors: Float32) -> Float32:
    """float32 [N, d] as [blocks, rows, d], filled up with zeros."""
    count, dimensions = vectors.shape
    rows = max(BLOCK_VALUES // dimensions, 1)
    blocks = np.zeros((-(-count // rows), rows, dimensions), dtype=np.float32)
    blocks.reshape(-1, dimensions)[:count] = vectors
    return blocks
