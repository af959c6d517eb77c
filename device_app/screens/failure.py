"""What fills the window when there is nothing to show: no bundle, or what is the user's cannot be read."""

from collections.abc import Callable

from device_app.events import StoreError
from device_app.language import mark, tr
from device_app.widgets.notice import Notice
from pocketrec.errors import DataError, PocketRecError

UNREADABLE = {
    StoreError: mark("Your history cannot be opened"),
    DataError: mark("Your own titles cannot be opened"),
}


class Failure(Notice):
    def explain(self, error: PocketRecError, retry: Callable[[], None]) -> None:
        title, text = UNREADABLE.get(type(error)), str(error)
        if title is None:
            hint = tr("“pocketrec demo” makes a bundle.")
            text = f"{text}\n\n{hint}"
        self.say(
            "error" if title else "no_bundle",
            tr(title) if title else tr("No recommendations to show"),
            text,
            tone="danger" if title else "muted",
            action=tr("Try again"),
            press=retry,
        )
