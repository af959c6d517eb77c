"""Which bundles were checked in full on this machine: one of a million items is not read whole each time it opens."""

import hashlib
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from pocketrec.files import cache_folder, read_json, write_json

SETTLED_NS = 2_000_000_000
"""Age of a file from which on a later change shows in its time: file systems count it in steps."""


def was_checked(folder: Path, names: Iterable[str]) -> bool:
    """Whether the files ``names`` of ``folder`` have the sizes and times that `remember` saw."""
    try:
        return bool(read_json(_path(folder)) == _stamp(folder, names))
    except (OSError, RuntimeError, ValueError):  # RuntimeError: a user without a home folder
        return False


def remember(folder: Path, names: Iterable[str]) -> None:
    """Note sizes and times of files that were just checked; not where one is too new or the cache cannot be written."""
    with suppress(OSError, RuntimeError):
        stamp = _stamp(folder, names)
        newest = max(changed for _, changed in stamp.values())
        if time.time_ns() - newest > SETTLED_NS:
            write_json(_path(folder), stamp)


def _stamp(folder: Path, names: Iterable[str]) -> dict[str, list[int]]:
    found = {name: (folder / name).stat() for name in names}
    return {name: [one.st_size, one.st_mtime_ns] for name, one in found.items()}


def _path(folder: Path) -> Path:
    name = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()
    return cache_folder() / "checked" / f"{name}.json"
