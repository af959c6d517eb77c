"""The gate, with rankings made by hand."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest

from export.parity import compare
from pocketrec.splits import Cases

ITEMS = 50
USERS = 40


@dataclass(frozen=True)
class Listed:
    """Ranks items in one order for everybody; stands in for a ranker."""

    order: npt.NDArray[np.int64]

    def scores(self, history: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        scores = np.empty(ITEMS, dtype=np.float32)
        scores[self.order] = np.arange(ITEMS, 0, -1)
        return scores


def cases(target: int, users: int = USERS) -> Cases:
    return Cases(np.arange(users), [np.array([49])] * users, np.full(users, target))


def order(*first: int) -> npt.NDArray[np.int64]:
    return np.array([*first, *(i for i in range(ITEMS) if i not in first)])


PLAIN = Listed(order())


def test_identical_rankings() -> None:
    parity = compare(PLAIN, PLAIN, cases(target=2))
    assert parity.top20_overlap == 1.0
    assert parity.ndcg == pytest.approx(1 / np.log2(4))
    assert parity.ndcg_change == (0.0, 0.0, 0.0)
    assert parity.passed


def test_overlap_counts_the_share_of_the_reference_that_is_kept() -> None:
    lost_two = Listed(order(*range(18), 30, 31))
    parity = compare(PLAIN, lost_two, cases(target=0))
    assert parity.top20_overlap == pytest.approx(18 / 20)
    assert parity.passed


def test_too_little_overlap_fails_whatever_the_accuracy() -> None:
    lost_five = Listed(order(*range(15), *range(30, 35)))
    parity = compare(PLAIN, lost_five, cases(target=0))
    assert parity.top20_overlap == pytest.approx(15 / 20)
    assert parity.ndcg_change[0] == 0.0
    assert not parity.passed


def test_the_order_within_the_first_twenty_is_no_overlap_but_accuracy() -> None:
    pushed_down = Listed(order(*range(1, 20), 0))
    parity = compare(PLAIN, pushed_down, cases(target=0))
    assert parity.top20_overlap == 1.0
    assert parity.ndcg == 0.0
    assert parity.ndcg_change[0] == -1.0
    assert not parity.passed


def test_better_than_the_reference_passes() -> None:
    parity = compare(PLAIN, Listed(order(5)), cases(target=5))
    assert parity.ndcg_change[0] > 0
    assert parity.passed


def test_a_loss_within_chance_passes() -> None:
    # One user of forty loses: the interval reaches 0.
    mixed = Cases(np.arange(USERS), [np.array([49])] * USERS, np.array([0] * 39 + [2]))
    parity = compare(PLAIN, Listed(order(0, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 2)), mixed)
    assert parity.ndcg_change[0] < -0.01
    assert parity.ndcg_change[2] == 0.0
    assert parity.passed


def test_a_small_loss_that_is_sure_passes() -> None:
    # Everyone's target falls from rank 1,  but for only one in two hundred of them.
    users = 2000
    targets = np.where(np.arange(users) % 200 == 0, 2, 0)
    many = Cases(np.arange(users), [np.array([49])] * users, targets)
    parity = compare(PLAIN, Listed(order(0, 1, *range(3, 20), 2)), many)
    assert -0.01 < parity.ndcg_change[0] < 0
    assert parity.ndcg_change[2] < 0
    assert parity.passed


@pytest.mark.parametrize(("lost", "passed"), [(26, True), (60, False)])
def test_a_loss_must_surely_be_a_large_one(lost: int, passed: bool) -> None:
    users = 1000
    targets = np.where(np.arange(users) < lost, 2, 0)
    many = Cases(np.arange(users), [np.array([49])] * users, targets)
    parity = compare(PLAIN, Listed(order(0, 1, *range(3, 20), 2)), many)
    assert parity.ndcg_change[0] < -0.01
    assert parity.ndcg_change[2] < 0
    assert parity.passed == passed


def test_history_leaves_both_rankings() -> None:
    read = [np.arange(10)] * USERS
    parity = compare(PLAIN, PLAIN, Cases(np.arange(USERS), read, np.full(USERS, 10)))
    assert parity.ndcg == 1.0


def test_a_catalogue_smaller_than_the_list() -> None:
    read = [np.arange(45)] * USERS
    parity = compare(PLAIN, PLAIN, Cases(np.arange(USERS), read, np.full(USERS, 45)))
    assert parity.top20_overlap == 1.0
    assert parity.passed


def test_what_goes_into_the_record() -> None:
    stored = compare(PLAIN, PLAIN, cases(target=0)).as_dict()
    assert stored == {
        "top20_overlap": 1.0,
        "ndcg": 1.0,
        "ndcg_change": (0.0, 0.0, 0.0),
        "passed": True,
    }
