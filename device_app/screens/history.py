"""History: what the user said, newest first, each entry removable."""

from typing import TYPE_CHECKING

from kivy.app import App
from kivy.properties import OptionProperty
from kivy.uix.widget import Widget

from device_app.screens.page import ListPage, Page

if TYPE_CHECKING:
    from device_app.session import Entry

FILTERS = {
    "all": "All",
    "like": "Liked",
    "save": "Saved",
    "dislike": "Not for me",
    "hide": "Hidden",
}
VERBS = {"like": "Liked", "save": "Saved", "dislike": "Not for me", "hide": "Hidden"}
EMPTY = {
    "all": ("history", "Nothing here yet", "Like, save or hide something and it is listed here."),
    "like": ("like", "No likes yet", "Likes are what your picks are made from."),
    "save": ("bookmarks", "Nothing saved yet", "Save what you want to come back to."),
    "dislike": ("dislike", "Nothing here", "What is not for you is never picked again."),
    "hide": ("hide", "Nothing hidden", "Hidden items are never picked again."),
}


class HistoryPage(ListPage):
    kind = OptionProperty("all", options=list(FILTERS))

    def on_kind(self, *_: object) -> None:
        self.list_view.scroll_y = 1.0
        self.load()

    def choose(self, chip: Widget) -> None:
        """A filter was pressed: on a phone the last ones are half out of view."""
        self.kind = chip.kind
        if chip.parent.width > self.ids.filters.width:
            self.ids.filters.scroll_to(chip)

    def take_over(self, old: Page) -> None:
        super().take_over(old)
        self.kind = old.kind

    def load(self) -> None:
        question = self.next_question()
        kind = None if self.kind == "all" else self.kind

        def done(entries: "tuple[Entry, ...]") -> None:
            if not self.is_overtaken(question):
                self._show(entries)

        App.get_running_app().ask(
            lambda session: session.history(kind),
            done,
            lambda error: self.present_error(error, self.load),
        )

    def _show(self, entries: "tuple[Entry, ...]") -> None:
        if not entries:
            self.present(self.notice.say(*EMPTY[self.kind]))
            return
        self.present(self.list_view)
        self.list_view.data = [
            {
                "item_id": entry.item_id,
                "title": entry.title,
                "initials": entry.initials,
                "kind": entry.kind,
                "when": f"{VERBS[entry.kind]}  ·  {entry.when}",
            }
            for entry in entries
        ]
