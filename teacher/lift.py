"""An item-item model whose popular items are lifted or lowered: free for a device, the table holds it."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy import sparse

from pocketrec import metrics
from pocketrec.splits import Cases
from teacher.scorers import ItemItem
from teacher.transfer import Verdict, judge

Floats = npt.NDArray[np.float32]

POWERS = (-0.3, -0.2, -0.1, 0.1, 0.2, 0.3, 0.5)
AS_IT_IS = "popularity as it is"


def lifts(counts: Floats, power: float) -> Floats:
    """What the scores of each item are multiplied with, ((1 + count) / mean) ** power; float32 [N].

    EASE divides a column by its entry of the inverse Gram matrix, which does much the same with a power of its own.

    Args:
        counts: training interactions of each item, float32 [N].
    """
    more = counts + 1
    return ((more / more.mean()) ** power).astype(np.float32)


def lifted(model: ItemItem, counts: Floats, power: float) -> ItemItem:
    """The model with the scores of each item multiplied by its lift."""
    if not power:
        return model
    lift = lifts(counts, power)
    head, weights = lift[model.head], model.weights
    return replace(
        model,
        name=f"{model.name}, popularity to {power:g}",
        weights=weights * head if isinstance(weights, np.ndarray) else weights @ sparse.diags(head),
        tail=None if model.tail is None else model.tail @ sparse.diags(lift),
    )


def choose_lift(
    model: ItemItem, counts: Floats, cases: Cases, seed: int, batch: int = 256
) -> tuple[float, Verdict]:
    """The power with the best validation NDCG@10, and why; 0 without a gain.

    A gain must be above zero by a paired bootstrap on the validation ``cases``.
    """
    powers = {AS_IT_IS: 0.0} | {f"popularity to {power:g}": power for power in POWERS}
    ranks: dict[str, list[metrics.Array]] = {name: [] for name in powers}
    for start in range(0, len(cases), batch):
        histories = cases.histories[start : start + batch]
        targets = cases.targets[start : start + batch]
        scores = model.scores(histories)
        for name, power in powers.items():
            ranks[name].append(metrics.ranks(scores * lifts(counts, power), targets, histories))
    found = {name: metrics.ndcg_at(np.concatenate(r), 10) for name, r in ranks.items()}
    verdict = judge(found, AS_IT_IS, seed)
    return powers[verdict.used], verdict
