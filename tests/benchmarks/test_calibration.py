"""Scores of which the probabilities are known."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks.calibration import calibration
from pocketrec.splits import Cases

ITEMS, USERS = 30, 1500
IDS = [f"i{item}" for item in range(ITEMS)]


def people(seed: int) -> tuple[Cases, np.ndarray]:
    """Each has chosen item 0 and goes on by a distribution of their own; the user is who the history's length says."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (USERS, ITEMS)).astype(np.float32)
    logits[:, 0] = -np.inf
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    targets = np.array([rng.choice(ITEMS, p=p / p.sum()) for p in chances.astype(np.float64)])
    return Cases(np.arange(USERS), [np.array([0])] * USERS, targets), logits


def recommender(factor: float, *logits: np.ndarray) -> Any:
    """Answers the users of one data set after the other with their logits times ``factor``."""
    rows = iter(np.concatenate(logits) * np.float32(factor))
    ids = SimpleNamespace(indices=lambda names: np.array([IDS.index(name) for name in names]))
    return SimpleNamespace(ids=ids, scores=lambda history: next(rows).copy())


@pytest.mark.parametrize("factor", [1.0, 2.5])
def test_a_constant_factor_is_found_and_taken_away(factor: float) -> None:
    (validation, known), (test, new) = people(0), people(1)
    found = calibration(recommender(factor, known, new), IDS, validation, test, seed=0)
    assert found["temperature"] == pytest.approx(factor, rel=0.1)
    assert found["error"] < 0.02
    assert sum(one["pairs"] for one in found["bins"]) == 10 * USERS
    assert found["bins"][-1]["hits"] > 0.3 > found["bins"][0]["hits"]


def test_scores_that_know_nothing_are_as_wrong_as_they_are_sure() -> None:
    (validation, known), (test, new) = people(0), people(1)
    shuffled = np.random.default_rng(2).permuted(new[:, 1:], axis=1)
    sure = np.concatenate([new[:, :1], shuffled], axis=1)
    found = calibration(recommender(1.0, known, sure), IDS, validation, test, seed=0)
    assert found["error"] > 0.05
