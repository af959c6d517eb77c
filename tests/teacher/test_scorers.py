"""Scorers by hand and against dense algebra, and the one contract that all of them keep."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from tiny_data import random_histories, unit_rows

from pocketrec.catalogue import Item
from pocketrec.rules import Rules
from pocketrec.splits import interaction_counts
from teacher.evidence import Evidence
from teacher.factors import LowRank, fit_factors
from teacher.fusion import Fused
from teacher.learned_fusion import Concatenation, Gate, LearnedFusion
from teacher.local import local_ease_with_text
from teacher.neighbours import ease, ease_with_text, item_knn
from teacher.recipe import SequenceRecipe
from teacher.rules import RuledScorer
from teacher.scorers import (
    ItemItem,
    Popularity,
    Scorer,
    history_matrix,
    standardise,
)
from teacher.sequence import SequenceModel, SequenceScorer

ITEMS = 30
TRAIN = random_histories(60, ITEMS - 2, 12)  # the last two items are cold
VECTORS = unit_rows((ITEMS, 6))
HEAD = np.array([1, 2, 3, 5, 8, 13, 21])
COUNTS = interaction_counts(TRAIN, ITEMS)


def history(*items: int) -> npt.NDArray[np.int64]:
    return np.array(items, dtype=np.int64)


def together(items: npt.NDArray[np.int64] | None = None) -> sparse.csr_matrix:
    return (evidence() if items is None else evidence()[items]).together


def evidence() -> Evidence:
    return Evidence.of(TRAIN, np.zeros(len(TRAIN), dtype=np.int64), VECTORS)


def whole(weights: npt.NDArray[np.float32] | sparse.csr_matrix, decay: float = 1.0) -> ItemItem:
    return ItemItem("whole", weights, np.arange(ITEMS), ITEMS, decay)


def headed(decay: float = 0.7) -> ItemItem:
    """A head of seven items and a random tail: a third of its entries filled."""
    rng = np.random.default_rng(1)
    tail = rng.uniform(0.1, 1, (len(HEAD), ITEMS)).astype(np.float32)
    tail[rng.random(tail.shape) < 2 / 3] = 0
    tail[:, HEAD] = 0
    weights = ease(together(HEAD), 5.0)
    return ItemItem("headed", weights, HEAD, ITEMS, decay, sparse.csr_matrix(tail))


def dense(model: ItemItem) -> npt.NDArray[np.float32]:
    """The model as one matrix [N, N], row = history item."""
    matrix = np.zeros((ITEMS, ITEMS), dtype=np.float32)
    weights = model.weights
    matrix[np.ix_(model.head, model.head)] = (
        weights.toarray() if sparse.issparse(weights) else weights
    )
    if model.tail is not None:
        matrix[model.head] += model.tail.toarray()
    return matrix


def local(decay: float = 0.8) -> ItemItem:
    return whole(local_ease_with_text(evidence(), 3.0, 0.5, 5.0, width=6), decay)


def sequence() -> SequenceScorer:
    recipe = SequenceRecipe(dimensions=16, id_embedding=True)
    return SequenceScorer(SequenceModel(VECTORS, 10, recipe))


def learned(head: type[Gate] | type[Concatenation]) -> LearnedFusion:
    counts = interaction_counts(TRAIN, ITEMS)
    made = LearnedFusion(sequence(), headed(), head(0.6), counts, (1.5, 0.7))
    for parameter in made.head.parameters():
        torch.nn.init.normal_(parameter)
    return made


RULES = Rules.parse(
    """
[[boost]]
item_id = ["3", "9"]
by = 1.5
[[exclude]]
item_id = "5"
[[quota]]
item_id = ["1", "2", "8"]
most = 1
"""
).bind([Item(str(index), "title") for index in range(ITEMS)])

SCORERS: dict[str, Callable[[], Scorer]] = {
    "popularity": lambda: Popularity(interaction_counts(TRAIN, ITEMS)),
    "ItemKNN": lambda: whole(item_knn(together(), 10, 5.0)),
    "EASE": lambda: whole(ease(together(), 5.0)),
    "EASE with text": lambda: whole(ease_with_text(evidence(), 3.0, 0.5, 5.0), 0.8),
    "local EASE with text": local,
    "head and tail": headed,
    "factors": lambda: LowRank(fit_factors(evidence().interactions, 4, 0), 0.8),
    "sequence": sequence,
    "fused": lambda: Fused(sequence(), headed(), 0.6),
    "gated": lambda: learned(Gate),
    "concatenated": lambda: learned(Concatenation),
    "with rules": lambda: RuledScorer(headed(), RULES),
}


@pytest.fixture(scope="module", params=SCORERS)
def scorer(request: pytest.FixtureRequest) -> Scorer:
    return SCORERS[request.param]()


class TestEveryScorer:
    # One longer than the sequence model reads, one of cold items, one empty.
    histories = (*TRAIN[:5], np.arange(20), history(28, 29), history())

    def test_shape_type_and_finiteness(self, scorer: Scorer) -> None:
        scores = scorer.scores(list(self.histories))
        assert scores.shape == (len(self.histories), ITEMS)
        assert scores.dtype == np.float32
        assert np.isfinite(scores).all()
        assert scorer.name

    def test_the_same_again(self, scorer: Scorer) -> None:
        first = scorer.scores(list(self.histories))
        assert np.array_equal(first, scorer.scores(list(self.histories)))

    def test_a_history_alone_and_in_a_batch(self, scorer: Scorer) -> None:
        together = scorer.scores(list(self.histories))
        for row, alone in zip(together, self.histories, strict=True):
            np.testing.assert_allclose(scorer.scores([alone])[0], row, rtol=1e-4, atol=1e-5)

    def test_the_caller_may_write_into_the_scores(self, scorer: Scorer) -> None:
        scores = scorer.scores(list(self.histories))
        before = scores.copy()
        scores[:] = -1
        assert np.array_equal(scorer.scores(list(self.histories)), before)

    def test_histories_are_left_alone(self, scorer: Scorer) -> None:
        given = [h.copy() for h in self.histories]
        scorer.scores(given)
        assert all(np.array_equal(a, b) for a, b in zip(given, self.histories, strict=True))


def test_history_matrix_counts_older_items_less() -> None:
    matrix = history_matrix([history(2, 0, 3), history(), history(1)], 4, 0.5)
    assert matrix.dtype == np.float32
    assert matrix.toarray().tolist() == [[0.5, 0, 0.25, 1], [0, 0, 0, 0], [0, 1, 0, 0]]


def test_history_matrix_without_decay_and_without_histories() -> None:
    assert history_matrix([history(2, 0)], 3).toarray().tolist() == [[1, 0, 1]]
    assert history_matrix([history(2, 0)], 3, 0.0).toarray().tolist() == [[1, 0, 0]]
    assert history_matrix([], 3).shape == (0, 3)


def test_interaction_counts() -> None:
    counts = interaction_counts([history(0, 2), history(2), history()], 4)
    assert counts.tolist() == [1, 0, 2, 0]
    assert counts.dtype == np.float32
    assert interaction_counts([], 2).tolist() == [0, 0]


@pytest.mark.parametrize("decay", [1.0, 0.6])
def test_head_and_tail_score_as_one_matrix(decay: float) -> None:
    model = headed(decay)
    expected = history_matrix(TRAIN, ITEMS, decay).toarray() @ dense(model)
    np.testing.assert_allclose(model.scores(TRAIN), expected, atol=1e-5)


@pytest.mark.parametrize("decay", [1.0, 0.6])
def test_sparse_weights_score_as_dense_ones(decay: float) -> None:
    model = local(decay)
    assert sparse.issparse(model.weights)
    found = model.scores(TRAIN)
    assert isinstance(found, np.ndarray)
    np.testing.assert_allclose(found, whole(dense(model), decay).scores(TRAIN), atol=1e-6)


@pytest.mark.parametrize("entries", [0, 1, 20, 10_000])
def test_sparse_weights_give_the_table_of_dense_ones(entries: int) -> None:
    model = local()
    found, expected = model.table(entries, COUNTS), whole(dense(model)).table(entries, COUNTS)
    assert found.items == ITEMS
    assert found.sources.dtype == found.targets.dtype == np.int64
    np.testing.assert_array_equal(found.sources, expected.sources)
    np.testing.assert_array_equal(found.targets, expected.targets)
    np.testing.assert_array_equal(found.weights, expected.weights)


def test_a_sparse_table_of_more_places_than_32_bits_count() -> None:
    last = 69_999
    weights = sparse.csr_matrix(
        (np.array([2, 1], dtype=np.float32), ([last, last], [last - 1, 0])), shape=(last + 1,) * 2
    )
    assert weights.indices.dtype == np.int32
    table = ItemItem("large", weights, np.arange(last + 1), last + 1).table(
        10, np.zeros(last + 1, dtype=np.float32)
    )
    assert table.sources.tolist() == [last, last]
    assert table.targets.tolist() == [0, last - 1]
    assert table.weights.tolist() == [1, 2]


def test_age_counts_items_outside_the_head() -> None:
    model = ItemItem("one", np.ones((1, 1), dtype=np.float32), history(0), 3, 0.5)
    assert model.scores([history(0, 1, 2)])[0].tolist() == [0.25, 0, 0]


@pytest.mark.parametrize("entries", [1, 20, 10_000])
def test_table_holds_what_scores_would_miss_most_of_the_head_and_the_whole_tail(
    entries: int,
) -> None:
    model = headed()
    assert model.tail is not None
    table = model.table(entries, COUNTS)
    matrix, missed = dense(model), np.abs(model.weights) * np.sqrt(COUNTS[HEAD] + 1)[:, None]
    most = np.sort(missed[missed > 0])[::-1][:entries]
    np.testing.assert_array_equal(matrix[table.sources, table.targets], table.weights)
    inside = np.isin(table.targets, HEAD)
    kept = np.abs(table.weights[inside]) * np.sqrt(COUNTS[table.sources[inside]] + 1)
    np.testing.assert_array_equal(np.sort(kept)[::-1], most)
    assert (~inside).sum() == model.tail.nnz
    places = table.sources * ITEMS + table.targets
    assert (np.diff(places) > 0).all()  # in order, each once
    assert set(table.sources.tolist()) <= set(HEAD.tolist())


def test_a_whole_table_is_the_model() -> None:
    for model in (headed(), whole(ease(together(), 5.0)), local()):
        table = model.table(ITEMS * ITEMS, COUNTS)
        matrix = np.zeros((ITEMS, ITEMS), dtype=np.float32)
        matrix[table.sources, table.targets] = table.weights
        np.testing.assert_array_equal(matrix, dense(model))


def test_standardise_by_hand() -> None:
    scores = np.array([[1, 2, 3], [5, 5, 5]], dtype=np.float32)
    found = standardise(scores)
    np.testing.assert_allclose(found[0], [-np.sqrt(1.5), 0, np.sqrt(1.5)], rtol=1e-6)
    assert found[1].tolist() == [0, 0, 0]
    assert found.dtype == np.float32
    assert scores.tolist() == [[1, 2, 3], [5, 5, 5]]


@given(st.floats(-1e6, 1e6, width=32), st.integers(1, 3000))
def test_a_constant_row_says_nothing(value: float, items: int) -> None:
    row = np.full((1, items), value, dtype=np.float32)
    assert not standardise(row).any()
