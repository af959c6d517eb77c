"""Dropout of a random byte a number."""

import numpy as np
import pytest
import torch
from torch import nn

from training.dropout import Dropout, dropout_share, set_dropout


def test_as_many_are_left_as_torch_leaves_and_they_are_scaled_alike() -> None:
    torch.manual_seed(0)
    ones = torch.ones(250, 401)  # no multiple of the eight bytes of a word
    dropped = Dropout(0.25)(ones)
    assert dropped.unique().tolist() == pytest.approx([0, 4 / 3])
    # 100,250 draws: the standard deviation of their share is .0014.
    assert (dropped == 0).float().mean().item() == pytest.approx(0.25, abs=0.006)


def test_draws_are_independent_along_rows_and_columns() -> None:
    torch.manual_seed(0)
    kept = (Dropout(0.5)(torch.ones(512, 512)) > 0).float() - 0.5
    for first, second in (
        (kept[1:], kept[:-1]),
        (kept[:, 8:], kept[:, :-8]),
        (kept[:, 1:], kept[:, :-1]),
    ):
        assert (first * second).mean().item() == pytest.approx(0, abs=0.002)


def test_gradients_pass_where_values_did() -> None:
    torch.manual_seed(0)
    values = torch.randn(30, 7, requires_grad=True)
    dropped = Dropout(0.5)(values)
    dropped.sum().backward()
    assert values.grad is not None
    assert torch.equal(values.grad, (dropped != 0).float() * 2)


def test_the_seed_decides_and_evaluation_changes_nothing() -> None:
    module, values = Dropout(0.5), torch.randn(6, 9)
    first, second = (torch.manual_seed(3) and module(values) for _ in range(2))
    assert torch.equal(first, second)
    assert module.eval()(values) is values
    assert Dropout(0.0)(values) is values


@pytest.mark.parametrize("p", [0.999, 1 / 512])
def test_never_all_and_never_a_negative_share(p: float) -> None:
    assert Dropout(p)(torch.ones(100_000)).sum() > 0


def test_the_more_an_item_is_chosen_the_less_is_dropped() -> None:
    once = [np.arange(8), np.arange(8, 20)]
    assert dropout_share(once) == dropout_share(25 * once) == 1.0  # 25 interactions an item
    assert dropout_share(100 * once) == pytest.approx(0.25)
    assert dropout_share([*(100 * once), np.zeros(0, np.int64)]) == pytest.approx(0.25)
    assert dropout_share([]) == dropout_share([np.zeros(0, np.int64)]) == 1.0


def test_a_model_may_train_without_it() -> None:
    model, ones = nn.Sequential(nn.Sequential(Dropout(0.5))), torch.ones(100)
    set_dropout(model, active=False)
    assert torch.equal(model(ones), ones)
    set_dropout(model, active=True)
    assert (model(ones) == 0).any()


def test_it_has_no_weights() -> None:
    assert not nn.Sequential(Dropout(0.5)).state_dict()
