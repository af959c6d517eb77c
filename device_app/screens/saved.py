"""Saved: the bookmarks, newest first; a press on a bookmark takes it away."""

from typing import TYPE_CHECKING

from kivy.app import App
from kivy.clock import Clock
from kivy.uix.widget import Widget

from device_app.screens.page import ListPage
from device_app.widgets.rows import ResultRow

if TYPE_CHECKING:
    from device_app.views import Card


class SavedPage(ListPage):
    def __init__(self, **kwargs: object) -> None:
        self._cards: tuple[Card, ...] = ()
        self._fill = Clock.create_trigger(self._fill_list, -1)
        super().__init__(**kwargs)

    def on_kv_post(self, base_widget: Widget) -> None:
        super().on_kv_post(base_widget)
        self.list_view.bind(width=self._fill)
        self.list_view.layout_manager.bind(cols=self._fill)

    def load(self) -> None:
        question = self.next_question()

        def done(cards: "tuple[Card, ...]") -> None:
            if not self.is_overtaken(question):
                self._show(cards)

        App.get_running_app().ask(
            lambda session: session.saved(),
            done,
            lambda error: self.present_error(error, self.load),
        )

    def _show(self, cards: "tuple[Card, ...]") -> None:
        self._cards = cards
        if not cards:
            self.subtitle = ""
            self.present(
                self.notice.say(
                    "bookmarks",
                    "Nothing saved yet",
                    "The bookmark on a title keeps it here for later. Your picks stay as they are.",
                )
            )
            return
        self.subtitle = f"{len(cards)} title{'s' if len(cards) > 1 else ''} for later"
        self.present(self.list_view)
        self._fill()

    def _fill_list(self, *_: object) -> None:
        width = self.cell_width
        if width:
            self.list_view.data = [ResultRow.data(card, width) for card in self._cards]
