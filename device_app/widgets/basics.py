"""Text, icons, buttons and surfaces."""

from typing import ClassVar
from weakref import WeakSet

from kivy.clock import Clock
from kivy.core.window import Window
from kivy.metrics import dp
from kivy.properties import BooleanProperty, ColorProperty, NumericProperty, StringProperty
from kivy.uix.behaviors import ButtonBehavior
from kivy.uix.boxlayout import BoxLayout
from kivy.uix.label import Label
from kivy.uix.scrollview import ScrollView
from kivy.uix.widget import Widget

from device_app.widgets.strokes import Drawn

TOOLTIP_SECONDS = 0.5


class Inked(Label):
    """A label whose colour a place can choose.

    Not through `color`: kv keeps the binding of a rule that another overrides, and after a change
    of the theme the last one to fire would win.
    """

    ink = ColorProperty(None, allownone=True)


class Text(Inked):
    """Wrapped text as high as it needs."""


class TextLine(Inked):
    """One line, cut with an ellipsis where it does not fit."""


class TwoLines(Label):
    """A title of one line or two; `device_app.widgets.fitting` makes it fit."""


class Icon(Inked, Drawn):
    pass


class Surface(BoxLayout):
    """A card: rounded, with a one-pixel edge and no shadow."""

    radius = NumericProperty(dp(18))
    edge = ColorProperty(None, allownone=True)


class Hoverable(Widget):
    """A widget to press that knows when the mouse is over it.

    `hint` is what its tooltip says, `corner` how round the ring of the focus is around it.
    """

    everyone: ClassVar[WeakSet["Hoverable"]] = WeakSet()

    hovered = BooleanProperty(False)
    hint = StringProperty()
    corner = NumericProperty(dp(14))

    def __init__(self, **kwargs: object) -> None:
        super().__init__(**kwargs)
        Hoverable.everyone.add(self)

    def is_under(self, x: float, y: float) -> bool:
        """Whether a window position hits this widget, and not where a list has scrolled it away."""
        if self.get_root_window() is None or self.disabled:
            return False
        if not self.collide_point(*self.to_widget(x, y)):
            return False
        parent = self.parent
        while isinstance(parent, Widget):
            if isinstance(parent, ScrollView) and not parent.collide_point(
                *parent.parent.to_widget(x, y)
            ):
                return False
            parent = parent.parent
        return True


class IconButton(ButtonBehavior, Hoverable, Drawn):
    """An icon to press, at least 44 dp each way."""

    active = BooleanProperty(False)
    tone = StringProperty("accent")
    filled_ground = BooleanProperty(True)
    ground = ColorProperty("#00000000")


class WordButton(ButtonBehavior, Hoverable, BoxLayout):
    """An icon with its name beside it, at least 44 dp high."""

    icon = StringProperty()
    text = StringProperty()
    active = BooleanProperty(False)
    tone = StringProperty("accent")


class PillButton(ButtonBehavior, Hoverable, Label):
    """The one thing to do in a place."""


class QuietButton(ButtonBehavior, Hoverable, Label):
    """A word to press, beside other things."""


class Chip(ButtonBehavior, Hoverable, Label):
    """One choice of a row of filters."""

    active = BooleanProperty(False)


class Tooltip(Label):
    pass


class Pointer:
    """Follows the mouse: lights what is under it and shows its tooltip after a moment."""

    def __init__(self) -> None:
        self._tooltip = Tooltip()
        self._over: Hoverable | None = None
        self._later = Clock.create_trigger(self._show, TOOLTIP_SECONDS)
        self._look = Clock.create_trigger(self._find)

    def follow(self) -> None:
        Window.bind(mouse_pos=self._moved, on_touch_down=self._hide, on_cursor_leave=self._left)

    def leave(self) -> None:
        Window.unbind(mouse_pos=self._moved, on_touch_down=self._hide, on_cursor_leave=self._left)
        self._left()

    def _moved(self, *_: object) -> None:
        self._look()

    def _find(self, *_: object) -> None:
        x, y = Window.mouse_pos
        under = [widget for widget in Hoverable.everyone if widget.is_under(x, y)]
        # A button lies within its card.
        self._enter(min(under, key=lambda w: w.width * w.height, default=None))

    def _left(self, *_: object) -> None:
        self._enter(None)

    def _enter(self, widget: Hoverable | None) -> None:
        if widget is self._over:
            return
        self._hide()
        if self._over is not None:
            self._over.hovered = False
        self._over = widget
        if widget is not None:
            widget.hovered = True
            if widget.hint:
                self._later()

    def _show(self, *_: object) -> None:
        widget = self._over
        if widget is None or widget.get_root_window() is None:
            return
        self._tooltip.text = widget.hint
        self._tooltip.texture_update()
        width, height = self._tooltip.size
        x, y = widget.to_window(widget.center_x, widget.y)
        left = max(dp(6), min(x - width / 2, Window.width - width - dp(6)))
        below = y - height - dp(6)
        self._tooltip.pos = (left, below if below > 0 else y + widget.height + dp(6))
        Window.add_widget(self._tooltip)

    def _hide(self, *_: object) -> None:
        self._later.cancel()
        if self._tooltip.parent is not None:
            Window.remove_widget(self._tooltip)
