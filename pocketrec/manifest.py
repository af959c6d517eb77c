"""manifest.json: what a bundle holds, where it comes from, how good it was, and the checksum of every file."""

import hashlib
import json
import math
from dataclasses import asdict, dataclass, field, fields
from datetime import date
from pathlib import Path
from typing import Any

from pocketrec.errors import BundleError
from pocketrec.files import atomic_write, json_text
from pocketrec.ranker import RankerSettings

FORMAT_VERSION = 2

TRAINED_ON = ("train", "all")


@dataclass(frozen=True)
class FileRecord:
    """Size in bytes and sha256 (hex) of one file of a bundle."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class DataRecord:
    """The data set a bundle was built on: its name and `pocketrec.data.Dataset.fingerprint`."""

    name: str
    fingerprint: str


@dataclass(frozen=True)
class Manifest:
    """The first file read of a bundle.

    Attributes:
        name: what people call the bundle.
        created: ISO date, given by the builder so that a build can be repeated byte for byte.
        source_domains: domains whose data trained the teacher, besides the target.
        teacher: the language model and recipe that taught, in one line.
        trained_on: "train" (test interactions held out) or "all" (for shipping).
        data: the target domain.
        ranker: how the scorers are added.
        ledger: accuracy at every hand-over, rows as in the run's ledger.
        versions: package -> version that built the bundle.
        minimum_runtime: the oldest onnxruntime that runs the graphs.
        files: name -> size and checksum; filled in by `pocketrec.bundle.seal`.
        format_version: of the bundle, `FORMAT_VERSION` for all that this version writes.
    """

    name: str
    created: str
    source_domains: tuple[str, ...]
    teacher: str
    trained_on: str
    data: DataRecord
    ranker: RankerSettings
    ledger: tuple[dict[str, Any], ...]
    versions: dict[str, str]
    minimum_runtime: str
    files: dict[str, FileRecord] = field(default_factory=dict)
    format_version: int = FORMAT_VERSION

    def write(self, path: Path) -> None:
        """Write the manifest with a checksum over every other byte of the file."""
        text = json_text({"checksum": _BLANK, **asdict(self)})
        with atomic_write(path) as temporary:
            temporary.write_bytes(text.replace(_BLANK, _checksum(text), 1).encode())

    @classmethod
    def read(cls, path: Path) -> "Manifest":
        """Read and check a manifest, the format version before anything else.

        Raises:
            BundleError: the file is absent, not JSON, of another format, altered, or a field is missing, unknown or
                of another type than expected.
        """
        text, raw = _read_object(path)
        top = _Fields(path, raw)
        version = top.integer("format_version")
        if version != FORMAT_VERSION:
            advice = "upgrade pocketrec" if version > FORMAT_VERSION else "build the bundle again"
            raise BundleError(
                f"{path}: bundle format {version}, this version reads {FORMAT_VERSION}: {advice}"
            )
        _check_sum(path, text, top.text("checksum"))
        top = _Fields(path, {name: value for name, value in raw.items() if name != "checksum"})
        top.known(cls)
        data = top.object("data").known(DataRecord)
        ranker = top.object("ranker").known(RankerSettings)
        files = top.object("files")
        return cls(
            name=top.text("name"),
            created=top.date("created"),
            source_domains=tuple(top.texts("source_domains")),
            teacher=top.text("teacher"),
            trained_on=top.choice("trained_on", TRAINED_ON),
            data=DataRecord(name=data.text("name"), fingerprint=data.text("fingerprint")),
            ranker=RankerSettings(
                max_length=ranker.integer("max_length", least=1),
                sequence_weight=ranker.number("sequence_weight"),
                neighbour_weight=ranker.number("neighbour_weight"),
                decay=ranker.number("decay", least=0.0),
                popularity_weight=ranker.number("popularity_weight"),
                cold_support=ranker.number("cold_support", least=0.0),
            ),
            ledger=tuple(top.objects("ledger")),
            versions={
                name: top.object("versions").text(name) for name in top.object("versions").raw
            },
            minimum_runtime=top.text("minimum_runtime"),
            files={name: _file_record(files.object(name)) for name in files.raw},
            format_version=version,
        )


def _file_record(entry: "_Fields") -> FileRecord:
    entry.known(FileRecord)
    return FileRecord(bytes=entry.integer("bytes", least=0), sha256=entry.text("sha256"))


_BLANK = "0" * 64
"""Stands in the place of the checksum while it is computed."""


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _check_sum(path: Path, text: str, found: str) -> None:
    expected = _checksum(text.replace(found, _BLANK, 1))
    if found != expected:
        raise BundleError(
            f"{path}: field 'checksum': expected {expected}, found {found}; the file was altered: copy the bundle again"
        )


def _read_object(path: Path) -> tuple[str, dict[str, Any]]:
    try:
        text = path.read_bytes().decode()
        raw = json.loads(text)
    except FileNotFoundError as error:
        raise BundleError(f"{path}: expected a bundle's manifest, found no such file") from error
    except (OSError, ValueError, RecursionError) as error:  # ValueError: not UTF-8 or not JSON
        raise BundleError(f"{path}: expected a JSON object, found: {error}") from error
    if not isinstance(raw, dict):
        raise BundleError(f"{path}: expected a JSON object, found {_describe(raw)}")
    return text, raw


class _Fields:
    """One JSON object of the manifest; every getter checks and says where it stands."""

    def __init__(self, path: Path, raw: dict[str, Any], prefix: str = "") -> None:
        self.raw = raw
        self._path = path
        self._prefix = prefix

    def known(self, record: type[Any]) -> "_Fields":
        names = [f.name for f in fields(record)]
        for name in names:
            if name not in self.raw:
                raise self._error(name, "a value", "nothing")
        if unknown := [name for name in self.raw if name not in names]:
            raise self._error(
                unknown[0], f"one of {', '.join(names)}", "a field this version does not know"
            )
        return self

    def text(self, name: str) -> str:
        value = self._get(name)
        if not isinstance(value, str):
            raise self._error(name, "text", _describe(value))
        return value

    def texts(self, name: str) -> list[str]:
        value = self._get(name)
        if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
            raise self._error(name, "a list of texts", _describe(value))
        return value

    def choice(self, name: str, choices: tuple[str, ...]) -> str:
        value = self.text(name)
        if value not in choices:
            raise self._error(name, " or ".join(map(repr, choices)), repr(value))
        return value

    def date(self, name: str) -> str:
        value = self.text(name)
        try:
            date.fromisoformat(value)
        except ValueError as error:
            raise self._error(name, "an ISO date such as 2026-01-31", repr(value)) from error
        return value

    def integer(self, name: str, least: int | None = None) -> int:
        value = self._get(name)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self._error(name, "a whole number", _describe(value))
        if least is not None and value < least:
            raise self._error(name, f"at least {least}", str(value))
        return value

    def number(self, name: str, least: float | None = None) -> float:
        value = self._get(name)
        if (
            not isinstance(value, (int, float))
            or isinstance(value, bool)
            or not math.isfinite(value)
        ):
            raise self._error(name, "a finite number", _describe(value))
        if least is not None and value < least:
            raise self._error(name, f"at least {least}", str(value))
        return float(value)

    def object(self, name: str) -> "_Fields":
        value = self._get(name)
        if not isinstance(value, dict):
            raise self._error(name, "an object", _describe(value))
        return _Fields(self._path, value, f"{self._prefix}{name}.")

    def objects(self, name: str) -> list[dict[str, Any]]:
        value = self._get(name)
        if not isinstance(value, list) or not all(isinstance(v, dict) for v in value):
            raise self._error(name, "a list of objects", _describe(value))
        return value

    def _get(self, name: str) -> Any:
        if name not in self.raw:
            raise self._error(name, "a value", "nothing")
        return self.raw[name]

    def _error(self, name: str, expected: str, found: str) -> BundleError:
        return BundleError(
            f"{self._path}: field {self._prefix + name!r}: expected {expected}, found {found}"
        )


def _describe(value: Any) -> str:
    text = json.dumps(value)
    return f"{type(value).__name__} {text if len(text) <= 60 else text[:57] + '...'}"
