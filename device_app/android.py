"""What only an Android phone has: the Java classes of onnxruntime. Loads no numpy, so that the window need not wait."""

import os
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

from pocketrec.errors import PocketRecError

if TYPE_CHECKING:
    from pocketrec.engine import Engine

CLASSES: Final = (
    "ai.onnxruntime.OrtEnvironment",
    "ai.onnxruntime.OrtLoggingLevel",
    "ai.onnxruntime.OrtSession",
    "ai.onnxruntime.OrtSession$SessionOptions",
    "ai.onnxruntime.OrtSession$SessionOptions$ExecutionMode",
    "ai.onnxruntime.OrtSession$SessionOptions$OptLevel",
    "ai.onnxruntime.OrtSession$Result",
    "ai.onnxruntime.OnnxValue",
    "ai.onnxruntime.OnnxValue$OnnxValueType",
    "ai.onnxruntime.OnnxTensor",
    "ai.onnxruntime.ValueInfo",
    "ai.onnxruntime.TensorInfo",
    "ai.onnxruntime.OnnxJavaType",
    "java.io.FileInputStream",
    "java.nio.ByteBuffer",
    "java.nio.ByteOrder",
    "java.nio.channels.FileChannel$MapMode",
    "java.util.HashMap",
)
"""All that `device_app.android_engine` meets, those too that it names nowhere: pyjnius looks up what a call returns."""


class AndroidError(PocketRecError):
    """The app was packaged without what it needs of Android."""


def is_android() -> bool:
    return "ANDROID_ARGUMENT" in os.environ


@cache
def java() -> SimpleNamespace:
    """pyjnius' ``cast`` and ``JavaException``, each of `CLASSES` by its last name, and onnxruntime's ``environment``.

    The first call is for the main thread, before any other thread starts: to a thread that Python started, Android
    shows no class of the app but those that pyjnius has found before, and pyjnius detaches only threads that it saw
    start.

    Raises:
        AndroidError: there is no pyjnius, or onnxruntime's library is not in the package.
    """
    try:
        from jnius import JavaException, autoclass, cast
    except ImportError as error:
        raise AndroidError(f"expected pyjnius in the package, found: {error}") from error
    try:
        found = {name.replace("$", ".").split(".")[-1]: autoclass(name) for name in CLASSES}
        environment = found["OrtEnvironment"].getEnvironment()
    except JavaException as error:
        raise AndroidError(
            f"expected onnxruntime's library in the package, found: {first_line(error)}"
        ) from error
    return SimpleNamespace(**found, environment=environment, cast=cast, JavaException=JavaException)


def first_line(error: Any) -> str:
    """Of what a JavaException says; of pyjnius' own words where it was not Java."""
    return (error.innermessage or str(error)).strip().splitlines()[0]


def android_engine(path: Path) -> "Engine":
    """Load a graph; see `device_app.android_engine.AndroidEngine`."""
    from device_app.android_engine import AndroidEngine

    return AndroidEngine(path)
