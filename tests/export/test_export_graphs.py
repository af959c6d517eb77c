"""The graphs compute what the student computes, and the check notices when they do not."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest
import torch
from onnx import numpy_helper
from tiny_data import tiny_student, unit_rows

from distill.checkpoint import Student
from distill.recipe import StudentRecipe
from distill.student import SequenceEncoder, TextEncoder
from export.graphs import (
    OPSET,
    SEQUENCE,
    TEXT,
    FourBitRows,
    Graph,
    LastState,
    export_fp32,
    quantize_int8,
    quantize_text_int4,
)
from export.parity import FP32_TOLERANCE, check_graph
from pocketrec.engine import OnnxEngine
from pocketrec.errors import RunError
from pocketrec.numpy_engine import NumpyEngine

GRAPHS = pytest.mark.parametrize("graph", [TEXT, SEQUENCE], ids=["text", "sequence"])


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Student:
    return tiny_student(tmp_path_factory.mktemp("student"))


@pytest.fixture(scope="module")
def folder(student: Student, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both graphs in ``fp32`` and ``int8``."""
    folder = tmp_path_factory.mktemp("graphs")
    for precision in ("fp32", "int8"):
        (folder / precision).mkdir()
    export_fp32(student, folder / "fp32")
    for graph in (TEXT, SEQUENCE):
        quantize_int8(folder / "fp32", folder / "int8", graph)
    return folder


def changed(path: Path, target: Path, change: Callable[[onnx.ModelProto], None]) -> Path:
    model = onnx.load(path)
    change(model)
    onnx.save(model, target)
    return target


@GRAPHS
def test_full_precision_is_the_student(student: Student, folder: Path, graph: Graph) -> None:
    assert check_graph(student, folder / "fp32" / graph.file, graph, FP32_TOLERANCE) < 1e-4


@GRAPHS
def test_int8_is_near_the_student(student: Student, folder: Path, graph: Graph) -> None:
    difference = check_graph(student, folder / "int8" / graph.file, graph, None)
    assert 0 < difference < 3  # of vectors of length 1 (text) and 15 (sequence)


@pytest.mark.parametrize("length", [0, 1, 2, 9])
@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_histories_of_every_length(
    student: Student, folder: Path, precision: str, length: int, batch: int
) -> None:
    items = unit_rows((batch * length, 16), seed=7).reshape(batch, length, 16)
    found = OnnxEngine(folder / precision / SEQUENCE.file).run({"items": items})
    with torch.no_grad():
        expected = LastState(student.sequence)(torch.from_numpy(items)).numpy()
    assert found.shape == (batch, 16)
    assert found.dtype == np.float32
    cosines = (found * expected).sum(axis=1) / 15 / np.linalg.norm(found, axis=1)
    assert cosines.min() > (0.9999 if precision == "fp32" else 0.95)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_the_highest_token_and_padding(student: Student, folder: Path, precision: str) -> None:
    engine = OnnxEngine(folder / precision / TEXT.file)
    last = student.text.embedding.num_embeddings - 1
    tokens = np.array([[last, last, 2], [last, 0, 0], [0, 0, 0]], dtype=np.int64)
    found = engine.run({"tokens": tokens})
    with torch.no_grad():
        expected = student.text(torch.from_numpy(tokens)).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-4 if precision == "fp32" else 0.1)
    shorter = engine.run({"tokens": tokens[1:2, :1]})
    np.testing.assert_allclose(shorter[0], found[1], atol=1e-4 if precision == "fp32" else 0.1)


def of_real_size(student: Student) -> Student:
    torch.manual_seed(0)
    recipe = StudentRecipe()
    return replace(
        student,
        recipe=recipe,
        text=TextEncoder(2000, 64).eval(),
        sequence=SequenceEncoder(50, recipe).eval(),
        vectors=unit_rows((40, 64)),
    )


def test_int8_graphs_of_a_real_size_are_smaller(student: Student, tmp_path: Path) -> None:
    real = of_real_size(student)
    small = tmp_path / "int8"
    small.mkdir()
    export_fp32(real, tmp_path)
    for graph, most in ((TEXT, 0.3), (SEQUENCE, 0.6)):
        quantize_int8(tmp_path, small, graph)
        full, quantized = tmp_path / graph.file, small / graph.file
        assert quantized.stat().st_size < most * full.stat().st_size
        check_graph(real, quantized, graph, None)
    assert sorted(p.name for p in small.iterdir()) == sorted([TEXT.file, SEQUENCE.file])


def test_what_has_weights_is_quantized_and_nothing_else(folder: Path) -> None:
    full, quantized = (onnx.load(folder / p / SEQUENCE.file).graph for p in ("fp32", "int8"))
    weights = {tensor.name for tensor in full.initializer}
    products = [n for n in full.node if n.op_type == "MatMul"]
    of_attention = {n.name for n in products if not weights.intersection(n.input)}
    assert of_attention
    assert {n.name for n in quantized.node if n.op_type == "MatMul"} == of_attention
    integer = [n for n in quantized.node if n.op_type == "MatMulInteger"]
    assert len(integer) == len(products) - len(of_attention)


def test_four_bit_rows_by_hand() -> None:
    # Scales of 1, 1/7 and next to nothing.
    rows = FourBitRows(torch.tensor([[7.0, -7.0, 2.4, -2.6], [0.0, 1.0, 0.6, -1.0], [0.0] * 4]))
    assert rows.packed.tolist() == [
        [15 + 16 * 10, 1 + 16 * 5],
        [8 + 16 * 12, 15 + 16],
        [8 * 17] * 2,
    ]
    found = rows(torch.tensor([[0, 1], [2, 0]]))
    expected = [[7.0, -7.0, 2.0, -3.0], [0.0, 1.0, 4 / 7, -1.0]]
    torch.testing.assert_close(found[0], torch.tensor(expected))
    assert not found[1, 0].any()


def test_four_bit_texts_are_smaller_and_near_the_student_in_both_engines(
    student: Student, tmp_path: Path
) -> None:
    real = of_real_size(student)
    (tmp_path / "int8").mkdir()
    export_fp32(real, tmp_path)
    quantize_int8(tmp_path, tmp_path / "int8", TEXT)
    quantize_text_int4(real, tmp_path)
    four, eight = tmp_path / TEXT.file, tmp_path / "int8" / TEXT.file
    assert four.stat().st_size < 0.65 * eight.stat().st_size
    assert check_graph(real, four, TEXT, None) < 0.2
    tokens = np.random.default_rng(0).integers(1, 2000, (20, 9))
    found = OnnxEngine(four).run({"tokens": tokens})
    np.testing.assert_allclose(NumpyEngine(four).run({"tokens": tokens}), found, atol=1e-5)
    with torch.no_grad():
        assert (found * real.text(torch.from_numpy(tokens)).numpy()).sum(axis=1).min() > 0.98


@GRAPHS
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_names_opset_and_dynamic_sizes(folder: Path, precision: str, graph: Graph) -> None:
    model = onnx.load(folder / precision / graph.file)
    assert [node.name for node in model.graph.input] == [graph.input]
    assert [node.name for node in model.graph.output] == [graph.output]
    sizes = model.graph.input[0].type.tensor_type.shape.dim
    assert [size.dim_param for size in sizes[:2]] == list(graph.axes)
    assert {o.version for o in model.opset_import if o.domain in ("", "ai.onnx")} == {OPSET}


class TestCheck:
    def refused(self, student: Student, path: Path, graph: Graph, message: str) -> None:
        with pytest.raises(RunError, match=message):
            check_graph(student, path, graph, FP32_TOLERANCE)

    @GRAPHS
    def test_another_input_name(
        self, student: Student, folder: Path, tmp_path: Path, graph: Graph
    ) -> None:
        def rename(model: onnx.ModelProto) -> None:
            for node in model.graph.node:
                node.input[:] = ["other" if n == graph.input else n for n in node.input]
            model.graph.input[0].name = "other"

        path = changed(folder / "fp32" / graph.file, tmp_path / graph.file, rename)
        self.refused(
            student, path, graph, rf"expected {graph.input} -> {graph.output}, found .*other"
        )

    def test_the_graphs_swapped(self, student: Student, folder: Path) -> None:
        self.refused(student, folder / "fp32" / TEXT.file, SEQUENCE, "expected items -> user")
        self.refused(student, folder / "fp32" / SEQUENCE.file, TEXT, "expected tokens -> vector")

    def test_another_width(self, student: Student, tmp_path: Path) -> None:
        torch.manual_seed(0)
        narrow = replace(student, text=TextEncoder(student.text.embedding.num_embeddings, 8).eval())
        export_fp32(narrow, tmp_path)
        self.refused(
            student,
            tmp_path / TEXT.file,
            TEXT,
            r"input \[3, 1\]: expected float32 \[3, 16\], found float32 \[3, 8\]",
        )

    @GRAPHS
    @pytest.mark.parametrize("value", [0.5, np.nan, np.inf])
    def test_an_altered_weight(
        self, student: Student, folder: Path, tmp_path: Path, graph: Graph, value: float
    ) -> None:
        def alter(model: onnx.ModelProto) -> None:
            bias = next(w for w in model.graph.initializer if w.name.endswith("contract.bias"))
            array = numpy_helper.to_array(bias).copy()
            array[:3] += np.float32(value)
            bias.CopyFrom(numpy_helper.from_array(array, bias.name))

        path = changed(folder / "fp32" / graph.file, tmp_path / graph.file, alter)
        self.refused(student, path, graph, "expected outputs within 0.001 of the student's, found")
        if not np.isfinite(value):  # even where the difference is only measured
            with pytest.raises(RunError, match="found"):
                check_graph(student, path, graph, None)

    def test_a_table_without_its_last_row(
        self, student: Student, folder: Path, tmp_path: Path
    ) -> None:
        def forget(model: onnx.ModelProto) -> None:
            rows = next(w for w in model.graph.initializer if w.name == "embedding.weight")
            array: npt.NDArray[np.float32] = numpy_helper.to_array(rows).copy()
            array[-1] = array[-2]
            rows.CopyFrom(numpy_helper.from_array(array, rows.name))

        path = changed(folder / "fp32" / TEXT.file, tmp_path / TEXT.file, forget)
        self.refused(student, path, TEXT, "expected outputs within 0.001")

    def test_a_graph_that_forgot_the_longest_history(
        self, student: Student, folder: Path, tmp_path: Path
    ) -> None:
        def forget(model: onnx.ModelProto) -> None:
            shape = [student.settings.max_length + 1, student.recipe.dimensions]
            places = next(w for w in model.graph.initializer if list(w.dims) == shape)
            array: npt.NDArray[np.float32] = numpy_helper.to_array(places).copy()
            array[-1] = -array[-1]
            places.CopyFrom(numpy_helper.from_array(array, places.name))

        path = changed(folder / "fp32" / SEQUENCE.file, tmp_path / SEQUENCE.file, forget)
        self.refused(student, path, SEQUENCE, "expected outputs within 0.001")
