import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from training.averaging import AveragedWeights


def model(value: float) -> nn.Linear:
    made = nn.Linear(1, 1)
    put(made, value)
    return made


def put(into: nn.Linear, value: float) -> None:
    for parameter in into.parameters():
        parameter.data.fill_(value)


def held(by: nn.Linear) -> list[float]:
    return [float(parameter.detach()) for parameter in by.parameters()]


def averaged(*steps: float) -> float:
    m = model(99.0)
    average = AveragedWeights(m)
    for value in steps:
        put(m, value)
        average.add()
    with average.applied():
        first, second = held(m)
    assert first == second
    return first


def test_later_steps_count_more() -> None:
    assert averaged(5.0) == 5.0  # nothing is left of the weights before the first step
    assert averaged(1.0, 2.0) == pytest.approx(0.1 * 1 + 0.9 * 2)
    assert averaged(1.0, 2.0, 3.0) == pytest.approx((0.1 * 1 + 0.9 * 2) * 2 / 11 + 3 * 9 / 11)


@given(st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=50))
def test_is_among_the_weights_that_it_averages(steps: list[float]) -> None:
    assert min(steps) - 1e-2 <= averaged(*steps) <= max(steps) + 1e-2


def test_spans_the_same_share_of_a_training_however_long_it_is() -> None:
    for steps in (280, 2800):
        recent = steps // 14
        share = averaged(*[0.0] * (steps - recent), *[1.0] * recent)
        assert share == pytest.approx(0.5, abs=0.02)


def test_the_model_has_its_own_weights_again() -> None:
    m = model(1.0)
    average = AveragedWeights(m)
    put(m, 2.0)
    average.add()
    put(m, 4.0)
    with pytest.raises(KeyError), average.applied():
        assert held(m) == [2.0, 2.0]
        raise KeyError
    assert held(m) == [4.0, 4.0]
    average.swap()
    assert held(m) == [2.0, 2.0]


def test_without_a_step_it_is_the_weights_at_the_start() -> None:
    m = model(1.0)
    average = AveragedWeights(m)
    average.add()
    put(m, 3.0)
    average.start()
    put(m, 4.0)
    with average.applied():
        assert held(m) == [3.0, 3.0]


def test_an_optimiser_goes_on_from_the_model_s_own_weights() -> None:
    def trained(look: bool) -> Tensor:
        m = model(1.0)
        average, optimiser = AveragedWeights(m), torch.optim.AdamW(m.parameters(), lr=0.1)
        for _ in range(5):
            optimiser.zero_grad()
            m(torch.ones(1, 1)).square().sum().backward()
            optimiser.step()
            average.add()
            if look:
                with average.applied():
                    pass
        return m.weight.detach()

    assert torch.equal(trained(look=True), trained(look=False))
