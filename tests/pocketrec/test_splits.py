"""Splits: nothing of a test case in its own history, nothing held out in training."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pocketrec import splits
from pocketrec.data import Dataset
from pocketrec.errors import DataError


def dataset(sequences, times=None, unordered=None, items=None):
    """A data set of item indices; by default the times are the places in the history."""
    count = items or 1 + max((max(s, default=0) for s in sequences), default=0)
    times = times or [range(len(s)) for s in sequences]
    ids = [f"i{n}" for n in range(count)]
    frame = pl.DataFrame(
        {
            "item_id": ids,
            "title": ids,
            "description": "",
            "categories": "",
            "creator": "",
            "year": None,
        }
    )
    return Dataset(
        name="films",
        items=frame,
        user_ids=[f"u{n}" for n in range(len(sequences))],
        sequences=[np.array(s, dtype=np.int64) for s in sequences],
        unordered=np.array(unordered or [0] * len(sequences), dtype=np.int64),
        ratings=[np.zeros(len(s), dtype=np.float32) for s in sequences],
        timestamps=[np.array(t, dtype=np.int64) for t in times],
    )


def lists(arrays):
    return [array.tolist() for array in arrays]


def test_leave_one_out_by_hand():
    split = splits.leave_one_out(dataset([[0, 1, 2, 3], [4, 5, 6], [7, 8], [9]]))
    assert split.protocol == "leave-one-out"
    assert lists(split.train) == [
        [0, 1],
        [4],
        [7, 8],
        [9],
    ]  # too short to hold anything out: all trains
    assert split.validation.users.tolist() == [0, 1]
    assert lists(split.validation.histories) == [[0, 1], [4]]
    assert split.validation.targets.tolist() == [2, 5]
    assert split.test.users.tolist() == [0, 1]
    assert lists(split.test.histories) == [[0, 1, 2], [4, 5]]
    assert split.test.targets.tolist() == [3, 6]


def test_leave_one_out_takes_no_target_from_rows_without_order():
    split = splits.leave_one_out(dataset([[0, 1, 2, 3, 4], [5, 6, 7, 8]], unordered=[2, 2]))
    # user 1 has two ordered rows only
    assert split.test.users.tolist() == [0]
    assert split.test.targets.tolist() == [4]
    assert lists(split.train) == [[0, 1, 2], [5, 6, 7, 8]]
    assert (split.unordered <= [len(s) for s in split.train]).all()


def test_leave_one_out_without_any_order_draws_by_seed():
    sets = dataset([list(range(20)), list(range(20, 40))], unordered=[20, 20])
    split = splits.leave_one_out(sets, seed=1)
    assert split.protocol == "leave-one-out (random, no order known)"
    assert split.unordered.tolist() == [18, 18]
    again, other = splits.leave_one_out(sets, seed=1), splits.leave_one_out(sets, seed=2)
    assert split.test.targets.tolist() == again.test.targets.tolist()
    assert split.test.targets.tolist() != other.test.targets.tolist()
    assert_no_leak(split, sets)


@pytest.mark.parametrize("sequences", [[[0]], [[0, 1], [1, 0]]])
def test_leave_one_out_needs_three_interactions(sequences):
    with pytest.raises(DataError, match="expected a user with at least 3 interactions"):
        splits.leave_one_out(dataset(sequences))


def test_temporal_by_hand():
    # times 0 to 9: the 80 % quantile is 7.2, the 90 % quantile 8.1
    times = [[0, 2, 4, 8], [1, 3, 5, 6, 7, 9]]
    split = splits.temporal(dataset([[0, 1, 2, 3], [0, 1, 2, 3, 4, 5]], times))
    assert lists(split.train) == [[0, 1, 2], [0, 1, 2, 3, 4]]
    assert split.validation.users.tolist() == [0]
    assert split.validation.targets.tolist() == [3]
    assert lists(split.validation.histories) == [[0, 1, 2]]
    assert split.test.users.tolist() == [1]
    assert split.test.targets.tolist() == [5]
    assert lists(split.test.histories) == [[0, 1, 2, 3, 4]]


def test_temporal_needs_times():
    with pytest.raises(DataError, match="needs timestamps, found none"):
        splits.temporal(dataset([[0, 1]], times=[[-1, -1]]))


def test_temporal_needs_users_on_both_sides():
    with pytest.raises(DataError, match="both sides"):
        splits.temporal(dataset([[0, 1], [0, 1]], times=[[0, 1], [100, 101]]))


def test_cold_items_by_hand():
    sets = dataset([[0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [0, 2, 4, 1, 3]])
    split, cold = splits.cold_items(sets, share=0.2, seed=0)
    (item,) = cold.tolist()
    assert all(item not in sequence for sequence in split.train)
    for user, history, target in zip(
        split.test.users, split.test.histories, split.test.targets, strict=True
    ):
        sequence = sets.sequences[user].tolist()
        assert target == item
        assert history.tolist() == sequence[: sequence.index(item)]
    assert item not in split.validation.targets


def test_cold_items_repeat_for_a_seed():
    sets = dataset([list(np.random.default_rng(user).permutation(50)) for user in range(10)])
    assert (splits.cold_items(sets, seed=3)[1] == splits.cold_items(sets, seed=3)[1]).all()
    assert (splits.cold_items(sets, seed=3)[1] != splits.cold_items(sets, seed=4)[1]).any()
    assert len(splits.cold_items(sets, share=0.1)[1]) == 5


def test_everything_trains_and_nothing_is_held_out():
    sets = dataset([[0, 1, 2], [3]])
    split = splits.everything(sets)
    assert lists(split.train) == [[0, 1, 2], [3]]
    assert len(split.test) == len(split.validation) == 0


def test_a_sample_of_cases_keeps_rows_together():
    test = splits.leave_one_out(dataset([[u, u + 1, u + 2] for u in range(50)])).test
    few = test.sample(10, seed=0)
    assert len(few) == 10
    assert len(set(few.users.tolist())) == 10
    for user, history, target in zip(few.users, few.histories, few.targets, strict=True):
        assert history.tolist() == [user, user + 1]
        assert target == user + 2
    assert test.sample(50, seed=0) is test


def assert_no_leak(split, sets):
    held = {}
    for name, cases in (("validation", split.validation), ("test", split.test)):
        assert len(cases.users) == len(cases.histories) == len(cases.targets)
        assert len(set(cases.users.tolist())) == len(cases)
        for user, history, target in zip(cases.users, cases.histories, cases.targets, strict=True):
            assert target in sets.sequences[user]
            assert target not in history
            assert target not in split.train[user]
            held[name, int(user)] = (history, int(target))
    for (name, user), (history, _) in held.items():
        if name == "validation" and ("test", user) in held:
            assert held["test", user][1] not in history
    for sequence, train, unordered in zip(
        sets.sequences, split.train, split.unordered, strict=True
    ):
        assert set(train.tolist()) <= set(sequence.tolist())
        assert 0 <= unordered <= len(train)


histories = st.lists(
    st.lists(st.integers(0, 11), unique=True, min_size=1, max_size=12), min_size=1, max_size=8
)


@given(histories, st.data())
def test_leave_one_out_never_leaks(sequences, draw):
    unordered = [draw.draw(st.integers(0, len(s))) for s in sequences]
    sets = dataset(sequences, unordered=unordered, items=12)
    try:
        split = splits.leave_one_out(sets)
    except DataError:
        return
    assert_no_leak(split, sets)
    for user, sequence in enumerate(sets.sequences):
        if user not in split.test.users:
            assert sorted(split.train[user].tolist()) == sorted(sequence.tolist())


@given(histories, st.data())
def test_temporal_never_leaks(sequences, draw):
    times = [sorted(draw.draw(st.integers(0, 20)) for _ in s) for s in sequences]
    sets = dataset(sequences, times, items=12)
    try:
        split = splits.temporal(sets)
    except DataError:
        return
    known = np.concatenate(sets.timestamps)
    border = np.quantile(known, 0.8)
    for train, when in zip(split.train, sets.timestamps, strict=True):
        assert len(train) == (when < border).sum()
    for user, history, target in zip(
        split.test.users, split.test.histories, split.test.targets, strict=True
    ):
        sequence, when = sets.sequences[user], sets.timestamps[user]
        place = int(np.flatnonzero(sequence == target)[0])
        assert target not in history
        assert (when[: len(history)] < when[place]).all()


@given(histories, st.integers(0, 5))
def test_cold_items_never_leak(sequences, seed):
    sets = dataset(sequences, items=12)
    try:
        split, cold = splits.cold_items(sets, share=0.3, seed=seed)
    except DataError:
        return
    held = set(cold.tolist())
    assert not held & {item for train in split.train for item in train.tolist()}
    assert not held & set(split.validation.targets.tolist())
    assert set(split.test.targets.tolist()) <= held
    for history in (*split.test.histories, *split.validation.histories):
        assert not held & set(history.tolist())
