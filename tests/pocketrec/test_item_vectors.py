"""Item vectors in both forms: products with a user vector, and what a graph must be."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from tiny_bundle import write_sequence_encoder
from tiny_data import unit_rows

from export.scorer import write_scorer
from pocketrec import item_vectors as module
from pocketrec.engine import OnnxEngine
from pocketrec.errors import BundleError
from pocketrec.item_vectors import SCORER_INPUTS, FloatVectors, Int8Vectors, _digits
from pocketrec.quantize import quantize_rows

ITEMS = 300


@pytest.fixture(scope="module")
def scorer(tmp_path_factory):
    path = tmp_path_factory.mktemp("scorer") / "scorer.onnx"
    write_scorer(path)
    return OnnxEngine(path)


def int8_of(vectors, scorer):
    levels, scales = quantize_rows(vectors)
    sums = levels.sum(axis=1, dtype=np.float32)
    return Int8Vectors(np.ascontiguousarray(levels.T), scales, sums, scorer)


@pytest.mark.parametrize("count", [1, 2])
@given(arrays.arrays(np.float32, 5, elements=st.floats(-200, 200, width=32)))
def test_digits_stand_for_the_user_vector(count, user):
    cut, weights, zero = _digits(user, count)
    assert cut.dtype == np.uint8
    assert cut.max() < 128  # with 8 bits two products could pass the end of int16
    step = np.abs(user).max() / (2 ** (7 * count - 1) - 1)
    assert weights @ cut - zero == pytest.approx(user[None], abs=float(0.51 * step + 1e-6))


def test_digits_by_hand():
    cut, weights, zero = _digits(np.array([63, -63, 1, 0], dtype=np.float32), 1)
    assert cut.tolist() == [[127, 1, 65, 64]]
    assert (weights.tolist(), zero.tolist()) == ([[1.0]], [64.0])
    # 8191 + 8192 = 127 * 128 + 127; 0 is 8192 = 64 * 128; -1 is 63 * 128 + 127.
    cut, weights, zero = _digits(np.array([8191, 0, -1], dtype=np.float32), 2)
    assert cut.tolist() == [[127, 64, 63], [127, 0, 127]]
    assert (weights.tolist(), zero.tolist()) == ([[128.0, 1.0]], [8192.0])


@pytest.mark.parametrize("one_by_one", [1, ITEMS + 1])
def test_products_are_those_of_the_vectors_that_the_levels_stand_for(
    scorer, monkeypatch, one_by_one
):
    monkeypatch.setattr(module, "ONE_BY_ONE", one_by_one)
    vectors = int8_of(unit_rows((ITEMS, 16)), scorer)
    stood_for = vectors.rows(np.arange(ITEMS))
    for seed in range(20):
        user = unit_rows((1, 16), seed)[0] * 12
        expected = stood_for @ user
        # Of each of 16 numbers at most half a step of 12 / 8191, or of 12 / 63.
        assert vectors.products(user) == pytest.approx(expected, abs=0.003)
        coarse = vectors.products(user, digits=1)
        assert coarse == pytest.approx(expected, abs=0.4)
        assert np.corrcoef(coarse, expected)[0, 1] > 0.999


def test_a_user_of_zeros_has_products_of_zero(scorer):
    vectors = int8_of(unit_rows((ITEMS, 16)), scorer)
    for digits in (1, 2):
        assert not vectors.products(np.zeros(16, np.float32), digits).any()


def test_both_forms_agree(scorer):
    full = unit_rows((ITEMS, 16))
    small, user = int8_of(full, scorer), full[7] * 5
    assert len(small) == len(FloatVectors(full)) == ITEMS
    some = np.array([3, 3, 299])
    assert np.array_equal(FloatVectors(full).rows(some), full[some])
    assert small.rows(some) == pytest.approx(full[some], abs=0.005)
    assert small.rows(some).flags.c_contiguous
    assert small.products(user) == pytest.approx(FloatVectors(full).products(user), abs=0.05)


def test_products_are_the_callers_own(scorer):
    full = unit_rows((ITEMS, 16))
    for vectors in (FloatVectors(full), int8_of(full, scorer)):
        first = vectors.products(full[0])
        kept = first.copy()
        first += 1
        assert np.array_equal(vectors.products(full[0]), kept)


def test_another_graph_is_refused(tmp_path):
    write_sequence_encoder(tmp_path / "other.onnx", 16)
    with pytest.raises(BundleError, match=r"other\.onnx: expected inputs user, digits.*found"):
        int8_of(unit_rows((ITEMS, 16)), OnnxEngine(tmp_path / "other.onnx"))


class Short:
    name = "short"
    inputs = SCORER_INPUTS
    outputs = ("products",)

    def run(self, inputs):
        return np.zeros(3, dtype=np.float32)


def test_an_answer_of_another_size_is_refused():
    with pytest.raises(BundleError, match=r"short: output 'products': expected float32 \[300\]"):
        int8_of(unit_rows((ITEMS, 16)), Short()).products(np.ones(16, np.float32))
