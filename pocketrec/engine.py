"""Running a model graph: one protocol, so that a phone can bring another backend than onnxruntime's Python package."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

import numpy.typing as npt

from pocketrec.errors import BundleError, UsageError

Array = npt.NDArray[Any]
Backend = Literal["onnxruntime", "numpy"]
BACKENDS: tuple[Backend, ...] = get_args(Backend)


class Engine(Protocol):
    """A loaded graph.

    Attributes:
        name: what error messages call it, usually the file.
        inputs: names of its inputs.
        outputs: names of its outputs.
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    def run(self, inputs: dict[str, Array]) -> Array:
        """The graph's first output for the named inputs.

        Raises:
            BundleError: the graph does not take inputs of these names, types or shapes.
        """
        ...


Loader = Callable[[Path], Engine]
"""Loads a graph from its file; raises BundleError where it cannot."""


def engine_loader(backend: Backend | Loader | None = None) -> Loader:
    """What loads a graph.

    Args:
        backend: None takes onnxruntime where it is installed, else numpy, which gives the same lists at a fifth of the
            speed. A loader is taken as it is.

    Raises:
        UsageError: there is no such backend, or onnxruntime is asked for and not installed.
    """
    if callable(backend):
        return backend
    if backend not in (None, *BACKENDS):
        raise UsageError(f"backend: expected {' or '.join(BACKENDS)}, found {backend!r}")
    if backend != "numpy" and find_spec("onnxruntime"):
        return OnnxEngine
    if backend == "onnxruntime":
        raise UsageError("backend: expected onnxruntime to be installed, found none; use numpy")
    from pocketrec.numpy_engine import NumpyEngine

    return NumpyEngine


class OnnxEngine:
    """onnxruntime on the CPU, in the calling thread alone.

    A recommendation takes a fraction of a millisecond: waking other threads, or letting them spin for work, costs
    more than it saves and drains a battery. Calls from several threads are safe.

    Raises:
        BundleError: there is no such file, or onnxruntime cannot load it.
    """

    def __init__(self, path: str | Path, threads: int = 1) -> None:
        # Imported here: a device with another engine has no such package.
        import onnxruntime as ort
        from onnxruntime.capi import onnxruntime_pybind11_state as state

        self.name = str(path)
        if not Path(path).is_file():
            raise BundleError(f"{path}: expected a model graph, found no such file")
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.log_severity_level = 3  # errors; they reach the caller as exceptions anyway
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._load_errors = (
            state.Fail,
            state.InvalidGraph,
            state.InvalidProtobuf,
            state.NoSuchFile,
            state.NotImplemented,
            state.RuntimeException,
            state.InvalidArgument,
        )
        try:
            self._session = ort.InferenceSession(
                str(path), sess_options=options, providers=["CPUExecutionProvider"]
            )
        except self._load_errors as error:
            raise BundleError(
                f"{path}: expected a graph that onnxruntime {ort.__version__} can load, "
                f"found: {_first_line(error)}"
            ) from error
        self.inputs = tuple(node.name for node in self._session.get_inputs())
        self.outputs = tuple(node.name for node in self._session.get_outputs())

    def run(self, inputs: dict[str, Array]) -> Array:
        try:
            output: Array = self._session.run(self.outputs[:1], inputs)[0]
        # onnxruntime raises ValueError for a missing name and its own errors for types and shapes.
        except (*self._load_errors, ValueError) as error:
            raise BundleError(f"{self.name}: cannot run: {_first_line(error)}") from error
        return output


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
