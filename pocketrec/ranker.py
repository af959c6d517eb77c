"""Fused scores of a catalogue for one history: sequence encoder, item-to-item table and popularity, z-scores added.

    s = z(exp((logits - max logits) / 2))                    = z(sqrt(softmax(logits)))
    e = z(sum over history items i of weight[i, target] * decay ** age(i))
    p = z(interactions ** 0.75), its mean and std of the items that have interactions
    score = sequence_weight * s + neighbour_weight * e + popularity_weight * p

with z = (x - mean) / std over the whole catalogue (zeros where std is 0) and age 0 for the newest item. The table is
EASE (Steck, 2019, arXiv:1905.03375) or a relative of it, cut to its largest entries. What everybody chooses has a
weight where little is known of anybody's taste.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pocketrec.encoders import SequenceEncoder
from pocketrec.item_vectors import FloatVectors, ItemVectors, JoinedVectors
from pocketrec.neighbour_table import NeighbourIndex

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]

POPULARITY_POWER = 0.75
"""Of the interactions of an item: the counts themselves are ruled by a few bestsellers. As of the noise distribution of
word2vec (Mikolov et al. 2013, arXiv:1310.4546)."""
NEGLIGIBLE = 1e-3
"""Of a newer item's say: an eighth of the smallest step that an int8 weight can take."""
TOP_BLOCK = 64
NOBODY: Int64 = np.empty(0, dtype=np.int64)
DISLIKE_WEIGHT = 0.5
"""What it does to held-out ratings: docs/bundle.md."""
TWO_STEP = 200_000
"""Items from which on the best are looked for among scores with a coarse user vector, and then scored as they are."""
CANDIDATES = 8
"""Items an asked-for one that the second step scores."""


@dataclass(frozen=True)
class RankerSettings:
    """How the scorers are added; chosen on validation and kept in the manifest.

    Attributes:
        max_length: how many of the newest history items the sequence encoder sees.
        sequence_weight: weight of the sequence encoder's z-scores.
        neighbour_weight: weight of the table's z-scores.
        decay: what an item's table entry is multiplied with for every newer item in the history; 1 = no decay.
        popularity_weight: weight of the z-scores of what everybody chooses.
        cold_support: what the imputed table weights of a new item add up to, see `pocketrec.cold_items`.
    """

    max_length: int
    sequence_weight: float
    neighbour_weight: float
    decay: float
    popularity_weight: float = 0.0
    cold_support: float = 0.0


class Ranker:
    """Scores every item of a catalogue for a history of item indices.

    Args:
        vectors: N item vectors.
        encoder: turns history vectors into a user vector.
        tables: which history items speak for which items; what they say is added.
        popularity: float32 [N] interaction counts.
        settings: how the scorers are added.
    """

    def __init__(
        self,
        vectors: ItemVectors,
        encoder: SequenceEncoder,
        tables: Sequence[NeighbourIndex],
        popularity: Float32,
        settings: RankerSettings,
    ) -> None:
        self.popularity = popularity
        self._prior = None
        if settings.popularity_weight:
            self._prior = popularity_scores(popularity) * np.float32(settings.popularity_weight)
        self.vectors = vectors
        self.settings = settings
        self._encoder = encoder
        self._tables = tables
        # Beyond this age an item's entries count less than their rounding does.
        self._reach = len(vectors) if settings.decay >= 1 else _reach(settings.decay)

    def __len__(self) -> int:
        return len(self.vectors)

    def extended(self, vectors: Float32, table: NeighbourIndex) -> "Ranker":
        """This ranker with cold items after its own.

        Args:
            vectors: float32 [M, d] their unit vectors.
            table: what speaks for them; targets are of the joined catalogue.
        """
        return Ranker(
            JoinedVectors(self.vectors, FloatVectors(vectors)),
            self._encoder,
            [*self._tables, table],
            np.concatenate([self.popularity, np.zeros(len(vectors), dtype=np.float32)]),
            self.settings,
        )

    def scores(self, history: Int64, disliked: Int64 = NOBODY) -> Float32:
        """Fused scores for item indices, oldest first, each at most once; float32 [N].

        An empty history is scored as the encoder's answer to no items.

        Args:
            disliked: indices of items that lower what is near them: with v the mean vector of these less that of the
                history, ``DISLIKE_WEIGHT`` times z(vectors @ v) is taken away (Rocchio 1971, "Relevance feedback in
                information retrieval").

        Raises:
            BundleError: the encoder fails.
        """
        return self.fused(self.vectors.products(self._half_user(history)), history, disliked)

    def fused(self, products: Float32, history: Int64, disliked: Int64 = NOBODY) -> Float32:
        """As `scores`, from every item's product with half of a user vector, float32 [N], whose place they take."""
        scores = products
        scores -= scores.max()
        np.exp(scores, out=scores)
        standardize(scores, self.settings.sequence_weight)
        if len(self) >= TWO_STEP:  # the history speaks for next to none of so many items
            spoken_for, sparse, offset = self._sparse_evidence(history)
            scores += offset
            scores[spoken_for] += sparse
        elif (evidence := self.evidence(history)) is not None:
            standardize(evidence, self.settings.neighbour_weight)
            scores += evidence
        if self._prior is not None:
            scores += self._prior
        if len(disliked):
            scores -= self._nearness(history, disliked)
        return scores

    def default_scores(self, disliked: Int64 = NOBODY) -> Float32:
        """What ranks without a history: interaction counts, or their z-scores less what is near ``disliked``; float32 [N]."""
        if not len(disliked):
            return np.array(self.popularity)
        scores: Float32 = popularity_scores(self.popularity)
        return scores - self._nearness(NOBODY, disliked)

    def _nearness(self, history: Int64, disliked: Int64) -> Float32:
        """How much nearer each item is to what is disliked than to the history, weighted; float32 [N]."""
        away = self.vectors.rows(disliked).mean(axis=0)
        if len(history):
            away -= self.vectors.rows(history).mean(axis=0)
        nearness = self.vectors.products(away)
        standardize(nearness, DISLIKE_WEIGHT)
        return nearness

    def best(
        self, history: Int64, k: int, excluded: Int64, disliked: Int64 = NOBODY
    ) -> tuple[Int64, Float32]:
        """The ``k`` best items without ``excluded``, best first, and their scores; int64 and float32, at most [k].

        Those of `scores`; from ``TWO_STEP`` items on they are looked for among several times as many that are best with
        a coarse user vector.
        """
        if len(self) < TWO_STEP or len(disliked):
            scores = self.scores(history, disliked)
            best = top_k(scores, k, excluded)
            return best, scores[best]
        return self._best_in_two_steps(history, k, excluded)

    def _best_in_two_steps(self, history: Int64, k: int, excluded: Int64) -> tuple[Int64, Float32]:
        user = self._half_user(history)
        scores = self.vectors.products(user, digits=1)
        highest = scores.max()
        scores -= highest
        np.exp(scores, out=scores)
        sums = np.array([scores.sum(), scores @ scores], dtype=np.float64)
        slope, _ = _line(sums, len(self), self.settings.sequence_weight)
        scores *= slope
        spoken_for, evidence, offset = self._sparse_evidence(history)
        scores[spoken_for] += evidence
        if self._prior is not None:
            scores += self._prior
        likely = np.sort(top_k(scores, CANDIDATES * k, excluded))
        rest = np.zeros(len(likely), dtype=np.float32)
        if len(spoken_for):
            places = np.searchsorted(spoken_for, likely).clip(max=len(spoken_for) - 1)
            rest[:] = np.where(spoken_for[places] == likely, evidence[places], 0)
        if self._prior is not None:
            rest += self._prior[likely]
        sequence = np.exp(self.vectors.rows(likely) @ user - highest)
        if slope:
            # Mean and spread hang on the highest scores: these are known better now.
            coarse = (scores[likely] - rest) / slope
            sums += (sequence - coarse).sum(), sequence @ sequence - coarse @ coarse
        slope, shift = _line(sums, len(self), self.settings.sequence_weight)
        exact = (slope * sequence + rest + (shift + offset)).astype(np.float32)
        order = np.argsort(-exact, kind="stable")[:k]
        return likely[order], exact[order]

    def without_each(self, history: Int64, targets: Int64) -> Float32:
        """Fused scores of ``targets`` when each history item in turn was never there; float32 [n, T].

        Each row is a plain call of ``scores`` on the shorter history: the window then reaches one item further back
        and older items have one newer item less, exactly as they would have on the device. One batch through the
        encoder is no faster and, where the graph quantizes its activations by batch, not exact.
        """
        rows = np.empty((len(history), len(targets)), dtype=np.float32)
        _, reached = self._reached(history)
        # What neither the encoder nor the table reaches changes nothing by its absence.
        first = max(0, min(len(history) - self.settings.max_length, reached.start))
        if first:
            rows[:first] = self.scores(history)[targets]
        for i in range(first, len(history)):
            rows[i] = self.scores(np.delete(history, i))[targets]
        return rows

    def similarities(self, item: int) -> Float32:
        """How alike the catalogue is to one item; float32 [N].

        The mean of z(cosine) and z(table weight, both directions added), or the cosine alone where the table has no
        entry for the item.
        """
        cosines = self.vectors.products(self.vectors.rows(np.array([item]))[0])
        table = np.zeros(len(self), dtype=np.float32)
        for one in self._tables:
            table += one.around(item, len(self))
        if not table.any():
            return cosines
        standardize(cosines, 0.5)
        standardize(table, 0.5)
        return cosines + table

    def evidence(self, history: Int64) -> Float32 | None:
        """The table's decayed weights summed per target, up to a factor, float32 [N]; None where there is no entry."""
        found = self._entries(history)
        if found is None:
            return None
        targets, weights = found
        return np.bincount(targets, weights=weights, minlength=len(self)).astype(np.float32)

    def _sparse_evidence(self, history: Int64) -> tuple[Int64, Float32, float]:
        """Their weighted z-scores: what each target int64 [T], rising, has beyond the others, float32 [T], and what all have."""
        found = self._entries(history)
        if found is None:
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32), 0.0
        targets, place = np.unique(found[0], return_inverse=True)
        evidence = np.bincount(place, weights=found[1])
        sums = np.array([evidence.sum(), evidence @ evidence])
        slope, shift = _line(sums, len(self), self.settings.neighbour_weight)
        return targets.astype(np.int64), (slope * evidence).astype(np.float32), shift

    def _entries(self, history: Int64) -> tuple[npt.NDArray[np.integer], Float64] | None:
        """Target and decayed weight of each entry that the history speaks through."""
        counts, reached = self._reached(history)
        if reached.stop == 0:
            return None
        shares = self.settings.decay ** np.arange(reached.stop - reached.start - 1, -1, -1)
        targets, weights = [], []
        for table, count in zip(self._tables, counts, strict=True):
            target, weight = table.entries(history[reached])
            targets.append(target)
            weights.append(weight * shares.repeat(count[reached]))
        return np.concatenate(targets), np.concatenate(weights)

    def _reached(self, history: Int64) -> tuple[list[Int64], slice]:
        """How many entries each item has, by table, and the part of the history that they are read for; empty without any."""
        counts = [table.counts(history) for table in self._tables]
        spoken = np.flatnonzero(sum(counts))
        # Ages count from the newest item that has an entry: the scale is lost in z, and nothing underflows.
        end = int(spoken[-1]) + 1 if len(spoken) else 0
        return counts, slice(max(end - self._reach, 0), end)

    def _half_user(self, history: Int64) -> Float32:
        window = history[max(len(history) - self.settings.max_length, 0) :]
        half: Float32 = self._encoder.encode(self.vectors.rows(window)[None])[0] / 2
        return half


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
    # k blocks have a score of at least the k-th largest block maximum, so the k best are among what reaches it. That
    # spares a partition of the whole catalogue, and all ties are kept.
    maxima = scores
    if len(scores) // TOP_BLOCK >= k:
        whole = len(scores) // TOP_BLOCK * TOP_BLOCK
        # A block's items stand far apart, so that rows of maxima are found at once and not one by one.
        maxima = scores[:whole].reshape(TOP_BLOCK, -1).max(axis=0)
    least = np.partition(maxima, len(maxima) - k)[len(maxima) - k]
    reached = np.flatnonzero(scores >= least)
    return reached[np.argsort(-scores[reached], kind="stable")[:k]]


def popularity_scores(popularity: Float32) -> Float32:
    """Interaction counts float32 [N] to the power of ``POPULARITY_POWER``, less their mean, by their deviation.

    Both are of the items that somebody chose, so that adding new ones changes nothing; zeros where all counts are one.
    """
    scores = popularity**POPULARITY_POWER
    chosen = scores[popularity > 0]
    spread = chosen.std() if len(chosen) else 0.0
    return (scores - chosen.mean()) / spread if spread else np.zeros_like(scores)


def standardize(x: Float32, weight: float) -> None:
    """Replace ``x`` by weight * (x - mean) / std, in place; by zeros where all of ``x`` is one value."""
    mean = x.sum() / len(x)
    x -= mean
    spread = float(np.sqrt(np.square(x).sum() / len(x)))
    # Equal values differ from their mean by rounding alone.
    x *= weight / spread if spread > 1e-6 * abs(mean) else 0.0


def _reach(decay: float) -> int:
    """Age from which on decay ** age is below ``NEGLIGIBLE``, at least 1."""
    return max(1, math.ceil(math.log(NEGLIGIBLE) / math.log(decay))) if decay > 0 else 1


def _line(sums: Float64, count: int, weight: float) -> tuple[float, float]:
    """Slope and shift of weight * (x - mean) / std, of ``count`` values with these sums of themselves and their squares."""
    mean, square = (sums / count).tolist()
    spread = math.sqrt(max(square - mean * mean, 0.0))
    slope = weight / spread if spread > 1e-6 * abs(mean) else 0.0
    return slope, -slope * mean
