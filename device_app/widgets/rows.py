"""Items in a row: a search result, and an event of the history."""

from kivy.metrics import dp
from kivy.properties import BooleanProperty, StringProperty

from device_app.widgets.basics import Surface
from device_app.widgets.fitting import fitted

TITLE_SIZE = 15
BESIDE_TITLE = 10 + 48 + 12 + 12 + 3 * 44 + 2 * 4 + 12
"""dp of a result's width that its title does not get: paddings, tile, gaps and three buttons."""


class ResultRow(Surface):
    """A search result with like, dislike and save."""

    item_id = StringProperty()
    title = StringProperty()
    shown_title = StringProperty()
    facts = StringProperty()
    initials = StringProperty()
    opinion = StringProperty(None, allownone=True)
    saved = BooleanProperty(False)

    @staticmethod
    def fit_title(title: str, row_width: float) -> str:
        return fitted(title, TITLE_SIZE, row_width - dp(BESIDE_TITLE))


class EventRow(Surface):
    """An event with what, when and a button that removes it."""

    item_id = StringProperty()
    title = StringProperty()
    initials = StringProperty()
    kind = StringProperty()
    when = StringProperty()
