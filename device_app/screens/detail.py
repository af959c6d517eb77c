"""One item: what it is, why it is here, what is like it, and what the user can say about it."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from kivy.app import App
from kivy.metrics import dp, sp
from kivy.properties import BooleanProperty, NumericProperty, StringProperty
from kivy.uix.behaviors import ButtonBehavior
from kivy.uix.boxlayout import BoxLayout
from kivy.uix.gridlayout import GridLayout
from kivy.uix.widget import Widget

from device_app.screens.page import Page
from device_app.widgets.basics import Hoverable, TextLine
from device_app.widgets.fitting import natural_width

if TYPE_CHECKING:
    from device_app.session import Card, Detail

TAG_SIZE = 13


class Tag(TextLine):
    """A category; as wide as its word, at most as the line it stands on."""

    line_width = NumericProperty(0)

    def on_line_width(self, *_: object) -> None:
        self.width = min(natural_width(self.text, sp(TAG_SIZE)) + dp(24), self.line_width)


class Actions(GridLayout):
    """What the buttons of a card do, in words."""

    item_id = StringProperty()
    title = StringProperty()
    opinion = StringProperty(None, allownone=True)
    saved = BooleanProperty(False)


class ItemLine(ButtonBehavior, Hoverable, BoxLayout):
    """Another item within this screen: a reason, or a similar one; a tap opens it."""

    item_id = StringProperty()
    title = StringProperty()
    facts = StringProperty()
    initials = StringProperty()


class DetailPage(Page):
    """Over one item for as long as it is open; the page beneath stays as it was.

    Attributes:
        way_back: the name of what is beneath.
        why: what is said where no like can be named.
    """

    item_id = StringProperty()
    way_back = StringProperty()
    title = StringProperty()
    facts = StringProperty()
    initials = StringProperty()
    description = StringProperty()
    why = StringProperty()
    opinion = StringProperty(None, allownone=True)
    saved = BooleanProperty(False)

    def __init__(self, **kwargs: object) -> None:
        self._detail: Detail | None = None
        super().__init__(**kwargs)

    def load(self) -> None:
        question = self.next_question()
        if self._detail is None:
            self.present(Widget())  # the answer takes a few milliseconds: a skeleton would flash

        def done(detail: "Detail | None") -> None:
            if not self.is_overtaken(question):
                self._show(detail)

        App.get_running_app().ask(
            lambda session: session.detail(self.item_id),
            done,
            lambda error: self.present_error(error, self.load),
        )

    def _show(self, detail: "Detail | None") -> None:
        if detail is None:
            self.present(
                self.notice.say(
                    "nothing_found",
                    "Not in this catalogue",
                    "The history knows this title from another bundle.",
                )
            )
            return
        before, self._detail = self._detail, detail
        card = detail.card
        self.title, self.facts, self.initials = card.title, detail.facts, card.initials
        self.description = detail.description
        self.opinion, self.saved = card.opinion, card.saved
        self.why = _why(detail)
        if before is None or before.reasons != detail.reasons:
            self._fill("reasons", _lines(detail.reasons))
        if before is None or before.similar != detail.similar:
            self._fill("similar", _lines(detail.similar))
        if before is None:
            self._fill("tags", [Tag(text=name) for name in detail.categories])
        self.present(self.view)

    def _fill(self, name: str, widgets: Iterable[Widget]) -> None:
        box = self.ids[name]
        box.clear_widgets()
        for widget in widgets:
            box.add_widget(widget)


def _why(detail: "Detail") -> str:
    if detail.reasons:
        return "Your likes that speak most for it, the strongest first."
    if detail.has_likes:
        return "None of your likes speaks for it by itself."
    return "Like a few titles, and those that speak for this one are named here."


def _lines(cards: "Iterable[Card]") -> list[ItemLine]:
    return [
        ItemLine(item_id=c.item_id, title=c.title, facts=c.facts, initials=c.initials)
        for c in cards
    ]
