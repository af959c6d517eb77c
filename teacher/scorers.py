"""Scorers: everything that turns histories into a score for each item of the catalogue."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from scipy import sparse

from pocketrec.neighbour_table import NeighbourTable
from pocketrec.splits import Indices

Scores = npt.NDArray[np.float32]


class Scorer(Protocol):
    """Scores B histories (int64 [n] each, oldest first) over N items: float32 [B, N], higher is better."""

    @property
    def name(self) -> str: ...

    def scores(self, histories: list[Indices]) -> Scores: ...


def history_matrix(histories: list[Indices], items: int, decay: float = 1.0) -> sparse.csr_matrix:
    """Histories as a sparse float32 [B, N]: decay**age where age is 0 for a history's newest item."""
    lengths = np.array([len(h) for h in histories], dtype=np.int64)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    columns = np.concatenate([*histories, np.zeros(0, dtype=np.int64)]).astype(np.int64)
    ages = np.repeat(starts[1:], lengths) - 1 - np.arange(starts[-1])
    values = np.power(np.float32(decay), ages, dtype=np.float32)
    return sparse.csr_matrix((values, columns, starts), shape=(len(histories), items))


@dataclass(frozen=True)
class Popularity:
    """The same list for everybody: training interaction counts, float32 [N]."""

    counts: npt.NDArray[np.float32]
    name: str = "Popularity"

    def scores(self, histories: list[Indices]) -> Scores:
        return np.broadcast_to(self.counts, (len(histories), len(self.counts))).copy()


@dataclass(frozen=True)
class ItemItem:
    """Sum over the history of decay**age times a row of an item-item matrix.

    The matrix covers the ``head``: the whole catalogue, or the items that closed forms can afford. The others may be
    scored through ``tail``, a sparse matrix.

    Attributes:
        weights: float32 [H, H], dense or sparse; row = history item, column = scored item, both in the order of
            ``head``.
        head: int64 [H], item indices, ascending.
        items: N, the size of the catalogue.
        decay: how much an older history item counts beside the next newer one; 1 takes the history as a set.
        tail: float32 sparse [H, N], columns of the items outside the head; None scores them 0.
    """

    name: str
    weights: npt.NDArray[np.float32] | sparse.csr_matrix
    head: Indices
    items: int
    decay: float = 1.0
    tail: sparse.csr_matrix | None = None

    def scores(self, histories: list[Indices]) -> Scores:
        read = history_matrix(histories, self.items, self.decay)[:, self.head]
        scored = read @ self.weights
        if sparse.issparse(scored):
            scored = scored.toarray()
        if len(self.head) == self.items and self.tail is None:
            return np.asarray(scored)  # the head is the catalogue, in its own order
        whole = np.zeros((len(histories), self.items), dtype=np.float32)
        if self.tail is not None:
            whole += (read @ self.tail).toarray()
        whole[:, self.head] = scored
        return whole

    def table(self, entries: int, counts: npt.NDArray[np.float32]) -> NeighbourTable:
        """The ``entries`` of the head that scores would miss most, and all of the tail.

        Args:
            counts: training interactions of each item, float32 [N].
        """
        inner = _pruned(self.weights, entries, counts[self.head])
        outer = (
            sparse.csr_matrix((len(self.head), self.items)) if self.tail is None else self.tail
        ).tocoo()
        return NeighbourTable.from_entries(
            self.items,
            self.head[np.concatenate([inner.sources, outer.row])],
            np.concatenate([self.head[inner.targets], outer.col]),
            np.concatenate([inner.weights, outer.data]),
        )


def _pruned(
    weights: npt.NDArray[np.float32] | sparse.csr_matrix,
    entries: int,
    counts: npt.NDArray[np.float32],
) -> NeighbourTable:
    if isinstance(weights, np.ndarray):
        return NeighbourTable.from_matrix(weights, entries, counts)
    found = weights.tocoo()
    sources, targets = found.row.astype(np.int64), found.col.astype(np.int64)
    whole = NeighbourTable.from_entries(weights.shape[0], sources, targets, found.data)
    return whole.pruned(entries, counts)


def standardise(scores: Scores) -> Scores:
    """z-scores of each row over the catalogue; a constant row becomes zeros; float32 [B, N]."""
    centred = scores - scores.mean(axis=1, keepdims=True)
    deviation = centred.std(axis=1, keepdims=True)
    return np.divide(centred, deviation, out=np.zeros_like(centred), where=deviation > 0)
