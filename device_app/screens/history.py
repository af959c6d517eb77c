"""History: what the user said, newest first, each entry removable."""

from typing import TYPE_CHECKING

from kivy.properties import OptionProperty, StringProperty
from kivy.uix.widget import Widget

from device_app.screens.page import ListPage, Page
from device_app.widgets.basics import Chip
from device_app.widgets.rows import EventRow

if TYPE_CHECKING:
    from device_app.views import Entry

FILTERS = {
    "all": "All",
    "like": "Liked",
    "save": "Saved",
    "dislike": "Not for me",
    "seen": "Seen",
    "hide": "Hidden",
}
EMPTY = {
    "all": ("history", "Nothing here yet", "Like, save or hide something and it is listed here."),
    "like": ("like", "No likes yet", "Likes are what your picks are made from."),
    "save": ("bookmarks", "Nothing saved yet", "Save what you want to come back to."),
    "dislike": ("dislike", "Nothing here", "What is not for you is never picked again."),
    "seen": ("seen", "Nothing seen yet", "What you have seen leaves your picks, and no more."),
    "hide": ("hide", "Nothing hidden", "Hidden items are never picked again."),
}


class FilterChip(Chip):
    kind = StringProperty("all")


class HistoryPage(ListPage):
    kind = OptionProperty("all", options=list(FILTERS))

    def __init__(self, **kwargs: object) -> None:
        self._entries: tuple[Entry, ...] = ()
        super().__init__(**kwargs)

    def on_kv_post(self, base_widget: Widget) -> None:
        super().on_kv_post(base_widget)
        for kind, name in FILTERS.items():
            chip = FilterChip(kind=kind, text=name, active=kind == self.kind)
            chip.bind(on_release=lambda chip: setattr(self, "kind", chip.kind))
            self.ids.filters.add_widget(chip)

    def on_kind(self, *_: object) -> None:
        for chip in self.ids.filters.children:
            chip.active = chip.kind == self.kind
        self.list_view.scroll_y = 1.0
        self.load()

    def take_over(self, old: Page) -> None:
        super().take_over(old)
        self.kind = old.kind

    def load(self) -> None:
        kind = None if self.kind == "all" else self.kind
        self.ask(lambda session: session.history(kind), self._show)

    def _show(self, entries: "tuple[Entry, ...]") -> None:
        if not entries:
            self.present(self.notice.say(*EMPTY[self.kind]))
            return
        self._entries = entries
        self.present(self.list_view)
        self._fill()

    def fill(self, width: float) -> None:
        self.list_view.data = [
            EventRow.data(entry, FILTERS[entry.kind], width) for entry in self._entries
        ]
