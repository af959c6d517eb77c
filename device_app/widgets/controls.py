"""What sets something: a switch, a slide, a row that leads on, and a button that asks before."""

from kivy.input.motionevent import MotionEvent
from kivy.properties import BooleanProperty, StringProperty
from kivy.uix.behaviors import ButtonBehavior
from kivy.uix.boxlayout import BoxLayout
from kivy.uix.label import Label
from kivy.uix.slider import Slider
from kivy.uix.widget import Widget

from device_app.language import tr
from device_app.widgets.basics import Hoverable, QuietButton


class SwitchRow(ButtonBehavior, Hoverable, BoxLayout):
    """A name, what it means, and whether it is on; a tap anywhere on it presses it."""

    title = StringProperty()
    note = StringProperty()
    active = BooleanProperty(False)


class LeadRow(ButtonBehavior, Hoverable, BoxLayout):
    """The name of a page that a tap opens."""

    title = StringProperty()


class Slide(Hoverable, Slider):
    """A value between two ends. `on_release`: the user has chosen one."""

    __events__ = ("on_release",)

    def on_touch_down(self, touch: MotionEvent) -> bool:
        if touch.is_mouse_scrolling:  # the page is meant
            return False
        return bool(super().on_touch_down(touch))

    def on_touch_up(self, touch: MotionEvent) -> bool:
        is_ours = touch.grab_current is self
        handled = bool(super().on_touch_up(touch))
        if is_ours:
            self.dispatch("on_release")
        return handled

    def nudge(self, steps: int) -> None:
        """An arrow key was pressed: to the right is 1, to the left -1."""
        self.value = min(max(self.value + steps * self.step, self.min), self.max)
        self.dispatch("on_release")

    def on_release(self) -> None:
        pass


class DangerButton(ButtonBehavior, Hoverable, Label):
    """A word to press for what cannot be taken back."""


class Asking(BoxLayout):
    """A button for what cannot be taken back. `on_confirm`: it was pressed, and the question answered.

    The way out stands where the button was, so that a double press does no harm.

    Attributes:
        action: what the button says.
        question: what is asked then.
    """

    __events__ = ("on_confirm",)

    action = StringProperty()
    question = StringProperty()
    asking = BooleanProperty(False)

    def on_kv_post(self, base_widget: Widget) -> None:
        self._fill()

    def on_action(self, *_: object) -> None:
        self._fill()

    def on_asking(self, *_: object) -> None:
        self._fill()

    def on_confirm(self) -> None:
        pass

    def _fill(self) -> None:
        buttons = self.ids.get("buttons")
        if buttons is None:
            return
        buttons.clear_widgets()
        delete = DangerButton(text=self.action)
        if not self.asking:
            delete.bind(on_release=lambda _: setattr(self, "asking", True))
            buttons.add_widget(delete)
            return
        keep = QuietButton(text=tr("Keep"))
        keep.bind(on_release=lambda _: setattr(self, "asking", False))
        delete.bind(on_release=self._confirm)
        buttons.add_widget(keep)
        buttons.add_widget(delete)

    def _confirm(self, *_: object) -> None:
        self.asking = False
        self.dispatch("on_confirm")
