"""Late fusion: scorers trained apart, z-scores added, the weight chosen on validation."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pocketrec import metrics
from pocketrec.evaluation import rank_mixtures, rank_targets
from pocketrec.ranker import popularity_scores
from pocketrec.splits import Cases, Indices
from teacher.scorers import Popularity, Scorer, Scores, standardise
from teacher.transfer import Verdict, guard

WEIGHTS = tuple(round(0.1 * step, 1) for step in range(11))
FUSION_SCORES = 120_000_000
"""Most scores that one look at a scorer computes: every choice looks at two or three of them, and no time is set aside."""


def fusion_cases(validation: Cases, users: int, items: int, seed: int) -> Cases:
    """At most ``users`` validation cases to fuse scorers on, fewer in a large catalogue of ``items``."""
    return validation.sample(min(users, max(1, FUSION_SCORES // items)), seed)


@dataclass(frozen=True)
class Fused:
    """``weight`` parts of the first scorer's z-scores and ``1 - weight`` parts of the second's."""

    first: Scorer
    second: Scorer
    weight: float

    @property
    def name(self) -> str:
        return f"{self.weight:.1f} {self.first.name} + {1 - self.weight:.1f} {self.second.name}"

    def scores(self, histories: list[Indices]) -> Scores:
        return self.weight * standardise(self.first.scores(histories)) + (
            1 - self.weight
        ) * standardise(self.second.scores(histories))


def choose_weight(first: Scorer, second: Scorer, cases: Cases) -> tuple[float, float]:
    """The fusion weight with the best validation NDCG@10, and that NDCG@10; ties go to the smaller weight."""
    ranks = rank_mixtures(
        lambda histories: standardise(first.scores(histories)),
        lambda histories: standardise(second.scores(histories)),
        [(weight, 1 - weight) for weight in WEIGHTS],
        cases,
        within=10,
    )
    ndcg = metrics.ndcg_at(ranks, 10).mean(axis=1)
    best = int(ndcg.argmax())
    return WEIGHTS[best], float(ndcg[best])


def fused_where_it_helps(
    other: Scorer, called: str, scorer: Scorer, cases: Cases, seed: int
) -> tuple[Scorer, Verdict]:
    """The scorer with a share of another, ``called`` so in the verdict, where that helps on validation, and why."""
    weight, _ = choose_weight(other, scorer, cases)
    both, without = Fused(other, scorer, weight), f"no {called}"
    ways = {without: scorer.scores}
    if weight:
        ways[f"{weight:.1f} {called}"] = both.scores
    verdict = guard(ways, without, cases, seed)
    return scorer if verdict.used == without else both, verdict


def with_popularity(
    scorer: Scorer, counts: npt.NDArray[np.float32], cases: Cases, seed: int
) -> tuple[Scorer, Verdict]:
    """The scorer with a share of what everybody chooses, where that helps.

    Where few interactions are known a history says little beyond its texts, and what is popular says something.

    Args:
        counts: training interactions of each item, float32 [N].
    """
    popularity = Popularity(popularity_scores(counts))
    return fused_where_it_helps(popularity, "popularity", scorer, cases, seed)


def validation_ndcg(scorer: Scorer, cases: Cases) -> float:
    return float(metrics.ndcg_at(rank_targets(scorer.scores, cases), 10).mean())
