"""What fills the window when there is nothing to show: no bundle, or no history."""

from collections.abc import Callable

from kivy.uix.screenmanager import Screen

from device_app.events import StoreError
from device_app.widgets.notice import Notice
from pocketrec.errors import PocketRecError


class FailurePage(Screen):
    def __init__(self, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.notice = Notice()
        self.add_widget(self.notice)

    def load(self) -> None:
        """Nothing to ask for: `explain` says it all."""

    def explain(self, error: PocketRecError, retry: Callable[[], None]) -> None:
        store = isinstance(error, StoreError)
        self.notice.say(
            "error" if store else "no_bundle",
            "Your history cannot be opened" if store else "No recommendations to show",
            str(error) if store else f"{error}\n\n“pocketrec demo” makes a bundle.",
            tone="danger" if store else "muted",
            action="Try again",
            press=retry,
        )
