"""Factors of who chose what, and how a second factorisation is turned to lie as the first."""

import numpy as np
import pytest
from scipy import sparse
from scipy.stats import ortho_group

from teacher.factors import aligned, fit_factors

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
    assert np.linalg.norm(found[:-1], axis=1).mean() == pytest.approx(1, rel=1e-5)
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
