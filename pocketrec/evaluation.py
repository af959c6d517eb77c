"""The one way in which every scorer is evaluated: full ranking over the catalogue, history left out."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from pocketrec import metrics
from pocketrec.splits import Cases, Indices

Score = Callable[[list[Indices]], npt.NDArray[np.float32]]


def rank_targets(score: Score, cases: Cases, batch: int = 256) -> npt.NDArray[np.float64]:
    """Rank of each case's target; ``score`` maps B histories to float32 [B, N]; float64 [C]."""
    found = []
    for start in range(0, len(cases), batch):
        rows = slice(start, start + batch)
        histories = cases.histories[rows]
        found.append(metrics.ranks(score(histories), cases.targets[rows], histories))
    return np.concatenate(found) if found else np.zeros(0)


def rank_mixtures(
    first: Score,
    second: Score,
    shares: Sequence[tuple[float, float]],
    cases: Cases,
    within: int | None = None,
    batch: int = 256,
) -> npt.NDArray[np.float64]:
    """`rank_targets` of ``a * first + b * second`` for each pair (a, b) of ``shares``, none negative; float64 [S, C].

    Ranks beyond ``within`` may be infinity, see `pocketrec.metrics.mixed_ranks`.
    """
    found = [np.zeros((len(shares), 0))]
    for start in range(0, len(cases), batch):
        rows = slice(start, start + batch)
        histories = cases.histories[rows]
        found.append(
            metrics.mixed_ranks(
                first(histories), second(histories), shares, cases.targets[rows], histories, within
            )
        )
    return np.concatenate(found, axis=1)
