"""Items that nobody has chosen yet: what speaks for them is imputed from their content."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from pocketrec.catalogue import Item
from pocketrec.item_vectors import ItemVectors
from pocketrec.neighbour_table import NeighbourIndex, NeighbourTable
from pocketrec.ranker import Ranker, top_k

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]

NEIGHBOURS = 30
"""That speak for a new item: fewer find it for too few histories, and put it too high there (docs/bundle.md)."""
IMPUTED_AT_ONCE = 64


@dataclass(frozen=True)
class ColdItems:
    """Items that are not the bundle's own, in memory.

    Attributes:
        vectors: float32 [M, d].
        sources: of each the shipped items that speak for it, int64.
        weights: how much, float32 arrays as long.
    """

    items: tuple[Item, ...]
    vectors: Float32
    sources: tuple[Int64, ...]
    weights: tuple[Float32, ...]

    @classmethod
    def none(cls, dimensions: int) -> Self:
        return cls((), np.zeros((0, dimensions), dtype=np.float32), (), ())

    def joined(
        self, items: Sequence[Item], vectors: Float32, shipped: ItemVectors, support: float
    ) -> "ColdItems":
        """These and ``items``, at least one, with their ``vectors`` float32 [n, d]; see `impute`."""
        found = [imputed(shipped.products(vector), support) for vector in vectors]
        sources, weights = zip(*found, strict=True)
        return ColdItems(
            (*self.items, *items),
            np.concatenate([self.vectors, vectors]),
            self.sources + sources,
            self.weights + weights,
        )

    def extend(self, shipped: Ranker) -> Ranker:
        """The ranker of the bundle with these after its own items."""
        size, counts = len(shipped) + len(self.items), [len(found) for found in self.sources]
        table = NeighbourTable.from_entries(
            size,
            np.concatenate(self.sources),
            np.repeat(np.arange(len(shipped), size), counts),
            np.concatenate(self.weights),
        )
        return shipped.extended(self.vectors, NeighbourIndex.of(table))


def impute(
    vectors: Float32, known_vectors: Float32, support: float, k: int = NEIGHBOURS
) -> tuple[Int64, Int64, Float32]:
    """Table entries for items that nobody has chosen yet, from their content.

    A new item is spoken for by its ``k`` nearest known items, in proportion to cosine ** 2 (cosines below 0 count as
    0), and its weights add up to ``support``: about what speaks for a known item.

    Args:
        vectors: float32 [M, d] unit vectors of the new items.
        known_vectors: float32 [N, d] unit vectors of the known items.
        support: what the weights of a new item add up to.
        k: entries an item.

    Returns:
        Of each entry the known item int64 [E], the new item int64 [E] (a row of ``vectors``) and the weight
        float32 [E].
    """
    sources, targets, weights = [], [], []
    for start in range(0, len(vectors), IMPUTED_AT_ONCE):
        cosines = vectors[start : start + IMPUTED_AT_ONCE] @ known_vectors.T
        for row, values in enumerate(cosines, start):
            nearest, shares = imputed(values, support, k)
            sources.append(nearest)
            targets.append(np.full(len(nearest), row))
            weights.append(shares)
    none = np.empty(0, dtype=np.int64)
    return (
        np.concatenate([none, *sources]),
        np.concatenate([none, *targets]),
        np.concatenate([none, *weights]).astype(np.float32),
    )


def imputed(cosines: Float32, support: float, k: int = NEIGHBOURS) -> tuple[Int64, Float32]:
    """What `impute` gives one new item with ``cosines`` float32 [N] to the known items: those and their weights."""
    nearest = top_k(cosines, k, np.empty(0, dtype=np.int64))
    nearest = nearest[cosines[nearest] > 0]
    shares = (cosines[nearest] / cosines[nearest[:1]]) ** 2
    return nearest, shares * (support / shares.sum()) if len(nearest) else shares
