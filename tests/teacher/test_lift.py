from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse
from tiny_data import random_histories

from pocketrec.splits import Cases
from teacher.fusion import validation_ndcg
from teacher.lift import AS_IT_IS, choose_lift, lifted, lifts
from teacher.scorers import ItemItem

ITEMS = 40
COUNTS = np.arange(ITEMS, dtype=np.float32) ** 2


def model(weights: np.ndarray) -> ItemItem:
    return ItemItem("model", weights.astype(np.float32), np.arange(len(weights)), len(weights))


def test_lifts_by_hand() -> None:
    found = lifts(np.array([0, 6, 4], np.float32), 0.5)  # with one more each, 13 / 3 on average
    np.testing.assert_allclose(found, np.sqrt([3 / 13, 21 / 13, 15 / 13]), rtol=1e-5)
    np.testing.assert_array_equal(lifts(COUNTS, 0.0), np.ones(ITEMS))


@pytest.mark.parametrize("sparsely", [False, True])
def test_every_score_gets_its_lift(sparsely: bool) -> None:
    weights = np.random.default_rng(0).normal(size=(3, 3)).astype(np.float32)
    tail = sparse.csr_matrix(np.array([[0, 2.0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]], np.float32))
    plain = ItemItem("model", weights, np.array([0, 2, 3]), 4, tail=tail)
    if sparsely:
        plain = replace(plain, weights=sparse.csr_matrix(weights))
    counts = np.array([1, 0, 5, 9], np.float32)
    made = lifted(plain, counts, -0.3)
    histories = [np.array([0, 3]), np.array([2])]
    expected = plain.scores(histories) * lifts(counts, -0.3)
    np.testing.assert_allclose(made.scores(histories), expected, rtol=1e-5)
    assert sparse.issparse(made.weights) == sparsely
    assert made.name == "model, popularity to -0.3"


def test_no_power_changes_nothing() -> None:
    plain = model(np.eye(ITEMS))
    assert lifted(plain, COUNTS, 0.0) is plain


@pytest.fixture(scope="module")
def histories() -> list[np.ndarray]:
    return random_histories(400, ITEMS, 3)


def test_popular_items_are_lifted_where_people_choose_them(histories: list[np.ndarray]) -> None:
    noise = model(np.random.default_rng(1).random((ITEMS, ITEMS)))
    targets = np.array([max(set(range(ITEMS - 5, ITEMS)) - set(h)) for h in histories])
    cases = Cases(np.arange(len(histories)), histories, targets)
    power, verdict = choose_lift(noise, COUNTS, cases, 0)
    assert power > 0
    assert verdict.used == f"popularity to {power:g}"
    # What was judged is what the lifted model scores.
    made = lifted(noise, COUNTS, power)
    assert validation_ndcg(made, cases) == pytest.approx(verdict.ndcg[verdict.used])
    rare = replace(cases, targets=np.array([min(set(range(6)) - set(h)) for h in histories]))
    assert choose_lift(noise, COUNTS, rare, 0)[0] < 0


def test_popularity_stays_as_it_is_where_it_says_nothing(histories: list[np.ndarray]) -> None:
    known = model(np.roll(np.eye(ITEMS), 1, axis=1))
    fresh = [h for h in histories if (h[-1] + 1) % ITEMS not in h]
    cases = Cases(np.arange(len(fresh)), fresh, np.array([(h[-1] + 1) % ITEMS for h in fresh]))
    power, verdict = choose_lift(replace(known, decay=0.1), COUNTS, cases, 0)
    assert (power, verdict.used) == (0.0, AS_IT_IS)
