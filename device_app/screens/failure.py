"""What fills the window when there is nothing to show: no bundle, or no history."""

from collections.abc import Callable

from device_app.events import StoreError
from device_app.widgets.notice import Notice
from pocketrec.errors import PocketRecError


class Failure(Notice):
    def explain(self, error: PocketRecError, retry: Callable[[], None]) -> None:
        store = isinstance(error, StoreError)
        self.say(
            "error" if store else "no_bundle",
            "Your history cannot be opened" if store else "No recommendations to show",
            str(error) if store else f"{error}\n\n“pocketrec demo” makes a bundle.",
            tone="danger" if store else "muted",
            action="Try again",
            press=retry,
        )
