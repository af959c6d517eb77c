"""The short message at the bottom, with Undo while it can be taken back."""

from collections.abc import Callable

from kivy.animation import Animation
from kivy.clock import Clock
from kivy.properties import NumericProperty, StringProperty
from kivy.uix.boxlayout import BoxLayout

SECONDS = 6.0


class Snackbar(BoxLayout):
    text = StringProperty()
    action = StringProperty()
    rise = NumericProperty(0.0)
    """0 hidden, 1 shown; between while it moves."""

    def __init__(self, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self._press: Callable[[], None] | None = None
        self._later = Clock.create_trigger(lambda _: self.hide(), SECONDS)

    def show(self, text: str, action: str = "", press: Callable[[], None] | None = None) -> None:
        self._later.cancel()
        self.text, self.action, self._press = text, action, press
        Animation.cancel_all(self)
        Animation(rise=1.0, d=0.18, t="out_cubic").start(self)
        self._later()

    def hide(self) -> None:
        self._later.cancel()
        self._press = None
        Animation.cancel_all(self)
        Animation(rise=0.0, d=0.15, t="in_cubic").start(self)

    def press(self) -> None:
        """The button was pressed: once only."""
        press, self._press = self._press, None
        self.hide()
        if press is not None:
            press()

    @property
    def is_shown(self) -> bool:
        return self._press is not None or self.rise > 0
