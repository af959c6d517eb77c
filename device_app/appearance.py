"""How the app looks and speaks: theme, size of text and language, as the user wants them."""

from collections.abc import Callable
from pathlib import Path

from kivy.event import EventDispatcher
from kivy.metrics import Metrics
from kivy.properties import OptionProperty

from device_app import language
from device_app.preferences import LANGUAGE_CHOICES, TEXT_SIZES, THEMES, Preferences
from device_app.system_theme import prefers_dark
from device_app.theme import Theme
from device_app.worker import Worker
from pocketrec.errors import PocketRecError


class Appearance(EventDispatcher):
    """What is chosen, in use and kept for the next start.

    Args:
        path: of the preferences.
        worker: writes them, and asks for the system's theme.
        report: told what could not be written.

    Attributes:
        theme: the palette in use.
        theme_choice: one of THEMES.
        text_size: one of TEXT_SIZES.
        language: one of LANGUAGE_CHOICES.
    """

    theme_choice = OptionProperty("system", options=THEMES)
    text_size = OptionProperty("normal", options=list(TEXT_SIZES))
    language = OptionProperty(language.SYSTEM, options=LANGUAGE_CHOICES)

    def __init__(
        self, path: Path, worker: Worker, report: Callable[[PocketRecError], None]
    ) -> None:
        kept = Preferences.read(path)
        super().__init__(theme_choice=kept.theme, text_size=kept.text_size, language=kept.language)
        self._path = path
        self._worker = worker
        self._report = report
        self._device_scale = Metrics.fontscale
        Metrics.fontscale = self._device_scale * TEXT_SIZES[self.text_size]
        self.theme = Theme(dark=self._is_dark())
        language.use(self.language)

    def leave(self) -> None:
        """Give Kivy the device's own size of text back."""
        Metrics.fontscale = self._device_scale

    def toggle_theme(self) -> None:
        self.choose_theme("light" if self.theme.dark else "dark")

    def choose_theme(self, name: str) -> None:
        self.theme_choice = name
        self.theme.dark = self._is_dark()
        self._keep()

    def choose_text_size(self, name: str) -> None:
        Metrics.fontscale = self._device_scale * TEXT_SIZES[name]
        self.text_size = name
        self._keep()

    def choose_language(self, name: str) -> None:
        language.use(name)
        self.language = name
        self._keep()

    def follow_system(self) -> None:
        """The user may have changed the system's theme."""
        if self.theme_choice == "system":
            self._worker.submit(self._is_dark, self._followed, self._report)

    def _followed(self, dark: bool) -> None:
        if self.theme_choice == "system":
            self.theme.dark = dark

    def _is_dark(self) -> bool:
        return self.theme_choice == "dark" or (
            self.theme_choice == "system" and prefers_dark() is True
        )

    def _keep(self) -> None:
        kept = Preferences(self.theme_choice, self.text_size, self.language)
        self._worker.submit(lambda: kept.write(self._path), lambda _: None, self._report)
