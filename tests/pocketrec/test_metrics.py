"""Metrics against values worked out by hand, and their properties."""

from fractions import Fraction
from math import log2

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pocketrec import metrics
from pocketrec.errors import RunError

NONE = np.zeros(0, dtype=np.int64)

score_rows = hnp.arrays(
    np.float32, st.integers(2, 30), elements=st.integers(-3, 3).map(float), fill=st.nothing()
)


def rank_of(scores, target, exclude=NONE):
    row = np.array([scores], dtype=np.float32)
    found = metrics.ranks(row, np.array([target]), [np.asarray(exclude, dtype=np.int64)])
    return float(found[0])


@pytest.mark.parametrize(
    ("scores", "target", "exclude", "expected"),
    [
        ([0.9, 0.5, 0.1], 0, [], 1),
        ([0.9, 0.5, 0.1], 2, [], 3),
        ([0.9, 0.5, 0.1], 2, [0], 2),  # a history item leaves the ranking
        ([0.9, 0.5, 0.1], 2, [0, 1], 1),
        ([0.5, 0.5, 0.5], 1, [], 2),  # places 1, 2 and 3 share their mean
        ([0.9, 0.5, 0.5, 0.1], 1, [], Fraction(5, 2)),
        ([0.5, 0.5, 0.5], 1, [2], Fraction(3, 2)),  # an excluded item ties with nobody
        ([0.9, 0.1], 1, [1], 2),  # the target is ranked even if the history names it
    ],
)
def test_rank_by_hand(scores, target, exclude, expected):
    assert rank_of(scores, target, exclude) == expected


def test_ranks_of_several_users_use_their_own_row_and_history():
    scores = np.array([[3, 2, 1, 0], [0, 1, 2, 3]], dtype=np.float32)
    found = metrics.ranks(scores, np.array([2, 0]), [np.array([0]), np.array([3, 2])])
    assert found.tolist() == [2, 2]
    assert found.dtype == np.float64


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_score_that_is_not_finite_is_an_error_and_no_perfect_rank(bad):
    with pytest.raises(RunError, match="not finite"):
        rank_of([bad, 1.0, 2.0], 0)


def test_ranks_leave_the_scores_as_they_were():
    scores = np.array([[1.0, 2.0, 3.0]])
    metrics.ranks(scores, np.array([0]), [np.array([2])])
    assert scores.tolist() == [[1.0, 2.0, 3.0]]


@given(score_rows, st.data())
def test_ranks_of_mixtures_are_those_of_the_scores_added_up(one, data):
    others = st.lists(st.integers(-3, 3), min_size=len(one), max_size=len(one))
    two = np.array(data.draw(others), dtype=np.float32)
    item = st.integers(0, len(one) - 1)
    target = np.array([data.draw(item)])
    exclude = [np.array(data.draw(st.lists(item)), dtype=np.int64)]
    shares = [(0.0, 1.0), (0.25, 0.75), (0.5, 0.5), (1.0, 0.0), (1.0, 0.5)]
    found = metrics.mixed_ranks(one[None], two[None], shares, target, exclude)
    expected = [metrics.ranks((a * one + b * two)[None], target, exclude) for a, b in shares]
    assert found.tolist() == np.array(expected).tolist()
    within = data.draw(st.integers(1, len(one)))
    found = metrics.mixed_ranks(one[None], two[None], shares, target, exclude, within)
    near = np.array(expected) <= within
    assert found[near].tolist() == np.array(expected)[near].tolist()
    assert (found[~near] > within).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_mixture_with_a_score_that_is_not_finite_is_an_error(bad):
    good, wrong = np.array([[1.0, 2.0]]), np.array([[bad, 2.0]])
    for first, second in ((good, wrong), (wrong, good)):
        with pytest.raises(RunError, match="not finite"):
            metrics.mixed_ranks(first, second, [(0.5, 0.5)], np.array([1]), [NONE])


@given(score_rows, st.data())
def test_rank_does_not_depend_on_the_order_of_the_catalogue(scores, data):
    target = data.draw(st.integers(0, len(scores) - 1))
    order = np.array(data.draw(st.permutations(range(len(scores)))))
    moved = int(np.flatnonzero(order == target)[0])
    assert rank_of(scores[order], moved) == rank_of(scores, target)


@given(score_rows, st.data())
def test_rank_by_counting(scores, data):
    target = data.draw(st.integers(0, len(scores) - 1))
    exclude = data.draw(st.lists(st.integers(0, len(scores) - 1), unique=True))
    others = [scores[i] for i in range(len(scores)) if i != target and i not in exclude]
    better = sum(other > scores[target] for other in others)
    equal = sum(other == scores[target] for other in others)
    assert rank_of(scores, target, exclude) == better + 1 + Fraction(equal, 2)


@given(score_rows)
def test_ties_hand_out_each_place_once(scores):
    places = [rank_of(scores, target) for target in range(len(scores))]
    assert sum(places) == len(scores) * (len(scores) + 1) / 2


def test_measures_by_hand():
    rank = np.array([1, 3, 10, 11, 2.5])
    assert metrics.recall_at(rank, 10).tolist() == [1, 1, 1, 0, 1]
    assert metrics.recall_at(rank, 2).tolist() == [1, 0, 0, 0, 0]
    assert metrics.ndcg_at(rank, 10).tolist() == pytest.approx(
        [1, Fraction(1, 2), 1 / log2(11), 0, 1 / log2(3.5)]
    )
    assert metrics.reciprocal_rank(rank).tolist() == pytest.approx(
        [1, Fraction(1, 3), Fraction(1, 10), Fraction(1, 11), Fraction(2, 5)]
    )
    assert metrics.precision_at(rank, 10).tolist() == pytest.approx(
        [Fraction(1, 10)] * 3 + [0, Fraction(1, 10)]
    )
    # precision 1/10 and recall 1: 2 * 1/10 * 1 / (11/10) = 2/11
    assert metrics.f1_at(rank, 10).tolist() == pytest.approx(
        [Fraction(2, 11)] * 3 + [0, Fraction(2, 11)]
    )


@given(
    hnp.arrays(np.float64, st.integers(1, 50), elements=st.integers(1, 60).map(float)),
    st.integers(1, 60),
)
def test_measures_stay_in_bounds_and_keep_their_order(rank, k):
    recall, ndcg = metrics.recall_at(rank, k), metrics.ndcg_at(rank, k)
    assert ((ndcg >= 0) & (ndcg <= recall) & (recall <= 1)).all()
    assert (metrics.recall_at(rank, k + 1) >= recall).all()
    assert (metrics.f1_at(rank, k) <= recall).all()


def test_coverage_and_diversity_by_hand():
    lists = np.array([[0, 1], [1, 2]])
    assert metrics.coverage(lists, 4) == Fraction(3, 4)
    vectors = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    # list 0 holds two orthogonal items, list 1 the same direction twice
    assert metrics.intra_list_diversity(lists, vectors).tolist() == pytest.approx([1, 0])
    assert metrics.intra_list_diversity(lists[:, :1], vectors).tolist() == [0, 0]


def test_bootstrap_of_a_constant_has_no_width():
    assert metrics.bootstrap(np.full(20, 0.25)) == (0.25, 0.25, 0.25)


def test_bootstrap_interval_is_that_of_the_normal_approximation():
    hits = np.repeat([0.0, 1.0], [800, 200])
    mean, low, high = metrics.bootstrap(hits)
    error = 1.96 * np.sqrt(0.2 * 0.8 / 1000)
    assert mean == pytest.approx(1 / 5)
    assert (low, high) == pytest.approx((0.2 - error, 0.2 + error), abs=0.004)


def test_bootstrap_repeats_for_a_seed():
    values = np.random.default_rng(1).random(50)
    assert metrics.bootstrap(values, seed=3) == metrics.bootstrap(values, seed=3)
    assert metrics.bootstrap(values, seed=3) != metrics.bootstrap(values, seed=4)


def test_bootstrap_of_nobody_is_an_error():
    with pytest.raises(RunError, match="no users"):
        metrics.bootstrap(np.zeros(0))


def test_paired_bootstrap_sees_a_difference_that_two_intervals_would_not():
    theirs = np.random.default_rng(0).random(200)
    difference, low, high = metrics.paired_bootstrap(theirs + 0.01, theirs)
    assert difference == pytest.approx(0.01)
    assert (low, high) == pytest.approx((0.01, 0.01))


def test_paired_bootstrap_needs_the_same_users():
    with pytest.raises(RunError, match="same users"):
        metrics.paired_bootstrap(np.zeros(3), np.zeros(4))
