"""The bundle: one folder, or one .zip of it, that holds all a device needs. Whole and unaltered, or a BundleError."""

import atexit
import errno
import shutil
import tempfile
import zipfile
import zlib
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Final, NamedTuple

from pocketrec.checked import was_checked
from pocketrec.errors import BundleError
from pocketrec.files import atomic_write, cache_folder, sha256
from pocketrec.item_table import FILES
from pocketrec.manifest import FORMAT_VERSION, DataRecord, FileRecord, Manifest

__all__ = [
    "FORMAT_VERSION",
    "LAYOUT",
    "BundleLayout",
    "DataRecord",
    "FileRecord",
    "Manifest",
    "Opened",
    "open_bundle",
    "pack",
    "seal",
    "unpack",
]


@dataclass(frozen=True)
class BundleLayout:
    """Names of the files in a bundle folder; nothing else belongs there."""

    manifest: str = "manifest.json"
    text_encoder: str = "text_encoder.onnx"
    sequence_encoder: str = "sequence_encoder.onnx"
    full_precision: str = "sequence_encoder_fp32.onnx"
    scorer: str = "scorer.onnx"
    tokenizer: str = "tokenizer.json"
    items: str = "items"
    catalogue: str = "catalogue.sqlite"
    model_card: str = "MODEL_CARD.md"

    @property
    def names(self) -> tuple[str, ...]:
        """Of every file; ``items`` is a folder of some."""
        named = [getattr(self, f.name) for f in fields(self) if f.name != "items"]
        return (*named, *(f"{self.items}/{name}" for name in FILES))

    @property
    def optional(self) -> tuple[str, ...]:
        """The files that a bundle may lack."""
        return (self.full_precision,)

    @property
    def sealed(self) -> tuple[str, ...]:
        """The files whose checksums the manifest holds: all but itself."""
        return tuple(name for name in self.names if name != self.manifest)


LAYOUT: Final = BundleLayout()
LARGEST_UNPACKED: Final = 4_000_000_000
"""Bytes; a bundle of a million items has a tenth of them."""
_FOLDERS = {f"{name.rpartition('/')[0]}/" for name in LAYOUT.names if "/" in name}
_ZIP_DATE = (1980, 1, 1, 0, 0, 0)


def seal(folder: Path, manifest: Manifest) -> Manifest:
    """Write the manifest, last, with size and checksum of every other file; returns it as written.

    Raises:
        BundleError: a file of the layout is missing.
    """
    files = {}
    for name in LAYOUT.sealed:
        path = folder / name
        if path.is_file():
            files[name] = FileRecord(bytes=path.stat().st_size, sha256=sha256(path))
        elif name not in LAYOUT.optional:
            raise BundleError(f"{path}: cannot seal the bundle: found no such file")
    sealed = replace(manifest, files=files)
    sealed.write(folder / LAYOUT.manifest)
    return sealed


def pack(folder: Path, path: Path) -> None:
    """Write a sealed bundle folder as one .zip; the same folder gives the same bytes."""
    with (
        atomic_write(path) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for name in (LAYOUT.manifest, *Manifest.read(folder / LAYOUT.manifest).files):
            entry = zipfile.ZipInfo(name, _ZIP_DATE)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, (folder / name).read_bytes(), zipfile.ZIP_DEFLATED)


class Opened(NamedTuple):
    """A bundle's folder and manifest, and whether its contents have still to be looked at."""

    folder: Path
    manifest: Manifest
    is_new: bool


def open_bundle(path: str | Path, *, verify: bool | None = None) -> Opened:
    """Find a bundle's folder and read its manifest; every file must be there in its size.

    A .zip is unpacked once into the user's cache, under its own checksum; where the cache cannot be written, into a
    temporary folder that goes when the process ends.

    Args:
        path: the bundle's folder or .zip.
        verify: whether to compare every file's checksum. None does unless that was done before, on this machine, with
            files of the same sizes and times.

    Raises:
        BundleError: the bundle is missing, of another format, incomplete or altered.
    """
    path = Path(path)
    try:
        if path.is_dir():
            return _check(path, verify)
        if not path.is_file():
            raise BundleError(f"{path}: expected a bundle, a folder or a .zip, found no such file")
        if not zipfile.is_zipfile(path):
            raise BundleError(
                f"{path}: expected a bundle folder or a whole .zip, found another file"
            )
        return _open_zip(path, verify)
    except OSError as error:
        raise BundleError(f"{path}: expected a readable bundle, found: {error}") from error


def _check(folder: Path, verify: bool | None) -> Opened:
    manifest = Manifest.read(folder / LAYOUT.manifest)
    if unknown := sorted(set(manifest.files) - set(LAYOUT.sealed)):
        raise BundleError(
            f"{folder / LAYOUT.manifest}: field 'files': expected only {', '.join(LAYOUT.sealed)}, "
            f"found {unknown[0]!r}"
        )
    for name in LAYOUT.sealed:
        record = manifest.files.get(name)
        if record is None and name in LAYOUT.optional:
            continue
        if record is None:
            raise BundleError(
                f"{folder / LAYOUT.manifest}: field 'files': expected an entry for {name}, found none"
            )
        path = folder / name
        if not path.is_file():
            raise BundleError(
                f"{path}: expected {record.bytes} bytes, found no such file; copy the bundle again"
            )
        size = path.stat().st_size
        if size != record.bytes:
            raise BundleError(
                f"{path}: expected {record.bytes} bytes, found {size}; copy the bundle again"
            )
    if verify is None:
        verify = not was_checked(folder, (LAYOUT.manifest, *manifest.files))
    if verify:
        for name, record in manifest.files.items():
            if (found := sha256(folder / name)) != record.sha256:
                raise BundleError(
                    f"{folder / name}: expected sha256 {record.sha256}, found {found}; "
                    "the file was altered: copy the bundle again"
                )
    return Opened(folder, manifest, verify)


def _open_zip(path: Path, verify: bool | None) -> Opened:
    name = sha256(path)
    try:
        cache = cache_folder() / "bundles"
        cache.mkdir(parents=True, exist_ok=True)
        folder = cache / name
        if folder.is_dir():
            try:
                return _check(folder, verify)
            except BundleError:
                shutil.rmtree(
                    folder
                )  # a copy that was damaged in the cache; the .zip itself may be sound
        _unpack_into_cache(path, folder)
    except (
        OSError,
        RuntimeError,
    ):  # a cache that cannot be written, or a user without a home folder
        folder = Path(tempfile.mkdtemp(prefix="pocketrec-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        unpack(path, folder)
    return _check(folder, verify)


def _unpack_into_cache(path: Path, folder: Path) -> None:
    temporary = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=folder.parent))
    try:
        unpack(path, temporary)
        try:
            temporary.replace(folder)
        except OSError:
            if not folder.is_dir():  # else another process was first, with the same bytes
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def unpack(path: Path, folder: Path) -> None:
    """Write the files of a bundle's .zip into ``folder``, and nothing anywhere else.

    Raises:
        BundleError: the .zip is damaged, packed in an unusual way, or holds another file, a file twice, or more than
            `LARGEST_UNPACKED`.
        OSError: the disk has no room for what the .zip holds, or a file cannot be written.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            # Most programs that pack a folder write an entry for each folder in it.
            entries = [one for one in archive.infolist() if one.filename not in _FOLDERS]
            _check_entries(path, entries)
            _check_room(folder, sum(entry.file_size for entry in entries))
            for entry in entries:
                (folder / entry.filename).parent.mkdir(exist_ok=True)
                # No entry gives more than it declares, whatever is packed.
                with archive.open(entry) as source, (folder / entry.filename).open("wb") as target:
                    shutil.copyfileobj(source, target)
    # zipfile: BadZipFile for checksums, EOFError for truncated entries, RuntimeError for encrypted ones,
    # NotImplementedError for unknown compressions.
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
        raise BundleError(
            f"{path}: expected a whole .zip, found: {error}; copy the bundle again"
        ) from error


def _check_entries(path: Path, entries: list[zipfile.ZipInfo]) -> None:
    # Only the layout's own plain names are written, so that no entry can leave the folder.
    seen: set[str] = set()
    for entry in entries:
        if entry.filename not in LAYOUT.names:
            raise BundleError(
                f"{path}: expected only {', '.join(LAYOUT.names)}, found {entry.filename!r}"
            )
        if entry.filename in seen:
            raise BundleError(f"{path}: expected {entry.filename} once, found it twice")
        # Of others one packed block may unpack to gigabytes in memory.
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise BundleError(
                f"{path}: expected {entry.filename} packed by deflate, found method {entry.compress_type}; "
                "pack the bundle anew"
            )
        seen.add(entry.filename)
    if (size := sum(entry.file_size for entry in entries)) > LARGEST_UNPACKED:
        raise BundleError(
            f"{path}: expected at most {LARGEST_UNPACKED // 10**6:,} MB unpacked, found {size // 10**6:,} MB; "
            "unpack it yourself if you trust it, and open the folder"
        )


def _check_room(folder: Path, size: int) -> None:
    if (free := shutil.disk_usage(folder).free) < size:
        raise OSError(
            errno.ENOSPC,
            f"{size // 10**6:,} MB are needed, {free // 10**6:,} MB are free",
            str(folder),
        )
