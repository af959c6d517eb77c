"""What the user prefers, in one small JSON file: read before the first frame, so no database."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from device_app.events import StoreError
from device_app.language import LANGUAGES, SYSTEM, tr
from pocketrec.files import read_json, write_json

THEMES: Final = ("system", "light", "dark")
LANGUAGE_CHOICES: Final = (SYSTEM, *LANGUAGES)
TEXT_SIZES: Final = {"small": 0.9, "normal": 1.0, "large": 1.2, "largest": 1.4}
"""What the device's own text size is multiplied by."""


@dataclass(frozen=True)
class Preferences:
    """Attributes:
    theme: one of THEMES; "system" follows the device.
    text_size: a key of TEXT_SIZES.
    language: one of LANGUAGE_CHOICES.
    """

    theme: str = "system"
    text_size: str = "normal"
    language: str = SYSTEM

    @classmethod
    def read(cls, path: Path) -> "Preferences":
        """The stored preferences; the default for each that is missing, damaged or unknown.

        A lost preference costs one tap, a refused start costs the app: so no error here.
        """
        try:
            stored = read_json(path)
        except (OSError, json.JSONDecodeError, UnicodeDecodeError):
            return cls()
        if not isinstance(stored, dict):
            return cls()
        theme, size, language = map(stored.get, ("theme", "text_size", "language"))
        return cls(
            theme=theme if theme in THEMES else cls.theme,
            text_size=size if isinstance(size, str) and size in TEXT_SIZES else cls.text_size,
            language=language if language in LANGUAGE_CHOICES else cls.language,
        )

    def write(self, path: Path) -> None:
        """Raises: StoreError where the file cannot be written."""
        try:
            write_json(path, asdict(self))
        except OSError as error:
            said = tr(
                "{}: the settings could not be saved ({}); make the folder writable and try again"
            )
            raise StoreError(said.format(path, error.strerror or error)) from error


def preferences_path(database: Path) -> Path:
    return database.with_suffix(".preferences.json")
