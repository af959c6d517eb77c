"""A sparse item-item matrix: which history items speak for or against which items."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]

# A sample of a large matrix gives the threshold that a partition of all of it would take minutes to find.
SAMPLED = 20_000_000
COMPARED_AT_ONCE = 10_000_000


@dataclass(frozen=True)
class NeighbourTable:
    """The entries of an item-item matrix that are kept, in the order of history item, then scored item.

    Attributes:
        items: N, the size of the catalogue.
        sources: int64 [E], the history item of each entry.
        targets: int64 [E], the scored item.
        weights: float32 [E], what the history item adds to the score of the target; below 0 it speaks against it.
    """

    items: int
    sources: Int64
    targets: Int64
    weights: Float32

    def __len__(self) -> int:
        return len(self.weights)

    @classmethod
    def from_entries(cls, items: int, sources: Int64, targets: Int64, weights: Float32) -> Self:
        """A table of entries in any order; each (source, target) at most once."""
        order = np.argsort(sources * items + targets)
        return cls(items, sources[order], targets[order], weights[order].astype(np.float32))

    @classmethod
    def from_matrix(cls, matrix: Float32, entries: int, counts: Float32 | None = None) -> Self:
        """The ``entries`` of a matrix [N, N] (row = history item) that scores would miss most.

        A weight w whose history item was chosen c times adds c w^2 to the squared error of the scores when it is left
        out, its history items taken as independent (the saliency of Optimal Brain Damage, LeCun et al. 1990). Chosen
        over the whole matrix and not item by item: where many people agree EASE puts many large weights, of both
        signs, and a fixed number an item would cut there and keep noise elsewhere.

        Args:
            counts: how often each item was chosen, float32 [N]; None takes all items to be chosen equally often.
        """
        items = len(matrix)
        if entries >= matrix.size:
            found = np.flatnonzero(matrix)
        else:
            found = _missed_most(matrix, entries, _frequency(items, counts))
        return cls(items, found // items, found % items, matrix.ravel()[found])

    def pruned(self, entries: int, counts: Float32 | None = None) -> Self:
        """With the ``entries`` alone that scores would miss most, as in ``from_matrix``."""
        if entries >= len(self):
            return self
        missed = np.abs(self.weights) * _frequency(self.items, counts)[self.sources]
        kept = np.sort(np.argsort(-missed, kind="stable")[:entries])
        return type(self)(self.items, self.sources[kept], self.targets[kept], self.weights[kept])

    def support(self) -> Float32:
        """What speaks for each item: its positive weights added up; float32 [N]."""
        positive = np.maximum(self.weights, 0)
        return np.bincount(self.targets, weights=positive, minlength=self.items).astype(np.float32)


@dataclass(frozen=True)
class NeighbourIndex:
    """The same entries, those of a history item side by side: what scoring reads. Its arrays may be mapped from a file.

    Attributes:
        starts: int [N + 1]; history item i has the entries ``starts[i]`` to ``starts[i + 1]``.
        targets: int [E], the scored item of each entry.
        weights: int8 or float32 [E].
        scales: float32 [N]; an entry stands for ``weights[e] * scales[targets[e]]``. None stands for ones.
    """

    starts: npt.NDArray[np.integer]
    targets: npt.NDArray[np.integer]
    weights: npt.NDArray[np.int8] | Float32
    scales: Float32 | None = None

    @classmethod
    def of(cls, table: NeighbourTable) -> Self:
        counts = np.bincount(table.sources, minlength=table.items)
        starts = np.concatenate([[0], np.cumsum(counts)])
        # Half-size integers: this is most of what a process holds.
        return cls(starts, table.targets.astype(np.int32), table.weights)

    def counts(self, items: Int64) -> Int64:
        """How many entries each of ``items`` int64 [n] has, none beyond the last; int64 [n]."""
        inside = np.minimum(items, len(self.starts) - 2)
        counts = self.starts[inside + 1] - self.starts[inside]
        return np.where(inside == items, counts, 0).astype(np.int64)

    def entries(self, items: Int64) -> tuple[npt.NDArray[np.integer], Float32]:
        """Targets int [E] and weights float32 [E] of the entries of ``items`` int64 [n], one item after the other."""
        items = items[items < len(self.starts) - 1]
        starts = self.starts[items].astype(np.int64)
        counts = self.starts[items + 1] - starts
        ends = np.cumsum(counts)
        # Each entry's place: how many were gathered before it, moved to where its item's begin.
        places = np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - ends + counts, counts)
        targets, weights = self.targets[places], self.weights[places]
        if self.scales is not None:
            weights = weights * self.scales[targets]
        return targets, weights.astype(np.float32, copy=False)

    def around(self, item: int, items: int) -> Float32:
        """Weights between ``item`` and each of ``items``, both directions added; float32 [items]."""
        found = np.zeros(items, dtype=np.float32)
        targets, weights = self.entries(np.array([item]))
        found[targets] = weights
        spoken_for = np.flatnonzero(self.targets == item)
        sources = np.searchsorted(self.starts, spoken_for, side="right") - 1
        if len(spoken_for):
            scale = 1 if self.scales is None else self.scales[item]
            found[sources] += self.weights[spoken_for] * scale
        return found


def _frequency(items: int, counts: Float32 | None) -> Float32:
    """Square roots of counts; an item that nobody chose yet counts as if one had. float32 [N]."""
    return np.ones(items, np.float32) if counts is None else np.sqrt(counts + 1)


def _missed_most(matrix: Float32, entries: int, frequency: Float32) -> Int64:
    """Flat indices, ascending, of about ``entries`` largest |weight| x frequency; never more, zeros never."""
    flat, items = matrix.ravel(), len(matrix)
    least = 0.0
    step = max(1, flat.size // SAMPLED)
    sample = np.abs(flat[::step]) * frequency[np.arange(0, flat.size, step) // items]
    keep = entries // step
    if 0 < keep < len(sample):
        least = float(np.partition(sample, len(sample) - keep)[len(sample) - keep])
    rows = max(1, COMPARED_AT_ONCE // items)
    blocks, missed = [], []
    for start in range(0, items, rows):
        block = (
            np.abs(matrix[start : start + rows]) * frequency[start : start + rows, None]
        ).ravel()
        kept = np.flatnonzero(block >= max(least, 1e-12))
        blocks.append(start * items + kept)
        missed.append(block[kept])
    found = np.concatenate(blocks)
    if len(found) > entries:
        strongest = np.argpartition(-np.concatenate(missed), entries - 1)[:entries]
        found = np.sort(found[strongest])
    return found
