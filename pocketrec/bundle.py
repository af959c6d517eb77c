"""The bundle: one folder, or one .zip of it, that holds all a device needs. Whole and unaltered, or a BundleError."""

import atexit
import shutil
import sqlite3
import tempfile
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Final

from pocketrec.errors import BundleError
from pocketrec.files import atomic_write, cache_folder, sha256
from pocketrec.manifest import FORMAT_VERSION, DataRecord, FileRecord, Manifest

__all__ = [
    "FORMAT_VERSION",
    "LAYOUT",
    "BundleLayout",
    "DataRecord",
    "FileRecord",
    "Manifest",
    "check_ids",
    "open_bundle",
    "pack",
    "seal",
]


@dataclass(frozen=True)
class BundleLayout:
    """Names of the files in a bundle folder; nothing else belongs there."""

    manifest: str = "manifest.json"
    text_encoder: str = "text_encoder.onnx"
    sequence_encoder: str = "sequence_encoder.onnx"
    tokenizer: str = "tokenizer.json"
    items: str = "items.npz"
    catalogue: str = "catalogue.sqlite"
    model_card: str = "MODEL_CARD.md"

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(getattr(self, f.name) for f in fields(self))

    @property
    def sealed(self) -> tuple[str, ...]:
        """The files whose checksums the manifest holds: all but itself."""
        return tuple(name for name in self.names if name != self.manifest)


LAYOUT: Final = BundleLayout()
_ZIP_DATE = (1980, 1, 1, 0, 0, 0)


def seal(folder: Path, manifest: Manifest) -> Manifest:
    """Write the manifest, last, with size and checksum of every other file; returns it as written.

    Raises:
        BundleError: a file of the layout is missing.
    """
    for name in LAYOUT.sealed:
        if not (folder / name).is_file():
            raise BundleError(f"{folder / name}: cannot seal the bundle: found no such file")
    files = {
        name: FileRecord(bytes=(folder / name).stat().st_size, sha256=sha256(folder / name))
        for name in LAYOUT.sealed
    }
    sealed = replace(manifest, files=files)
    sealed.write(folder / LAYOUT.manifest)
    return sealed


def pack(folder: Path, path: Path) -> None:
    """Write a sealed bundle folder as one .zip; the same folder gives the same bytes."""
    with (
        atomic_write(path) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for name in LAYOUT.names:
            entry = zipfile.ZipInfo(name, _ZIP_DATE)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, (folder / name).read_bytes(), zipfile.ZIP_DEFLATED)


def open_bundle(path: str | Path, *, verify: bool = True) -> tuple[Path, Manifest]:
    """Find a bundle's folder and read its manifest.

    A .zip is unpacked once into the user's cache, under its own checksum; where the cache cannot be written, into a
    temporary folder that goes when the process ends.

    Args:
        path: the bundle's folder or .zip.
        verify: whether to compare every file's checksum; sizes are compared always.

    Raises:
        BundleError: the bundle is missing, of another format, incomplete or altered.
    """
    path = Path(path)
    try:
        if path.is_dir():
            return path, _check(path, verify)
        if not path.is_file():
            raise BundleError(f"{path}: expected a bundle, a folder or a .zip, found no such file")
        if not zipfile.is_zipfile(path):
            raise BundleError(
                f"{path}: expected a bundle folder or a whole .zip, found another file"
            )
        return _open_zip(path, verify)
    except OSError as error:
        raise BundleError(f"{path}: expected a readable bundle, found: {error}") from error


def check_ids(folder: Path, item_ids: Sequence[str]) -> None:
    """Compare the item table's ids with the catalogue's.

    Raises:
        BundleError: an id stands in one only, or the catalogue is no such database.
    """
    path = folder / LAYOUT.catalogue
    try:
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)
        try:
            catalogue = {row[0] for row in connection.execute("SELECT item_id FROM items")}
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise BundleError(
            f"{path}: expected a catalogue with a table 'items', found: {error}"
        ) from error
    for only, there, absent in (
        (set(item_ids) - catalogue, LAYOUT.items, LAYOUT.catalogue),
        (catalogue - set(item_ids), LAYOUT.catalogue, LAYOUT.items),
    ):
        if only:
            raise BundleError(
                f"{folder}: expected the same ids in {LAYOUT.items} and {LAYOUT.catalogue}, found "
                f"{min(only)!r} in {there} but not in {absent} ({len(only)} such ids); build the bundle again"
            )


def _check(folder: Path, verify: bool) -> Manifest:
    manifest = Manifest.read(folder / LAYOUT.manifest)
    for name in LAYOUT.sealed:
        path = folder / name
        record = manifest.files.get(name)
        if record is None:
            raise BundleError(
                f"{folder / LAYOUT.manifest}: field 'files': expected an entry for {name}, found none"
            )
        if not path.is_file():
            raise BundleError(
                f"{path}: expected {record.bytes} bytes, found no such file; copy the bundle again"
            )
        size = path.stat().st_size
        if size != record.bytes:
            raise BundleError(
                f"{path}: expected {record.bytes} bytes, found {size}; copy the bundle again"
            )
        if verify and (found := sha256(path)) != record.sha256:
            raise BundleError(
                f"{path}: expected sha256 {record.sha256}, found {found}; the file was altered: copy the bundle again"
            )
    return manifest


def _open_zip(path: Path, verify: bool) -> tuple[Path, Manifest]:
    name = sha256(path)
    try:
        cache = cache_folder() / "bundles"
        cache.mkdir(parents=True, exist_ok=True)
        folder = cache / name
        if folder.is_dir():
            try:
                return folder, _check(folder, verify)
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
        _unpack(path, folder)
    return folder, _check(folder, verify)


def _unpack_into_cache(path: Path, folder: Path) -> None:
    temporary = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=folder.parent))
    try:
        _unpack(path, temporary)
        try:
            temporary.replace(folder)
        except OSError:
            if not folder.is_dir():  # else another process was first, with the same bytes
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _unpack(path: Path, folder: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                # Only the layout's own plain names are written, so that no entry can leave the folder.
                if entry.filename not in LAYOUT.names:
                    raise BundleError(
                        f"{path}: expected only {', '.join(LAYOUT.names)}, found {entry.filename!r}"
                    )
                with archive.open(entry) as source, (folder / entry.filename).open("wb") as target:
                    shutil.copyfileobj(source, target)
    # zipfile: BadZipFile for checksums, EOFError for truncated entries, RuntimeError for encrypted ones,
    # NotImplementedError for unknown compressions.
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
        raise BundleError(
            f"{path}: expected a whole .zip, found: {error}; copy the bundle again"
        ) from error
