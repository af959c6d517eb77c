"""What fills the window when there is nothing to show: no bundle, or what is the user's cannot be read."""

from collections.abc import Callable

from device_app.events import StoreError
from device_app.widgets.notice import Notice
from pocketrec.errors import DataError, PocketRecError

UNREADABLE = {
    StoreError: "Your history cannot be opened",
    DataError: "Your own titles cannot be opened",
}


class Failure(Notice):
    def explain(self, error: PocketRecError, retry: Callable[[], None]) -> None:
        title = UNREADABLE.get(type(error))
        self.say(
            "error" if title else "no_bundle",
            title or "No recommendations to show",
            str(error) if title else f"{error}\n\n“pocketrec demo” makes a bundle.",
            tone="danger" if title else "muted",
            action="Try again",
            press=retry,
        )
