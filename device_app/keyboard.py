"""What the keys do."""

from typing import TYPE_CHECKING, Final

from device_app.widgets.navigation import PLACES

if TYPE_CHECKING:
    from device_app.app import PocketRecApp

TAB: Final = 9
PRESSES: Final = (13, 271, 32)
"""Enter, that of the number pad, and Space."""
ESCAPE: Final = 27
"""The back button of a phone too."""
ARROWS: Final = {273: (0, -1), 274: (0, 1), 275: (1, 0), 276: (-1, 0)}
"""Up, down, right, left: columns to the right and rows down."""


class Keyboard:
    """Turns the keys that no text field took into what the app does."""

    def __init__(self, app: "PocketRecApp") -> None:
        self._app = app

    def pressed(self, _: object, key: int, scan: int, text: str, modifiers: list[str]) -> bool:
        """Whether the key meant something."""
        if not self._app.is_open:
            return False
        if "ctrl" in modifiers or "meta" in modifiers:
            return self._shortcut(text)
        if key == ESCAPE:
            return self._app.back()
        if key == TAB:
            self._app.focus.step(-1 if "shift" in modifiers else 1)
        elif key in ARROWS:
            self._app.focus.arrow(*ARROWS[key])
        elif key in PRESSES:
            return self._app.focus.press()
        else:
            return False
        return True

    def _shortcut(self, text: str) -> bool:
        app = self._app
        if text and text in "12345":
            app.go(list(PLACES)[int(text) - 1])
        elif text == "f":
            app.go("search")
        elif text == "r":
            app.other_picks()
        elif text == "z" and not app.is_typing:  # there it undoes letters
            app.changes.undo()
        elif text == "d":
            app.looks.toggle_theme()
        else:
            return False
        return True
