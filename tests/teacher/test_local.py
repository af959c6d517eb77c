"""Columns solved one by one over their neighbours, against the closed forms and against brute force."""

import numpy as np
import numpy.typing as npt
import pytest
from scipy import sparse
from tiny_data import random_histories, unit_rows

from pocketrec.errors import RunError
from teacher import local
from teacher.evidence import Evidence
from teacher.local import local_ease, local_ease_with_text, local_ridge
from teacher.neighbours import ease, ease_with_text
from teacher.scorers import history_matrix

ITEMS = 15
# Item 14 has no interaction, as cold items have.
HISTORIES = random_histories(40, ITEMS - 1, 8)
VECTORS = unit_rows((ITEMS, 5))
EVIDENCE = Evidence.of(HISTORIES, np.zeros(40, dtype=np.int64), VECTORS)
GRAM = (EVIDENCE.interactions.T @ EVIDENCE.interactions).tocsr()
PAST = (EVIDENCE.past.T @ EVIDENCE.past).tocsr()
FOLLOWING = (EVIDENCE.past.T @ EVIDENCE.following).tocsr()


@pytest.fixture(autouse=True, params=[0, 4, 100], ids=lambda hubs: f"{hubs} hubs")
def _few_hubs(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Most rows beyond the dense ones, and more than one block of scored items."""
    monkeypatch.setattr(local, "HUBS", request.param)
    monkeypatch.setattr(local, "COMPARED_AT_ONCE", 4 * ITEMS)


def by_hand(
    gram: npt.NDArray[np.floating], target: npt.NDArray[np.floating], ridge: float, width: int
) -> npt.NDArray[np.float64]:
    """The definition: for each item the best of the others, and one system over them."""
    weights = np.zeros(gram.shape)
    alone = target / np.sqrt(np.diag(gram) + ridge)[:, None]
    for item in range(len(gram)):
        ranked = [i for i in np.argsort(-alone[:, item], kind="stable") if i != item]
        related = [i for i in ranked[:width] if target[i, item] != 0]
        system = gram[np.ix_(related, related)] + ridge * np.eye(len(related))
        weights[related, item] = np.linalg.solve(system, target[related, item])
    return weights


@pytest.mark.parametrize("width", [ITEMS - 1, ITEMS, 1000])
def test_all_items_in_every_column_is_the_closed_form(width: int) -> None:
    found = local_ridge(GRAM, GRAM, None, 0.0, 20.0, width)
    np.testing.assert_allclose(found.toarray(), ease(EVIDENCE.together, 20.0), atol=2e-5)
    found = local_ridge(GRAM, GRAM, VECTORS, 7.0, 4.0, width)
    np.testing.assert_allclose(found.toarray(), ease_with_text(EVIDENCE, 7.0, 0.0, 4.0), atol=2e-5)
    assert isinstance(found, sparse.csr_matrix)
    assert found.dtype == np.float32
    assert found.shape == (ITEMS, ITEMS)


@pytest.mark.parametrize("order", [0.4, 1.0])
def test_all_items_in_every_column_is_the_directed_closed_form(order: float) -> None:
    gram = ((1 - order) * GRAM + order * PAST).tocsr()
    target = ((1 - order) * GRAM + order * FOLLOWING).tocsr()
    found = local_ridge(gram, target, VECTORS, 7.0, 4.0, ITEMS).toarray()
    np.testing.assert_allclose(found, ease_with_text(EVIDENCE, 7.0, order, 4.0), atol=2e-5)


def test_the_directed_form_is_a_least_squares_with_a_zero_diagonal() -> None:
    past, following = EVIDENCE.past.toarray(), EVIDENCE.following.toarray()
    texts = np.sqrt(7.0) * VECTORS.T
    read = np.vstack([past, texts, np.sqrt(4.0) * np.eye(ITEMS)])
    wanted = np.vstack([following, texts, np.zeros((ITEMS, ITEMS))])
    found = local_ridge(PAST, FOLLOWING, VECTORS, 7.0, 4.0, ITEMS).toarray()
    for item in range(ITEMS):
        others = np.delete(np.arange(ITEMS), item)
        expected = np.linalg.lstsq(read[:, others], wanted[:, item])[0]
        np.testing.assert_allclose(found[others, item], expected, atol=2e-5)
        assert found[item, item] == 0


@pytest.mark.parametrize("text_weight", [0.0, 2.0, 30.0])
@pytest.mark.parametrize("width", [4, 8, 13])
def test_a_narrow_column_is_a_system_over_the_items_most_related(
    width: int, text_weight: float
) -> None:
    # Interactions of different weights, so that no two items are related equally.
    x = sparse.random(30, ITEMS, 0.2, "csr", np.float32, random_state=width)
    gram = (x.T @ x).tocsr()
    dense = gram.toarray() + text_weight * VECTORS @ VECTORS.T
    found = local_ridge(gram, gram, VECTORS, text_weight, 1.5, width)
    np.testing.assert_allclose(found.toarray(), by_hand(dense, dense, 1.5, width), atol=2e-5)
    assert np.diff(found.tocsc().indptr).max() <= width


def test_ease_over_all_items_and_over_a_few() -> None:
    found = local_ease(EVIDENCE.together, 20.0, ITEMS).toarray()
    np.testing.assert_allclose(found, ease(EVIDENCE.together, 20.0), atol=2e-5)
    found = local_ease(EVIDENCE.together, 20.0, 3).toarray()
    np.testing.assert_array_equal(found, local_ridge(GRAM, GRAM, None, 0.0, 20.0, 3).toarray())


@pytest.mark.parametrize("order", [0.0, 0.4, 1.0])
def test_ease_with_text_over_all_items_and_over_a_few(order: float) -> None:
    found = local_ease_with_text(EVIDENCE, 7.0, order, 4.0, ITEMS).toarray()
    np.testing.assert_allclose(found, ease_with_text(EVIDENCE, 7.0, order, 4.0), atol=2e-5)
    gram = ((1 - order) * GRAM + order * PAST).tocsr()
    target = ((1 - order) * GRAM + order * FOLLOWING).tocsr()
    found = local_ease_with_text(EVIDENCE, 7.0, order, 4.0, 3).toarray()
    expected = local_ridge(gram, target, VECTORS, 7.0, 4.0, 3).toarray()
    np.testing.assert_allclose(found, expected, atol=2e-5)


@pytest.mark.parametrize("columns", [[14, 2, 7, 3, 0, 9], [5]])
def test_some_columns_are_those_of_all(columns: list[int]) -> None:
    some = np.array(columns, dtype=np.int64)
    found = local_ridge(PAST, FOLLOWING, VECTORS, 7.0, 4.0, 4, columns=some).toarray()
    expected = local_ridge(PAST, FOLLOWING, VECTORS, 7.0, 4.0, 4).toarray()
    np.testing.assert_allclose(found[:, some], expected[:, some], atol=1e-6)
    assert not np.delete(found, some, axis=1).any()


def test_two_items_by_hand() -> None:
    # Three people chose both, one the first alone: G = [[4, 3], [3, 3]], so b = 3 / (G_ii + ridge).
    gram = sparse.csr_matrix(np.array([[4, 3], [3, 3]], dtype=np.float32))
    found = local_ridge(gram, gram, None, 0.0, 1.0, 1).toarray()
    np.testing.assert_allclose(found, [[0, 3 / 5], [3 / 4, 0]], rtol=1e-6)


def test_the_most_related_is_who_explains_most_and_not_who_is_chosen_most() -> None:
    # Item 2 was chosen twice with each of the others, of which item 0 is chosen by everybody.
    gram = sparse.csr_matrix(np.array([[90, 1, 2], [1, 3, 2], [2, 2, 4]], dtype=np.float32))
    found = local_ridge(gram, gram, None, 0.0, 1.0, 1).toarray()
    np.testing.assert_allclose(found[:, 2], [0, 2 / 4, 0], rtol=1e-6)


def test_a_tie_keeps_the_width() -> None:
    gram = sparse.csr_matrix(np.full((6, 6), 2, dtype=np.float32) + np.eye(6, dtype=np.float32))
    found = local_ridge(gram, gram, None, 0.0, 1.0, 3)
    assert np.diff(found.tocsc().indptr).tolist() == [3] * 6
    np.testing.assert_allclose(found.data, 2 / (4 + 2 * 2), rtol=1e-6)


def test_a_cold_item_is_spoken_for_by_its_text_alone() -> None:
    cold = ITEMS - 1
    found = local_ridge(GRAM, GRAM, VECTORS, 7.0, 4.0, 4).toarray()
    strongest = int(found[:, cold].argmax())
    cosines = VECTORS[:cold] @ VECTORS[cold]
    scale = np.sqrt(GRAM.diagonal()[:cold] + 7.0 + 4.0)
    assert strongest in np.argsort(-cosines / scale)[:4]
    assert found[strongest, cold] > 0
    without = local_ridge(GRAM, GRAM, None, 0.0, 4.0, 4).toarray()
    assert not without[:, cold].any()
    assert not without[cold].any()


def test_unrelated_items_have_empty_columns() -> None:
    nothing = sparse.csr_matrix((5, 5), dtype=np.float32)
    found = local_ridge(nothing, nothing, None, 0.0, 1.0, 2)
    assert found.shape == (5, 5)
    assert found.nnz == 0


def test_one_item() -> None:
    one = sparse.csr_matrix(np.array([[3]], dtype=np.float32))
    assert local_ridge(one, one, np.ones((1, 1), dtype=np.float32), 1.0, 1.0, 5).nnz == 0


def test_progress_ends_at_all_items() -> None:
    seen: list[tuple[int, int]] = []
    local_ridge(GRAM, GRAM, VECTORS, 7.0, 4.0, 4, lambda *done: seen.append(done))
    assert seen[-1] == (ITEMS, ITEMS)
    assert seen == sorted(seen)


def test_a_part_that_cannot_be_factored() -> None:
    with pytest.raises(RunError, match="raise the ridge"):
        local_ridge(GRAM, GRAM, VECTORS, 7.0, -2.0, ITEMS)


def test_what_is_read_stays_as_it_is() -> None:
    before, vectors = GRAM.toarray(), VECTORS.copy()
    local_ridge(GRAM, GRAM, VECTORS, 7.0, 4.0, 4)
    np.testing.assert_array_equal(GRAM.toarray(), before)
    np.testing.assert_array_equal(VECTORS, vectors)


def test_the_order_of_the_catalogue_does_not_matter() -> None:
    order = np.random.default_rng(1).permutation(ITEMS)
    found = local_ridge(GRAM, GRAM, VECTORS, 7.0, 4.0, 4).toarray()
    turned = local_ridge(GRAM[order][:, order], GRAM[order][:, order], VECTORS[order], 7.0, 4.0, 4)
    np.testing.assert_allclose(turned.toarray(), found[np.ix_(order, order)], atol=1e-6)


def test_history_scores_are_a_sparse_product() -> None:
    weights = local_ridge(GRAM, GRAM, VECTORS, 7.0, 4.0, 4)
    read = history_matrix(HISTORIES[:3], ITEMS, 0.8)
    np.testing.assert_allclose(
        (read @ weights).toarray(), read.toarray() @ weights.toarray(), rtol=1e-5, atol=1e-7
    )
