"""What to say of an expected failure, and which exit code it gives."""

import errno
import sqlite3
from dataclasses import dataclass
from typing import Final

import typer

from pocketrec.errors import PocketRecError, UsageError

WORK_FAILED: Final = 1
CALL_WRONG: Final = 2

_LONGEST = 600
"""Characters of a message; an id or a line quoted in it may be of any length."""

_EXTRAS: Final = {
    "train": (
        "accelerate",
        "gguf",
        "pandas",
        "peft",
        "polars",
        "pydantic",
        "safetensors",
        "scipy",
        "tokenizers",
        "torch",
        "transformers",
    ),
    "export": ("onnx", "optimum"),
    "app": ("kivy",),
    "bench": ("implicit", "plotly", "psutil"),
}
_EXTRA_OF: Final = {module: extra for extra, modules in _EXTRAS.items() for module in modules}

_ADVICE: Final = {
    errno.ENOSPC: "free some space and run the same command again",
    errno.EDQUOT: "free some space and run the same command again",
    errno.EACCES: "check its permissions or choose another place",
    errno.EPERM: "check its permissions or choose another place",
    errno.EROFS: "choose a place that can be written",
    errno.ENOTDIR: "expected a folder there; choose another place",
    errno.EEXIST: "expected a folder there; choose another place",
    errno.EISDIR: "expected a file there; choose another name",
}


@dataclass(frozen=True)
class Failure:
    line: str
    code: int


def describe(error: BaseException) -> Failure | None:
    """The one line and exit code for an expected error; None for a bug, whose traceback is worth more."""
    match error:
        case UsageError():
            return Failure(_one_line(str(error)), CALL_WRONG)
        case PocketRecError():
            return Failure(_one_line(str(error)), WORK_FAILED)
        case typer.TyperException():
            return Failure(_one_line(error.format_message()), error.exit_code)
        case ModuleNotFoundError(name=str(name)) if name.partition(".")[0] in _EXTRA_OF:
            module = name.partition(".")[0]
            return Failure(
                f"this command needs {module}: pip install 'pocketrec[{_EXTRA_OF[module]}]'",
                WORK_FAILED,
            )
        case OSError():
            return Failure(_one_line(_system(error)), WORK_FAILED)
        case sqlite3.OperationalError():  # a full disk or a folder that cannot be written, seen by SQLite
            return Failure(_one_line(f"SQLite: {error}"), WORK_FAILED)
        case MemoryError():
            return Failure(
                "out of memory; close other programs or use a smaller data set", WORK_FAILED
            )
    return None


def _system(error: OSError) -> str:
    where = f"{error.filename}: " if error.filename is not None else ""
    what = error.strerror or str(error)
    advice = _ADVICE.get(error.errno) if error.errno is not None else None
    return f"{where}{what}; {advice}" if advice else f"{where}{what}"


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"
