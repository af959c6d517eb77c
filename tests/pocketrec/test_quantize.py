import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from pocketrec.quantize import dequantize_rows, quantize, quantize_rows

matrices = arrays(
    np.float32,
    array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=8),
    elements=st.floats(-(2.0**60), 2.0**60, width=32),
)


def test_a_row_is_scaled_by_its_own_largest_magnitude():
    levels, scales = quantize_rows(np.array([[1.27, -0.64, 0.0], [-254.0, 127.0, 2.0]], np.float32))
    assert levels.tolist() == [[127, -64, 0], [-127, 64, 1]]
    assert scales == pytest.approx([0.01, 2.0])


@given(matrices)
def test_what_comes_back_is_within_half_a_step(x):
    levels, scales = quantize_rows(x)
    back = dequantize_rows(levels, scales)
    assert levels.dtype == np.int8
    assert back.dtype == scales.dtype == np.float32
    assert np.abs(levels.astype(int)).max() <= 127
    tolerance = scales[:, None] * 0.5001 + np.float32(1e-37)  # below that float32 loses digits
    assert (np.abs(back - x) <= tolerance).all()


@given(matrices)
def test_quantizing_twice_changes_nothing(x):
    once = dequantize_rows(*quantize_rows(x))
    twice = dequantize_rows(*quantize_rows(once))
    assert np.allclose(once, twice, rtol=1e-5, atol=1e-37)


def test_zeros_and_no_rows_and_no_columns():
    levels, scales = quantize_rows(np.zeros((2, 3), np.float32))
    assert not levels.any()
    assert not scales.any()
    assert dequantize_rows(*quantize_rows(np.zeros((0, 3), np.float32))).shape == (0, 3)
    assert dequantize_rows(*quantize_rows(np.zeros((3, 0), np.float32))).shape == (3, 0)


def test_values_at_scales_of_their_own():
    values = np.array([1.27, -0.5, 254, -0.26, 300, -9], np.float32)
    levels = quantize(values, np.array([0.01, 0.25, 2, 0.1, 1, 0], np.float32))
    # 300 steps are more than there are; at scale 0 stands a row of zeros.
    assert levels.tolist() == [127, -2, 127, -3, 127, -9]
    assert levels.dtype == np.int8


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(bad):
    with pytest.raises(ValueError, match="finite"):
        quantize_rows(np.array([[1.0, bad]], np.float32))
    with pytest.raises(ValueError, match="finite"):
        quantize(np.array([1.0, bad], np.float32), np.ones(2, np.float32))
