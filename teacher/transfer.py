"""The guard: what other domains taught, or a larger model learned, is used where it helps on validation users."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pocketrec import metrics
from pocketrec.evaluation import rank_targets
from pocketrec.splits import Cases, Indices
from teacher.scorers import Scores

Interval = tuple[float, float, float]


@dataclass(frozen=True)
class Verdict:
    """Which of several ways is used, and what validation said.

    Attributes:
        used: its name.
        without: the plain way, which owes nothing to other domains or to further weights.
        ndcg: validation NDCG@10 of each way.
        differences: NDCG@10 of each other way less that of ``without``, with its paired 95 % interval.
    """

    used: str
    without: str
    ndcg: dict[str, float]
    differences: dict[str, Interval]

    def describe(self) -> str:
        if not self.differences:
            return f"{self.used}: nothing to compare it with"
        best = max(self.differences, key=lambda way: self.differences[way])
        kept = self.used == self.without
        gain, low, high = self.differences[best if kept else self.used]
        said = (
            f"{self.used} kept, no gain beyond chance from {best}" if kept else f"{self.used} used"
        )
        return f"{said}: validation NDCG@10 {gain:+.4f} ({low:+.4f} to {high:+.4f}) against {self.without}"

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "summary": self.describe()}


def guard(
    ways: dict[str, Callable[[list[Indices]], Scores]], without: str, cases: Cases, seed: int
) -> Verdict:
    """`judge` of the ways' scores of validation ``cases``."""
    found = {
        name: metrics.ndcg_at(rank_targets(scores, cases), 10) for name, scores in ways.items()
    }
    return judge(found, without, seed)


def judge(found: dict[str, metrics.Array], without: str, seed: int) -> Verdict:
    """Use the best of the ways whose gain over ``without`` is above zero by a paired bootstrap, else ``without``.

    Args:
        found: NDCG@10 of the same users, float64 [U], by the name of the way.
    """
    ndcg = {name: float(np.mean(values)) for name, values in found.items()}
    differences = {
        name: metrics.paired_bootstrap(values, found[without], seed)
        for name, values in found.items()
        if name != without
    }
    helping = [name for name, (_, low, _) in differences.items() if low > 0]
    used = max(helping, key=lambda name: ndcg[name], default=without)
    return Verdict(used, without, ndcg, differences)
