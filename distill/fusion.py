"""How the student's scorers are added: decay and weights chosen on validation."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from distill.recipe import StudentRecipe
from distill.student import SequenceEncoder
from distill.train import StudentScorer
from pocketrec import encoders, metrics
from pocketrec.cold_items import impute
from pocketrec.engine import Array
from pocketrec.evaluation import rank_mixtures
from pocketrec.item_vectors import FloatVectors
from pocketrec.neighbour_table import NeighbourIndex, NeighbourTable
from pocketrec.ranker import Ranker, RankerSettings, popularity_scores, standardize
from pocketrec.splits import Cases, Indices

TUNE_SCORES, WEIGH_SCORES = 100_000_000, 400_000_000
"""Scores that choosing may compute for each size of the table, and for the weights in the end: where few hits are among
the first ten, a weight that some thousand users choose is far off. All users of most catalogues."""
DECAYS = (1.0, 0.95, 0.9, 0.8, 0.7, 0.6)
WEIGHTS = tuple(round(0.1 * step, 1) for step in range(11))
SPARED = 0.25
"""Standard errors of validation NDCG@10 that weigh nothing against less of the sequence encoder: its training ends where
validation is best, so validation flatters it."""
POPULARITY_WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.5)
COLD_SUPPORTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.5, 2.0)
"""Of what speaks for a known item on average."""
WARM_LOSS = 0.02
WITHIN = 10
"""Ranks that NDCG looks at."""


@dataclass
class TorchEngine:
    """The student's sequence encoder behind the same protocol that the device's engine has."""

    encoder: SequenceEncoder
    name: str = "student"
    inputs: tuple[str, ...] = ("items",)
    outputs: tuple[str, ...] = ("user",)

    def run(self, inputs: dict[str, Array]) -> Array:
        with torch.no_grad():
            return self.encoder(torch.from_numpy(inputs["items"]), last=True)[:, -1].numpy()


@dataclass(frozen=True)
class StudentRanker:
    """The ranker that the device runs, over torch in full precision, with many histories encoded at once."""

    ranker: Ranker
    sequence: StudentScorer

    @classmethod
    def of(
        cls,
        vectors: npt.NDArray[np.float32],
        encoder: SequenceEncoder,
        table: NeighbourTable,
        popularity: npt.NDArray[np.float32],
        settings: RankerSettings,
    ) -> "StudentRanker":
        engine = encoders.SequenceEncoder(TorchEngine(encoder))
        tables = [NeighbourIndex.of(table)]
        ranker = Ranker(FloatVectors(vectors), engine, tables, popularity, settings)
        return cls(ranker, StudentScorer(torch.from_numpy(vectors), encoder, settings.max_length))

    def scores(self, histories: list[Indices]) -> npt.NDArray[np.float32]:
        """float32 [B, N]."""
        scores = self.sequence.logits(histories) / 2
        for row, history in zip(scores, histories, strict=True):
            self.ranker.fused(row, history)
        return scores


def choose_settings(
    vectors: npt.NDArray[np.float32],
    encoder: SequenceEncoder,
    table: NeighbourTable,
    length: int,
    cases: Cases,
    decays: Sequence[float] = DECAYS,
    batch: int = 256,
) -> tuple[RankerSettings, float]:
    """Decay, one of ``decays``, and weight (weights sum to 1, popularity has none), and the best NDCG@10 on ``cases``.

    The decay is that of the best. Of the weights under it the smallest is taken that is within ``SPARED`` standard errors of
    the best (after the rule of one standard error, Breiman et al. 1984).
    """
    scorer = StudentScorer(torch.from_numpy(vectors), encoder, length)
    nobody = np.zeros(len(vectors), dtype=np.float32)
    readers = {
        d: StudentRanker.of(
            vectors, encoder, table, nobody, RankerSettings(length, 0.0, 1.0, d)
        ).ranker
        for d in decays
    }
    shares = [(weight, 1 - weight) for weight in WEIGHTS]
    ranks: dict[float, list[npt.NDArray[np.float64]]] = {decay: [] for decay in decays}
    for start in range(0, len(cases), batch):
        histories = cases.histories[start : start + batch]
        targets = cases.targets[start : start + batch]
        logits = scorer.logits(histories)
        sequence = np.exp((logits - logits.max(axis=1, keepdims=True)) / 2)
        for row in sequence:
            standardize(row, 1.0)
        for decay, reader in readers.items():
            evidence = np.zeros_like(sequence)
            for row, history in zip(evidence, histories, strict=True):
                if (found := reader.evidence(history)) is not None:
                    row[:] = found
                    standardize(row, 1.0)
            found = metrics.mixed_ranks(sequence, evidence, shares, targets, histories, WITHIN)
            ranks[decay].append(found)
    ndcg = np.stack([metrics.ndcg_at(np.concatenate(r, axis=1), WITHIN) for r in ranks.values()])
    means = ndcg.mean(axis=2)
    row, column = np.unravel_index(means.argmax(), means.shape)
    best = float(means[row, column])
    error = float(ndcg[row, column].std()) / math.sqrt(len(cases))
    weight = WEIGHTS[int(np.argmax(means[row] >= best - SPARED * error))]
    return RankerSettings(length, weight, round(1 - weight, 1), decays[row]), best


def choose_popularity(
    scorer: StudentRanker, popularity: npt.NDArray[np.float32], cases: Cases
) -> float:
    """The weight of popularity beside what ``scorer`` says, 0 unless the gain is above zero by a paired bootstrap."""
    prior = popularity_scores(popularity)
    ranks = rank_mixtures(
        scorer.scores,
        lambda histories: np.broadcast_to(prior, (len(histories), len(prior))),
        [(1.0, weight) for weight in POPULARITY_WEIGHTS],
        cases,
        WITHIN,
    )
    ndcg = metrics.ndcg_at(ranks, WITHIN)
    best = int(ndcg.mean(axis=1).argmax())
    _, low, _ = metrics.paired_bootstrap(ndcg[best], ndcg[0])
    return POPULARITY_WEIGHTS[best] if low > 0 else 0.0


def choose_cold_support(
    vectors: npt.NDArray[np.float32],
    from_text: npt.NDArray[np.float32],
    encoder: SequenceEncoder,
    table: NeighbourTable,
    popularity: npt.NDArray[np.float32],
    settings: RankerSettings,
    cases: Cases,
    seed: int,
    batch: int = 256,
) -> float:
    """How much the table should say of items that nobody has chosen yet, as far as warm items hardly suffer.

    A tenth of the chosen items is taken for new: their vectors are those of their texts, their table rows imputed. Of
    ``COLD_SUPPORTS``, times what speaks for a known item on average, the one is taken that ranks these best where one
    of them was chosen next (by NDCG of the whole ranking: few of them are among the first ten), among those under which
    the others lose no more than ``WARM_LOSS`` of their NDCG@10 against not being spoken for at all.

    Args:
        from_text: float32 [N, d] unit vectors, what the text encoder makes of the items.
        popularity: training interactions of each item, float32 [N].
    """
    support = table.support()[popularity > 0]
    chosen = np.flatnonzero(popularity)
    new = np.random.default_rng(seed).choice(chosen, max(1, len(chosen) // 10), replace=False)
    is_new = np.zeros(len(vectors), dtype=bool)
    is_new[new] = True
    known = np.flatnonzero(~is_new)
    if not len(support) or not len(known):
        return 0.0
    mixed = np.where(is_new[:, None], from_text, vectors)
    kept = ~is_new[table.sources] & ~is_new[table.targets]
    sources, targets, weights = impute(mixed[new], mixed[known], float(support.mean()))
    tried = NeighbourTable.from_entries(
        len(vectors),
        np.concatenate([table.sources[kept], known[sources]]),
        np.concatenate([table.targets[kept], new[targets]]),
        np.concatenate([table.weights[kept], weights]),
    )
    counts = np.where(is_new, 0, popularity).astype(np.float32)
    given = mixed, encoder, tried, counts
    reader = StudentRanker.of(*given, settings).ranker
    without = StudentRanker.of(*given, replace(settings, neighbour_weight=0.0))
    known_ones = [history[~is_new[history]] for history in cases.histories]
    ranks = []
    for start in range(0, len(cases), batch):
        histories = known_ones[start : start + batch]
        rest = without.scores(histories)
        evidence = np.zeros_like(rest)
        for row, history in zip(evidence, histories, strict=True):
            if (spoken := reader.evidence(history)) is not None:
                row[:] = spoken
        by_support = []
        for factor in COLD_SUPPORTS:
            # Nothing but imputed entries speaks for new items, nothing imputed for others.
            scores = evidence.copy()
            scores[:, new] *= np.float32(factor)
            for row in scores:
                standardize(row, settings.neighbour_weight)
            scores += rest
            by_support.append(
                metrics.ranks(scores, cases.targets[start : start + batch], histories)
            )
        ranks.append(by_support)
    found = np.concatenate(ranks, axis=1)
    cold = is_new[cases.targets]
    among_new = metrics.ndcg_at(found[:, cold], len(vectors)).sum(axis=1)
    among_known = metrics.ndcg_at(found[:, ~cold], 10).sum(axis=1)
    enough = among_known >= (1 - WARM_LOSS) * among_known[COLD_SUPPORTS.index(0.0)]
    best = int(np.where(enough, among_new, -1.0).argmax())
    return COLD_SUPPORTS[best] * float(support.mean())


def choose_table(
    vectors: npt.NDArray[np.float32],
    encoder: SequenceEncoder,
    table: NeighbourTable,
    popularity: npt.NDArray[np.float32],
    length: int,
    validation: Cases,
    recipe: StudentRecipe,
    seed: int,
) -> tuple[NeighbourTable, RankerSettings]:
    """The smallest table that no larger one beats by ``recipe.table_gain``, with its settings.

    Args:
        popularity: training interactions of each item, float32 [N].
        seed: draws the validation users, where not all are asked.
    """
    items = len(vectors)
    cases = validation.sample(TUNE_SCORES // items, seed)
    limit = min(len(table), max(recipe.table_entries, min(recipe.neighbours) * items))
    sizes = sorted({min(width * items, limit) for width in recipe.neighbours})
    kept, settings, best, decays = table, None, -1.0, DECAYS
    for size in sizes:
        tried = table.pruned(size, popularity)
        found, ndcg = choose_settings(vectors, encoder, tried, length, cases, decays)
        decays = (found.decay,)  # what is forgotten how fast does not hang on the size
        worth = 1 + recipe.table_gain * (len(tried) - len(kept)) / 1e6
        if settings is None or ndcg > best * worth:
            kept, settings, best = tried, found, ndcg
    assert settings is not None
    more = validation.sample(WEIGH_SCORES // items, seed)
    if len(more) > len(cases):
        settings, _ = choose_settings(vectors, encoder, kept, length, more, decays)
    scorer = StudentRanker.of(vectors, encoder, kept, popularity, settings)
    weight = choose_popularity(scorer, popularity, cases)
    return kept, replace(settings, popularity_weight=weight)
