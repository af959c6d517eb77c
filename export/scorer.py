"""The graph that multiplies a user vector with int8 item vectors; see `pocketrec.item_vectors.Int8Vectors`."""

from pathlib import Path

import onnx
from onnx import TensorProto, helper

from pocketrec.item_vectors import SCORER_INPUTS, SCORER_OUTPUT

OPSET = 17
IR_VERSION = 8
_TYPES = {
    "user": (TensorProto.UINT8, ["R", "d"]),
    "digits": (TensorProto.FLOAT, [1, "R"]),
    "zero": (TensorProto.FLOAT, [1]),
    "vectors": (TensorProto.INT8, ["d", "N"]),
    "sums": (TensorProto.FLOAT, ["N"]),
    "scales": (TensorProto.FLOAT, ["N"]),
}


def write_scorer(path: Path) -> None:
    """Write the graph; it is the same for every catalogue, which it takes as inputs."""
    first = helper.make_tensor("first", TensorProto.INT64, [1], [0])
    nodes = [
        helper.make_node("MatMulInteger", ["user", "vectors"], ["whole"]),
        helper.make_node("Cast", ["whole"], ["levels"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["digits", "levels"], ["row"]),
        helper.make_node("Squeeze", ["row", "first"], ["shifted"]),
        helper.make_node("Mul", ["sums", "zero"], ["shift"]),
        helper.make_node("Sub", ["shifted", "shift"], ["unscaled"]),
        helper.make_node("Mul", ["unscaled", "scales"], [SCORER_OUTPUT]),
    ]
    inputs = [helper.make_tensor_value_info(name, *_TYPES[name]) for name in SCORER_INPUTS]
    output = helper.make_tensor_value_info(SCORER_OUTPUT, TensorProto.FLOAT, ["N"])
    graph = helper.make_graph(nodes, "scorer", inputs, [output], [first])
    opset = helper.make_opsetid("", OPSET)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
