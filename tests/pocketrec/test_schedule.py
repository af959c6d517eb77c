import pytest
from hypothesis import given
from hypothesis import strategies as st

from pocketrec.schedule import warmup_cosine


def test_rises_in_a_line_and_falls_in_a_cosine() -> None:
    assert warmup_cosine(0.0, warmup=0.1, floor=0.2) == 0.2
    assert warmup_cosine(0.05, warmup=0.1, floor=0.2) == pytest.approx(0.5)
    assert warmup_cosine(0.1, warmup=0.1, floor=0.2) == 1.0
    assert warmup_cosine(0.55, warmup=0.1, floor=0.2) == pytest.approx(0.6)  # half way down
    assert warmup_cosine(1.0, warmup=0.1, floor=0.2) == pytest.approx(0.2)


@given(st.floats(0, 3))
def test_is_a_factor(progress: float) -> None:
    assert 0.02 <= warmup_cosine(progress) <= 1.0 + 1e-9
