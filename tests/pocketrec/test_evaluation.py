import numpy as np
import numpy.typing as npt
import pytest

from pocketrec.errors import RunError
from pocketrec.evaluation import rank_mixtures, rank_targets
from pocketrec.splits import Cases

HISTORIES = [np.array([0]), np.array([], dtype=np.int64), np.array([2, 1])]
CASES = Cases(np.array([4, 5, 6]), HISTORIES, np.array([1, 2, 0]))


def last_item_first(histories: list[npt.NDArray[np.int64]]) -> npt.NDArray[np.float32]:
    """4, 3, 2, 1 for everybody, and 9 for what the history holds already."""
    scores = np.tile(np.array([4, 3, 2, 1], dtype=np.float32), (len(histories), 1))
    for row, history in zip(scores, histories, strict=True):
        row[history] = 9
    return scores


def test_history_leaves_the_ranking() -> None:
    assert rank_targets(last_item_first, CASES).tolist() == [1, 3, 1]


@pytest.mark.parametrize(("batch", "calls"), [(1, [1, 1, 1]), (2, [2, 1]), (256, [3])])
def test_the_batch_changes_nothing(batch: int, calls: list[int]) -> None:
    sizes: list[int] = []

    def score(histories: list[npt.NDArray[np.int64]]) -> npt.NDArray[np.float32]:
        sizes.append(len(histories))
        return last_item_first(histories)

    assert rank_targets(score, CASES, batch).tolist() == [1, 3, 1]
    assert sizes == calls


@pytest.mark.parametrize("batch", [1, 2, 256])
def test_mixtures_are_ranked_as_each_would_be_alone(batch: int) -> None:
    def other(histories: list[npt.NDArray[np.int64]]) -> npt.NDArray[np.float32]:
        return np.array([[len(h), 3, 0, 7] for h in histories], dtype=np.float32)

    shares = [(1.0, 0.0), (0.5, 0.25), (0.0, 2.0)]
    found = rank_mixtures(last_item_first, other, shares, CASES, batch=batch)
    for ranks, (a, b) in zip(found, shares, strict=True):
        alone = rank_targets(lambda h, a=a, b=b: a * last_item_first(h) + b * other(h), CASES)  # type: ignore[misc]
        assert ranks.tolist() == alone.tolist()


def test_a_history_may_hold_the_target() -> None:
    cases = Cases(np.array([0]), [np.array([0, 1])], np.array([1]))
    assert rank_targets(last_item_first, cases).tolist() == [1]


def test_no_cases() -> None:
    nothing = Cases(np.zeros(0, dtype=np.int64), [], np.zeros(0, dtype=np.int64))
    found = rank_targets(last_item_first, nothing)
    assert found.shape == (0,)
    assert found.dtype == np.float64


def test_a_score_that_is_not_finite() -> None:
    with pytest.raises(RunError, match="not finite"):
        rank_targets(lambda histories: np.full((len(histories), 4), np.nan), CASES)
