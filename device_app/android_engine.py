"""Running the graphs of a bundle on Android, with onnxruntime's Java library through pyjnius."""

import threading
import weakref
from contextlib import closing
from dataclasses import dataclass
from mmap import mmap
from pathlib import Path
from typing import Any, Final

import numpy as np

from device_app.android import first_line, java
from pocketrec.engine import Array
from pocketrec.errors import BundleError

# A Java object has no type here: pyjnius makes the classes when the program runs.
Java = Any

JAVA_TYPES: Final = {"float32": "FLOAT", "int64": "INT64", "int8": "INT8", "uint8": "UINT8"}
"""What a graph of a bundle takes and gives, by numpy's name and by Java's."""
NUMPY_TYPES: Final = {name: dtype for dtype, name in JAVA_TYPES.items()}

# pyjnius notes the object that a method is called on in the method itself, which all objects of a class share. So one
# thread at a time, and `closing(x)`, never a bound `x.close`. Re-entrant: an engine may be collected inside of a call.
_turn = threading.RLock()


@dataclass(frozen=True)
class _Fed:
    """What an input of a graph was last.

    Attributes:
        array: whose file Java maps too, or None where ``buffer`` holds a copy.
        key: dtype and shape.
    """

    array: Array | None
    key: tuple[str, tuple[int, ...]]
    buffer: Java
    tensor: Java


class AndroidEngine:
    """An `Engine` of onnxruntime's Android library, in the calling thread alone; several threads take turns.

    A call of pyjnius costs more than a small graph, so that the tensors of the last call are kept. Of an input that is
    mapped from a file, as the item vectors of a bundle are, no byte is ever copied: Java maps the file too, once as
    long as it is the same array. Any other input is copied into a buffer outside Java's heap, which serves until an
    input has another shape.

    Raises:
        AndroidError: the package lacks pyjnius or onnxruntime's library.
        BundleError: there is no such file, or onnxruntime cannot load it.
    """

    def __init__(self, path: str | Path) -> None:
        self.name = str(path)
        if not Path(path).is_file():
            raise BundleError(f"{path}: expected a model graph, found no such file")
        self._java = java()
        self._fed: dict[str, _Fed] = {}
        self._output_type: str | None = None
        with _turn:
            options = self._java.SessionOptions()
            try:
                self._set(options)
                self._session = self._java.environment.createSession(self.name, options)
            except self._java.JavaException as error:
                options.close()
                raise BundleError(
                    f"{path}: expected a graph that onnxruntime {self._java.environment.getVersion()} can load, "
                    f"found: {first_line(error)}"
                ) from error
            # At the end of the process Java's memory goes with it.
            weakref.finalize(self, _close, self._fed, self._session, options).atexit = False
            self.inputs = tuple(self._session.getInputNames().toArray())
            self.outputs = tuple(self._session.getOutputNames().toArray())
            self._feeds = self._java.HashMap()

    def run(self, inputs: dict[str, Array]) -> Array:
        """The graph's first output for the named inputs, an array of the caller's own.

        Raises:
            BundleError: the graph does not take inputs of these names, types or shapes, or gives no tensor.
        """
        if set(inputs) != set(self.inputs):
            raise BundleError(
                f"{self.name}: expected inputs {list(self.inputs)}, found {list(inputs)}"
            )
        with _turn:
            try:
                for name, array in inputs.items():
                    self._feed(name, array)
                with closing(self._session.run(self._feeds)) as result:
                    return self._read(result.get(0))
            except self._java.JavaException as error:
                raise BundleError(f"{self.name}: cannot run: {first_line(error)}") from error

    def _set(self, options: Java) -> None:
        """One thread, which never waits in a loop: as `pocketrec.engine.OnnxEngine` is set."""
        options.setIntraOpNumThreads(1)
        options.setInterOpNumThreads(1)
        options.setExecutionMode(self._java.ExecutionMode.SEQUENTIAL)
        options.setOptimizationLevel(self._java.OptLevel.ALL_OPT)
        options.setSessionLogLevel(self._java.OrtLoggingLevel.ORT_LOGGING_LEVEL_ERROR)
        options.addConfigEntry("session.intra_op.allow_spinning", "0")

    def _feed(self, name: str, array: Array) -> None:
        """Make ``array`` what the next run takes as ``name``."""
        fed = self._fed.get(name)
        if fed is not None and fed.array is array:
            return
        file = _file_of(array)
        key = (array.dtype.name, array.shape)
        if fed is None or fed.array is not None or file is not None or fed.key != key:
            if fed is not None:
                del self._fed[name]
                fed.tensor.close()
            buffer = self._allocated(array.nbytes) if file is None else self._mapped(file)
            tensor = self._tensor(name, array, buffer)
            fed = self._fed[name] = _Fed(None if file is None else array, key, buffer, tensor)
            self._feeds.put(name, tensor)
        if file is None:
            fed.buffer.rewind()
            # By reference, pyjnius would read it all back; of bytes, it would hand over one at a time.
            fed.buffer.put(bytearray(array), pass_by_reference=False)

    def _allocated(self, size: int) -> Java:
        buffer = self._java.ByteBuffer.allocateDirect(size)
        buffer.order(self._java.ByteOrder.nativeOrder())
        return buffer

    def _mapped(self, file: np.memmap) -> Java:
        with closing(self._java.FileInputStream(str(file.filename))) as stream:
            channel = stream.getChannel()  # closed with the stream; the map stays
            buffer = channel.map(self._java.MapMode.READ_ONLY, file.offset, file.nbytes)
        return self._java.cast("java.nio.ByteBuffer", buffer)

    def _tensor(self, name: str, array: Array, buffer: Java) -> Java:
        """A tensor in the very memory of ``buffer``."""
        if array.dtype.name not in JAVA_TYPES:
            raise BundleError(
                f"{self.name}: input {name!r}: expected {' or '.join(JAVA_TYPES)}, found {array.dtype}"
            )
        kind = getattr(self._java.OnnxJavaType, JAVA_TYPES[array.dtype.name])
        return self._java.OnnxTensor.createTensor(
            self._java.environment, buffer, list(array.shape), kind
        )

    def _read(self, value: Java) -> Array:
        if self._output_type is None:  # the same in every call
            self._output_type = self._type_of(value)
        tensor = self._java.cast("ai.onnxruntime.OnnxTensor", value)
        shape = self._java.cast("ai.onnxruntime.TensorInfo", tensor.getInfo()).getShape()
        # As bytes: of a FloatBuffer pyjnius would make a list of Python's numbers.
        held = tensor.getByteBuffer().array().tostring()
        return np.frombuffer(held, self._output_type).reshape(shape).copy()

    def _type_of(self, value: Java) -> str:
        found = value.getType().toString()
        if found == "ONNX_TYPE_TENSOR":
            found = self._java.cast("ai.onnxruntime.TensorInfo", value.getInfo()).type.toString()
        if found not in NUMPY_TYPES:
            raise BundleError(
                f"{self.name}: output {self.outputs[0]!r}: expected {' or '.join(JAVA_TYPES)}, found {found}"
            )
        return NUMPY_TYPES[found]


def _file_of(array: Array) -> np.memmap | None:
    """The map that an array is the whole of. Part of a map does not know its place in the file."""
    file = array.base
    if not isinstance(file, np.memmap):
        return None
    root: Any = file.base
    is_whole = isinstance(root, mmap) and file.nbytes == array.nbytes and array.flags.c_contiguous
    return file if is_whole and file.mode == "r" else None


def _close(fed: dict[str, _Fed], session: Java, options: Java) -> None:
    with _turn:
        for kept in fed.values():
            kept.tensor.close()
        session.close()
        options.close()  # not before the session
