"""Which bundle is in use: the installed ones lie in one folder, and one small file names the present one.

Light: read before the first frame. `device_app.installing` puts bundles there.
"""

import json
import re
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from device_app.events import StoreError
from device_app.language import tr
from pocketrec.files import read_json, write_json

CHOICE: Final = "present.json"

_NAME = re.compile("[0-9a-f]{16}")


@dataclass(frozen=True)
class _Choice:
    """Names of folders; None is the bundle that the app came with."""

    present: str | None = None
    former: str | None = None


class Bundles:
    """The installed bundles: the present one and the one before it.

    The choice between them is one file that is replaced at once, so that there is a whole bundle at any time and
    none is moved while it is in use.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def present(self) -> Path | None:
        """The folder of the bundle in use; None where that is the one that the app came with."""
        name = self._choice().present
        return None if name is None else self.folder / name

    @property
    def can_roll_back(self) -> bool:
        choice = self._choice()
        return choice.present != choice.former

    def roll_back(self) -> Path | None:
        """Take the former bundle for the present one, which becomes the former; returns `present`.

        Raises:
            StoreError: there is no former bundle, or the choice cannot be written.
        """
        choice = self._choice()
        if choice.present == choice.former:
            said = tr("{}: expected a former bundle, found none; install another bundle first")
            raise StoreError(said.format(self.folder))
        self._choose(_Choice(present=choice.former, former=choice.present))
        return self.present

    def use(self, name: str) -> None:
        """Take the bundle in the folder ``name`` for the present one, and delete those before the former one.

        Raises:
            StoreError: the choice cannot be written; all is as it was.
        """
        choice = self._choice()
        if name == choice.present:
            return
        self._choose(_Choice(present=name, former=choice.present))
        for folder in self.folder.iterdir():
            if _NAME.fullmatch(folder.name) and folder.name not in (name, choice.present):
                # What another program holds open is deleted the next time.
                shutil.rmtree(folder, ignore_errors=True)

    def _choice(self) -> _Choice:
        """The stored choice; a damaged one is none, since a refused start would cost the app."""
        try:
            stored = read_json(self.folder / CHOICE)
        except (OSError, json.JSONDecodeError, UnicodeDecodeError):
            return _Choice()
        names = stored if isinstance(stored, dict) else {}
        return _Choice(self._existing(names.get("present")), self._existing(names.get("former")))

    def _existing(self, name: object) -> str | None:
        if isinstance(name, str) and _NAME.fullmatch(name) and (self.folder / name).is_dir():
            return name
        return None

    def _choose(self, choice: _Choice) -> None:
        path = self.folder / CHOICE
        try:
            write_json(path, asdict(choice))
        except OSError as error:
            said = tr(
                "{}: the choice of a bundle could not be saved ({}); make the folder writable and "
                "try again"
            )
            raise StoreError(said.format(path, error.strerror or error)) from error
