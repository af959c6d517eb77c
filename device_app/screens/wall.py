"""A start without a history: known titles that tell tastes apart, to tap what one likes."""

from typing import TYPE_CHECKING

from kivy.app import App
from kivy.metrics import sp
from kivy.properties import BooleanProperty, ObjectProperty, StringProperty
from kivy.uix.behaviors import ButtonBehavior
from kivy.uix.boxlayout import BoxLayout

from device_app.language import tr
from device_app.screens.page import ListPage, OverPage
from device_app.widgets.basics import Hoverable
from device_app.widgets.fitting import fitted

if TYPE_CHECKING:
    from device_app.session import Session
    from device_app.views import Card

TITLE_SIZE = 13.5


class WallTile(ButtonBehavior, Hoverable, BoxLayout):
    """A title; a tap likes it, another one takes that back."""

    item_id = StringProperty()
    shown_title = StringProperty()
    initials = StringProperty()
    liked = BooleanProperty(False)
    page = ObjectProperty(None)


class WallPage(OverPage, ListPage):
    """Attributes:
    has_likes: whether something on it is liked.
    """

    has_likes = BooleanProperty(False)

    def __init__(self, **kwargs: object) -> None:
        self._number = 0
        self._cards: tuple[Card, ...] = ()
        super().__init__(title=tr("Titles to start from"), **kwargs)

    def load(self) -> None:
        number = self._number
        self.ask(lambda session: session.taste_wall(number) or session.taste_wall(), self._show)

    def others(self) -> None:
        """The next titles; after the last, the first again."""
        self._number += 1
        self.list_view.scroll_y = 1.0
        self.load()

    def pressed(self, tile: WallTile) -> None:
        item_id = tile.item_id

        def work(session: "Session") -> None:
            session.mark(item_id, "like")

        App.get_running_app().ask(work, lambda _: self.load())

    def _show(self, cards: "tuple[Card, ...]") -> None:
        self._cards = cards
        self.has_likes = self.has_likes or any(card.opinion == "like" for card in cards)
        self.present(self.list_view)
        self._fill()

    def fill(self, width: float) -> None:
        self.list_view.data = [
            {
                "item_id": card.item_id,
                "shown_title": fitted(card.title, TITLE_SIZE, width),
                "initials": card.initials,
                "liked": card.opinion == "like",
                "page": self,
                "height": width * 1.15 + sp(42),
            }
            for card in self._cards
        ]
