"""Where the bytes come from: a file, or the one file that matters in a .zip. Nothing is unpacked to disk."""

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from reprlib import repr as shortened
from typing import BinaryIO, Final, cast

from device_app.importers.rows import HistoryFileError
from device_app.language import tr

LARGEST: Final = 200_000_000
"""Bytes, of a file or of all that a .zip unpacks to; a person's export has a few million."""

LARGEST_ZIP: Final = 50_000_000
"""Bytes; text packs to a quarter or less, and a longer list of contents takes seconds to read."""

PREFERRED: Final = "ratings.csv"
"""What an export of several files has its ratings in: MovieLens and Letterboxd."""

_ZIP_STARTS = (b"PK\3\4", b"PK\5\6")
_READABLE = (".csv", ".tsv", ".txt", ".json")
_PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError)
_OPENING = (*_DAMAGE, ValueError, KeyError, RuntimeError)
"""A .zip with a password, of an unknown version, or with contents that make no sense."""


@dataclass(frozen=True)
class Source:
    """A file, or a member of a .zip."""

    path: Path
    member: str | None = None

    def __str__(self) -> str:
        return f"{self.path}" if self.member is None else f"{self.path}: {shortened(self.member)}"

    def beside(self, name: str) -> "Source":
        """The file called ``name`` in the same folder, which need not be there."""
        if self.member is None:
            return replace(self, path=self.path.with_name(name))
        return replace(self, member=str(PurePosixPath(self.member).with_name(name)))

    def exists(self) -> bool:
        if self.member is None:
            return self.path.is_file()
        with _clear_errors(str(self.path), _OPENING), _unpacked(self.path) as packed:
            return self.member in packed.namelist()

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """The bytes from the start.

        Raises:
            HistoryFileError: it is not there, too large or damaged, now or while it is read.
        """
        with ExitStack() as stack:
            with _clear_errors(str(self), _OPENING):
                stream = self._opened(stack)
            with _clear_errors(str(self)):
                yield stream

    def _opened(self, stack: ExitStack) -> BinaryIO:
        if self.member is None:
            _check_size(str(self), self.path.stat().st_size, LARGEST)
            return stack.enter_context(self.path.open("rb"))
        packed = stack.enter_context(_unpacked(self.path))
        return cast(BinaryIO, stack.enter_context(packed.open(self.member)))


def find(path: Path) -> Source:
    """The file at ``path``, or in a .zip its ratings.csv or only table.

    Raises:
        HistoryFileError: there is no such file, or it cannot be read.
    """
    with _clear_errors(str(path), _OPENING):
        if not path.is_file():
            said = tr("{}: expected a file, found none; choose an exported file")
            raise HistoryFileError(said.format(path))
        with path.open("rb") as stream:
            is_zip = stream.read(4) in _ZIP_STARTS
        if not is_zip:
            return Source(path)
        with _unpacked(path) as packed:
            return Source(path, _member(path, packed.namelist()))


def _member(path: Path, names: list[str]) -> str:
    readable = [name for name in names if _is_readable(PurePosixPath(name))]
    named = [name for name in readable if PurePosixPath(name).name.lower() == PREFERRED]
    if named:
        # Letterboxd keeps what was deleted in folders further down.
        return min(named, key=lambda name: len(PurePosixPath(name).parts))
    if len(readable) == 1:
        return readable[0]
    said = tr(
        "{}: expected {} or a single CSV or JSON file in the .zip, found {}; unpack it and choose "
        "the file, or save a workbook as CSV"
    )
    raise HistoryFileError(said.format(path, PREFERRED, shortened(readable or names)))


def _is_readable(name: PurePosixPath) -> bool:
    hidden = name.name.startswith(".") or "__MACOSX" in name.parts
    return name.suffix.lower() in _READABLE and not hidden


@contextmanager
def _unpacked(path: Path) -> Iterator[zipfile.ZipFile]:
    _check_size(str(path), path.stat().st_size, LARGEST_ZIP)
    with zipfile.ZipFile(path) as packed:
        members = packed.infolist()
        # No member gives more than it declares, whatever is packed.
        size = sum(member.file_size for member in members)
        _check_size(tr("{} unpacked").format(path), size, LARGEST)
        if any(member.compress_type not in _PACKED for member in members):
            said = tr(
                "{}: expected a .zip packed in the usual way (deflate), found another; unpack it "
                "and choose the file"
            )
            raise HistoryFileError(said.format(path))
        yield packed


def _check_size(name: str, size: int, most: int) -> None:
    if size > most:
        said = tr("{}: expected at most {} MB, found {:,} MB; choose the export of one person")
        raise HistoryFileError(said.format(name, most // 10**6, size // 10**6))


@contextmanager
def _clear_errors(name: str, damage: tuple[type[Exception], ...] = _DAMAGE) -> Iterator[None]:
    """Turn what the file system and damaged .zip files raise into one line that says what to do."""
    try:
        yield
    except OSError as error:
        said = tr("{}: the file could not be read ({}); choose another")
        raise HistoryFileError(said.format(name, error.strerror or error)) from error
    except damage as error:
        said = tr(
            "{}: expected a file without damage and password, found: {}; unpack it or export it "
            "again"
        )
        found = str(error) or tr("its end too early")
        raise HistoryFileError(said.format(name, found)) from error
