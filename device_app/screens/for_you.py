"""For you: the picks as cards, each with its reason."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from kivy.app import App
from kivy.properties import BooleanProperty
from kivy.uix.behaviors import ButtonBehavior
from kivy.uix.boxlayout import BoxLayout

from device_app.language import tr, trn
from device_app.screens.page import ListPage
from device_app.widgets.basics import Hoverable
from device_app.widgets.card import Card
from device_app.widgets.notice import Notice

if TYPE_CHECKING:
    from device_app.session import Session
    from device_app.views import Picks


class DefaultBanner(ButtonBehavior, Hoverable, BoxLayout):
    """Says that these are no picks of the user's yet; a tap leads to where they begin."""

    shown = BooleanProperty(False)


class ForYouPage(ListPage):
    is_default = BooleanProperty(False)

    def __init__(self, **kwargs: object) -> None:
        self._picks: Picks | None = None
        self._reasons: dict[str, str] = {}
        super().__init__(**kwargs)

    def load(self) -> None:
        if self._picks is None:
            self.present(self.skeleton)
        self._ask(lambda session: session.picks())

    def other_picks(self) -> None:
        """The next picks of the ranking, from the top of the list."""
        self._ask(lambda session: session.other_picks(), from_top=True)

    def _ask(self, work: "Callable[[Session], Picks]", from_top: bool = False) -> None:
        def show(picks: "Picks") -> None:
            self._show(picks, from_top)
            self._explain(self._asked)

        self.ask(work, show)

    def _show(self, picks: "Picks", from_top: bool) -> None:
        if self._picks is None or picks.history != self._picks.history:
            self._reasons = {}
        self._picks = picks
        self.is_default = picks.is_default
        likes = len(picks.history)
        self.subtitle = (
            ""
            if picks.is_default
            else trn("From your {} like", "From your {} likes", likes).format(likes)
        )
        if not picks.cards:
            self.present(self._nothing_left())
            return
        self.present(self.list_view)
        self._fill()
        if from_top:
            self.list_view.scroll_y = 1.0

    def _nothing_left(self) -> Notice:
        return self.notice.say(
            "inbox",
            tr("You have judged everything"),
            tr("The history lists what you said. Remove an entry to see its item here again."),
            action=tr("Open history"),
            press=lambda: App.get_running_app().go("history"),
        )

    def _explain(self, question: int) -> None:
        """Ask for the missing reasons, which take longer than ranking."""
        cards = self._picks.cards if self._picks and not self._picks.is_default else ()
        ids = [card.item_id for card in cards if card.item_id not in self._reasons]

        def done(reasons: dict[str, str]) -> None:
            if not self.is_overtaken(question):
                self._reasons.update(reasons)
                self._fill()

        if ids:
            App.get_running_app().ask(lambda session: session.strongest(ids), done)

    def fill(self, width: float) -> None:
        if self._picks is None:
            return
        reason_line = not self._picks.is_default
        columns = self.list_view.layout_manager.cols
        cards = self._picks.cards
        heights = [Card.height_for(card.title, width, reason_line) for card in cards]
        self.list_view.data = [
            {
                "item_id": card.item_id,
                "title": card.title,
                "shown_title": Card.fit_title(card.title, width),
                "facts": card.facts,
                "initials": card.initials,
                "reason": self._reasons.get(card.item_id, ""),
                "reason_line": reason_line,
                "opinion": card.opinion,
                "saved": card.saved,
                # Cards side by side are equally high.
                "height": max(heights[i - i % columns : i - i % columns + columns]),
            }
            for i, card in enumerate(cards)
        ]
