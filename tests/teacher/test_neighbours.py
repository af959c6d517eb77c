"""The closed forms against brute force."""

import numpy as np
import numpy.typing as npt
import pytest
from scipy import sparse
from tiny_data import random_histories, unit_rows

from pocketrec.errors import RunError
from teacher.evidence import Evidence
from teacher.neighbours import ease, ease_with_text, item_knn
from teacher.scorers import history_matrix

ITEMS = 15
# Item 14 has no interaction, as cold items have.
HISTORIES = random_histories(40, ITEMS - 1, 8)
INTERACTIONS = history_matrix(HISTORIES, ITEMS)
TOGETHER = INTERACTIONS.T @ INTERACTIONS
FOUR = sparse.csr_matrix(
    np.array([[1, 1, 0, 0], [1, 1, 1, 0], [0, 1, 0, 0], [0, 0, 1, 0]], dtype=np.float32)
)


def evidence(vectors: npt.NDArray[np.float32]) -> Evidence:
    return Evidence.of(HISTORIES, np.zeros(len(HISTORIES), dtype=np.int64), vectors)


def ridge_without_self(x: npt.NDArray[np.float64], ridge: float) -> npt.NDArray[np.float64]:
    """Each item's column regressed on all other columns, one at a time."""
    items = x.shape[1]
    weights = np.zeros((items, items))
    for item in range(items):
        others = np.delete(np.arange(items), item)
        gram = x[:, others].T @ x[:, others] + ridge * np.eye(items - 1)
        weights[others, item] = np.linalg.solve(gram, x[:, others].T @ x[:, item])
    return weights


@pytest.mark.parametrize("ridge", [0.5, 20.0, 800.0])
def test_ease_is_one_ridge_regression_an_item(ridge: float) -> None:
    weights = ease(TOGETHER, ridge)
    expected = ridge_without_self(INTERACTIONS.toarray().astype(np.float64), ridge)
    np.testing.assert_allclose(weights, expected, atol=2e-5)
    assert weights.dtype == np.float32
    assert not np.diag(weights).any()
    assert weights.flags.c_contiguous


def test_ease_by_the_formula_of_the_paper() -> None:
    gram = (INTERACTIONS.T @ INTERACTIONS).toarray().astype(np.float64)
    inverse = np.linalg.inv(gram + 3.0 * np.eye(ITEMS))
    expected = inverse / -np.diag(inverse)[None, :]
    np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(ease(TOGETHER, 3.0), expected, atol=1e-5)


def test_ease_says_nothing_about_an_item_without_interactions() -> None:
    weights = ease(TOGETHER, 5.0)
    assert not weights[:, 14].any()
    assert not weights[14].any()


def test_ease_with_text_is_ease_with_a_synthetic_user_for_each_dimension() -> None:
    vectors = unit_rows((ITEMS, 5))
    stacked = sparse.vstack([INTERACTIONS, sparse.csr_matrix(np.sqrt(7.0) * vectors.T)]).tocsr()
    found = ease_with_text(evidence(vectors), 7.0, 0.0, 4.0)
    np.testing.assert_allclose(
        found, ease((stacked.T @ stacked).astype(np.float32), 4.0), atol=2e-5
    )
    assert found[:, 14].any()  # text speaks for the cold item


def test_ease_without_text_weight_is_ease() -> None:
    found = ease_with_text(evidence(unit_rows((ITEMS, 5))), 0.0, 0.0, 4.0)
    np.testing.assert_array_equal(found, ease(TOGETHER, 4.0))


@pytest.mark.parametrize("order", [0.3, 1.0])
def test_a_directed_model_is_one_ridge_regression_an_item(order: float) -> None:
    """On the interactions, the transitions and one synthetic user for each text dimension, stacked by weight."""
    known = evidence(unit_rows((ITEMS, 5)))
    sources = [(1 - order, known.interactions, known.interactions)]
    sources += [(order, known.past, known.following), (7.0, known.vectors.T, known.vectors.T)]
    read, wanted = (
        np.vstack([np.sqrt(s[0]) * sparse.csr_matrix(s[side]).toarray() for s in sources])
        for side in (1, 2)
    )
    expected = np.zeros((ITEMS, ITEMS))
    for item in range(ITEMS):
        others = np.delete(np.arange(ITEMS), item)
        gram = read[:, others].T @ read[:, others] + 4.0 * np.eye(ITEMS - 1)
        expected[others, item] = np.linalg.solve(gram, read[:, others].T @ wanted[:, item])
    found = ease_with_text(known, 7.0, order, 4.0)
    np.testing.assert_allclose(found, expected, atol=2e-5)
    assert found.dtype == np.float32


def test_a_directed_model_knows_what_comes_after_what() -> None:
    """Everybody goes 0, 1, 2, ...: an item speaks for its successor and not for its predecessor."""
    train = [np.arange(n, n + 5) for n in range(8)] * 20
    known = Evidence.of(train, np.zeros(len(train), dtype=np.int64), unit_rows((12, 3)))
    directed = ease_with_text(known, 0.0, 1.0, 10.0)
    forward, backward = np.diag(directed, 1), np.diag(directed, -1)
    assert (forward[1:-1] > 0.3).all()
    assert (backward[1:-1] < 0).all()
    symmetric = ease_with_text(known, 0.0, 0.0, 10.0)
    assert (np.diag(symmetric, 1)[1:-1] > 0).all()
    assert (np.diag(symmetric, -1)[1:-1] > 0).all()


def test_a_gram_matrix_that_cannot_be_factored() -> None:
    with pytest.raises(RunError, match="raise the ridge"):
        ease(TOGETHER, -100.0)


def test_closed_forms_leave_what_they_are_given_alone() -> None:
    before = TOGETHER.toarray()
    ease(TOGETHER, 5.0)
    item_knn(TOGETHER, 3, 5.0)
    np.testing.assert_array_equal(TOGETHER.toarray(), before)


def test_item_knn_by_hand() -> None:
    # Chosen 2, 3, 2 and 0 times; together: (0, 1) twice, (0, 2) and (1, 2) once. Shrink 1.
    weights = item_knn(FOUR.T @ FOUR, 10, 1.0)
    first, second, third = 2 / (6**0.5 + 1), 1 / (2 + 1), 1 / (6**0.5 + 1)
    expected = [[0, first, second, 0], [first, 0, third, 0], [second, third, 0, 0], [0, 0, 0, 0]]
    np.testing.assert_allclose(weights, expected, rtol=1e-6)
    assert weights.dtype == np.float32


def test_item_knn_without_shrinkage_is_the_cosine() -> None:
    columns = INTERACTIONS.toarray()
    norms = np.maximum(np.linalg.norm(columns, axis=0), 1e-9)
    expected = columns.T @ columns / norms[:, None] / norms[None, :]
    np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(item_knn(TOGETHER, ITEMS, 0.0), expected, atol=1e-6)


def test_item_knn_keeps_the_strongest_of_each_scored_item() -> None:
    weights = item_knn(FOUR.T @ FOUR, 1, 1.0)
    first, second = 2 / (6**0.5 + 1), 1 / 3
    expected = [[0, first, second, 0], [first, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    np.testing.assert_allclose(weights, expected, rtol=1e-6)
