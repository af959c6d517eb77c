from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest
from tiny_data import random_histories

from pocketrec.ranker import popularity_scores
from pocketrec.splits import Cases, Indices
from teacher.fusion import (
    Fused,
    choose_weight,
    validation_ndcg,
    with_popularity,
)
from teacher.scorers import Popularity

ITEMS = 40
HISTORIES = random_histories(50, ITEMS, 5)
CASES = Cases(np.arange(50), HISTORIES, np.array([(h[-1] + 1) % ITEMS for h in HISTORIES]))


@dataclass(frozen=True)
class Successor:
    """Knows that the item after the newest comes next."""

    confidence: float = 1.0
    name: str = "successor"

    def scores(self, histories: list[Indices]) -> npt.NDArray[np.float32]:
        scores = np.zeros((len(histories), ITEMS), dtype=np.float32)
        for row, history in zip(scores, histories, strict=True):
            row[(history[-1] + 1) % ITEMS] = self.confidence
        return scores


@dataclass(frozen=True)
class Noise:
    """The same random scores for everybody."""

    name: str = "noise"

    def scores(self, histories: list[Indices]) -> npt.NDArray[np.float32]:
        row = np.random.default_rng(3).normal(size=ITEMS).astype(np.float32)
        return np.tile(row, (len(histories), 1))


@dataclass(frozen=True)
class Silent:
    name: str = "silent"

    def scores(self, histories: list[Indices]) -> npt.NDArray[np.float32]:
        return np.full((len(histories), ITEMS), 0.1, dtype=np.float32)


@pytest.fixture(scope="module")
def cases() -> Cases:
    """Histories whose successor they do not hold already."""
    rows = [n for n in range(50) if CASES.targets[n] not in HISTORIES[n]]
    return Cases(CASES.users[rows], [HISTORIES[n] for n in rows], CASES.targets[rows])


def test_fused_scores_by_hand() -> None:
    histories = HISTORIES[:3]
    one, two = Successor().scores(histories), Noise().scores(histories)
    expected = 0.3 * (one - one.mean(1, keepdims=True)) / one.std(1, keepdims=True)
    expected += 0.7 * (two - two.mean(1, keepdims=True)) / two.std(1, keepdims=True)
    fused = Fused(Successor(), Noise(), 0.3)
    np.testing.assert_allclose(fused.scores(histories), expected, atol=1e-5)
    assert fused.name == "0.3 successor + 0.7 noise"


def test_the_scale_of_a_scorer_does_not_matter() -> None:
    plain = Fused(Successor(), Noise(), 0.5).scores(HISTORIES)
    loud = Fused(Successor(confidence=1e4), Noise(), 0.5).scores(HISTORIES)
    np.testing.assert_allclose(plain, loud, atol=1e-4)


def test_the_scorer_that_knows_is_chosen(cases: Cases) -> None:
    weight, ndcg = choose_weight(Successor(), Noise(), cases)
    assert ndcg == 1.0
    assert 0 < weight < 1  # the smallest of the weights that reach it
    assert validation_ndcg(Fused(Successor(), Noise(), round(weight - 0.1, 1)), cases) < 1.0
    assert choose_weight(Noise(), Successor(), cases) == (0.0, 1.0)


def test_a_scorer_that_says_nothing_gets_no_weight(cases: Cases) -> None:
    assert choose_weight(Silent(), Successor(), cases) == (0.0, 1.0)


def test_the_reported_ndcg_is_that_of_the_fusion(cases: Cases) -> None:
    weight, ndcg = choose_weight(Noise(), Noise(name="other"), cases)
    assert ndcg == pytest.approx(validation_ndcg(Fused(Noise(), Noise(), weight), cases))


def test_popularity_joins_where_it_helps(cases: Cases) -> None:
    # Everybody's next item is among the popular ones, of which a history tells nothing.
    counts = np.ones(ITEMS, dtype=np.float32)
    counts[:3] = 16
    rows = [n for n, h in enumerate(cases.histories) if 1 not in h]
    likely = Cases(cases.users[rows], [cases.histories[n] for n in rows], np.ones(len(rows), int))
    found, verdict = with_popularity(Noise(), counts, likely, seed=0)
    assert isinstance(found, Fused)
    assert isinstance(found.first, Popularity)
    np.testing.assert_array_equal(found.first.counts, popularity_scores(counts))
    assert verdict.used == f"{found.weight:.1f} popularity"
    assert validation_ndcg(found, likely) == verdict.ndcg[verdict.used]


def test_popularity_stays_out_where_it_does_not_help(cases: Cases) -> None:
    counts = np.arange(ITEMS, dtype=np.float32)
    scorer = Successor()
    found, verdict = with_popularity(scorer, counts, cases, seed=0)
    assert found is scorer
    assert verdict.used == "no popularity"
