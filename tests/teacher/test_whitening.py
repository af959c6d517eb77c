from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pocketrec.errors import RunError
from teacher.whitening import FULL, HALF, Whitening, fit_whitening


@pytest.fixture
def vectors() -> np.ndarray:
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(12, 12)) * np.logspace(1, -1, 12)
    return (rng.normal(size=(400, 12)) @ mixing + 7).astype(np.float32)


def test_two_axes_by_hand() -> None:
    # Rows at +-4 on x and +-1 on y around (10, 20): variances 32 / 4 = 8 and 2 / 4 = 0.5.
    rows = np.array([[14, 20], [6, 20], [10, 21], [10, 19]], dtype=np.float32)
    half = fit_whitening(rows, 2, power=HALF)
    np.testing.assert_allclose(half.mean, [10, 20])
    np.testing.assert_allclose(half.matrix, np.diag([8**-0.25, 0.5**-0.25]), rtol=1e-6)
    np.testing.assert_allclose(half.apply(rows), [[1, 0], [-1, 0], [0, 1], [0, -1]], atol=1e-6)
    x, y = 2 * 8**-0.25, 1 * 0.5**-0.25
    expected = np.array([[x, y]]) / np.hypot(x, y)
    np.testing.assert_allclose(half.apply([[12, 21]]), expected, rtol=1e-6)


@pytest.mark.parametrize("power", [0.0, HALF, FULL])
def test_variances_are_raised_to_the_power(vectors: np.ndarray, power: float) -> None:
    whitening = fit_whitening(vectors, 12, power=power)
    projected = (vectors - whitening.mean) @ whitening.matrix
    values = np.linalg.eigvalsh(np.cov(vectors.T.astype(np.float64), bias=True))[::-1]
    covariance = np.cov(projected.T.astype(np.float64), bias=True)
    np.testing.assert_allclose(np.diag(covariance), values ** (1 - 2 * power), rtol=2e-3)
    off = covariance - np.diag(np.diag(covariance))
    assert np.abs(off).max() < 2e-3 * np.diag(covariance).max()


def test_rows_have_unit_length_and_shape(vectors: np.ndarray) -> None:
    rows = fit_whitening(vectors, 5).apply(vectors)
    assert rows.shape == (400, 5)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-5)


def test_signs_do_not_depend_on_the_order_of_the_rows(vectors: np.ndarray) -> None:
    first = fit_whitening(vectors, 8)
    second = fit_whitening(vectors[::-1], 8)
    np.testing.assert_allclose(first.matrix, second.matrix, rtol=1e-3, atol=1e-5)
    np.testing.assert_array_equal(first.matrix, fit_whitening(vectors, 8).matrix)


def test_fewer_items_than_dimensions(vectors: np.ndarray) -> None:
    rows = fit_whitening(vectors[:3], 256).apply(vectors[:3])
    assert rows.shape == (3, 256)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-5)
    assert not rows[:, 2:].any()  # three points span two directions
    # Fully whitened, they are the corners of an equilateral triangle.
    even = fit_whitening(vectors[:3], 256, power=FULL).apply(vectors[:3])
    np.testing.assert_allclose(even @ even.T, np.eye(3) * 1.5 - 0.5, atol=1e-3)


def test_one_item_and_constant_items_give_zeros() -> None:
    one = fit_whitening(np.full((1, 6), 3.0), 4)
    np.testing.assert_array_equal(one.apply(np.full((1, 6), 3.0)), np.zeros((1, 4)))
    constant = np.tile(np.float32([0.1, 0.7, 1e5]), (50, 1))
    np.testing.assert_array_equal(fit_whitening(constant, 4).matrix, np.zeros((3, 4)))


def test_duplicates_stay_duplicates(vectors: np.ndarray) -> None:
    twice = np.concatenate([vectors, vectors])
    rows = fit_whitening(twice, 12).apply(twice)
    np.testing.assert_allclose(rows[:400], rows[400:], atol=1e-6)
    np.testing.assert_allclose(rows[:400], fit_whitening(vectors, 12).apply(vectors), atol=2e-3)


def test_a_constant_column_is_ignored(vectors: np.ndarray) -> None:
    padded = np.concatenate([vectors, np.zeros((400, 4), dtype=np.float32)], axis=1)
    np.testing.assert_allclose(
        np.abs(fit_whitening(padded, 12).apply(padded)),
        np.abs(fit_whitening(vectors, 12).apply(vectors)),
        atol=2e-3,
    )
    assert not fit_whitening(padded, 16).matrix[:, 12:].any()


def test_the_fit_may_use_a_sample(vectors: np.ndarray) -> None:
    sampled = fit_whitening(vectors, 4, sample=200)
    every = np.linspace(0, 399, 200).astype(int)
    np.testing.assert_array_equal(sampled.matrix, fit_whitening(vectors[every], 4).matrix)


def test_save_and_load(vectors: np.ndarray, tmp_path: Path) -> None:
    whitening = fit_whitening(vectors, 5)
    whitening.save(tmp_path / "whitening.safetensors")
    again = Whitening.load(tmp_path / "whitening.safetensors")
    np.testing.assert_array_equal(again.mean, whitening.mean)
    np.testing.assert_array_equal(again.matrix, whitening.matrix)
    assert [p.name for p in tmp_path.iterdir()] == ["whitening.safetensors"]


def test_load_of_something_else(tmp_path: Path) -> None:
    path = tmp_path / "whitening.safetensors"
    with pytest.raises(RunError, match="expected a saved whitening"):
        Whitening.load(path)
    path.write_bytes(b"half a file")
    with pytest.raises(RunError, match="expected a saved whitening"):
        Whitening.load(path)


def test_bad_vectors(vectors: np.ndarray) -> None:
    vectors[7, 3] = np.nan
    with pytest.raises(RunError, match="found 1 rows with NaN"):
        fit_whitening(vectors)
    with pytest.raises(RunError, match=r"found shape \(0, 4\)"):
        fit_whitening(np.zeros((0, 4)))


@settings(max_examples=40)
@given(
    count=st.integers(1, 20),
    width=st.integers(1, 10),
    dimensions=st.integers(1, 12),
    scale=st.sampled_from([1e-6, 1.0, 1e4]),
    seed=st.integers(0, 1000),
)
def test_any_shape_gives_finite_rows_of_length_one_or_zero(
    count: int, width: int, dimensions: int, scale: float, seed: int
) -> None:
    vectors = np.random.default_rng(seed).normal(size=(count, width)) * scale
    rows = fit_whitening(vectors, dimensions).apply(vectors)
    assert rows.shape == (count, dimensions)
    lengths = np.linalg.norm(rows, axis=1)
    assert np.all((np.abs(lengths - 1) < 1e-4) | (lengths == 0))
