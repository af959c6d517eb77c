"""Settings: how the app looks and speaks, how the picks are made, what is the user's, what ranks, and the keys."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from kivy.app import App
from kivy.properties import BooleanProperty, ListProperty, StringProperty
from kivy.uix.widget import Widget

from device_app.language import LANGUAGES, SYSTEM, mark, tr
from device_app.places import free_export, installed_bundles
from device_app.screens.files import FilesPage
from device_app.screens.knowledge import KnowledgePage
from device_app.screens.page import Page
from device_app.widgets.basics import Chip
from device_app.widgets.lines import Fact
from pocketrec.errors import PocketRecError

if TYPE_CHECKING:
    from device_app.installing import Installed
    from device_app.session import Session
    from device_app.settings import Settings
    from device_app.views import Model

MANIFEST = "manifest.json"
THEME_NAMES = {"system": mark("System"), "light": mark("Light"), "dark": mark("Dark")}
TEXT_SIZE_NAMES = {
    "small": mark("Small"),
    "normal": mark("Normal"),
    "large": mark("Large"),
    "largest": mark("Largest"),
}
LANGUAGE_NAMES = {SYSTEM: mark("System"), **LANGUAGES}
SHORTCUTS = (
    ("Ctrl+1 … Ctrl+5", mark("Change the screen")),
    ("Ctrl+F", mark("Search")),
    ("Ctrl+R", mark("Other picks")),
    ("Ctrl+Z", mark("Undo")),
    ("Ctrl+D", mark("Light or dark")),
    ("Tab, Shift+Tab", mark("Next, previous thing")),
    (mark("Arrows"), mark("From card to card")),
    ("Enter", mark("Open, press")),
    ("Esc", mark("Back")),
)


class Choice(Chip):
    """One value of a setting."""

    name = StringProperty()


class SettingsPage(Page):
    """Attributes:
    facts: (name, value) pairs on the model.
    learns: whether the picks follow what the user says.
    can_roll_back: whether there is a bundle from before the present one.
    exported: where the latest export is; empty before one.
    """

    facts = ListProperty()
    learns = BooleanProperty(True)
    can_roll_back = BooleanProperty(False)
    exported = StringProperty()

    def on_kv_post(self, base_widget: Widget) -> None:
        super().on_kv_post(base_widget)
        for keys, meaning in SHORTCUTS:
            self.ids.shortcuts.add_widget(Fact(name=tr(meaning), value=tr(keys)))

    def load(self) -> None:
        question = self.next_question()
        self.can_roll_back = installed_bundles().can_roll_back

        def done(answer: "tuple[Model, Settings]") -> None:
            if not self.is_overtaken(question):
                model, settings = answer
                self.facts = _facts(model)
                self.learns = not settings.is_paused
                self.ids.diversity.value = settings.diversity

        App.get_running_app().ask(lambda session: (session.model(), session.settings()), done)

    def on_facts(self, *_: object) -> None:
        self.ids.model.clear_widgets()
        for name, value in self.facts:
            self.ids.model.add_widget(Fact(name=name, value=value))

    def choice(self, name: str) -> Choice:
        """The chip of a text size or a language."""
        chips = [*self.ids.text_sizes.children, *self.ids.languages.children]
        return next(chip for chip in chips if chip.name == name)

    def toggle_learning(self) -> None:
        pauses = self.learns
        self._set(lambda session: session.pause() if pauses else session.resume())

    def set_diversity(self, share: float) -> None:
        self._set(lambda session: session.set_diversity(share))

    def show_knowledge(self) -> None:
        App.get_running_app().open_page(KnowledgePage())

    def export(self, ending: str) -> None:
        """Write all that is kept into a new file: .json, or .csv for the events alone."""
        app = App.get_running_app()

        def work(session: "Session") -> Path:
            path = free_export(ending)
            write = session.export_json if ending == ".json" else session.export_csv
            write(path)
            return path

        def done(path: Path) -> None:
            self.exported = str(path)
            app.say(tr("Saved to {}").format(path))

        app.ask(work, done)

    def wipe(self) -> None:
        app = App.get_running_app()

        def done(_: None) -> None:
            app.changes.forget()
            app.say(tr("Everything you said is deleted"))
            self.load()

        app.ask(lambda session: session.wipe(), done)

    def choose_bundle(self) -> None:
        App.get_running_app().open_page(FilesPage(tr("Choose a model"), _is_bundle, self._install))

    def roll_back(self) -> None:
        app = App.get_running_app()

        def done(_: "Path | None") -> None:
            app.reopen()
            app.say(tr("The model from before is back"))

        app.ask(lambda _: installed_bundles().roll_back(), done)

    def _install(self, source: Path) -> None:
        app = App.get_running_app()
        app.say(tr("Looking through {}…").format(source.name))

        def done(installed: "Installed") -> None:
            app.reopen()
            app.say(_installed(installed))

        app.ask(lambda session: session.install(source, installed_bundles()), done)

    def _set(self, work: "Callable[[Session], None]") -> None:
        app = App.get_running_app()

        def failed(error: PocketRecError) -> None:
            app.report(error)
            self.load()

        app.ask(work, lambda _: self.load(), failed)


def _is_bundle(path: Path) -> bool:
    # Not Path.is_file, which raises in a folder that may not be entered.
    return path.suffix == ".zip" or os.access(path / MANIFEST, os.R_OK)


def _installed(report: "Installed") -> str:
    said = tr("Installed {}, {:,} titles.").format(report.name, report.items)
    if not report.same_catalogue:
        more = tr("Your history is of another catalogue: it waits for a model of that one.")
        return f"{said} {more}"
    if report.unknown:
        more = tr("It does not know {:,} of {:,} in your history.")
        return f"{said} {more.format(report.unknown, report.judged)}"
    return said


def _facts(model: "Model") -> list[tuple[str, str]]:
    return [
        (tr("Name"), model.name),
        (tr("Built"), model.created),
        (tr("Size"), f"{model.size / 1e6:.1f} MB"),
        (tr("Precision"), model.precision),
        (tr("Titles"), f"{model.items:,}"),
        (tr("Last ranking"), f"{model.milliseconds:.1f} ms"),
    ]
