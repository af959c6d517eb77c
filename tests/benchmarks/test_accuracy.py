"""Intervals, paired differences, slices and lists on ranks worked out by hand."""

import numpy as np
import pytest

from benchmarks import accuracy
from pocketrec.recommender import Recommender
from pocketrec.splits import Cases

RANKS = {"A": np.array([1.0, 3.0, 100.0, 20.0]), "B": np.array([3.0, 3.0, 100.0, 11.0])}


def test_summary_by_hand():
    first, _ = accuracy.summarize(RANKS, seed=0)
    assert first["system"] == "A"
    assert first["recall@10"]["mean"] == 0.5
    assert first["recall@20"]["mean"] == 0.75
    assert first["ndcg@10"]["mean"] == pytest.approx((1 + 1 / 2) / 4)
    assert first["mrr"]["mean"] == pytest.approx((1 + 1 / 3 + 1 / 100 + 1 / 20) / 4)
    for name in accuracy.METRICS:
        assert first[name]["low"] <= first[name]["mean"] <= first[name]["high"]


def test_differences_are_paired():
    same, other = accuracy.differences(RANKS, [("A", "A"), ("A", "B")], seed=0)
    assert same["ndcg@10"] == {"mean": 0, "low": 0, "high": 0}
    assert (other["ours"], other["theirs"]) == ("A", "B")
    assert other["ndcg@10"]["mean"] == pytest.approx((1 - 1 / 2) / 4)
    assert other["ndcg@10"]["low"] == 0  # A is nowhere below B, so no draw of users is
    assert other["recall@10"] == {"mean": 0, "low": 0, "high": 0}


def test_slices_take_every_user_once_and_leave_out_what_is_empty():
    rows = accuracy.slices(RANKS, np.array([1, 4, 5, 70]), (1, 5, 10, 20, 50))
    assert [(row["first"], row["last"], row["users"]) for row in rows] == [
        (1, 4, 2),
        (5, 9, 1),
        (50, None, 1),
    ]
    assert rows[0]["ndcg@10"] == {"A": pytest.approx(0.75), "B": pytest.approx(0.5)}


def test_lists(tiny_bundle):
    recommender = Recommender.open(tiny_bundle)
    ids = recommender.ids.ids[::-1]  # a catalogue order of its own
    history = np.array([0, 1])
    cases = Cases(np.arange(2), [history, history], np.array([2, 3]))
    vectors = np.eye(40, dtype=np.float32)
    found = accuracy.lists(recommender, ids, vectors, cases)
    assert found == {"users": 2, "coverage@10": 10 / 40, "diversity@10": pytest.approx(1.0)}
    assert accuracy.lists(recommender, ids, vectors, cases, k=39)["users"] == 0
