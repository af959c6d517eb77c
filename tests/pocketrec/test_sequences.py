import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pocketrec.sequences import PAD, window_length, windows


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


def test_window_length_is_the_95th_percentile() -> None:
    assert window_length([np.arange(n) for n in range(1, 22)], 50) == 20  # lengths 1 to 21


def test_window_length_is_bounded() -> None:
    assert window_length([np.arange(3)], 50) == 10
    assert window_length([np.arange(80)], 50) == 50
    assert window_length([np.arange(80)], 5) == 5
    assert window_length([], 50) == 10
