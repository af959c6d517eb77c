"""Reading an ONNX file without the onnx package: what running the graphs of a bundle takes, and no more.

An ONNX file is a protobuf message, ``ModelProto`` of onnx.proto; the field numbers below are from there, the encoding
from https://protobuf.dev/programming-guides/encoding/.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Any

import numpy as np
import numpy.typing as npt

from pocketrec.engine import Array
from pocketrec.errors import BundleError

Attribute = float | int | str | Array | tuple[int, ...]


@dataclass(frozen=True)
class Node:
    """One operator call.

    Attributes:
        operator: its name, behind its domain and a dot if it is not one of ONNX itself.
        inputs: names of the values it reads; "" for an optional one left out.
        outputs: names of the values it gives.
        attributes: its constant settings by name.
    """

    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Attribute]


@dataclass(frozen=True)
class Input:
    """A declared input; a dimension is a size or, where any size will do, a name. Without a shape any rank will do."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int | str, ...] | None


@dataclass(frozen=True)
class Graph:
    """What a file holds.

    Attributes:
        opset: version of ONNX's own operators.
        nodes: in the order of the file.
        initializers: the weights by name.
        inputs: those that are not weights.
        outputs: their names.
    """

    opset: int
    nodes: tuple[Node, ...]
    initializers: dict[str, Array]
    inputs: tuple[Input, ...]
    outputs: tuple[str, ...]


def read_graph(path: str | Path) -> Graph:
    """The graph of an ONNX file.

    Raises:
        BundleError: there is no such file, it is no ONNX model, or it holds what bundles do not use: a data type
            other than `element_type` knows, weights in other files, subgraphs.
    """
    if not Path(path).is_file():
        raise BundleError(f"{path}: expected a model graph, found no such file")
    try:
        return _graph(_Message(memoryview(Path(path).read_bytes()), _MODEL))
    except (OSError, ValueError, OverflowError) as error:
        raise BundleError(
            f"{path}: expected an ONNX model, found {shorten(str(error), 200)}"
        ) from error


def element_type(number: int) -> np.dtype[Any]:
    """The numpy type of a ``TensorProto.DataType``.

    Raises:
        ValueError: it is none of float32, uint8, int8, int32 and int64.
    """
    if number not in _TYPES:
        raise ValueError(f"data type {number} instead of one of {', '.join(_TYPES.values())}")
    return np.dtype(_TYPES[number])


_TYPES = {1: "float32", 2: "uint8", 3: "int8", 6: "int32", 7: "int64"}

_MODEL = {"graph": 7, "opset_import": 8}
_OPSET = {"domain": 1, "version": 2}
_GRAPH = {"node": 1, "initializer": 5, "input": 11, "output": 12}
_NODE = {"input": 1, "output": 2, "op_type": 4, "attribute": 5, "domain": 7}
_ATTRIBUTE = {"name": 1, "f": 2, "i": 3, "s": 4, "t": 5, "ints": 8, "type": 20}
_TENSOR = {
    "dims": 1,
    "data_type": 2,
    "float_data": 4,
    "int32_data": 5,
    "int64_data": 7,
    "name": 8,
    "raw_data": 9,
}
_VALUE = {"name": 1, "type": 2}
_TYPE = {"tensor_type": 1}
_TENSOR_TYPE = {"elem_type": 1, "shape": 2}
_SHAPE = {"dim": 1}
_DIMENSION = {"dim_value": 1, "dim_param": 2}

_OWN_DOMAINS = ("", "ai.onnx")
"""How the operators of ONNX itself are marked."""

_VARINT, _LENGTH = 0, 2
_FIXED = {1: 8, 5: 4}
"""Wire types of a fixed size, in bytes."""


class _Message:
    """The fields of a protobuf message by name; one that is absent has no values, 0 or "".

    Raises:
        ValueError: the bytes are no such message; also from every method, if the field is of another kind.
    """

    def __init__(self, data: memoryview, schema: Mapping[str, int]) -> None:
        self._values: dict[str, list[int | memoryview]] = {name: [] for name in schema}
        names = {number: name for name, number in schema.items()}
        place = 0
        while place < len(data):
            key, place = _varint(data, place)
            value: int | memoryview
            if key & 7 == _VARINT:
                value, place = _varint(data, place)
            else:
                size = _FIXED.get(key & 7)
                if key & 7 == _LENGTH:
                    size, place = _varint(data, place)
                if size is None or size > len(data) - place:
                    raise ValueError("a file that is damaged or cut short")
                value, place = data[place : place + size], place + size
            if key >> 3 in names:
                self._values[names[key >> 3]].append(value)

    def parts(self, name: str) -> list[memoryview]:
        parts = [value for value in self._values[name] if not isinstance(value, int)]
        if len(parts) < len(self._values[name]):
            raise ValueError(f"a number as {name}")
        return parts

    def messages(self, name: str, schema: Mapping[str, int]) -> list["_Message"]:
        return [_Message(part, schema) for part in self.parts(name)]

    def message(self, name: str, schema: Mapping[str, int]) -> "_Message":
        return (self.messages(name, schema) or [_Message(memoryview(b""), schema)])[-1]

    def texts(self, name: str) -> tuple[str, ...]:
        return tuple(str(part, "utf-8") for part in self.parts(name))

    def text(self, name: str) -> str:
        return (self.texts(name) or ("",))[-1]

    def integers(self, name: str) -> list[int]:
        """int64 values, one a field or packed into one."""
        numbers: list[int] = []
        for value in self._values[name]:
            if isinstance(value, int):
                numbers.append(value)
                continue
            place = 0
            while place < len(value):
                number, place = _varint(value, place)
                numbers.append(number)
        return [number - (number >> 63 << 64) for number in numbers]

    def integer(self, name: str) -> int:
        return (self.integers(name) or [0])[-1]

    def floats(self, name: str) -> npt.NDArray[np.float32]:
        return np.frombuffer(b"".join(self.parts(name)), dtype="<f4").astype(np.float32)


def _varint(data: memoryview, place: int) -> tuple[int, int]:
    """The unsigned number at ``place``, seven bits a byte, and the place behind it."""
    number = 0
    for index, byte in enumerate(data[place : place + 10]):
        number |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return number & (1 << 64) - 1, place + index + 1
    raise ValueError("a file that is damaged or cut short")


def _graph(model: _Message) -> Graph:
    graph = model.message("graph", _GRAPH)
    opsets = [
        opset.integer("version")
        for opset in model.messages("opset_import", _OPSET)
        if opset.text("domain") in _OWN_DOMAINS
    ]
    outputs = tuple(value.text("name") for value in graph.messages("output", _VALUE))
    if not opsets or not outputs:
        raise ValueError("no graph with an output" if opsets else "no version of the operators")
    initializers = dict(map(_tensor, graph.messages("initializer", _TENSOR)))
    inputs = [_input(value) for value in graph.messages("input", _VALUE)]
    return Graph(
        opset=opsets[-1],
        nodes=tuple(_node(node) for node in graph.messages("node", _NODE)),
        initializers=initializers,
        # Before version 4 of the format, weights were declared as inputs too.
        inputs=tuple(value for value in inputs if value.name not in initializers),
        outputs=outputs,
    )


def _node(node: _Message) -> Node:
    domain = node.text("domain")
    operator = node.text("op_type")
    return Node(
        operator=operator if domain in _OWN_DOMAINS else f"{domain}.{operator}",
        inputs=node.texts("input"),
        outputs=node.texts("output"),
        attributes={
            attribute.text("name"): _attribute(attribute)
            for attribute in node.messages("attribute", _ATTRIBUTE)
        },
    )


def _attribute(attribute: _Message) -> Attribute:
    match attribute.integer("type"):
        case 1:
            return float((attribute.floats("f").tolist() or [0])[-1])
        case 2:
            return attribute.integer("i")
        case 3:
            return attribute.text("s")
        case 4:
            return _tensor(attribute.message("t", _TENSOR))[1]
        case 7:
            return tuple(attribute.integers("ints"))
        case kind:
            raise ValueError(f"attribute {attribute.text('name')!r} of type {kind}")


def _tensor(tensor: _Message) -> tuple[str, Array]:
    """Name and values, in memory of their own: those of the file are not aligned."""
    name, shape = tensor.text("name"), tensor.integers("dims")
    dtype = element_type(tensor.integer("data_type"))
    if len(shape) > 32 or min(shape, default=0) < 0:
        raise ValueError(f"tensor {name!r} of shape {shape}")
    values: Array
    if raw := tensor.parts("raw_data"):
        values = np.frombuffer(raw[-1], dtype.newbyteorder("<")).astype(dtype)
    elif dtype == np.float32:
        values = tensor.floats("float_data")
    else:
        field = "int64_data" if dtype == np.int64 else "int32_data"
        values = np.array(tensor.integers(field), dtype)
    if values.size != math.prod(shape):
        raise ValueError(f"tensor {name!r} of shape {shape} with {values.size} values")
    return name, values.reshape(shape)


def _input(value: _Message) -> Input:
    tensor = value.message("type", _TYPE).message("tensor_type", _TENSOR_TYPE)
    shapes = tensor.messages("shape", _SHAPE)
    return Input(
        name=value.text("name"),
        dtype=element_type(tensor.integer("elem_type")),
        shape=_dimensions(shapes[-1]) if shapes else None,
    )


def _dimensions(shape: _Message) -> tuple[int | str, ...]:
    return tuple(
        sizes[-1]
        if (sizes := dimension.integers("dim_value"))
        else dimension.text("dim_param") or "?"
        for dimension in shape.messages("dim", _DIMENSION)
    )
