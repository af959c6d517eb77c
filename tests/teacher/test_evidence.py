"""Transitions by hand, and that unordered choices make none."""

import numpy as np
import numpy.typing as npt
from tiny_data import random_histories, unit_rows

from teacher.evidence import Evidence, transitions


def history(*items: int) -> npt.NDArray[np.int64]:
    return np.array(items, dtype=np.int64)


def test_transitions_by_hand() -> None:
    past, following = transitions([history(2, 0, 3), history(1), history(), history(3, 1)], 4, 0.5)
    assert past.toarray().tolist() == [[0, 0, 1, 0], [1, 0, 0.5, 0], [0, 0, 0, 1]]
    assert following.toarray().tolist() == [[1, 0, 0, 0], [0, 0, 0, 1], [0, 1, 0, 0]]
    assert past.dtype == following.dtype == np.float32


def test_the_past_reaches_no_further_than_asked() -> None:
    past, _ = transitions([history(0, 1, 2, 3)], 4, 0.5, reach=2)
    assert past.toarray().tolist() == [[1, 0, 0, 0], [0.5, 1, 0, 0], [0, 0.5, 1, 0]]


def test_no_sequence_makes_no_transition() -> None:
    past, following = transitions([], 3)
    assert past.shape == following.shape == (0, 3)


def test_choices_without_an_order_are_interactions_alone() -> None:
    train = [history(0, 1, 2, 3), history(3, 0)]
    evidence = Evidence.of(train, history(2, 2), unit_rows((4, 2)))
    assert evidence.interactions.toarray().tolist() == [[1, 1, 1, 1], [1, 0, 0, 1]]
    assert evidence.past.toarray().tolist() == [[0, 0, 1, 0]]
    assert evidence.following.toarray().tolist() == [[0, 0, 0, 1]]


def test_a_part_of_the_items() -> None:
    train = random_histories(20, 10, 6)
    evidence = Evidence.of(train, np.zeros(20, dtype=np.int64), unit_rows((10, 3)))
    part = evidence[history(7, 2)]
    for name in ("interactions", "past", "following"):
        whole = getattr(evidence, name).toarray()
        assert np.array_equal(getattr(part, name).toarray(), whole[:, [7, 2]])
    assert np.array_equal(part.vectors, evidence.vectors[[7, 2]])
