"""What the user prefers, in one small JSON file: read before the first frame, so no database."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from device_app.events import StoreError
from pocketrec.files import read_json, write_json


@dataclass(frozen=True)
class Preferences:
    dark: bool = False

    @classmethod
    def read(cls, path: Path) -> "Preferences":
        """The stored preferences, or the defaults where the file is missing or damaged.

        A lost preference costs one tap, a refused start costs the app: so no error here.
        """
        try:
            stored = read_json(path)
        except (OSError, json.JSONDecodeError, UnicodeDecodeError):
            return cls()
        dark = stored.get("dark") if isinstance(stored, dict) else None
        return cls(dark=dark is True)

    def write(self, path: Path) -> None:
        """Raises: StoreError where the file cannot be written."""
        try:
            write_json(path, asdict(self))
        except OSError as error:
            raise StoreError(
                f"{path}: the theme could not be saved ({error.strerror or error}); "
                "make the folder writable and try again"
            ) from error


def preferences_path(database: Path) -> Path:
    return database.with_suffix(".preferences.json")
