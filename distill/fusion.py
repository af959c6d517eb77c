"""How the student's scorers are added: decay and weights chosen on validation."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from distill.recipe import StudentRecipe
from distill.student import SequenceEncoder
from distill.train import StudentScorer
from pocketrec import encoders, metrics
from pocketrec.engine import Array
from pocketrec.item_vectors import FloatVectors
from pocketrec.neighbour_table import NeighbourIndex, NeighbourTable
from pocketrec.ranker import Ranker, RankerSettings, popularity_scores, standardize
from pocketrec.splits import Cases

DECAYS = (1.0, 0.95, 0.9, 0.8, 0.7, 0.6)
WEIGHTS = tuple(round(0.1 * step, 1) for step in range(11))
POPULARITY_WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.5)


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


def ranker(
    vectors: npt.NDArray[np.float32],
    encoder: SequenceEncoder,
    table: NeighbourTable,
    popularity: npt.NDArray[np.float32],
    settings: RankerSettings,
) -> Ranker:
    """The ranker that the device runs, over torch in full precision."""
    return Ranker(
        FloatVectors(vectors),
        encoders.SequenceEncoder(TorchEngine(encoder)),
        [NeighbourIndex.of(table)],
        popularity,
        settings,
    )


def choose_settings(
    vectors: npt.NDArray[np.float32],
    encoder: SequenceEncoder,
    table: NeighbourTable,
    length: int,
    cases: Cases,
    batch: int = 256,
) -> tuple[RankerSettings, float]:
    """The decay and weight (weights sum to 1, popularity has none) with the best NDCG@10 on ``cases``, and that NDCG@10."""
    scorer = StudentScorer(torch.from_numpy(vectors), encoder, length)
    nobody = np.zeros(len(vectors), dtype=np.float32)
    rankers = {
        d: ranker(vectors, encoder, table, nobody, RankerSettings(length, 0.0, 1.0, d, 0.0))
        for d in DECAYS
    }
    ranks: dict[tuple[float, float], list[npt.NDArray[np.float64]]] = {}
    for start in range(0, len(cases), batch):
        histories = cases.histories[start : start + batch]
        targets = cases.targets[start : start + batch]
        logits = scorer.logits(histories)
        sequence = np.exp((logits - logits.max(axis=1, keepdims=True)) / 2)
        for row in sequence:
            standardize(row, 1.0)
        for decay, reader in rankers.items():
            evidence = np.zeros_like(sequence)
            for row, history in zip(evidence, histories, strict=True):
                if (found := reader.evidence(history)) is not None:
                    row[:] = found
                    standardize(row, 1.0)
            for weight in WEIGHTS:
                fused = weight * sequence + (1 - weight) * evidence
                ranks.setdefault((decay, weight), []).append(
                    metrics.ranks(fused, targets, histories)
                )
    ndcg = {key: float(metrics.ndcg_at(np.concatenate(r), 10).mean()) for key, r in ranks.items()}
    decay, weight = max(ndcg, key=lambda key: ndcg[key])
    return RankerSettings(length, weight, round(1 - weight, 1), decay, 0.0), ndcg[decay, weight]


def choose_popularity(
    scorer: Ranker, popularity: npt.NDArray[np.float32], cases: Cases, batch: int = 256
) -> float:
    """The weight of popularity beside what ``scorer`` says, 0 unless the gain is above zero by a paired bootstrap."""
    prior = popularity_scores(popularity)
    ranks: dict[float, list[npt.NDArray[np.float64]]] = {
        weight: [] for weight in POPULARITY_WEIGHTS
    }
    for start in range(0, len(cases), batch):
        histories = cases.histories[start : start + batch]
        targets = cases.targets[start : start + batch]
        scores = np.stack([scorer.scores(history) for history in histories])
        for weight, found in ranks.items():
            found.append(metrics.ranks(scores + weight * prior, targets, histories))
    ndcg = {weight: metrics.ndcg_at(np.concatenate(r), 10) for weight, r in ranks.items()}
    best = max(POPULARITY_WEIGHTS, key=lambda weight: ndcg[weight].mean())
    _, low, _ = metrics.paired_bootstrap(ndcg[best], ndcg[0.0])
    return best if low > 0 else 0.0


def choose_table(
    vectors: npt.NDArray[np.float32],
    encoder: SequenceEncoder,
    table: NeighbourTable,
    popularity: npt.NDArray[np.float32],
    length: int,
    cases: Cases,
    recipe: StudentRecipe,
) -> tuple[NeighbourTable, RankerSettings]:
    """The smallest table that no larger one beats by ``recipe.table_gain``, with its settings.

    Args:
        popularity: training interactions of each item, float32 [N].
    """
    items = len(vectors)
    limit = max(recipe.table_entries, min(recipe.neighbours) * items)
    sizes = sorted({min(width * items, limit) for width in recipe.neighbours})
    kept, settings, best = table, None, -1.0
    for size in sizes:
        tried = table.largest(size)
        found, ndcg = choose_settings(vectors, encoder, tried, length, cases)
        if settings is None or ndcg > best * (1 + recipe.table_gain):
            kept, settings, best = tried, found, ndcg
    assert settings is not None
    scorer = ranker(vectors, encoder, kept, popularity, settings)
    weight = choose_popularity(scorer, popularity, cases)
    return kept, replace(settings, popularity_weight=weight)
