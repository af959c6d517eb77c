"""The device's folders, to choose a bundle from."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from kivy.app import App
from kivy.properties import BooleanProperty, ObjectProperty, StringProperty
from kivy.uix.behaviors import ButtonBehavior

from device_app.screens.page import ListPage, OverPage
from device_app.widgets.basics import Hoverable, Surface
from pocketrec.errors import DataError

MANIFEST: Final = "manifest.json"


class FileRow(ButtonBehavior, Hoverable, Surface):
    """A folder to go into, or a bundle to choose."""

    path = StringProperty()
    name = StringProperty()
    icon = StringProperty()
    is_bundle = BooleanProperty(False)
    page = ObjectProperty(None)


class FilesPage(OverPage, ListPage):
    """What a folder holds of folders and bundles; the downloads first.

    Args:
        choose: called with the bundle that was pressed, once this page is gone.
    """

    folder = ObjectProperty(None)

    def __init__(self, choose: Callable[[Path], None]) -> None:
        self._found: list[dict[str, object]] = []
        super().__init__(title="Choose a model")
        self._choose = choose
        downloads = Path.home() / "Downloads"
        self.folder = downloads if downloads.is_dir() else Path.home()

    def pressed(self, row: FileRow) -> None:
        if not row.is_bundle:
            self.folder = Path(row.path)
            self.list_view.scroll_y = 1.0
            self.load()
            return
        App.get_running_app().back()
        self._choose(Path(row.path))

    def load(self) -> None:
        folder = self.folder
        self.ask(lambda _: _rows(folder), self._show, self._to_home)

    def fill(self, width: float) -> None:
        self.list_view.data = [row | {"page": self} for row in self._found]

    def _show(self, rows: list[dict[str, object]]) -> None:
        self._found = rows
        self.present(self.list_view)
        self._fill()

    def _to_home(self) -> None:
        self.folder = Path.home()
        self.load()


def _rows(folder: Path) -> list[dict[str, object]]:
    """The folder above, bundles, then folders, by name; hidden ones left out.

    Raises:
        DataError: the folder cannot be read.
    """
    try:
        inside = sorted(folder.iterdir(), key=lambda path: path.name.casefold())
    except OSError as error:
        raise DataError(
            f"{folder}: the folder cannot be read ({error.strerror or error}); choose another"
        ) from error
    shown = [path for path in inside if not path.name.startswith(".")]
    bundles = [path for path in shown if path.suffix == ".zip" or (path / MANIFEST).is_file()]
    folders = [path for path in shown if path not in bundles and path.is_dir()]
    rows = [] if folder.parent == folder else [_row(folder.parent, "up", "Up")]
    rows += [_row(path, "file", path.name, is_bundle=True) for path in bundles]
    return rows + [_row(path, "folder", path.name) for path in folders]


def _row(path: Path, icon: str, name: str, is_bundle: bool = False) -> dict[str, object]:
    return {"path": str(path), "icon": icon, "name": name, "is_bundle": is_bundle}
