"""Pairs of items that the same people chose, drawn domain by domain, and which items may stand against them."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pocketrec.errors import DataError
from pocketrec.splits import Indices, interaction_counts
from teacher.scorers import history_matrix
from teacher.sources import Source

Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

_GOLDEN = (5**0.5 - 1) / 2
_DRAWS = 100


class PairSampler:
    """Draws pairs of one domain and tells which items are no negatives of each other.

    A history is drawn with a weight of ``length ** balance``, so that a heavy user does not dominate; both items of a
    pair from it with a weight of ``count ** -damping``, so that the most popular do not. The two stand at most
    ``window`` places apart where the order is known, else anywhere in the history.

    Raises:
        DataError: no history holds two items.
    """

    def __init__(
        self, source: Source, window: int = 5, damping: float = 0.5, balance: float = 0.5
    ) -> None:
        self.name, self.window = source.name, window
        parts = [
            (part, known)
            for sequence, n in zip(source.sequences, source.unordered, strict=True)
            for part, known in ((sequence[:n], False), (sequence[n:], True))
            if len(part) > 1
        ]
        if not parts:
            raise DataError(
                f"{self.name}: expected a user with two training choices, found none among "
                f"{len(source.sequences)}; leave this domain out"
            )
        self.flat = np.concatenate([part for part, _ in parts])
        self.ordered = np.array([known for _, known in parts], dtype=bool)
        lengths = np.array([len(part) for part, _ in parts])
        self.ends = np.cumsum(lengths)
        self.starts = self.ends - lengths
        self.history_weights = np.cumsum(lengths**balance)
        counts = interaction_counts(source.sequences, len(source.items)).astype(np.float64)
        self.weights = np.concatenate([[0.0], np.cumsum(counts[self.flat] ** -damping)])
        seen: dict[str, int] = {}
        self.text = np.array([seen.setdefault(text, len(seen)) for text in source.texts])
        self.choices = history_matrix(source.sequences, len(source.items)).tocsc()
        active = np.array([len(s) for s in source.sequences], dtype=np.float64)
        self.chance = float((active * (active - 1)).sum() / active.sum() ** 2)

    def draw(self, count: int, generator: np.random.Generator) -> Indices:
        """Anchors and positives, two different texts each pair; int64 [2, count].

        Raises:
            DataError: histories hold pairs of equal texts alone.
        """
        drawn = np.zeros((2, 0), dtype=np.int64)
        for _ in range(_DRAWS):
            new = self._draw(count - drawn.shape[1], generator)
            drawn = np.concatenate([drawn, new[:, self.text[new[0]] != self.text[new[1]]]], axis=1)
            if drawn.shape[1] == count:
                return drawn
        raise DataError(
            f"{self.name}: expected histories of items with different texts, found next to none; "
            "leave this domain out"
        )

    def _draw(self, count: int, generator: np.random.Generator) -> Indices:
        share = generator.random((3, count))
        total = self.history_weights[-1]
        history = np.searchsorted(self.history_weights, share[0] * total, side="right")
        history = history.clip(max=len(self.ends) - 1)
        start, end = self.starts[history], self.ends[history]
        low, high = self.weights[start], self.weights[end]
        anchor = self._place(low + share[1] * (high - low), start, end)
        near = self.ordered[history]
        first = np.where(near, np.maximum(start, anchor - self.window), start)
        last = np.where(near, np.minimum(end, anchor + self.window + 1), end)
        before = self.weights[anchor] - self.weights[first]
        after = self.weights[last] - self.weights[anchor + 1]
        left = share[2] * (before + after)
        # Of a side without places the other one is taken, whatever rounding says.
        is_before = ((left < before) | (anchor + 1 == last)) & (first < anchor)
        positive = np.where(
            is_before,
            self._place(self.weights[first] + left, first, anchor),
            self._place(self.weights[anchor + 1] + left - before, anchor + 1, last),
        )
        return np.stack([self.flat[anchor], self.flat[positive]])

    def _place(self, weight: Floats, first: Indices, last: Indices) -> Indices:
        """The place in ``first..last - 1`` at which the running weight passes ``weight``; int64."""
        place = np.searchsorted(self.weights, weight, side="right") - 1
        return np.maximum(np.minimum(place, last - 1), first)

    def negatives(self, items: Indices) -> Mask:
        """Which of ``items`` [n] may stand against which; bool [n, n], symmetric.

        Two items are no negatives of each other if they have the same text, or if clearly more people chose both than
        would by chance: by two standard deviations, where as many people choose as many items as they do (the
        configuration model of networks, Newman 2010). In a sparse domain chance is far below one person, so any common
        choice counts; where people choose hundreds of items, nearly every two items share somebody, and masking them all
        would leave no negative.
        """
        chosen = self.choices[:, items]
        both = (chosen.T @ chosen).toarray()
        count = np.diff(self.choices.indptr)[items].astype(np.float64)
        expected = np.outer(count, count) * self.chance
        together = both > expected + 2 * np.sqrt(expected)
        same = self.text[items][:, None] == self.text[items][None, :]
        return np.asarray(~together & ~same)


@dataclass(frozen=True)
class Batch:
    """Pairs of one domain.

    Attributes:
        source: which of the sources.
        items: rows of its items, all anchors, then all positives in the same order; int64 [2 B].
        negatives: ``PairSampler.negatives`` of ``items``; bool [2 B, 2 B].
    """

    source: int
    items: Indices
    negatives: Mask


class Batches:
    """Batches by step number: a step's batch depends on the seed and the step alone, so any run can be resumed.

    All pairs of a batch are of one domain. Items of other domains are told apart by their topic alone, which teaches
    nothing, so mixing d domains would leave a d-th of the negatives that count. Domains take turns in proportion to
    ``interactions ** alpha``, evenly spread (a golden-ratio sequence), so that the optimiser's momentum averages over
    all of them.
    """

    def __init__(
        self, samplers: list[PairSampler], sizes: list[int], pairs: int, seed: int, alpha: float
    ) -> None:
        self.samplers, self.pairs, self.seed = samplers, pairs, seed
        shares = np.array(sizes, dtype=np.float64) ** alpha
        self.ends = np.cumsum(shares / shares.sum())
        self.phase = np.random.default_rng(seed).random()

    def draw(self, step: int) -> Batch:
        turn = (self.phase + step * _GOLDEN) % 1.0
        source = min(int(np.searchsorted(self.ends, turn, side="right")), len(self.ends) - 1)
        sampler = self.samplers[source]
        items = sampler.draw(self.pairs, np.random.default_rng([self.seed, step])).reshape(-1)
        return Batch(source, items, sampler.negatives(items))
