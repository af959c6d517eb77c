"""Text to type in."""

from kivy.app import App
from kivy.uix.textinput import TextInput
from kivy.uix.widget import Widget


class Field(TextInput):
    """A text field that Tab leads out of."""

    def on_focus(self, _: Widget, focused: bool) -> None:
        if focused:
            App.get_running_app().focus.typing(self)

    def keyboard_on_key_down(
        self, window: object, keycode: tuple[int, str], text: str, modifiers: list[str]
    ) -> bool:
        if keycode[1] != "tab":
            return bool(super().keyboard_on_key_down(window, keycode, text, modifiers))
        App.get_running_app().focus.step(-1 if "shift" in modifiers else 1)
        return True
