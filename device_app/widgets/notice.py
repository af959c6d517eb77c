"""What a screen shows instead of a list: loading, nothing there, or what went wrong."""

from collections.abc import Callable

from kivy.app import App
from kivy.clock import Clock
from kivy.graphics import Color
from kivy.metrics import dp
from kivy.properties import BooleanProperty, NumericProperty, ObjectProperty, StringProperty
from kivy.uix.boxlayout import BoxLayout
from kivy.uix.widget import Widget

from device_app.theme import Theme
from device_app.widgets.rounded import Rounded


class Notice(BoxLayout):
    """Icon, one sentence, what to do, and at most one button."""

    icon = StringProperty("inbox")
    title = StringProperty()
    text = StringProperty()
    tone = StringProperty("muted")
    action = StringProperty()
    press = ObjectProperty(None, allownone=True)

    def say(
        self,
        icon: str,
        title: str,
        text: str = "",
        *,
        tone: str = "muted",
        action: str = "",
        press: Callable[[], None] | None = None,
    ) -> "Notice":
        self.icon, self.title, self.text, self.tone = icon, title, text, tone
        self.action, self.press = action, press
        return self


class Skeleton(Widget):
    """The shapes of cards to come. Still: whatever is drawn now is taken from the loading that one waits for."""

    columns = NumericProperty(1)
    dark = BooleanProperty(False)
    gap = NumericProperty(dp(12))
    card_height = NumericProperty(dp(168))

    def __init__(self, **kwargs: object) -> None:
        self._redraw = Clock.create_trigger(self._draw)
        super().__init__(**kwargs)
        for name in ("pos", "size", "columns", "dark"):
            self.fbind(name, self._redraw)

    def _draw(self, *_: object) -> None:
        theme = App.get_running_app().theme
        room = self.width - dp(10)  # what a list leaves to its scroll bar
        width = (room - self.gap * (self.columns - 1)) / self.columns
        self.canvas.clear()
        with self.canvas:
            top = self.top - dp(2)
            while top > self.y:
                for column in range(self.columns):
                    self._draw_card(self.x + column * (width + self.gap), top, width, theme)
                top -= self.card_height + self.gap

    def _draw_card(self, x: float, top: float, width: float, theme: Theme) -> None:
        y = top - self.card_height
        Color(*theme.surface)
        Rounded(pos=(x, y), size=(width, self.card_height), radius=dp(18))
        Color(*theme.raised)
        inset, tile = dp(14), (dp(68), dp(84))
        Rounded(pos=(x + inset, top - inset - tile[1]), size=tile, radius=dp(12))
        left = x + inset + tile[0] + dp(14)
        room = x + width - inset - left
        for below, share, thick in ((4, 0.7, 16), (32, 0.45, 11), (54, 0.6, 11)):
            pos = (left, top - inset - dp(below + thick))
            Rounded(pos=pos, size=(room * share, dp(thick)), radius=dp(5))
        button = (width - 2 * inset - 4 * dp(8)) / 5
        for number in range(5):
            pos = (x + inset + number * (button + dp(8)), y + inset)
            Rounded(pos=pos, size=(button, dp(44)), radius=dp(14))
