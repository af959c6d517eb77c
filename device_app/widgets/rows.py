"""Items in a row: a search result, and an event of the history."""

from typing import TYPE_CHECKING

from kivy.metrics import dp, sp
from kivy.properties import BooleanProperty, StringProperty

from device_app.widgets.card import Openable
from device_app.widgets.fitting import fitted

if TYPE_CHECKING:
    from device_app.views import Card, Entry

TITLE_SIZE = 15
BESIDE_TITLE = 10 + 48 + 12 + 12 + 3 * 44 + 2 * 4 + 12
"""dp of a result's width that its title does not get: paddings, tile, gaps and three buttons."""
BESIDE_EVENT = 10 + 48 + 12 + 12 + 12
"""The same for an event, but for its one button."""


class ResultRow(Openable):
    """A search result, or a bookmark, with like, dislike and save."""

    shown_title = StringProperty()
    facts = StringProperty()
    initials = StringProperty()
    opinion = StringProperty(None, allownone=True)
    saved = BooleanProperty(False)

    @staticmethod
    def data(card: "Card", row_width: float) -> dict[str, object]:
        """What a list holds for a row of so many pixels."""
        return {
            "item_id": card.item_id,
            "title": card.title,
            "shown_title": fitted(card.title, TITLE_SIZE, row_width - dp(BESIDE_TITLE)),
            "facts": card.facts,
            "initials": card.initials,
            "opinion": card.opinion,
            "saved": card.saved,
        }


class EventRow(Openable):
    """An event with what, when and a button that removes it."""

    shown_title = StringProperty()
    initials = StringProperty()
    kind = StringProperty()
    when = StringProperty()

    @staticmethod
    def data(entry: "Entry", verb: str, row_width: float) -> dict[str, object]:
        """What a list holds for a row of so many pixels.

        Args:
            verb: what the user did.
        """
        beside = dp(BESIDE_EVENT) + (dp(28) + sp(50) if entry.kind == "hide" else dp(44))
        return {
            "item_id": entry.item_id,
            "title": entry.title,
            "shown_title": fitted(entry.title, TITLE_SIZE, row_width - beside),
            "initials": entry.initials,
            "kind": entry.kind,
            "when": f"{verb}  ·  {entry.when}",
        }
