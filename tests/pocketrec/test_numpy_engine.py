"""The numpy engine answers as onnxruntime does, and refuses what it cannot run."""

import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from tiny_data import tiny_student, unit_rows

from export.graphs import SEQUENCE, TEXT, export_fp32, quantize_int8
from pocketrec.bundle import LAYOUT
from pocketrec.encoders import SequenceEncoder, TextEncoder
from pocketrec.engine import Engine, OnnxEngine
from pocketrec.errors import BundleError
from pocketrec.numpy_engine import NumpyEngine
from pocketrec.tokenizer import Tokenizer

Array = npt.NDArray[Any]

LONGEST = 9
TOKENS = 133
"""Of the tiny student: items of a history, tokens of the vocabulary."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both graphs of a student in ``fp32`` and ``int8``."""
    folder = tmp_path_factory.mktemp("graphs")
    student = tiny_student(folder)
    assert student.settings.max_length == LONGEST
    assert student.text.embedding.num_embeddings == TOKENS
    for precision in ("fp32", "int8"):
        (folder / precision).mkdir()
    export_fp32(student, folder / "fp32")
    for graph in (TEXT, SEQUENCE):
        quantize_int8(folder / "fp32", folder / "int8", graph)
    return folder


def histories(dimensions: int, longest: int) -> list[Array]:
    lengths = [0, 1, 7, longest] * 12
    rows = unit_rows((2 * sum(lengths), dimensions))
    parts = np.split(rows, np.cumsum([2 * length for length in lengths])[:-1])
    return [p.reshape(2, n, dimensions) for p, n in zip(parts, lengths, strict=True)] + [
        np.empty((0, 3, dimensions), dtype=np.float32)
    ]


def texts(vocabulary: int) -> list[Array]:
    """Batches of two of 1 to 12 tokens: the highest token, padding, and a text of padding alone."""
    rng = np.random.default_rng(0)
    batches = []
    for width in [*range(1, 13)] * 4:
        tokens = rng.integers(1, vocabulary, (2, width))
        tokens[0, -1] = vocabulary - 1
        tokens[1, width // 2 :] = 0
        batches.append(tokens)
    return batches


def differences(path: Path, name: str, inputs: list[Array]) -> Array:
    """The largest difference to onnxruntime for each input."""
    ours, reference = NumpyEngine(path), OnnxEngine(path)
    assert (ours.inputs, ours.outputs) == (reference.inputs, reference.outputs)
    found = []
    for value in inputs:
        vectors, expected = ours.run({name: value}), reference.run({name: value})
        assert vectors.dtype == expected.dtype
        assert vectors.shape == expected.shape
        found.append(np.abs(vectors - expected).max(initial=0))
    return np.array(found)


def test_the_tiny_bundle(tiny_bundle: Path) -> None:
    vocabulary = len(Tokenizer.load(tiny_bundle / LAYOUT.tokenizer))
    text, sequence = tiny_bundle / LAYOUT.text_encoder, tiny_bundle / LAYOUT.sequence_encoder
    assert differences(text, "tokens", texts(vocabulary)).max() < 1e-6
    assert differences(sequence, "items", histories(8, 20)).max() < 1e-5


def test_full_precision(folder: Path) -> None:
    assert differences(folder / "fp32" / TEXT.file, "tokens", texts(TOKENS)).max() < 1e-6
    # Of vectors of length 15.
    items = histories(16, LONGEST)
    assert differences(folder / "fp32" / SEQUENCE.file, "items", items).max() < 1e-5


def test_int8(folder: Path) -> None:
    """The integer products are exact, but an activation between two steps of its quantization can fall to either.

    It takes one number that differs in its last bit, as sums in another order do. A step moves vectors of length 1
    by up to 0.004, those of length 15 by up to 0.05, in one of some thousand calls.
    """
    text = differences(folder / "int8" / TEXT.file, "tokens", texts(TOKENS))
    assert text.max() < 0.02
    assert np.mean(text < 1e-6) > 0.9
    sequence = differences(folder / "int8" / SEQUENCE.file, "items", histories(16, LONGEST))
    assert sequence.max() < 0.2
    assert np.mean(sequence < 1e-5) > 0.9


def test_behind_the_encoders(tiny_bundle: Path) -> None:
    tokenizer = Tokenizer.load(tiny_bundle / LAYOUT.tokenizer)

    def users(engine: Callable[[Path], Engine]) -> Array:
        text = TextEncoder(engine(tiny_bundle / LAYOUT.text_encoder), tokenizer)
        items = text.encode(["The Ghost", "", "A western film about a duel"])
        return SequenceEncoder(engine(tiny_bundle / LAYOUT.sequence_encoder)).encode(items[None])

    np.testing.assert_allclose(users(NumpyEngine), users(OnnxEngine), atol=1e-5)


def test_threads_share_an_engine(folder: Path) -> None:
    engine = NumpyEngine(folder / "int8" / SEQUENCE.file)
    inputs = histories(16, LONGEST) * 5
    expected = [engine.run({"items": items}) for items in inputs]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda items: engine.run({"items": items}), inputs))
    assert all(np.array_equal(f, e) for f, e in zip(found, expected, strict=True))


def saved(
    path: Path,
    *nodes: onnx.NodeProto,
    output: str = "y",
    opset: int = 17,
    weights: dict[str, Array] | None = None,
) -> Path:
    """A graph of an input x, float32 [B, 2]."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["B", 2])
    y = helper.make_tensor_value_info(output, TensorProto.FLOAT, None)
    initializers = [numpy_helper.from_array(w, name) for name, w in (weights or {}).items()]
    graph = helper.make_graph(nodes, "small", [x], [y], initializers)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)]), path)
    return path


ONES = np.ones((1, 2), dtype=np.float32)
node = helper.make_node


def test_a_result_is_the_callers_own(tmp_path: Path) -> None:
    weights = {"w": np.array([3, 4], dtype=np.float32)}
    path = saved(tmp_path / "g.onnx", node("Identity", ["w"], ["y"]), weights=weights)
    engine = NumpyEngine(path)
    engine.run({"x": ONES})[:] = 0
    assert engine.run({"x": ONES}).tolist() == [3, 4]
    given = ONES.copy()
    engine = NumpyEngine(saved(tmp_path / "g.onnx", node("Identity", ["x"], ["y"])))
    engine.run({"x": given})[:] = 0
    assert given.tolist() == ONES.tolist()


def test_numbers_out_of_range_are_left_to_the_caller(tmp_path: Path) -> None:
    path = saved(
        tmp_path / "g.onnx",
        node("Exp", ["x"], ["e"]),
        node("Cast", ["e"], ["i"], to=TensorProto.INT32),
        node("Sub", ["e", "e"], ["y"]),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = NumpyEngine(path).run({"x": np.float32([[1e5, 0]])})
    assert np.isnan(found[0, 0])
    assert found[0, 1] == 0


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="g.onnx: expected a model graph, found no such file"):
        NumpyEngine(tmp_path / "g.onnx")


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([node("Gelu", ["x"], ["y"])], "expected operators .*, found 'Gelu'"),
        ([node("Exp", ["x"], ["y"], domain="com.own")], "expected operators .*'com.own.Exp'"),
        ([node("Exp", ["z"], ["y"])], "Exp: expected inputs that earlier nodes give, found 'z'"),
        (
            [node("Exp", ["z"], ["y"]), node("Exp", ["x"], ["z"])],
            "Exp: expected inputs that earlier nodes give, found 'z'",
        ),
        ([node("Exp", ["x"], ["x"])], "Exp: expected outputs with names of their own, found 'x'"),
        ([node("Exp", ["x"], ["z"])], r"expected nodes that give \['y'\], found none"),
        ([node("Concat", ["w", "w"], ["y"], axis=3)], "cannot run Concat: axis 3"),
    ],
)
def test_graphs_it_cannot_run_are_refused(
    tmp_path: Path, nodes: list[onnx.NodeProto], message: str
) -> None:
    path = saved(tmp_path / "g.onnx", *nodes, weights={"w": ONES})
    with pytest.raises(BundleError, match=f"g.onnx: {message}"):
        NumpyEngine(path)


@pytest.mark.parametrize("opset", [7, 16, 19])
def test_other_opsets_are_refused(tmp_path: Path, opset: int) -> None:
    path = saved(tmp_path / "g.onnx", node("Exp", ["x"], ["y"]), opset=opset)
    with pytest.raises(BundleError, match=f"expected operators of opset 17 to 18, found {opset}"):
        NumpyEngine(path)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (node("Add", ["x", "w"], ["y"]), "Add: shape mismatch"),
        (node("Add", ["x", ""], ["y"]), "Add: 'NoneType'"),
        (node("Add", ["x"], ["y"]), "Add: .*missing 1 required positional argument"),
        (node("Exp", ["x"], ["y"], base=2), "Exp: .*unexpected keyword argument 'base'"),
        (node("Exp", ["x"], ["y", "z"]), "Exp: .*shorter"),
        (node("Softmax", ["x"], ["y"], axis=2), "Softmax: axis 2 is out of bounds"),
        (node("Softmax", ["x"], ["y"], axis="last"), "Softmax: 'str' object"),
    ],
)
def test_operators_that_fail_are_named(tmp_path: Path, bad: onnx.NodeProto, message: str) -> None:
    weights = {"w": np.ones(3, dtype=np.float32)}
    engine = NumpyEngine(saved(tmp_path / "g.onnx", bad, weights=weights))
    with pytest.raises(BundleError, match=f"g.onnx: cannot run {message}"):
        engine.run({"x": ONES})


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, r"expected inputs \['x'\], found \[\]"),
        ({"z": ONES}, r"expected inputs \['x'\], found \['z'\]"),
        ({"x": ONES, "z": ONES}, r"expected inputs \['x'\], found \['x', 'z'\]"),
        (
            {"x": ONES.astype(np.float64)},
            r"'x': expected float32 \['B', 2\], found float64 \[1, 2\]",
        ),
        ({"x": ONES[0]}, r"expected float32 \['B', 2\], found float32 \[2\]"),
        ({"x": ONES[:, :1]}, r"expected float32 \['B', 2\], found float32 \[1, 1\]"),
    ],
)
def test_other_inputs_are_refused(tmp_path: Path, inputs: dict[str, Array], message: str) -> None:
    engine = NumpyEngine(saved(tmp_path / "g.onnx", node("Exp", ["x"], ["y"])))
    with pytest.raises(BundleError, match=f"g.onnx: .*{message}"):
        engine.run(inputs)


def test_a_token_outside_the_vocabulary_is_refused(folder: Path) -> None:
    for precision, token in (("fp32", TOKENS), ("int8", -TOKENS - 1)):
        engine = NumpyEngine(folder / precision / TEXT.file)
        with pytest.raises(BundleError, match="cannot run Gather: index .* is out of bounds"):
            engine.run({"tokens": np.array([[token]])})


def test_a_history_longer_than_the_encoder_is_refused(folder: Path) -> None:
    engine = NumpyEngine(folder / "int8" / SEQUENCE.file)
    with pytest.raises(BundleError, match="cannot run Add: shape mismatch"):
        engine.run({"items": np.zeros((1, LONGEST + 1, 16), dtype=np.float32)})


FLIPS = st.lists(
    st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), min_size=1, max_size=3
)


@settings(max_examples=400)
@given(
    precision=st.sampled_from(["fp32", "int8"]),
    graph=st.sampled_from([TEXT, SEQUENCE]),
    flips=FLIPS,
)
def test_flipped_bytes_are_an_error_or_other_weights(
    folder: Path, precision: str, graph: Any, flips: list[tuple[float, int]]
) -> None:
    content = bytearray((folder / precision / graph.file).read_bytes())
    for place, change in flips:
        content[int(place * len(content))] ^= change
    damaged = folder / "damaged.onnx"
    damaged.write_bytes(content)
    value = np.array([[1, 2, 0], [TOKENS - 1, 0, 0]]) if graph is TEXT else unit_rows((3, 16))[None]
    message = ""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            NumpyEngine(damaged).run({graph.input: value})
        except BundleError as error:
            message = str(error)
    assert len(message) < 1000
    assert "\n" not in message
