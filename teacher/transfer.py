"""Transfer to a target domain: one model from the base teacher's weights, one from scratch, and the guard between them."""

from dataclasses import asdict, dataclass
from typing import Any

from pocketrec import metrics
from pocketrec.evaluation import rank_targets
from pocketrec.splits import Cases
from teacher.sequence import SequenceModel, SequenceScorer

SCRATCH, TRANSFER = "scratch", "transfer"


@dataclass(frozen=True)
class Verdict:
    """Which start is used, and what validation said.

    Attributes:
        used: ``SCRATCH`` or ``TRANSFER``.
        ndcg: validation NDCG@10 of each start.
        difference: NDCG@10 of transfer less that of scratch with its paired 95 % interval; None without a base teacher.
    """

    used: str
    ndcg: dict[str, float]
    difference: tuple[float, float, float] | None = None

    def describe(self) -> str:
        if self.difference is None:
            return "no transfer: no base teacher given"
        gain, low, high = self.difference
        said = "used" if self.used == TRANSFER else "not used, no gain beyond chance"
        return f"transfer {said}: validation NDCG@10 {gain:+.4f} ({low:+.4f} to {high:+.4f}) against scratch"

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "summary": self.describe()}


def guard(models: dict[str, SequenceModel], cases: Cases, seed: int) -> Verdict:
    """Use transfer where it helps on validation: by a paired bootstrap its gain over scratch is above zero."""
    found = {
        start: metrics.ndcg_at(rank_targets(SequenceScorer(model).logits, cases), 10)
        for start, model in models.items()
    }
    ndcg = {start: float(values.mean()) for start, values in found.items()}
    if TRANSFER not in found:
        return Verdict(SCRATCH, ndcg)
    difference = metrics.paired_bootstrap(found[TRANSFER], found[SCRATCH], seed)
    return Verdict(TRANSFER if difference[1] > 0 else SCRATCH, ndcg, difference)
