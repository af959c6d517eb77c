"""A recommended item: what it is, why it is here, and what the user can say about it."""

from kivy.metrics import dp, sp
from kivy.properties import BooleanProperty, StringProperty
from kivy.uix.behaviors import ButtonBehavior
from kivy.uix.boxlayout import BoxLayout

from device_app.widgets.basics import Hoverable, Surface
from device_app.widgets.fitting import fitted, line_count, line_height

TITLE_SIZE = 17
BESIDE_TITLE = 14 + 68 + 14 + 14
"""dp of a card's width that its title does not get: paddings, tile and gap."""


class Openable(ButtonBehavior, Hoverable, Surface):
    """An item that a tap opens; the buttons on it come first."""

    item_id = StringProperty()
    title = StringProperty()


class Card(Openable):
    """Filled from `data` of a RecycleView, which reuses cards: no state of its own."""

    shown_title = StringProperty()
    facts = StringProperty()
    initials = StringProperty()
    reason = StringProperty()
    reason_line = BooleanProperty(True)
    opinion = StringProperty(None, allownone=True)
    saved = BooleanProperty(False)

    @staticmethod
    def fit_title(title: str, card_width: float) -> str:
        return fitted(title, TITLE_SIZE, card_width - dp(BESIDE_TITLE))

    @staticmethod
    def height_for(title: str, card_width: float, reason_line: bool) -> float:
        """Pixels of a card of this width, with or without room for a reason."""
        lines = line_count(title, TITLE_SIZE, card_width - dp(BESIDE_TITLE))
        words = line_height(title, TITLE_SIZE) * (1 + 1.05 * (lines - 1))
        words += sp(20 + 22 * reason_line)
        return max(dp(84), words) + dp(14 + 12 + 44 + 14)


class Opinions(BoxLayout):
    """The five buttons under a card."""

    item_id = StringProperty()
    title = StringProperty()
    opinion = StringProperty(None, allownone=True)
    saved = BooleanProperty(False)
