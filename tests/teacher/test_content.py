"""Zero-shot similarities of texts by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_data import unit_rows

from teacher.content import Content, sharpened

# Cosines with the first row: 1, 0, 0.5 and -1.
ROWS = np.array([[1, 0], [0, 1], [0.5, 0.75**0.5], [-1, 0]], dtype=np.float32)


def test_content_adds_cosines_that_count_less_with_age() -> None:
    found = Content(ROWS, decay=0.5).scores([np.array([1, 0]), np.array([], dtype=np.int64)])
    expected = [1, 0.5, 0.5 + 0.5 * 0.75**0.5, -1]
    np.testing.assert_allclose(found, [expected, [0, 0, 0, 0]], atol=1e-6)


def test_without_sharpness_similarities_are_cosines() -> None:
    np.testing.assert_allclose(sharpened(ROWS, 0.0)[0], [1, 0, 0.5, -1], atol=1e-6)


def test_sharpened_by_hand() -> None:
    half = (math.e - 1) / (math.e**2 - 1)  # = 1 / (e + 1)
    found = sharpened(ROWS, 2.0)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[0], [1, 0, half, -(math.e**-2)], atol=1e-6)
    np.testing.assert_array_equal(found, found.T)


def test_the_vectors_are_left_alone() -> None:
    before = ROWS.copy()
    sharpened(ROWS, 2.0)
    np.testing.assert_array_equal(ROWS, before)


@pytest.mark.parametrize("sharpness", [0.5, 2.0, 8.0])
def test_sharper_says_less_of_what_is_half_near(sharpness: float) -> None:
    softer, sharper = (sharpened(ROWS, s)[0] for s in (sharpness / 2, sharpness))
    assert 0 < sharper[2] < softer[2] < 0.5
    assert -1 < softer[3] < sharper[3] < 0


@given(
    items=st.integers(2, 30),
    width=st.integers(1, 8),
    sharpness=st.sampled_from([0.0, 0.1, 2.0, 8.0]),
    seed=st.integers(0, 1000),
)
def test_sharpened_is_a_kernel(items: int, width: int, sharpness: float, seed: int) -> None:
    found = sharpened(unit_rows((items, width), seed), sharpness)
    np.testing.assert_allclose(np.diag(found), 1, atol=1e-5)
    assert np.linalg.eigvalsh(found.astype(np.float64)).min() > -1e-4
