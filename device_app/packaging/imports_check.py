"""Run in a staged folder: import every module of it, as on a phone, and let numpy answer from the bundle.

Prints what failed and leaves with 1. A script of its own, since it changes what its process can import.
"""

import importlib
import os
import pkgutil
import sys
from importlib.machinery import BuiltinImporter, FrozenImporter, PathFinder
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import MagicMock

ABSENT = """
    accelerate onnx onnxruntime optimum pandas peft polars pydantic rich safetensors scipy tokenizers torch transformers
    typer benchmarks distill export teacher
""".split()
"""What no phone has, installed as it may be here."""


def run() -> int:
    sys.path[0] = str(Path.cwd())
    # Others stand for editable installations: they would find here what was not staged.
    sys.meta_path[:] = [BuiltinImporter, FrozenImporter, PathFinder]
    nothing: Any = None  # importing such a one raises
    sys.modules.update(dict.fromkeys(ABSENT, nothing))
    # Of a window the classes of the app read nothing when they are made, but Kivy would open one.
    sys.modules["kivy.core.window"] = MagicMock()
    with TemporaryDirectory(prefix="pocketrec-staged-") as scratch:
        os.environ.update(_environment(scratch))
        name = "main"
        try:
            importlib.import_module(name)
            for package in ("pocketrec", "device_app"):
                root: Any = importlib.import_module(package)
                for found in pkgutil.walk_packages(root.__path__, f"{package}."):
                    name = found.name
                    importlib.import_module(name)
            name = "the bundle"
            from device_app.session import Session

            Session.open(Path("bundle"), Path(scratch) / "history.db").picks()
        # Whatever a module does when it is imported, leaving the process among it.
        except (Exception, SystemExit) as error:  # noqa: BLE001
            print(f"{name}: {error}")
            return 1
    return 0


def _environment(scratch: str) -> dict[str, str]:
    return {
        "HOME": scratch,
        "POCKETREC_CACHE": scratch,
        "KIVY_HOME": scratch,
        "KIVY_NO_ARGS": "1",
        "KIVY_NO_CONSOLELOG": "1",
        "KIVY_NO_FILELOG": "1",
        # Else Kivy asks the window.
        "KIVY_DPI": "160",
        "KIVY_METRICS_DENSITY": "1",
        "KIVY_METRICS_FONTSCALE": "1",
    }


if __name__ == "__main__":
    sys.exit(run())
