"""How the student's two scorers are added: decay and weights chosen on validation."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from distill.recipe import StudentRecipe
from distill.student import SequenceEncoder
from distill.train import StudentScorer
from pocketrec import encoders, metrics
from pocketrec.engine import Array
from pocketrec.neighbour_table import NeighbourTable
from pocketrec.ranker import Ranker, RankerSettings, standardize
from pocketrec.splits import Cases

DECAYS = (1.0, 0.95, 0.9, 0.8, 0.7, 0.6)
WEIGHTS = tuple(round(0.1 * step, 1) for step in range(11))


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
    settings: RankerSettings,
) -> Ranker:
    """The ranker that the device runs, over torch in full precision."""
    return Ranker(
        vectors,
        encoders.SequenceEncoder(TorchEngine(encoder)),
        table,
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
    """The decay and weight (weights sum to 1) with the best NDCG@10 on ``cases``, and that NDCG@10."""
    scorer = StudentScorer(torch.from_numpy(vectors), encoder, length)
    rankers = {
        d: ranker(vectors, encoder, table, RankerSettings(length, 0.0, 1.0, d)) for d in DECAYS
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
    return RankerSettings(length, weight, round(1 - weight, 1), decay), ndcg[decay, weight]


def choose_table(
    vectors: npt.NDArray[np.float32],
    encoder: SequenceEncoder,
    table: NeighbourTable,
    length: int,
    cases: Cases,
    recipe: StudentRecipe,
) -> tuple[NeighbourTable, RankerSettings]:
    """The smallest table, with its settings, that no larger one beats by ``recipe.table_gain``."""
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
    return kept, settings
