"""Saved: the bookmarks, newest first; a press on a bookmark takes it away."""

from typing import TYPE_CHECKING

from device_app.language import tr, trn
from device_app.screens.page import ListPage
from device_app.widgets.rows import ResultRow

if TYPE_CHECKING:
    from device_app.views import Card


class SavedPage(ListPage):
    def __init__(self, **kwargs: object) -> None:
        self._cards: tuple[Card, ...] = ()
        super().__init__(**kwargs)

    def load(self) -> None:
        self.ask(lambda session: session.saved(), self._show)

    def _show(self, cards: "tuple[Card, ...]") -> None:
        self._cards = cards
        if not cards:
            self.subtitle = ""
            self.present(
                self.notice.say(
                    "bookmarks",
                    tr("Nothing saved yet"),
                    tr(
                        "The bookmark on a title keeps it here for later. Your picks stay as they are."
                    ),
                )
            )
            return
        self.subtitle = trn("{} title for later", "{} titles for later", len(cards)).format(
            len(cards)
        )
        self.present(self.list_view)
        self._fill()

    def fill(self, width: float) -> None:
        self.list_view.data = [ResultRow.data(card, width) for card in self._cards]
