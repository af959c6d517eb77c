"""What the buttons of an item do, said in a short message, and how the last of it is taken back."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from device_app.events import Change, Kind
from device_app.language import mark, tr
from pocketrec.errors import PocketRecError

if TYPE_CHECKING:
    from device_app.app import PocketRecApp
    from device_app.session import Session

SAID: Final[dict[Kind, str]] = {
    "like": mark("Liked {}"),
    "dislike": mark("Not for you: {}"),
    "save": mark("Saved {}"),
    "seen": mark("Already seen: {}"),
    "hide": mark("Hidden: {}"),
}

REMOVED: Final = mark("Removed {}")


class Changes:
    """Writes what the user says, one press at a time for each button of an item."""

    def __init__(self, app: "PocketRecApp") -> None:
        self._app = app
        self._waiting: set[tuple[str, Kind]] = set()
        self._last: Change | None = None

    def mark(self, item_id: str, title: str, kind: Kind) -> None:
        """A button of an item was pressed. A second press of it before the answer does nothing."""
        self._change(item_id, title, kind, lambda session: session.mark(item_id, kind))

    def withdraw(self, item_id: str, title: str, kind: Kind) -> None:
        """An entry of the history is to be removed."""
        self._change(item_id, title, kind, lambda session: session.withdraw(item_id, kind))

    def say(self, change: Change, text: str) -> None:
        """Tell of a change that was made, which `undo` takes back from now on."""
        self._last = change
        self._app.say(text, tr("Undo"), self.undo)

    def undo(self) -> None:
        """Take back the last change, even when its short message is gone; once."""
        change, self._last = self._last, None
        self._app.hush()
        if change is not None:
            self._app.ask(lambda session: session.undo(change), lambda _: self._app.reload())

    def forget(self) -> None:
        """The last change cannot be taken back any more: what it was made in is gone."""
        self._last = None

    def _change(
        self, item_id: str, title: str, kind: Kind, work: "Callable[[Session], Change]"
    ) -> None:
        pressed = (item_id, kind)
        if pressed in self._waiting or not self._app.is_open:
            return
        self._waiting.add(pressed)

        def done(change: Change) -> None:
            self._waiting.discard(pressed)
            said = SAID[change.added[0].kind] if change.added else REMOVED
            self._app.reload()
            # Said when the list is there, which a redraw for the message alone would keep waiting.
            self._app.ask(lambda _: change, lambda change: self.say(change, tr(said).format(title)))

        def failed(error: PocketRecError) -> None:
            self._waiting.discard(pressed)
            self._app.report(error)

        self._app.ask(work, done, failed)
