"""One item: what it is, why it is here, what is like it, and what the user can say about it."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from kivy.app import App
from kivy.metrics import dp, sp
from kivy.properties import BooleanProperty, NumericProperty, StringProperty
from kivy.uix.stacklayout import StackLayout
from kivy.uix.widget import Widget

from device_app.language import mark, tr
from device_app.screens.page import OverPage
from device_app.widgets.basics import TextLine
from device_app.widgets.controls import Asking
from device_app.widgets.fitting import natural_width
from device_app.widgets.lines import ItemLine

if TYPE_CHECKING:
    from device_app.views import Details, Reason

TAG_SIZE = 13
ACTIONS = 5

STRENGTHS = ((0.75, mark("Almost as much")), (0.25, mark("Less")), (0.0, mark("A little")))
"""Shares of the strongest reason from which on another is called so."""


class Tag(TextLine):
    """A category; as wide as its word, at most as the line it stands on."""

    line_width = NumericProperty(0)

    def on_line_width(self, *_: object) -> None:
        self.width = min(natural_width(self.text, sp(TAG_SIZE)) + dp(24), self.line_width)


class Actions(StackLayout):
    """What the buttons of a card do, in words, in rows that are full.

    Attributes:
        columns: of the first row.
    """

    columns = NumericProperty(1)
    item_id = StringProperty()
    title = StringProperty()
    opinion = StringProperty(None, allownone=True)
    saved = BooleanProperty(False)

    def share(self, place: int, columns: int, width: float) -> float:
        """Pixels of the button at ``place``; those of the last row share what there is."""
        whole = ACTIONS // columns * columns
        row = columns if place < whole else ACTIONS - whole
        return (width - (row - 1) * self.spacing[0]) // row


class DetailPage(OverPage):
    """One item.

    Attributes:
        why: what is said where no like can be named.
    """

    item_id = StringProperty()
    facts = StringProperty()
    initials = StringProperty()
    description = StringProperty()
    why = StringProperty()
    opinion = StringProperty(None, allownone=True)
    saved = BooleanProperty(False)

    def __init__(self, **kwargs: object) -> None:
        self._details: Details | None = None
        super().__init__(**kwargs)

    def load(self) -> None:
        if self._details is None:
            self.present(Widget())  # the answer takes a few milliseconds: a skeleton would flash
        self.ask(lambda session: session.details(self.item_id), self._show)

    def _show(self, details: "Details | None") -> None:
        if details is None:
            self.present(
                self.notice.say(
                    "nothing_found",
                    tr("Not in this catalogue"),
                    tr("The history knows this title from another bundle."),
                )
            )
            return
        before, self._details = self._details, details
        card = details.card
        self.title, self.facts, self.initials = card.title, details.facts, card.initials
        self.description = details.description
        self.opinion, self.saved = card.opinion, card.saved
        self.why = _why(details)
        if before is None or before.reasons != details.reasons:
            self._fill("reasons", _reasons(details.reasons))
        if before is None or before.similar != details.similar:
            self._fill("similar", [ItemLine.of(card) for card in details.similar])
        if before is None and details.is_own:
            self._fill("own", [self._remover()])
        if before is None:
            self._fill("tags", [Tag(text=name) for name in details.categories])
        self.present(self.view)

    def _remover(self) -> Asking:
        asking = Asking(
            action=tr("Remove this title"),
            question=tr("You added this title. Removing it removes what you said of it, for good."),
        )
        asking.bind(on_confirm=self._remove)
        return asking

    def _remove(self, *_: object) -> None:
        app = App.get_running_app()

        def done(_: None) -> None:
            app.changes.forget()
            app.back()
            app.say(tr("Removed {}").format(self.title))

        app.ask(lambda session: session.remove_item(self.item_id), done)

    def _fill(self, name: str, widgets: Iterable[Widget]) -> None:
        box = self.ids[name]
        box.clear_widgets()
        for widget in widgets:
            box.add_widget(widget)


def _why(details: "Details") -> str:
    if details.reasons:
        return tr("Your likes that speak most for it, the strongest first.")
    if details.has_likes:
        return tr("None of your likes speaks for it by itself.")
    return tr("Like a few titles, and those that speak for this one are named here.")


def _reasons(reasons: "Iterable[Reason]") -> Iterator[ItemLine]:
    """How much each speaks for the item is said in place of what is known of it."""
    for place, reason in enumerate(reasons):
        much = next(words for least, words in STRENGTHS if reason.share >= least)
        much = tr(much) if place else tr("Speaks most for it")
        yield ItemLine.of(reason.card, facts=much, share=reason.share)
