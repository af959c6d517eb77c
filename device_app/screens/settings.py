"""Settings: how the app looks, what ranks, and the keys.

What is to be set later (language, diversity, export, wipe) is a Section of its own in settings.kv.
"""

from typing import TYPE_CHECKING

from kivy.app import App
from kivy.properties import ListProperty, StringProperty
from kivy.uix.boxlayout import BoxLayout
from kivy.uix.widget import Widget

from device_app.screens.page import Page
from device_app.widgets.basics import Chip

if TYPE_CHECKING:
    from device_app.views import Model

THEME_NAMES = {"system": "System", "light": "Light", "dark": "Dark"}
TEXT_SIZE_NAMES = {"small": "Small", "normal": "Normal", "large": "Large", "largest": "Largest"}
SHORTCUTS = (
    ("Ctrl+1 … Ctrl+5", "Change the screen"),
    ("Ctrl+F", "Search"),
    ("Ctrl+R", "Other picks"),
    ("Ctrl+Z", "Undo"),
    ("Ctrl+D", "Light or dark"),
    ("Tab, Shift+Tab", "Next, previous thing"),
    ("Arrows", "From card to card"),
    ("Enter", "Open, press"),
    ("Esc", "Back"),
)


class Choice(Chip):
    """One value of a setting."""

    name = StringProperty()


class Fact(BoxLayout):
    """What something is called, and its value."""

    name = StringProperty()
    value = StringProperty()


class SettingsPage(Page):
    """Attributes:
    facts: (name, value) pairs on the model.
    """

    facts = ListProperty()

    def on_kv_post(self, base_widget: Widget) -> None:
        super().on_kv_post(base_widget)
        for keys, meaning in SHORTCUTS:
            self.ids.shortcuts.add_widget(Fact(name=meaning, value=keys))

    def load(self) -> None:
        question = self.next_question()

        def done(model: "Model") -> None:
            if not self.is_overtaken(question):
                self.facts = _facts(model)

        App.get_running_app().ask(lambda session: session.model(), done)

    def on_facts(self, *_: object) -> None:
        self.ids.model.clear_widgets()
        for name, value in self.facts:
            self.ids.model.add_widget(Fact(name=name, value=value))

    def choice(self, name: str) -> Choice:
        """The chip of a text size."""
        return next(chip for chip in self.ids.text_sizes.children if chip.name == name)


def _facts(model: "Model") -> list[tuple[str, str]]:
    return [
        ("Name", model.name),
        ("Built", model.created),
        ("Size", f"{model.size / 1e6:.1f} MB"),
        ("Precision", model.precision),
        ("Titles", f"{model.items:,}"),
        ("Last ranking", f"{model.milliseconds:.1f} ms"),
    ]
