"""The operators by hand and against onnxruntime."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from pocketrec.numpy_operators import LARGEST, OPERATORS, OPSETS, erf

Array = npt.NDArray[Any]


def run(operator: str, *inputs: Any, **attributes: Any) -> Any:
    return OPERATORS[operator](*inputs, **attributes)


def f32(values: Any) -> Array:
    return np.array(values, dtype=np.float32)


def i64(*values: int) -> Array:
    return np.array(values, dtype=np.int64)


def u8(values: Any) -> Array:
    return np.array(values, dtype=np.uint8)


def normal(*shape: int) -> Array:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def scalar(value: Any) -> Array:
    return np.array(value, dtype=np.float32 if isinstance(value, float) else np.int64)


X = normal(2, 3, 4)
NOBODY = normal(2, 0, 4)
TOKENS = np.array([[0, 1, -1], [1, 0, -2]])

# Operator, inputs, attributes; and the opset, where only one has it so.
CASES: list[tuple[Any, ...]] = [
    ("Add", [X, normal(4)], {}),
    ("Add", [NOBODY, normal(4)], {}),
    ("Sub", [i64(3, 2), scalar(5)], {}),
    ("Mul", [X, normal(3, 1)], {}),
    ("Div", [X, f32([[2.0], [0.0], [-1.0]])], {}),
    ("Pow", [f32(0.8), f32([2, 0, 3])], {}),
    ("Max", [X, f32(0.1), normal(4)], {}),
    ("Max", [X], {}),
    ("Equal", [TOKENS, scalar(0)], {}),
    ("Not", [np.array([True, False])], {}),
    ("Exp", [X * 100], {}),
    ("Floor", [X * 100], {}),
    ("Erf", [normal(1000) * 2], {}),
    ("Clip", [X, f32(-0.5), None], {}),
    ("Clip", [X, None, f32(0.5)], {}),
    ("Clip", [X, f32(0.5), f32(-0.5)], {}),
    ("Clip", [X], {}),
    ("Cast", [f32([1.9, -1.9, 0])], {"to": 7}),
    ("Cast", [np.array([True, False])], {"to": 1}),
    ("Cast", [np.array([2**24, -7], dtype=np.int32)], {"to": 1}),
    ("Identity", [X], {}),
    ("Constant", [], {"value": i64(3, 4)}),
    ("ConstantOfShape", [i64(2, 0, 3)], {}),
    ("ConstantOfShape", [i64(2, 3)], {"value": i64(5)}),
    ("ConstantOfShape", [np.empty(0, dtype=np.int64)], {}),
    ("Concat", [X, normal(2, 1, 4), NOBODY], {"axis": 1}),
    ("Concat", [X, X], {"axis": -1}),
    ("Gather", [X, TOKENS], {}),
    ("Gather", [X, scalar(-1)], {"axis": 1}),
    ("Gather", [normal(5, 2), np.empty((2, 0), dtype=np.int64)], {}),
    ("Gemm", [normal(2, 3), normal(4, 3), normal(4)], {"transB": 1}),
    ("Gemm", [normal(3, 2), normal(3, 4)], {"transA": 1, "alpha": 0.5}),
    ("Gemm", [normal(2, 3), normal(3, 4), normal(2, 1)], {"beta": 2.0}),
    ("MatMul", [X, normal(4, 5)], {}),
    ("MatMul", [X, normal(2, 4, 3)], {}),
    ("MatMul", [normal(4), normal(4, 3)], {}),
    ("MatMul", [X, normal(4)], {}),
    ("MatMul", [NOBODY, normal(4, 5)], {}),
    ("Pad", [X, i64(0, 0, 1, 2, 0, 0), f32(0.5)], {}),
    ("Pad", [NOBODY, i64(0, 1, 0, 0, 0, 0), None], {"mode": "constant"}),
    ("Range", [scalar(2), scalar(9), scalar(3)], {}),
    ("Range", [scalar(5), scalar(0), scalar(-2)], {}),
    ("Range", [scalar(0), scalar(0), scalar(1)], {}),
    ("Range", [scalar(0.0), scalar(1.0), scalar(0.3)], {}),
    ("ReduceSum", [X, i64(1)], {"keepdims": 0}),
    ("ReduceSum", [X, i64(-1, 0)], {}),
    ("ReduceSum", [X], {}),
    ("ReduceSum", [NOBODY, i64(1)], {"keepdims": 0}),
    ("ReduceSum", [TOKENS, i64(1)], {}),
    ("ReduceL2", [X], {"axes": (-1,), "keepdims": 1}, 17),
    ("ReduceL2", [X, i64(-1)], {"keepdims": 0}, 18),
    ("ReduceMax", [X], {"axes": (0, 2)}, 17),
    ("ReduceMax", [X, i64(1)], {}, 18),
    ("Reshape", [X, i64(0, -1)], {}),
    ("Reshape", [X, i64(-1)], {}),
    ("Reshape", [NOBODY, i64(0, 3)], {"allowzero": 1}),
    ("Shape", [X], {}),
    ("Shape", [X], {"start": 1, "end": 2}),
    ("Shape", [X], {"start": -1, "end": 9}),
    ("Slice", [X, i64(-1), i64(-(2**63) + 1), i64(0), i64(-1)], {}),
    ("Slice", [X, i64(-1, 1), i64(2**63 - 1, -1), i64(1, -1)], {}),
    ("Slice", [X, i64(-9, 1), i64(99, 0)], {}),
    ("Slice", [X, i64(9), i64(0), i64(2), i64(-2)], {}),
    ("Softmax", [X * 100], {}),
    ("Softmax", [X], {"axis": 1}),
    ("Softmax", [NOBODY], {"axis": 1}),
    ("Squeeze", [normal(1, 3, 1)], {}),
    ("Squeeze", [normal(1, 3, 1), i64(-1)], {}),
    ("Transpose", [X], {}),
    ("Transpose", [X], {"perm": (0, 2, 1)}),
    ("Unsqueeze", [X, i64(0, -1)], {}),
    ("Unsqueeze", [scalar(3), i64(0)], {}),
    ("LayerNormalization", [X, normal(4), normal(4)], {"epsilon": 1e-5}),
    ("LayerNormalization", [X, normal(3, 4)], {"axis": 1}),
    ("LayerNormalization", [NOBODY, normal(4), normal(4)], {}),
    ("DequantizeLinear", [u8([[0, 130, 255]]), f32(0.5), u8(130)], {}),
    ("DequantizeLinear", [np.array([-128, 127], dtype=np.int8), f32(0.1)], {}),
    ("DynamicQuantizeLinear", [X], {}),
    ("DynamicQuantizeLinear", [np.abs(normal(5000))], {}),
    ("DynamicQuantizeLinear", [f32([0, 0])], {}),
    ("Split", [X, i64(1, 0, 2)], {"axis": 1}),
    ("MatMulInteger", [u8([[9, 0, 255]]), u8([[1], [2], [255]])], {}),
    ("MatMulInteger", [u8([[[9, 0]]]), u8([[1, 7], [3, 255]]), u8(4), u8([128, 2])], {}),
]
IN_OPSETS = [
    pytest.param(*case[:3], opset, id=f"{number}-{case[0]}-{opset}")
    for number, case in enumerate(CASES)
    for opset in (case[3:] or OPSETS)
]


@pytest.mark.parametrize(("operator", "inputs", "attributes", "opset"), IN_OPSETS)
@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:overflow")
def test_same_as_onnxruntime(
    operator: str, inputs: list[Array | None], attributes: dict[str, Any], opset: int
) -> None:
    found = run(operator, *inputs, **attributes)
    found = found if isinstance(found, tuple) else (found,)
    expected = by_onnxruntime(operator, inputs, attributes, opset, len(found))
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == theirs.dtype
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6)


def by_onnxruntime(
    operator: str,
    inputs: list[Array | None],
    attributes: dict[str, Any],
    opset: int,
    outputs: int,
) -> list[Array]:
    feeds = {f"in{place}": value for place, value in enumerate(inputs) if value is not None}
    names = [f"in{place}" if f"in{place}" in feeds else "" for place in range(len(inputs))]
    declared = [
        helper.make_tensor_value_info(
            name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape
        )
        for name, value in feeds.items()
    ]
    given = [helper.ValueInfoProto(name=f"out{place}") for place in range(outputs)]
    if "value" in attributes:
        attributes = {"value": numpy_helper.from_array(attributes["value"])}
    node = helper.make_node(operator, names, [value.name for value in given], **attributes)
    graph = helper.make_graph([node], "one", declared, given)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    return ort.InferenceSession(model.SerializeToString()).run(None, feeds)


def test_every_operator_is_compared() -> None:
    assert {case[0] for case in CASES} == set(OPERATORS)


def test_dynamic_quantization_by_hand() -> None:
    # 5 / 255 is 1 / 51: 0 is step 3 * 51; the others are 102, -153, -127.5 (less far in float32), 68.34
    # and 25.5 steps from it.
    x = f32([0, 2, -3, -2.5, 1.34, 0.5])
    quantized, scale, zero = run("DynamicQuantizeLinear", x)
    assert [quantized.dtype, scale.dtype, zero.dtype] == [np.uint8, np.float32, np.uint8]
    assert quantized.tolist() == [153, 255, 0, 26, 221, 179]
    assert scale == pytest.approx(5 / 255)
    assert zero == 153


def test_dynamic_quantization_rounds_halves_to_even() -> None:
    quantized, scale, zero = run("DynamicQuantizeLinear", f32([255, 0.5, 1.5, 2.5, 3.5]))
    assert (scale, zero) == (1, 0)
    assert quantized.tolist() == [255, 0, 2, 2, 4]
    # Half a step below zero: the zero point 0.5 becomes 0, and with it that end.
    quantized, scale, zero = run("DynamicQuantizeLinear", f32([-0.5, 254.5, 1.5]))
    assert (scale, zero) == (1, 0)
    assert quantized.tolist() == [0, 254, 2]


@pytest.mark.parametrize(
    ("values", "quantized", "scale", "zero"),
    [
        ([10, 51], [50, 255], 0.2, 0),  # the range starts at 0 all the same
        ([-10, -51], [205, 0], 0.2, 255),
        ([0, 0], [0, 0], 1, 0),
        ([], [], 1, 0),
    ],
)
def test_dynamic_quantization_includes_zero(
    values: list[float], quantized: list[int], scale: float, zero: int
) -> None:
    found = run("DynamicQuantizeLinear", f32(values))
    assert found[0].tolist() == quantized
    assert found[1] == pytest.approx(scale)
    assert found[2] == zero


def test_integer_products_by_hand() -> None:
    a = u8([[11, 7, 3], [10, 6, 2]])
    b = u8([[1, 4], [2, 5], [3, 6]])
    found = run("MatMulInteger", a, b, u8(12), u8(0))
    assert found.dtype == np.int32
    assert found.tolist() == [[-38, -83], [-44, -98]]
    # A zero point a column: 1, 2, 3 less 1 and 4, 5, 6 less 4 are both 0, 1, 2.
    assert run("MatMulInteger", a, b, None, u8([1, 4])).tolist() == [[13, 13], [10, 10]]


@given(depth=st.sampled_from([0, 1, 7, 258, 259, 3000]), seed=st.integers(0, 99))
def test_integer_products_are_exact(depth: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    low = rng.choice([0, 250])  # near the largest sums, too
    a = rng.integers(low, 256, (3, depth)).astype(np.uint8)
    b = rng.integers(low, 256, (depth, 4)).astype(np.uint8)
    expected = a.astype(np.int64) @ b.astype(np.int64)
    assert run("MatMulInteger", a, b).tolist() == expected.tolist()
    signed = (b.astype(np.int64) - 128).astype(np.int8)
    expected = (a.astype(np.int64) - 3) @ signed.astype(np.int64)
    assert run("MatMulInteger", a, signed, u8(3)).tolist() == expected.tolist()


def test_split_by_hand() -> None:
    first, second, third = run("Split", f32([[1, 2, 3], [4, 5, 6]]), i64(1, 0, 2), axis=-1)
    assert first.tolist() == [[1], [4]]
    assert second.shape == (2, 0)
    assert third.tolist() == [[2, 3], [5, 6]]


def test_padding_lists_all_the_starts_first() -> None:
    found = run("Pad", i64(1, 2)[None], i64(1, 0, 0, 2), None)
    assert found.tolist() == [[0, 0, 0, 0], [1, 2, 0, 0]]


def test_layer_normalization_by_hand() -> None:
    # Mean 2, variance (1 + 1) / 2 = 1, and 3 more of epsilon: a deviation of 2.
    found = run("LayerNormalization", f32([[1, 3]]), f32([2, 4]), f32([0, 1]), epsilon=3.0)
    assert found.tolist() == [[-1, 3]]


def test_softmax_by_hand() -> None:
    x = f32(np.log([[1, 3], [3, 1]])) + 80
    np.testing.assert_allclose(run("Softmax", x), [[0.25, 0.75], [0.75, 0.25]], rtol=1e-4)
    assert run("Softmax", f32([1e30, -np.inf])).tolist() == [1, 0]


def test_reshape_by_hand() -> None:
    x = np.zeros((2, 0, 4))
    assert run("Reshape", x, i64(0, 0, 2, 2)).shape == (2, 0, 2, 2)
    assert run("Reshape", x, i64(0, 7), allowzero=1).shape == (0, 7)
    assert run("Reshape", np.zeros((2, 3, 4)), i64(0, -1, 2)).shape == (2, 6, 2)


def test_the_error_function() -> None:
    x = np.linspace(-6, 6, 100_001).astype(np.float32)
    expected = [math.erf(value) for value in x.tolist()]
    found = erf(x)
    assert found.dtype == np.float32
    assert np.abs(found - expected).max() < 2e-7
    assert np.abs(erf(x.astype(np.float64)) - expected).max() < 1.5e-7
    assert erf(f32([np.inf, -np.inf, 0])) == pytest.approx([1, -1, 0], abs=2e-9)
    assert np.isnan(erf(f32(np.nan)))
    assert erf(f32([[[]]])).shape == (1, 1, 0)


@pytest.mark.parametrize(
    ("operator", "inputs", "attributes"),
    [
        ("Add", [f32(1), i64(1)], {}),
        ("Add", [f32(1), f32(1), f32(1)], {}),  # numpy would write into the third
        ("Add", [f32([1, 2]), f32([1, 2, 3])], {}),
        ("Exp", [f32(1), f32(1)], {}),
        ("Div", [i64(7), i64(2)], {}),
        ("Cast", [f32(1)], {"to": 16}),
        ("Cast", [f32(1)], {}),
        ("Clip", [X, normal(4)], {}),
        ("Concat", [X, X], {}),
        ("Concat", [f32([1]), i64(1)], {"axis": 0}),
        ("ConstantOfShape", [i64(2)], {"value": i64(1, 2)}),
        ("DequantizeLinear", [u8([1, 2]), f32([1, 2]), u8([0, 0])], {"axis": 0}),
        ("DequantizeLinear", [i64(1), f32(1)], {}),
        ("Gather", [X, i64(2)], {}),
        ("Gather", [X, f32([1])], {}),
        ("MatMulInteger", [i64(1)[None], i64(1)[None]], {}),
        ("MatMulInteger", [u8([[1]]), u8([[1]]), i64(0)], {}),
        ("MatMulInteger", [u8([[1], [2]]), u8([[1]]), u8([0, 0])], {}),
        ("Pad", [X, i64(1, 1)], {}),
        ("Pad", [X, i64(0, -1, 0, 0, 0, 0)], {}),
        ("Pad", [X, i64(0, 1, 0, 0, 0, 0)], {"mode": "reflect"}),
        ("ReduceSum", [X, i64(1)], {"noop_with_empty_axes": 1}),
        ("Reshape", [X, i64(5, -1)], {}),
        ("Slice", [X, i64(0), i64(1), i64(3)], {}),
        ("Slice", [X, i64(0), i64(1), i64(0), i64(0)], {}),
        ("Slice", [X, i64(0, 0), i64(1), i64(0)], {}),
        ("Split", [X, i64(1, 1)], {"axis": 1}),
        ("Split", [X, i64(4, -1)], {"axis": 1}),
        ("Squeeze", [X, i64(0)], {}),
        ("Unsqueeze", [X, i64(0, 0)], {}),
        ("Transpose", [X], {"perm": (0, 1)}),
        ("LayerNormalization", [X, normal(4)], {"axis": 3}),
    ],
)
def test_what_is_not_for_an_operator_is_refused(
    operator: str, inputs: list[Array], attributes: dict[str, Any]
) -> None:
    with pytest.raises((TypeError, ValueError, LookupError)):
        run(operator, *inputs, **attributes)


@pytest.mark.parametrize(
    ("operator", "inputs", "attributes"),
    [
        ("Add", [np.zeros((LARGEST, 1)), np.zeros(2)], {}),
        ("MatMul", [np.zeros((2**13, 1)), np.zeros((1, 2**13))], {}),
        ("Gather", [np.zeros((2, 2**13)), np.zeros(2**13, dtype=np.int64)], {}),
        ("Concat", [np.zeros(LARGEST), np.zeros(1)], {"axis": 0}),
        ("ConstantOfShape", [i64(2**40, 2**40)], {}),
        ("ConstantOfShape", [np.full(50_000, 2**62)], {}),
        ("Range", [scalar(0), scalar(2**62), scalar(1)], {}),
        ("Pad", [X, i64(0, 2**62, 0, 0, 0, 0)], {}),
    ],
)
def test_results_of_an_absurd_size_are_refused(
    operator: str, inputs: list[Array], attributes: dict[str, Any]
) -> None:
    with pytest.raises(MemoryError, match="numbers where"):
        run(operator, *inputs, **attributes)
