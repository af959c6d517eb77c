"""Running graphs through onnxruntime's Java library.

No phone ran this. Java is a stand-in (tests/fake_jnius.py) that answers with onnxruntime's Python package, so that these
tests hold the logic alone. Where POCKETREC_ONNXRUNTIME_JAR names onnxruntime's Java library for this machine and pyjnius
is installed, the tests of the answers run in a desktop's Java too: the same classes as Android's, on another Java.
"""

import gc
import logging
import os
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from fake_jnius import FakeJnius
from tiny_bundle import DIMENSIONS

from device_app import android, main
from device_app.android import AndroidError, android_engine, java
from device_app.android_engine import AndroidEngine
from device_app.session import Session
from pocketrec.bundle import LAYOUT
from pocketrec.engine import OnnxEngine
from pocketrec.errors import BundleError
from pocketrec.item_table import ItemTable
from pocketrec.item_vectors import Int8Vectors
from pocketrec.recommender import Recommendations, Recommender

JAR = os.environ.get("POCKETREC_ONNXRUNTIME_JAR")
USER = np.linspace(-1, 1, DIMENSIONS, dtype=np.float32)


@pytest.fixture(autouse=True)
def _no_class_found_yet() -> Iterator[None]:
    java.cache_clear()
    yield
    gc.collect()  # engines close their sessions while their Java is there
    java.cache_clear()


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeJnius:
    """Java as the stand-in."""
    module = FakeJnius()
    monkeypatch.setitem(sys.modules, "jnius", module)
    return module


@pytest.fixture(params=["fake", "jvm"])
def any_java(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Java as the stand-in, and as it is on this machine."""
    if request.param == "fake":
        return request.getfixturevalue("fake")
    if JAR is None:
        pytest.skip("POCKETREC_ONNXRUNTIME_JAR names no onnxruntime of Java")
    if "jnius" not in sys.modules:
        pytest.importorskip("jnius_config").add_classpath(JAR)
    return pytest.importorskip("jnius")


def scores(found: Recommendations) -> list[tuple[str, float]]:
    return [(item.item_id, round(item.score, 4)) for item in found]


def engines(bundle: Path, name: str) -> tuple[AndroidEngine, OnnxEngine]:
    return AndroidEngine(bundle / name), OnnxEngine(bundle / name)


# --- the answers -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("any_java")
@pytest.mark.parametrize("history", [[], ["m01"], ["m03", "m09", "m14", "m22"]])
def test_the_same_lists(tiny_bundle: Path, history: list[str]) -> None:
    found = Recommender.open(tiny_bundle, backend=AndroidEngine)
    expected = Recommender.open(tiny_bundle)
    for _ in range(2):  # the second time with tensors that were kept
        assert scores(found.recommend(history, 20)) == scores(expected.recommend(history, 20))
    assert scores(found.similar("m03")) == scores(expected.similar("m03"))
    assert found.explain(history, "m30", 1) == expected.explain(history, "m30", 1)
    texts = ["a film", "西部"]
    np.testing.assert_allclose(found.encode(texts), expected.encode(texts), atol=1e-6)


@pytest.mark.usefixtures("any_java")
def test_names_and_shapes(tiny_bundle: Path) -> None:
    engine, reference = engines(tiny_bundle, LAYOUT.sequence_encoder)
    assert (engine.name, engine.inputs, engine.outputs) == (reference.name, ("items",), ("user",))
    rng = np.random.default_rng(0)
    for shape in [(1, 3), (1, 3), (4, 3), (1, 12), (2, 0), (1, 3)]:
        items = rng.normal(size=(*shape, DIMENSIONS)).astype(np.float32)
        user = engine.run({"items": items})
        np.testing.assert_array_equal(user, reference.run({"items": items}))
        assert user.flags.writeable


@pytest.mark.usefixtures("any_java")
def test_an_input_that_changes_in_place(tiny_bundle: Path) -> None:
    engine, reference = engines(tiny_bundle, LAYOUT.text_encoder)
    tokens = np.array([[5, 6, 7], [8, 9, 0]], dtype=np.int64)
    for word in (10, 11):
        tokens[0, 0] = word
        np.testing.assert_array_equal(
            engine.run({"tokens": tokens}), reference.run({"tokens": tokens})
        )
    turned = tokens[:, ::-1]  # not contiguous
    np.testing.assert_array_equal(engine.run({"tokens": turned}), reference.run({"tokens": turned}))


@pytest.mark.usefixtures("any_java")
@pytest.mark.parametrize(
    "kind", ["whole", "part", "view of a part", "by columns", "changed", "in memory"]
)
def test_item_vectors_wherever_they_lie(tiny_bundle: Path, tmp_path: Path, kind: str) -> None:
    table = ItemTable.read(tiny_bundle / LAYOUT.items)
    vectors = table.vectors
    np.save(tmp_path / "two.npy", np.concatenate([-vectors, vectors]))
    two = np.load(tmp_path / "two.npy", mmap_mode="r")
    np.save(tmp_path / "columns.npy", np.asfortranarray(vectors))
    np.save(tmp_path / "changed.npy", -vectors)
    changed = np.load(tmp_path / "changed.npy", mmap_mode="c")
    changed[:] = vectors  # which does not reach the file
    lying = {
        "whole": vectors,
        "part": two[DIMENSIONS:],
        "view of a part": np.asarray(two[DIMENSIONS:]),
        "by columns": np.asarray(np.load(tmp_path / "columns.npy", mmap_mode="r")),
        "changed": np.asarray(changed),
        "in memory": vectors.copy(),
    }
    found, expected = (
        Int8Vectors(lying[kind], table.scales, table.sums, engine)
        for engine in engines(tiny_bundle, LAYOUT.scorer)
    )
    for user in (USER, -USER):
        np.testing.assert_array_equal(found.products(user), expected.products(user))


# --- what goes wrong -------------------------------------------------------------------------------


@pytest.mark.usefixtures("any_java")
def test_files_that_are_no_graph(tiny_bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"none\.onnx: expected a model graph, found no such"):
        AndroidEngine(tmp_path / "none.onnx")
    with pytest.raises(
        BundleError,
        match=r"manifest\.json: expected a graph that onnxruntime \d.* can load, found: .",
    ) as raised:
        AndroidEngine(tiny_bundle / LAYOUT.manifest)
    assert "\n" not in str(raised.value)


@pytest.mark.usefixtures("any_java")
@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, r"expected inputs \['tokens'\], found \[\]"),
        ({"items": np.zeros((1, 1), np.int64)}, r"expected inputs \['tokens'\], found \['items'\]"),
        ({"tokens": np.zeros((1, 1), np.float32)}, "cannot run: .*data type"),
        ({"tokens": np.zeros(1, np.int64)}, "cannot run: .*[Rr]ank"),
        ({"tokens": np.full((1, 1), 10**9)}, "cannot run: .*out of data bounds"),
        ({"tokens": np.zeros((1, 1))}, "input 'tokens': expected float32 or .*, found float64"),
    ],
)
def test_inputs_that_do_not_fit(tiny_bundle: Path, inputs: dict, message: str) -> None:
    engine, reference = engines(tiny_bundle, LAYOUT.text_encoder)
    with pytest.raises(BundleError, match=rf"text_encoder\.onnx: {message}") as raised:
        engine.run(inputs)
    assert "\n" not in str(raised.value)
    tokens = np.array([[5, 6]])
    np.testing.assert_array_equal(engine.run({"tokens": tokens}), reference.run({"tokens": tokens}))


@pytest.mark.usefixtures("any_java")
def test_an_output_of_a_type_that_no_bundle_has(tmp_path: Path) -> None:
    import onnx
    from onnx import TensorProto, helper

    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N"])
    wanted = helper.make_tensor_value_info("y", TensorProto.DOUBLE, ["N"])
    node = helper.make_node("Cast", ["x"], ["y"], to=TensorProto.DOUBLE)
    opset = helper.make_opsetid("", 17)
    graph = helper.make_graph([node], "g", [given], [wanted])
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=8), tmp_path / "g.onnx")
    with pytest.raises(BundleError, match=r"output 'y': expected float32 or .*, found DOUBLE"):
        AndroidEngine(tmp_path / "g.onnx").run({"x": np.ones(2, np.float32)})


def test_a_package_without_pyjnius(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jnius", None)
    with pytest.raises(AndroidError, match="expected pyjnius in the package"):
        java()


# --- what happens in Java --------------------------------------------------------------------------


def test_mapped_items_are_never_copied(tiny_bundle: Path, fake: FakeJnius) -> None:
    table = ItemTable.read(tiny_bundle / LAYOUT.items)
    engine = AndroidEngine(tiny_bundle / LAYOUT.scorer)
    vectors = Int8Vectors(table.vectors, table.scales, table.sums, engine)
    for _ in range(5):
        vectors.products(USER)
    assert sorted(fake.mapped) == ["scales.npy", "sums.npy", "vectors.npy"]  # once each
    digits, weights, zero = 2 * DIMENSIONS, 2 * 4, 4
    assert fake.copied == 5 * (digits + weights + zero)

    other = ItemTable.read(tiny_bundle / LAYOUT.items)  # equal, and yet another array
    Int8Vectors(other.vectors, other.scales, other.sums, engine).products(USER)
    assert len(fake.mapped) == 6


def test_everything_is_closed(tiny_bundle: Path, fake: FakeJnius) -> None:
    engine = AndroidEngine(tiny_bundle / LAYOUT.text_encoder)
    for length in (1, 1, 5, 3):
        engine.run({"tokens": np.ones((2, length), np.int64)})
    with pytest.raises(BundleError):
        engine.run({"tokens": np.ones(3, np.int64)})
    with pytest.raises(BundleError):
        AndroidEngine(tiny_bundle / LAYOUT.manifest)
    left = sorted(type(one).__name__ for one in fake.unclosed)
    assert left == ["OnnxTensor", "OrtSession", "SessionOptions"]  # what the next run needs
    del engine
    gc.collect()
    assert fake.unclosed == []


def test_one_thread_that_does_not_spin(tiny_bundle: Path, fake: FakeJnius) -> None:
    AndroidEngine(tiny_bundle / LAYOUT.scorer)
    assert fake.options == [
        {
            "setIntraOpNumThreads": 1,
            "setInterOpNumThreads": 1,
            "setExecutionMode": "SEQUENTIAL",
            "setOptimizationLevel": "ALL_OPT",
            "setSessionLogLevel": "ORT_LOGGING_LEVEL_ERROR",
            "session.intra_op.allow_spinning": "0",
        }
    ]


@pytest.mark.usefixtures("fake")
def test_threads_take_turns(tiny_bundle: Path) -> None:
    engine, reference = engines(tiny_bundle, LAYOUT.text_encoder)

    def work(word: int) -> None:
        tokens = np.full((1, word), word, dtype=np.int64)
        expected = reference.run({"tokens": tokens})
        for _ in range(10):
            np.testing.assert_array_equal(engine.run({"tokens": tokens}), expected)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, range(1, 5))) == [None] * 4


@pytest.mark.usefixtures("fake")
@pytest.mark.parametrize("main_thread_first", [True, False])
def test_the_main_thread_finds_the_classes(
    tiny_bundle: Path, tmp_path: Path, main_thread_first: bool
) -> None:
    done: list[object] = []

    def work() -> None:
        try:
            session = Session.open(tiny_bundle, tmp_path / "history.db", android_engine)
            session.mark("m03", "like")
            done.append(len(session.picks().cards))
            session.close()
        except AndroidError as error:
            done.append(str(error))

    if main_thread_first:
        java()
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if main_thread_first:
        assert done == [24]
    else:
        assert "expected onnxruntime's library in the package, found: Didn't find class" in done[0]


def test_the_app_chooses_the_phones_onnxruntime(
    fake: FakeJnius,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    monkeypatch.delenv("POCKETREC_CACHE")
    monkeypatch.setenv("POCKETREC_CACHE", "")  # so that it is put back
    monkeypatch.delenv("POCKETREC_CACHE")
    monkeypatch.delenv("ANDROID_ARGUMENT", raising=False)
    assert not android.is_android()
    monkeypatch.setenv("ANDROID_ARGUMENT", "/data/app")
    assert android.is_android()
    assert main._use_android() is android_engine
    assert os.environ["POCKETREC_CACHE"] == str(tmp_path / "home" / "cache")

    fake.has_onnxruntime = False
    fake._found.clear()
    java.cache_clear()
    with caplog.at_level(logging.WARNING):
        assert main._use_android() is None
    assert "numpy runs the model: expected onnxruntime's library" in caplog.text
