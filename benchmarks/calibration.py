"""Whether a score says how likely an item is to be chosen next: probabilities of the scores against what was chosen."""

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

from pocketrec.recommender import Recommender
from pocketrec.splits import Cases

USERS = 2000
K, BINS = 10, 10

Float32 = npt.NDArray[np.float32]


def calibration(
    recommender: Recommender, ids: list[str], validation: Cases, test: Cases, seed: int
) -> dict[str, Any]:
    """How well softmax(scores / T) over the catalogue, with T fitted on validation, predicts hits on test.

    The ten likeliest items of each user are dealt out by their probability into ten equal bins.

    Returns:
        ``temperature``, ``error`` (the expected calibration error: the mean distance of a bin's probability from its
        share of hits, Naeini et al. 2015), and ``bins`` with ``probability``, ``hits`` and ``pairs`` each.
    """
    scores = _scores(recommender, ids, validation.sample(USERS, seed))
    fitted = minimize_scalar(
        lambda log: -_target_log_likelihoods(scores, np.exp(log)).mean(),
        bounds=(-4, 3),
        method="bounded",
    )
    temperature = float(np.exp(fitted.x))
    scores = _scores(recommender, ids, test.sample(USERS, seed))
    likely, chosen = _best_items(scores, temperature, K)
    order = np.argsort(likely.ravel(), kind="stable")
    bins = [
        {
            "probability": float(likely.ravel()[part].mean()),
            "hits": float(chosen.ravel()[part].mean()),
            "pairs": len(part),
        }
        for part in np.array_split(order, BINS)
    ]
    gaps = [one["pairs"] * abs(one["probability"] - one["hits"]) for one in bins]
    return {"temperature": temperature, "error": sum(gaps) / len(order), "bins": bins}


def _best_items(
    scores: list[tuple[Float32, int]], temperature: float, k: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Probabilities of the ``k`` best of each user, and whether they are the one chosen; [U, k] each."""
    likely, chosen = [], []
    for row, target in scores:
        best = np.argsort(-row, kind="stable")[:k]
        likely.append(np.exp(row[best] / temperature - logsumexp(row / temperature)))
        chosen.append(best == target)
    return np.array(likely), np.array(chosen)


def _target_log_likelihoods(
    scores: list[tuple[Float32, int]], temperature: float
) -> npt.NDArray[np.float64]:
    return np.array([row[t] / temperature - logsumexp(row / temperature) for row, t in scores])


def _scores(recommender: Recommender, ids: list[str], cases: Cases) -> list[tuple[Float32, int]]:
    """Scores of each user's catalogue, -inf for the history, and the item chosen next."""
    place = recommender.ids.indices(ids)
    found = []
    for history, target in zip(cases.histories, cases.targets, strict=True):
        row = recommender.scores([ids[item] for item in history])
        row[place[history]] = -np.inf
        found.append((row, int(place[target])))
    return found
