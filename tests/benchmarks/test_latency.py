"""What is timed and how it is told; no test asks how long anything took."""

import numpy as np
import pytest

from benchmarks import latency
from pocketrec.recommender import Recommender
from teacher.scorers import ItemItem

OPERATIONS = [
    "recommend",
    "recommend",
    "explain",
    "similar",
    "encode a text",
    "add an item",
    "open",
]


def test_every_input_in_turn_after_a_warm_up(monkeypatch):
    clock = iter(range(0, 10_000_000, 1000))  # every look at the clock is a microsecond later
    monkeypatch.setattr(latency.time, "perf_counter_ns", lambda: next(clock))
    seen = []
    timing = latency.measure("system", "call", seen.append, ["a", "b"], 5, history=3)
    assert seen == ["a", "b"] * 2 + ["a"] + ["a", "b"] * 2 + ["a"]
    assert timing == latency.Timing("system", "call", 3, 5, 1.0, 1.0, 1.0)


def test_histories_are_of_one_length_without_repeats():
    sequences = [np.array([0, 1, 2]), np.array([3]), np.array([2, 4])]
    for length in (1, 4):
        found = latency.sample_histories(sequences, length, 20, seed=0)
        assert len(found) == 20
        assert all(len(h) == length == len(set(h.tolist())) for h in found)
    (whole,) = latency.sample_histories(sequences[:1], 3, 1, seed=0)
    assert whole.tolist() == [0, 1, 2]  # oldest first, as the user chose


def test_lengths_that_the_catalogue_cannot_fill_are_left_out():
    histories = latency.histories_to_time([np.arange(30)], seed=0)
    assert list(histories) == [1, 10]


def test_the_operations_of_a_bundle(tiny_bundle):
    ids = Recommender.open(tiny_bundle).ids.ids
    histories = {1: [ids[:1]], 10: [ids[:10], ids[5:15]]}
    timings = list(latency.time_bundle(tiny_bundle, histories, ["A film"], calls=3, slow=2))
    assert [timing.operation for timing in timings] == OPERATIONS
    assert [timing.history for timing in timings] == [1, 10, 10, *[None] * 4]
    assert [timing.calls for timing in timings] == [3, 3, 3, 3, 3, 3, 2]
    assert all(0 < timing.p50 <= timing.p95 <= timing.p99 for timing in timings)


@pytest.mark.parametrize("covered", [40, 25])
def test_the_peers(tiny_bundle, covered):
    weights = np.random.default_rng(0).random((covered, covered), dtype=np.float32)
    head = np.arange(40)[-covered:]  # a closed form may cover the most chosen items alone
    histories = {1: [np.array([39])], 10: [np.arange(10), np.arange(20, 30)]}
    model = ItemItem("EASE", weights, head, 40)
    timings = list(latency.time_peers(tiny_bundle, model, histories, calls=3))
    assert [(timing.system, timing.history) for timing in timings] == [
        (latency.EASE, 1),
        (latency.EASE, 10),
        (latency.DOT_PRODUCT, 1),
        (latency.DOT_PRODUCT, 10),
    ]
    assert all(0 < timing.p50 <= timing.p95 <= timing.p99 for timing in timings)
