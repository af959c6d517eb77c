"""The loss of the next item: by loops over places, and what a sample of the catalogue stands for."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from training.next_item import Comparison, Taught, chosen_often, compare
from training.sequences import PAD

WINDOWS = np.array([[3, 7, 1, 9], [5, 2, PAD, PAD], [8, PAD, PAD, PAD]])
DIMENSIONS = 6
NONE = np.zeros(0, dtype=np.int64)


def draw(monkeypatch: pytest.MonkeyPatch, *items: int) -> None:
    monkeypatch.setattr(torch, "randint", lambda high, size: torch.tensor(items))


def vectors(count: int, seed: int) -> Tensor:
    return torch.randn(count, DIMENSIONS, generator=torch.Generator().manual_seed(seed))


def loss(comparison: Comparison, users: Tensor, items: Tensor) -> float:
    needed = items if comparison.items is None else items[comparison.items]
    return comparison.loss(users, needed).item()


def by_loops(users: Tensor, items: Tensor) -> float:
    """Each place of ``WINDOWS`` but the first of a row is told from all items that its window does not hold."""
    losses, user = [], iter(users)
    for window in WINDOWS:
        held = window[window != PAD].tolist()
        for target in held[1:]:
            logits = (items @ next(user)).exp()
            others = sum(logits[i] for i in range(len(items)) if i not in held)
            losses.append(-(logits[target] / (logits[target] + others)).log())
    return float(torch.stack(losses).mean())


def test_the_first_item_of_a_window_and_padding_are_not_predicted() -> None:
    predicted = compare(WINDOWS, catalogue=20, negatives=10, exactly=False, often=NONE).predicted
    assert predicted.tolist() == [
        [False, True, True, True],
        [False, True, False, False],
        4 * [False],
    ]


@pytest.mark.parametrize("exactly", [False, True])
def test_a_small_catalogue_is_compared_whole(exactly: bool) -> None:
    users, items = vectors(4, 0), vectors(20, 1)
    comparison = compare(WINDOWS, catalogue=20, negatives=10, exactly=exactly, often=NONE)
    assert comparison.items is None
    assert loss(comparison, users, items) == pytest.approx(by_loops(users, items), rel=1e-5)


def test_a_sample_of_everything_is_the_catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    draw(monkeypatch, *range(20))
    users, items = vectors(4, 0), vectors(20, 1)
    comparison = compare(WINDOWS, catalogue=20, negatives=9, exactly=True, often=NONE)
    assert comparison.items is not None
    assert loss(comparison, users, items) == pytest.approx(by_loops(users, items), rel=1e-5)


def test_uniform_draws_are_right_in_the_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    # exp(loss) = 1 + sum over the others of exp(logit) / exp(logit of the target): over draws in which every item
    # stands at every place equally often, its mean is exactly that of the whole catalogue.
    users, items, window = vectors(1, 0), vectors(20, 1), np.array([[3, 7]])
    found = []
    for first in range(20):
        draw(monkeypatch, *((first + np.arange(5)) % 20).tolist())
        comparison = compare(window, catalogue=20, negatives=5, exactly=False, often=NONE)
        found.append(math.exp(loss(comparison, users, items)))
    whole = compare(window, catalogue=20, negatives=20, exactly=False, often=NONE)
    assert np.mean(found) == pytest.approx(math.exp(loss(whole, users, items)), rel=1e-4)


def test_what_a_window_holds_is_no_wrong_answer_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    draw(monkeypatch, 7, 3, 7)
    for exactly in (False, True):
        comparison = compare(
            np.array([[3, 7]]), catalogue=20, negatives=3, exactly=exactly, often=NONE
        )
        assert loss(comparison, vectors(1, 0), vectors(20, 1)) == 0.0


def test_exact_windows_stand_for_themselves_and_draws_for_the_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    draw(monkeypatch, 0, 3, 12, 12)
    comparison = compare(WINDOWS, catalogue=100, negatives=4, exactly=True, often=NONE)
    assert comparison.items is not None
    assert comparison.items[comparison.others].tolist() == [0, 1, 2, 3, 5, 7, 8, 9, 12]
    # 0 and 12 stand for the 93 items that no window holds.
    expected = [math.log(93 / 2), 0, 0, 0, 0, 0, 0, 0, math.log(93 / 2)]
    np.testing.assert_allclose(comparison.weights, expected, rtol=1e-6)


def test_what_is_chosen_often_stands_for_itself_in_every_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    draw(monkeypatch, 4, 12, 12, 0)
    often = np.array([2, 4])
    comparison = compare(WINDOWS, catalogue=100, negatives=4, exactly=False, often=often)
    assert comparison.items is not None
    assert comparison.items[comparison.others].tolist() == [0, 2, 4, 12]
    expected = [math.log(98 / 2), 0, 0, math.log(98 / 2)]
    np.testing.assert_allclose(comparison.weights, expected, rtol=1e-6)


def test_often_is_more_than_one_in_as_many_as_are_drawn() -> None:
    counts = np.array([2, 0, 1, 0, 0, 3], dtype=np.float32)
    assert chosen_often(counts, negatives=2).tolist() == []  # 5 is half of them, not more
    assert chosen_often(counts, negatives=3).tolist() == [5]
    assert chosen_often(counts, negatives=4).tolist() == [0, 5]
    assert chosen_often(0 * counts, negatives=4).tolist() == []


def test_windows_may_hold_the_whole_catalogue() -> None:
    windows = np.arange(20).reshape(2, 10)
    users, items = vectors(18, 0), vectors(20, 1)
    sampled, whole = (compare(windows, 20, negatives, True, NONE) for negatives in (5, 20))
    assert loss(sampled, users, items) == pytest.approx(loss(whole, users, items), rel=1e-5)


@pytest.mark.parametrize("exactly", [False, True])
@pytest.mark.parametrize("temperature", [1.0, 100.0])
@pytest.mark.parametrize("share", [None, 0.0, 0.3, 1.0])
def test_loss_and_gradients_are_those_of_cross_entropy(
    exactly: bool, temperature: float, share: float | None
) -> None:
    torch.manual_seed(0)
    comparison = compare(WINDOWS, catalogue=100, negatives=10, exactly=exactly, often=NONE)
    assert comparison.items is not None
    users, items = vectors(4, 0) * temperature, vectors(len(comparison.items), 1)
    said = vectors(4, 2), vectors(len(items), 3)
    taught = None if share is None else Taught(*said, share)
    users.requires_grad_()
    items.requires_grad_()
    loss = comparison.loss(users, items, taught)
    (3 * loss).backward()
    found = loss.detach(), users.grad, items.grad
    users.grad = items.grad = None
    losses, places = [], comparison.predicted.nonzero().tolist()
    for n, (row, place) in enumerate(places):
        window = comparison.windows[row]
        others = comparison.others[~torch.isin(comparison.others, window)]
        weights = comparison.weights[~torch.isin(comparison.others, window)]
        told = torch.cat([window[place : place + 1], others])
        stands_for = torch.cat([torch.zeros(1), weights])
        answer = functional.one_hot(torch.tensor(0), len(told)).float()
        if taught:
            likely = (taught.vectors[told] @ taught.users[n] + stands_for).softmax(dim=0)
            answer = (1 - taught.share) * answer + taught.share * likely
        losses.append(functional.cross_entropy(items[told] @ users[n] + stands_for, answer))
    expected = torch.stack(losses).mean()
    (3 * expected).backward()
    for one, other in zip(found, (expected.detach(), users.grad, items.grad), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_a_teacher_shares_in_the_answer_by_hand() -> None:
    # The second of two items, none of a third: the student finds both as likely, the teacher the third three times.
    comparison = compare(np.array([[0, 1]]), catalogue=3, negatives=2, exactly=False, often=NONE)
    users, items = torch.ones(1, 1), torch.tensor([[5.0], [0.0], [math.log(3)]])
    taught = Taught(torch.ones(1, 1), torch.tensor([[9.0], [0.0], [math.log(3)]]), 0.5)
    # Of 1/4 and 3/4, the answer is half the chosen item and half (1/4, 3/4): 5/8 and 3/8.
    expected = -5 / 8 * math.log(1 / 4) - 3 / 8 * math.log(3 / 4)
    assert comparison.loss(users, items, taught).item() == pytest.approx(expected)


@given(
    st.lists(st.lists(st.integers(0, 59), min_size=1, max_size=4), min_size=1, max_size=5),
    st.integers(1, 29),
    st.booleans(),
    st.sets(st.integers(0, 59), max_size=9),
)
def test_a_sample_counts_as_many_items_as_the_catalogue_holds(
    histories: list[list[int]], negatives: int, exactly: bool, often: set[int]
) -> None:
    windows = np.full((len(histories), 4), PAD)
    for row, history in zip(windows, histories, strict=True):
        row[: len(history)] = history
    always = np.array(sorted(often), dtype=np.int64)
    comparison = compare(windows, 60, negatives, exactly, always)
    assert comparison.items is not None
    filled = windows != PAD
    named = comparison.items[comparison.windows[torch.from_numpy(filled)]]
    np.testing.assert_array_equal(named, windows[filled])
    themselves = often | (set(windows[filled].tolist()) if exactly else set())
    if len(comparison.others) > len(themselves):
        assert comparison.weights.exp().sum().item() == pytest.approx(60, rel=1e-4)
