"""What a screen shows instead of a list: loading, nothing there, or what went wrong."""

from collections.abc import Callable

from kivy.animation import Animation
from kivy.app import App
from kivy.clock import Clock
from kivy.graphics import Color, RoundedRectangle
from kivy.metrics import dp
from kivy.properties import NumericProperty, ObjectProperty, StringProperty
from kivy.uix.boxlayout import BoxLayout
from kivy.uix.widget import Widget

from device_app.theme import Theme


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
    """The shapes of cards to come, breathing."""

    columns = NumericProperty(1)
    gap = NumericProperty(dp(12))
    card_height = NumericProperty(dp(158))

    def __init__(self, **kwargs: object) -> None:
        super().__init__(**kwargs)
        draw = Clock.create_trigger(self._draw)
        self.bind(pos=draw, size=draw, columns=draw)

    def on_parent(self, _: Widget, parent: Widget | None) -> None:
        Animation.cancel_all(self, "opacity")
        if parent is not None:
            breathe = Animation(opacity=0.5, d=0.7, t="in_out_sine")
            breathe += Animation(opacity=1.0, d=0.7, t="in_out_sine")
            breathe.repeat = True
            breathe.start(self)

    def _draw(self, *_: object) -> None:
        theme = App.get_running_app().theme
        width = (self.width - self.gap * (self.columns - 1)) / self.columns
        self.canvas.clear()
        with self.canvas:
            top = self.top
            while top > self.y:
                for column in range(self.columns):
                    self._draw_card(self.x + column * (width + self.gap), top, width, theme)
                top -= self.card_height + self.gap

    def _draw_card(self, x: float, top: float, width: float, theme: Theme) -> None:
        y = top - self.card_height
        Color(*theme.surface)
        RoundedRectangle(pos=(x, y), size=(width, self.card_height), radius=[dp(18)])
        Color(*theme.raised)
        inset, tile = dp(14), dp(84)
        height = self.card_height - 2 * inset
        RoundedRectangle(pos=(x + inset, y + inset), size=(tile, height), radius=[dp(12)])
        left = x + inset + tile + dp(16)
        room = x + width - inset - left
        for below, share, thick in ((4, 0.7, 16), (32, 0.45, 11), (54, 0.6, 11)):
            pos = (left, top - inset - dp(below + thick))
            RoundedRectangle(pos=pos, size=(room * share, dp(thick)), radius=[dp(5)])
        for number in range(4):
            pos = (left + number * dp(52), y + inset)
            RoundedRectangle(pos=pos, size=(dp(44), dp(44)), radius=[dp(14)])
