import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st

from training.sequences import PAD, batches, renumbered, trimmed, window_length, windows


def test_windows_are_cut_from_the_end_and_padded_on_the_right() -> None:
    cut = windows([np.arange(1, 6), np.array([7, 8]), np.array([], dtype=np.int64)], 2)
    assert cut.tolist() == [[4, 5], [2, 3], [1, PAD], [7, 8]]
    assert cut.dtype == np.int64


def test_a_window_that_is_longer_than_the_sequence() -> None:
    assert windows([np.array([3, 1])], 4).tolist() == [[3, 1, PAD, PAD]]


def test_no_sequence_gives_no_window() -> None:
    assert windows([], 3).shape == (0, 3)
    assert windows([np.array([], dtype=np.int64)], 3).shape == (0, 3)


@given(st.lists(st.lists(st.integers(0, 99), max_size=30), max_size=5), st.integers(1, 12))
def test_windows_hold_every_item_once_and_in_order(rows: list[list[int]], length: int) -> None:
    cut = windows([np.array(row, dtype=np.int64) for row in rows], length)
    left = iter(cut.tolist())
    for row in rows:
        parts = [next(left) for _ in range(-(-len(row) // length))]
        filled = [[i for i in part if i != PAD] for part in reversed(parts)]
        assert [i for part in filled for i in part] == row
        assert all(len(part) == length for part in filled[1:])  # only the oldest may be short
    assert next(left, None) is None


def batch_sizes(cut: npt.NDArray[np.int64], rows: int, places: int) -> list[int]:
    found = batches(cut, rows, places, np.random.default_rng(0))
    return sorted((len(batch) for batch in found), reverse=True)


def test_batches_by_windows_and_by_places() -> None:
    cut = np.zeros((10, 50), dtype=np.int64)
    assert batch_sizes(cut, 256, 2048) == [10]
    assert batch_sizes(cut, 4, 2048) == [4, 3, 3]
    assert batch_sizes(cut, 256, 100) == [2, 2, 2, 2, 2]
    assert batch_sizes(cut, 256, 7) == [1] * 10  # a window longer than allowed goes alone
    cut[:, 10:] = PAD
    assert batch_sizes(cut, 256, 100) == [10]


def test_batches_hold_every_window_of_two_items_or_more_once() -> None:
    cut = windows([np.arange(n) for n in (1, 2, 5, 1, 3, 4)], 8)
    found = batches(cut, 2, 100, np.random.default_rng(0))
    assert sorted(np.concatenate(found).tolist()) == [1, 2, 4, 5]
    assert batches(windows([np.arange(1)] * 3, 8), 2, 100, np.random.default_rng(0)) == []
    assert batches(windows([], 8), 2, 100, np.random.default_rng(0)) == []


def test_batches_are_drawn_anew() -> None:
    cut, generator = np.zeros((64, 3), dtype=np.int64), np.random.default_rng(0)
    first, second = (np.concatenate(batches(cut, 8, 999, generator)).tolist() for _ in range(2))
    assert first != second
    assert sorted(first) == sorted(second)


def test_batches_hold_windows_of_like_length_and_as_many_places() -> None:
    lengths = np.random.default_rng(1).integers(2, 33, size=4096)
    cut = windows([np.arange(n) for n in lengths], 32)
    found = batches(cut, 64, 10**6, np.random.default_rng(0))
    padded = sum(trimmed(cut[rows]).size for rows in found)
    assert padded < 1.2 * lengths.sum() < 0.7 * cut.size
    predicted = [(lengths[rows] - 1).sum() for rows in found]
    assert max(predicted) < 1.1 * min(predicted)
    longest = [lengths[rows].max() for rows in found]
    assert longest != sorted(longest)


def test_padding_that_all_share_is_cut_off() -> None:
    cut = np.array([[1, 2, PAD, PAD], [3, PAD, PAD, PAD]])
    assert trimmed(cut).tolist() == [[1, 2], [3, PAD]]
    assert trimmed(cut[:0]).shape == (0, 0)


@given(
    st.lists(st.lists(st.integers(0, 50), min_size=1, max_size=6), max_size=8),
    st.lists(st.integers(0, 50), max_size=8),
)
def test_renumbered_windows_name_the_same_items(
    sequences: list[list[int]], negatives: list[int]
) -> None:
    batch = windows([np.array(s) for s in sequences], 6)
    rows, local, drawn = renumbered(batch, np.array(negatives, dtype=np.int64))
    assert sorted({item for s in [*sequences, negatives] for item in s}) == rows.tolist()
    assert rows[drawn].tolist() == negatives
    np.testing.assert_array_equal(np.where(local == PAD, PAD, np.append(rows, 0)[local]), batch)


def test_window_length_is_the_95th_percentile() -> None:
    assert window_length([np.arange(n) for n in range(1, 22)], 50) == 20  # lengths 1 to 21


def test_window_length_is_bounded() -> None:
    assert window_length([np.arange(3)], 50) == 10
    assert window_length([np.arange(80)], 50) == 50
    assert window_length([np.arange(80)], 5) == 5
    assert window_length([], 50) == 10
