"""The reader gives what the onnx package wrote, and refuses what is damaged or outside of it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from onnx import TensorProto, helper, numpy_helper

from pocketrec.errors import BundleError
from pocketrec.onnx_file import Input, Node, element_type, read_graph

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
WEIGHTS = np.arange(6, dtype=np.float32).reshape(2, 3)


def model(*tensors: onnx.TensorProto, **attributes: object) -> onnx.ModelProto:
    """Adds a weight to its input; a second node carries the attributes."""
    nodes = [
        helper.make_node("Add", ["x", "weights"], ["sum"]),
        helper.make_node("Other", ["sum", "", "x"], ["y", "z"], domain="own", **attributes),
    ]
    weights = [numpy_helper.from_array(WEIGHTS, "weights"), *tensors]
    x = helper.make_tensor_value_info("x", FLOAT, ["B", 3])
    y = helper.make_tensor_value_info("y", FLOAT, None)
    graph = helper.make_graph(nodes, "graph", [x], [y], weights)
    opsets = [helper.make_opsetid("own", 3), helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.onnx"


def test_a_whole_graph(path: Path) -> None:
    onnx.save(model(axis=-1, epsilon=0.5, mode="edge", perm=[2, -1, 0], value=None), path)
    graph = read_graph(path)
    assert graph.opset == 17
    assert graph.inputs == (Input("x", np.dtype(np.float32), ("B", 3)),)
    assert graph.outputs == ("y",)
    attributes = {"axis": -1, "epsilon": 0.5, "mode": "edge", "perm": (2, -1, 0)}
    assert graph.nodes == (
        Node("Add", ("x", "weights"), ("sum",), {}),
        Node("own.Other", ("sum", "", "x"), ("y", "z"), attributes),
    )
    assert list(graph.initializers) == ["weights"]
    assert graph.initializers["weights"].tolist() == WEIGHTS.tolist()
    assert graph.initializers["weights"].flags.aligned


def test_a_tensor_as_an_attribute(path: Path) -> None:
    onnx.save(model(value=numpy_helper.from_array(WEIGHTS)), path)
    value = read_graph(path).nodes[1].attributes["value"]
    assert isinstance(value, np.ndarray)
    assert value.tolist() == WEIGHTS.tolist()


def test_an_input_of_any_rank_and_weights_among_the_inputs(path: Path) -> None:
    changed = model()
    changed.graph.input[0].CopyFrom(helper.make_tensor_value_info("x", INT64, None))
    changed.graph.input.append(helper.make_tensor_value_info("weights", FLOAT, [2, 3]))
    onnx.save(changed, path)
    assert read_graph(path).inputs == (Input("x", np.dtype(np.int64), None),)


TYPES = [np.float32, np.uint8, np.int8, np.int32, np.int64]
ARRAYS = st.sampled_from(TYPES).flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0))
)


@given(array=ARRAYS, raw=st.booleans())
def test_tensors_of_every_type(
    tmp_path_factory: pytest.TempPathFactory, array: np.ndarray, raw: bool
) -> None:
    number = helper.np_dtype_to_tensor_dtype(array.dtype)
    values = array.tobytes() if raw else array.ravel().tolist()
    tensor = helper.make_tensor("t", number, array.shape, values, raw=raw)
    path = tmp_path_factory.mktemp("tensor") / "model.onnx"
    onnx.save(model(tensor), path)
    found = read_graph(path).initializers["t"]
    assert found.dtype == array.dtype == element_type(number)
    assert found.shape == array.shape
    np.testing.assert_array_equal(found, array)


def test_every_cut_is_noticed(path: Path) -> None:
    onnx.save(model(axis=1), path)
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(BundleError, match="model.onnx: expected an ONNX model, found"):
            read_graph(path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\xff" * 99, b"\x0a" * 99, b"{}\n"])
def test_other_files_are_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(BundleError, match="model.onnx: expected an ONNX model, found"):
        read_graph(path)


def test_missing_files_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "model.onnx"):
        with pytest.raises(BundleError, match="expected a model graph, found no such file"):
            read_graph(path)


def of_weights(**fields: object) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        weights = model.graph.initializer[0]
        for name, value in fields.items():
            if isinstance(value, list):
                del getattr(weights, name)[:]
                getattr(weights, name).extend(value)
            else:
                setattr(weights, name, value)

    return change


def without(*names: str) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        for name in names:
            owner = model if name == "opset_import" else model.graph
            owner.ClearField(name)

    return change


def elsewhere(model: onnx.ModelProto) -> None:
    weights = model.graph.initializer[0]
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key="location", value="weights.bin")


def with_subgraph(model: onnx.ModelProto) -> None:
    body = helper.make_graph([], "body", [], [])
    model.graph.node[0].attribute.append(helper.make_attribute("body", body))


def with_text_input(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.STRING


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (of_weights(raw_data=b"1234" * 5), "'weights' of shape \\[2, 3\\] with 5 values"),
        (of_weights(raw_data=b"1"), "element size"),
        (of_weights(dims=[2, 2**62]), "with 6 values"),
        (of_weights(dims=[-2, -3]), "'weights' of shape \\[-2, -3\\]"),
        (of_weights(dims=[1] * 50_000), "'weights' of shape"),
        (of_weights(dims=[2**62] * 50_000), "'weights' of shape"),
        (of_weights(data_type=TensorProto.DOUBLE), "data type 11 instead of one of float32"),
        (of_weights(data_type=0), "data type 0"),
        (elsewhere, "with 0 values"),
        (with_subgraph, "attribute 'body' of type 5"),
        (with_text_input, "data type 8"),
        (without("opset_import"), "no version of the operators"),
        (without("output"), "no graph with an output"),
        (without("output", "opset_import"), "no version"),
    ],
)
def test_what_bundles_do_not_hold_is_refused(
    path: Path, change: Callable[[onnx.ModelProto], None], found: str
) -> None:
    changed = model()
    change(changed)
    onnx.save(changed, path)
    with pytest.raises(BundleError, match=f"model.onnx: expected an ONNX model, found .*{found}"):
        read_graph(path)


def test_a_number_that_does_not_fit_its_type(path: Path) -> None:
    tensor = helper.make_tensor("t", TensorProto.UINT8, [1], [7])
    tensor.int32_data[0] = -1
    onnx.save(model(tensor), path)
    with pytest.raises(BundleError, match="-1 out of bounds for uint8"):
        read_graph(path)
