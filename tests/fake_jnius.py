"""Stands in for pyjnius on Android: the Java classes that the app calls, in Python, over onnxruntime's Python package.

It behaves as pyjnius and onnxruntime's Java library did on a desktop's Java where they differ from what one expects: a
method is shared by all objects of a class, a class of the app is found by the main thread alone, a value has no methods
but those of its declared type until it is cast.
"""

import threading
import time
from collections.abc import Callable
from math import prod
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime as ort

DTYPES = {
    "FLOAT": "float32",
    "INT64": "int64",
    "INT8": "int8",
    "UINT8": "uint8",
    "DOUBLE": "float64",
}
NAMES = {
    f"tensor({dtype.replace('float32', 'float').replace('float64', 'double')})": name
    for name, dtype in DTYPES.items()
}


class JavaException(Exception):  # noqa: N818 - pyjnius' name
    def __init__(self, message: str, classname: str = "", innermessage: str | None = None) -> None:
        super().__init__(message)
        self.classname, self.innermessage = classname, innermessage


def thrown(classname: str, message: str) -> JavaException:
    trace = f"JVM exception occurred: {classname}: {message}\n{classname}: {message}\n\tA.java:1"
    return JavaException(trace, classname, message)


class method:  # noqa: N801 - a decorator
    """One for all objects of a class; called on the object that it was last looked up on."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __get__(self, instance: Any, owner: type) -> "method":
        self._instance = instance
        return self

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return self._function(self._instance, *arguments, **options)


class Object:
    def __init__(self, jnius: "FakeJnius") -> None:
        self.jnius = jnius


class Closeable(Object):
    def __init__(self, jnius: "FakeJnius") -> None:
        super().__init__(jnius)
        jnius.unclosed.append(self)

    @method
    def close(self) -> None:
        self.jnius.unclosed.remove(self)


class Named:
    def __init__(self, name: str) -> None:
        self._name = name

    @method
    def toString(self) -> str:  # noqa: N802
        return self._name


def enum(*names: str) -> SimpleNamespace:
    return SimpleNamespace(**{name: Named(name) for name in names})


class ByteBuffer(Object):
    """Java's bytes, position included; ``memory`` is uint8 [n]."""

    def __init__(self, jnius: "FakeJnius", memory: np.ndarray, direct: bool = True) -> None:
        super().__init__(jnius)
        self.memory, self.direct, self.position = memory, direct, 0

    @method
    def order(self, order: Named) -> "ByteBuffer":
        assert order.toString() == "NATIVE"
        return self

    @method
    def rewind(self) -> "ByteBuffer":
        self.position = 0
        return self

    @method
    def put(self, data: bytearray, pass_by_reference: bool = True) -> "ByteBuffer":
        assert isinstance(data, bytearray), "pyjnius hands anything else over byte by byte"
        assert not pass_by_reference, "pyjnius would read every byte back"
        if len(data) > len(self.memory) - self.position:
            raise thrown("java.nio.BufferOverflowException", "")
        self.memory[self.position : self.position + len(data)] = np.frombuffer(data, np.uint8)
        self.position += len(data)
        self.jnius.copied += len(data)
        return self

    @method
    def array(self) -> SimpleNamespace:
        assert not self.direct, "a direct buffer has no array"
        return SimpleNamespace(tostring=self.memory.tobytes)


class FileInputStream(Closeable):
    def __init__(self, jnius: "FakeJnius", path: str) -> None:
        super().__init__(jnius)
        self._path = Path(path)

    @method
    def getChannel(self) -> SimpleNamespace:  # noqa: N802
        def mapped(mode: Named, offset: int, size: int) -> ByteBuffer:
            assert self in self.jnius.unclosed
            assert mode.toString() == "READ_ONLY"
            self.jnius.mapped.append(self._path.name)
            return ByteBuffer(self.jnius, np.memmap(self._path, np.uint8, "r", offset, (size,)))

        return SimpleNamespace(map=mapped)


class HashMap(Object):
    def __init__(self, jnius: "FakeJnius") -> None:
        super().__init__(jnius)
        self.entries: dict[str, Any] = {}

    @method
    def put(self, key: str, value: Any) -> None:
        self.entries[key] = value


class OnnxTensor(Closeable):
    def __init__(self, jnius: "FakeJnius", buffer: ByteBuffer, shape: list[int], kind: str) -> None:
        super().__init__(jnius)
        self.buffer, self.shape, self.kind = buffer, shape, kind

    def values(self) -> np.ndarray:
        assert self in self.jnius.unclosed, "a closed tensor"
        return self.buffer.memory.view(DTYPES[self.kind]).reshape(self.shape)

    @method
    def getInfo(self) -> SimpleNamespace:  # noqa: N802
        shape, kind = self.shape, Named(self.kind)
        return SimpleNamespace(
            as_type={
                "ai.onnxruntime.TensorInfo": SimpleNamespace(getShape=lambda: shape, type=kind)
            }
        )

    @method
    def getByteBuffer(self) -> ByteBuffer:  # noqa: N802
        return ByteBuffer(self.jnius, self.buffer.memory.copy(), direct=False)


class Tensors(Object):
    @method
    def createTensor(self, *arguments: Any) -> OnnxTensor:  # noqa: N802
        environment, buffer, shape, kind = arguments
        assert isinstance(environment, OrtEnvironment)
        assert buffer.direct, "onnxruntime would copy it"
        size = np.dtype(DTYPES[kind.toString()]).itemsize * prod(shape)
        if size != len(buffer.memory) - buffer.position:
            raise thrown("ai.onnxruntime.OrtException", f"Shape {shape} requires {size} bytes")
        return OnnxTensor(self.jnius, buffer, shape, kind.toString())


class Result(Closeable):
    def __init__(self, jnius: "FakeJnius", value: np.ndarray, kind: str) -> None:
        super().__init__(jnius)
        memory = np.frombuffer(value.tobytes(), np.uint8)
        self._tensor = OnnxTensor(jnius, ByteBuffer(jnius, memory), list(value.shape), kind)

    @method
    def get(self, index: int) -> SimpleNamespace:
        assert index == 0
        return SimpleNamespace(
            as_type={"ai.onnxruntime.OnnxTensor": self._tensor},
            getType=lambda: Named("ONNX_TYPE_TENSOR"),
            getInfo=lambda: self._tensor.getInfo(),
        )

    @method
    def close(self) -> None:
        self.jnius.unclosed.remove(self)
        self.jnius.unclosed.remove(self._tensor)


class SessionOptions(Closeable):
    def __init__(self, jnius: "FakeJnius") -> None:
        super().__init__(jnius)
        self.set: dict[str, Any] = {}
        jnius.options.append(self.set)

    def __getattr__(self, name: str) -> Callable[..., None]:
        def setter(*values: Any) -> None:
            key, value = values if len(values) == 2 else (name, *values)
            self.set[key] = value.toString() if isinstance(value, Named) else value

        return setter


class OrtSession(Closeable):
    def __init__(self, jnius: "FakeJnius", path: str) -> None:
        try:
            self._session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise thrown("ai.onnxruntime.OrtException", str(error)) from error
        super().__init__(jnius)

    @method
    def getInputNames(self) -> SimpleNamespace:  # noqa: N802
        return SimpleNamespace(toArray=lambda: [node.name for node in self._session.get_inputs()])

    @method
    def getOutputNames(self) -> SimpleNamespace:  # noqa: N802
        return SimpleNamespace(toArray=lambda: [node.name for node in self._session.get_outputs()])

    @method
    def run(self, feeds: HashMap) -> Result:
        assert not self.jnius.is_busy, "two threads in pyjnius at once"
        self.jnius.is_busy = True
        time.sleep(0.0005)  # Java is called without Python's lock
        try:
            values = {name: tensor.values() for name, tensor in feeds.entries.items()}
            (value, *_) = self._session.run(None, values)
        except (ort.capi.onnxruntime_pybind11_state.InvalidArgument, ValueError) as error:
            raise thrown("ai.onnxruntime.OrtException", str(error)) from error
        finally:
            self.jnius.is_busy = False
        return Result(self.jnius, value, NAMES[self._session.get_outputs()[0].type])


class OrtEnvironment(Object):
    @method
    def createSession(self, path: str, options: SessionOptions) -> OrtSession:  # noqa: N802
        assert options in self.jnius.unclosed
        return OrtSession(self.jnius, path)

    @method
    def getVersion(self) -> str:  # noqa: N802
        return ort.__version__


class FakeJnius(ModuleType):
    """The module, and what happened in Java.

    Attributes:
        unclosed: what was opened and not closed, oldest first.
        copied: how many bytes were copied from Python.
        mapped: the names of the files that were mapped.
        options: of each session, in order.
        has_onnxruntime: whether its library is in the package.
    """

    def __init__(self) -> None:
        super().__init__("jnius")
        self.JavaException = JavaException
        self.unclosed: list[Closeable] = []
        self.copied = 0
        self.mapped: list[str] = []
        self.options: list[dict[str, Any]] = []
        self.has_onnxruntime = True
        self.is_busy = False
        self._found: dict[str, Any] = {}
        environment = OrtEnvironment(self)
        self._classes = {
            "ai.onnxruntime.OrtEnvironment": SimpleNamespace(getEnvironment=lambda: environment),
            "ai.onnxruntime.OrtLoggingLevel": enum("ORT_LOGGING_LEVEL_ERROR"),
            "ai.onnxruntime.OrtSession$SessionOptions": lambda: SessionOptions(self),
            "ai.onnxruntime.OrtSession$SessionOptions$ExecutionMode": enum("SEQUENTIAL"),
            "ai.onnxruntime.OrtSession$SessionOptions$OptLevel": enum("ALL_OPT"),
            "ai.onnxruntime.OnnxTensor": Tensors(self),
            "ai.onnxruntime.OnnxJavaType": enum(*DTYPES),
            "java.io.FileInputStream": lambda path: FileInputStream(self, path),
            "java.nio.ByteBuffer": SimpleNamespace(
                allocateDirect=lambda size: ByteBuffer(self, np.zeros(size, np.uint8))
            ),
            "java.nio.ByteOrder": SimpleNamespace(nativeOrder=lambda: Named("NATIVE")),
            "java.nio.channels.FileChannel$MapMode": enum("READ_ONLY"),
            "java.util.HashMap": lambda: HashMap(self),
        }

    def autoclass(self, name: str) -> Any:
        if name not in self._found:
            is_main = threading.current_thread() is threading.main_thread()
            if name.startswith("ai.") and not (self.has_onnxruntime and is_main):
                raise thrown("java.lang.ClassNotFoundException", f"Didn't find class {name}")
            self._found[name] = self._classes.get(name)
        return self._found[name]

    def cast(self, name: str, value: Any) -> Any:
        self.autoclass(name)
        return value if isinstance(value, ByteBuffer) else value.as_type[name]
