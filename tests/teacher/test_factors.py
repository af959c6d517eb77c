"""Factors of who chose what, whether they are used, and how a second factorisation is turned to lie as the first."""

import numpy as np
import pytest
from scipy import sparse
from scipy.stats import ortho_group

from pocketrec.splits import Cases
from teacher.factors import LowRank, aligned, choose_factors, fit_factors
from teacher.scorers import ItemItem

ITEMS = 12
"""Of two kinds, evens and odds; nobody chooses the last."""


@pytest.fixture
def interactions() -> sparse.csr_matrix:
    generator = np.random.default_rng(0)
    chosen = np.zeros((60, ITEMS), dtype=np.float32)
    for user, row in enumerate(chosen):
        row[generator.choice(np.arange(user % 2, ITEMS - 1, 2), 3, replace=False)] = 1
    return sparse.csr_matrix(chosen)


def test_items_that_the_same_people_choose_lie_together(interactions: sparse.csr_matrix) -> None:
    found = fit_factors(interactions, 4, seed=0)
    assert found.shape == (ITEMS, 4)
    assert found.dtype == np.float32
    assert np.linalg.norm(found[:-1], axis=1).mean() == pytest.approx(0.5, rel=1e-5)
    assert not found[-1].any()
    evens, odds = found[:-1:2], found[1:-1:2]
    assert (evens @ evens.T).min() > (evens @ odds.T).max()
    # Principal directions, the strongest first: no other one could be left out at less cost.
    spread = found.T @ found
    np.testing.assert_allclose(spread, np.diag(np.diag(spread)), atol=1e-4)
    assert (np.diff(np.diag(spread)) <= 0).all()


def test_the_seed_decides(interactions: sparse.csr_matrix) -> None:
    first, again = (fit_factors(interactions, 4, seed=1) for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_more_factors_than_items(interactions: sparse.csr_matrix) -> None:
    found = fit_factors(interactions, ITEMS + 3, seed=0)
    assert found.shape == (ITEMS, ITEMS + 3)
    assert not found[:, ITEMS:].any()


@pytest.mark.parametrize("width", [0, 4])
def test_where_nobody_chose_anything_there_is_nothing_to_know(width: int) -> None:
    nobody = sparse.csr_matrix((3, ITEMS), dtype=np.float32)
    assert not fit_factors(nobody, width, seed=0).any()
    assert fit_factors(nobody, width, seed=0).shape == (ITEMS, width)


def test_no_factors_asked(interactions: sparse.csr_matrix) -> None:
    assert fit_factors(interactions, 0, seed=0).shape == (ITEMS, 0)


def test_a_turned_factorisation_is_turned_back(interactions: sparse.csr_matrix) -> None:
    known = fit_factors(interactions, 4, seed=0)
    turned = known @ ortho_group.rvs(4, random_state=1).astype(np.float32)
    assert not np.allclose(turned, known, atol=0.1)
    np.testing.assert_allclose(aligned(turned, known), known, atol=1e-4)


def test_nothing_known_turns_nothing(interactions: sparse.csr_matrix) -> None:
    factors = fit_factors(interactions, 4, seed=0)
    nothing = np.zeros_like(factors)
    np.testing.assert_array_equal(aligned(factors, nothing), factors)
    assert not aligned(nothing, factors).any()


def test_what_factors_say_by_hand() -> None:
    """Y'Y + 1/4 I is 2.25: who chose the second item alone stands at 1 / 2.25."""
    factors = np.array([[0], [1], [-1], [0]], dtype=np.float32)
    scored = LowRank(factors, 1.0).scores([np.array([1]), np.array([2, 1]), np.array([0])])
    np.testing.assert_allclose(scored[0], [0, 1 / 2.25, -1 / 2.25, 0], rtol=1e-6)
    assert not scored[1:].any()
    newest_counts_more = LowRank(factors, 0.5).scores([np.array([2, 1])])
    np.testing.assert_allclose(newest_counts_more, [[0, 0.5 / 2.25, -0.5 / 2.25, 0]], rtol=1e-6)


@pytest.fixture
def cases() -> Cases:
    """Who chose one item chose another of its kind next."""
    generator = np.random.default_rng(1)
    pairs = [
        generator.choice(np.arange(user % 2, ITEMS - 1, 2), 2, replace=False) for user in range(80)
    ]
    histories, targets = [pair[:1] for pair in pairs], np.array([pair[1] for pair in pairs])
    return Cases(np.arange(80), histories, targets)


def item_item(weights: np.ndarray) -> ItemItem:
    return ItemItem("closed form", weights.astype(np.float32), np.arange(ITEMS), ITEMS)


def test_factors_are_used_where_the_closed_form_lacks_what_they_know(
    interactions: sparse.csr_matrix, cases: Cases
) -> None:
    factors = fit_factors(interactions, 4, seed=0)
    noise = item_item(np.random.default_rng(2).random((ITEMS, ITEMS)))
    found, verdict = choose_factors(factors, noise, 1.0, cases, seed=0)
    assert found is factors
    assert verdict.used.endswith(" factors")
    assert verdict.used != "no factors"


def test_factors_are_left_out_where_they_know_nothing_else() -> None:
    before = np.arange(ITEMS)
    follows = item_item(np.roll(np.eye(ITEMS), 1, axis=1))
    cases = Cases(before, [before[i : i + 1] for i in before], (before + 1) % ITEMS)
    factors = np.random.default_rng(3).normal(size=(ITEMS, 4)).astype(np.float32)
    found, verdict = choose_factors(factors, follows, 1.0, cases, seed=0)
    assert found.shape == (ITEMS, 0)
    assert verdict.used == "no factors"


def test_no_factors_are_asked_and_none_are_used(cases: Cases) -> None:
    noise = item_item(np.random.default_rng(2).random((ITEMS, ITEMS)))
    nothing = np.zeros((ITEMS, 0), dtype=np.float32)
    found, verdict = choose_factors(nothing, noise, 1.0, cases, seed=0)
    assert found.shape == (ITEMS, 0)
    assert verdict.used == "no factors"
