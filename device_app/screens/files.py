"""The device's folders, to choose a file from."""

from collections.abc import Callable
from pathlib import Path

from kivy.app import App
from kivy.properties import BooleanProperty, ObjectProperty, StringProperty
from kivy.uix.behaviors import ButtonBehavior

from device_app.language import tr
from device_app.screens.page import ListPage, OverPage
from device_app.widgets.basics import Hoverable, Surface
from pocketrec.errors import DataError


class FileRow(ButtonBehavior, Hoverable, Surface):
    """A folder to go into, or what may be chosen."""

    path = StringProperty()
    name = StringProperty()
    icon = StringProperty()
    is_choice = BooleanProperty(False)
    page = ObjectProperty(None)


class FilesPage(OverPage, ListPage):
    """What a folder holds of folders and what may be chosen; the downloads first.

    Args:
        is_choice: whether a file or folder may be chosen.
        choose: called with what was pressed, once this page is gone.
    """

    folder = ObjectProperty(None)

    def __init__(
        self, title: str, is_choice: Callable[[Path], bool], choose: Callable[[Path], None]
    ) -> None:
        self._is_choice = is_choice
        self._found: list[dict[str, object]] = []
        super().__init__(title=title)
        self._choose = choose
        downloads = Path.home() / "Downloads"
        self.folder = downloads if downloads.is_dir() else Path.home()

    def pressed(self, row: FileRow) -> None:
        if not row.is_choice:
            self.folder = Path(row.path)
            self.list_view.scroll_y = 1.0
            self.load()
            return
        App.get_running_app().back()
        self._choose(Path(row.path))

    def load(self) -> None:
        folder = self.folder
        self.ask(
            lambda _: _rows(folder, self._is_choice),
            self._show,
            lambda error: self.present_error(error, self._to_home),
        )

    def fill(self, width: float) -> None:
        self.list_view.data = [row | {"page": self} for row in self._found]

    def _show(self, rows: list[dict[str, object]]) -> None:
        self._found = rows
        self.present(self.list_view)
        self._fill()

    def _to_home(self) -> None:
        self.folder = Path.home()
        self.load()


def _rows(folder: Path, is_choice: Callable[[Path], bool]) -> list[dict[str, object]]:
    """The folder above, what may be chosen, then folders, by name; hidden ones left out.

    Raises:
        DataError: the folder cannot be read.
    """
    try:
        shown = [path for path in folder.iterdir() if not path.name.startswith(".")]
        shown.sort(key=lambda path: path.name.casefold())
        choices = [path for path in shown if is_choice(path)]
        folders = [path for path in shown if path not in choices and path.is_dir()]
    except OSError as error:
        said = tr("{}: the folder cannot be read ({}); choose another")
        raise DataError(said.format(folder, error.strerror or error)) from error
    rows = [] if folder.parent == folder else [_row(folder.parent, "up", tr("Up"))]
    rows += [_row(path, "file", path.name, is_choice=True) for path in choices]
    return rows + [_row(path, "folder", path.name) for path in folders]


def _row(path: Path, icon: str, name: str, is_choice: bool = False) -> dict[str, object]:
    return {"path": str(path), "icon": icon, "name": name, "is_choice": is_choice}
