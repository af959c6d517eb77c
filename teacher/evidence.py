"""What item-item models are fitted on: who chose what, what came after what, and what the texts say."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy import sparse

from pocketrec.splits import Indices
from teacher.scorers import history_matrix

PAST_DECAY = 0.8
"""What a past item counts beside the next newer one."""
REACH = 20
"""How many past items are read; the next would count 1 %."""


@dataclass(frozen=True)
class Evidence:
    """Interactions, transitions and text vectors over the same N items.

    Attributes:
        interactions: float32 sparse [U, N], 1 where a user chose an item.
        past: float32 sparse [R, N], for each choice with a known predecessor the items before it, decayed.
        following: float32 sparse [R, N], the choice itself, one 1 a row.
        vectors: float32 [N, d], unit rows.
    """

    interactions: sparse.csr_matrix
    past: sparse.csr_matrix
    following: sparse.csr_matrix
    vectors: npt.NDArray[np.float32]

    @classmethod
    def of(
        cls, train: list[Indices], unordered: Indices, vectors: npt.NDArray[np.float32]
    ) -> "Evidence":
        """From histories (oldest first) whose first ``unordered`` entries, int64 [U], have no known order."""
        past, following = transitions(
            [s[n:] for s, n in zip(train, unordered, strict=True)], len(vectors)
        )
        return cls(history_matrix(train, len(vectors)), past, following, vectors)

    @cached_property
    def together(self) -> sparse.csr_matrix:
        """How many people chose both of two items; float32 sparse [N, N]."""
        return (self.interactions.T @ self.interactions).tocsr()

    @cached_property
    def _past_together(self) -> sparse.csr_matrix:
        return (self.past.T @ self.past).tocsr()

    @cached_property
    def _followed(self) -> sparse.csr_matrix:
        return (self.past.T @ self.following).tocsr()

    def grams(self, order: float) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
        """Left and right side of the normal equations of (1 - order) |X - XB|^2 + order |T - SB|^2; float32 sparse [N, N].

        X are the interactions, S is the past and T what followed. One matrix twice where ``order`` is 0. The products of
        histories are kept: where these are long they take longer than any solving.
        """
        if order == 0:
            return self.together, self.together
        both = (1 - order) * self.together
        return both + order * self._past_together, both + order * self._followed

    def __getitem__(self, items: Indices) -> "Evidence":
        """The same for a part of the items, int64 [M]."""
        return Evidence(
            self.interactions[:, items],
            self.past[:, items],
            self.following[:, items],
            self.vectors[items],
        )


def transitions(
    sequences: list[Indices], items: int, decay: float = PAST_DECAY, reach: int = REACH
) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    """For each choice but the first of a sequence its decayed past and itself; float32 sparse [R, N] each."""
    chosen = np.concatenate([*sequences, np.zeros(0, dtype=np.int64)]).astype(np.int64)
    lengths = np.array([len(s) for s in sequences], dtype=np.int64)
    place = np.arange(len(chosen)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    rows = [np.flatnonzero(place >= age) for age in range(1, reach + 1)]
    weights = [np.full(len(r), decay**n, dtype=np.float32) for n, r in enumerate(rows)]
    columns = [chosen[r - age] for age, r in enumerate(rows, start=1)]
    shape = (len(chosen), items)
    past = sparse.csr_matrix(
        (np.concatenate(weights), (np.concatenate(rows), np.concatenate(columns))), shape=shape
    )
    later = np.flatnonzero(place > 0)
    ones = np.ones(len(later), dtype=np.float32)
    following = sparse.csr_matrix((ones, (later, chosen[later])), shape=shape)
    return past[later], following[later]
