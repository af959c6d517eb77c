"""History: what the user said, newest first, each entry removable."""

from typing import TYPE_CHECKING

from kivy.properties import OptionProperty, StringProperty
from kivy.uix.widget import Widget

from device_app.language import mark, tr
from device_app.screens.page import ListPage, Page
from device_app.widgets.basics import Chip
from device_app.widgets.rows import EventRow

if TYPE_CHECKING:
    from device_app.views import Entry

FILTERS = {
    "all": mark("All"),
    "like": mark("Liked"),
    "save": mark("Saved"),
    "dislike": mark("Not for me"),
    "seen": mark("Seen"),
    "hide": mark("Hidden"),
}
EMPTY = {
    "all": (
        "history",
        mark("Nothing here yet"),
        mark("Like, save or hide something and it is listed here."),
    ),
    "like": ("like", mark("No likes yet"), mark("Likes are what your picks are made from.")),
    "save": ("bookmarks", mark("Nothing saved yet"), mark("Save what you want to come back to.")),
    "dislike": (
        "dislike",
        mark("Nothing here"),
        mark("What is not for you is never picked again."),
    ),
    "seen": (
        "seen",
        mark("Nothing seen yet"),
        mark("What you have seen leaves your picks, and no more."),
    ),
    "hide": ("hide", mark("Nothing hidden"), mark("Hidden items are never picked again.")),
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
            chip = FilterChip(kind=kind, text=tr(name), active=kind == self.kind)
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
            icon, title, text = EMPTY[self.kind]
            self.present(self.notice.say(icon, tr(title), tr(text)))
            return
        self._entries = entries
        self.present(self.list_view)
        self._fill()

    def fill(self, width: float) -> None:
        self.list_view.data = [
            EventRow.data(entry, tr(FILTERS[entry.kind]), width) for entry in self._entries
        ]
