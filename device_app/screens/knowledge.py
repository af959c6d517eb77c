"""What this app knows about the user, all of it, in plain sentences."""

from typing import TYPE_CHECKING

from device_app.language import tr
from device_app.screens.page import OverPage
from device_app.widgets.basics import Text
from device_app.widgets.lines import ItemLine

if TYPE_CHECKING:
    from device_app.views import Card


class KnowledgePage(OverPage):
    def __init__(self, **kwargs: object) -> None:
        super().__init__(title=tr("What this app knows"), **kwargs)

    def load(self) -> None:
        self.ask(
            lambda session: (session.knowledge(), session.own_items()),
            lambda answer: self._show(*answer),
        )

    def _show(self, sentences: "tuple[str, ...]", own: "tuple[Card, ...]") -> None:
        self.ids.sentences.clear_widgets()
        for sentence in sentences:
            self.ids.sentences.add_widget(Text(text=sentence))
        self.ids.own.clear_widgets()
        for card in own:
            self.ids.own.add_widget(ItemLine.of(card))
        self.present(self.view)
