"""Search: the catalogue, as one types."""

from typing import TYPE_CHECKING

from kivy.app import App
from kivy.clock import Clock
from kivy.uix.widget import Widget

from device_app.language import tr
from device_app.screens.adding import AddingPage
from device_app.screens.page import ListPage, Page
from device_app.widgets.field import Field
from device_app.widgets.rows import ResultRow

if TYPE_CHECKING:
    from device_app.views import Card, Found

DEBOUNCE_SECONDS = 0.15


class QueryInput(Field):
    """The field of the search; Down and Enter lead to what was found."""

    def keyboard_on_key_down(
        self, window: object, keycode: tuple[int, str], text: str, modifiers: list[str]
    ) -> bool:
        if keycode[1] not in ("down", "enter", "numpadenter"):
            return super().keyboard_on_key_down(window, keycode, text, modifiers)
        App.get_running_app().focus.first_item()
        return True


class SearchPage(ListPage):
    def __init__(self, **kwargs: object) -> None:
        self._cards: tuple[Card, ...] = ()
        self._later = Clock.create_trigger(lambda _: self.load(), DEBOUNCE_SECONDS)
        super().__init__(**kwargs)

    def on_kv_post(self, base_widget: Widget) -> None:
        super().on_kv_post(base_widget)
        self._query = self.ids.query.__self__
        self._query.bind(text=lambda *_: self._later())

    def focus(self) -> None:
        self._query.focus = True

    def clear(self) -> None:
        self._query.text = ""
        self._query.focus = True

    def add(self, title: str = "") -> None:
        """Open the page on which an item of one's own is typed in."""
        App.get_running_app().open_page(AddingPage(title))

    def take_over(self, old: Page) -> None:
        super().take_over(old)
        self._query.text = old.ids.query.text

    def load(self) -> None:
        query = self._query.text.strip()
        if not query:
            self.next_question()  # what is still being looked for is not shown any more
            self._show_hint()
            return
        self.ask(lambda session: session.search(query), lambda found: self._show(query, found))

    def _show_hint(self) -> None:
        self._cards, self.subtitle = (), ""
        self.present(
            self.notice.say(
                "search",
                tr("Find something you know"),
                tr("What you like here shapes what you get."),
            )
        )

    def _show(self, query: str, found: "Found") -> None:
        cards = found.cards
        self.subtitle = tr("By meaning, as none has the words") if found.by_meaning else ""
        if not cards:
            self.present(
                self.notice.say(
                    "nothing_found",
                    tr("Nothing found for “{}”").format(query),
                    tr("Try fewer letters, or a word of the title, a category or a name."),
                    action=tr("Add it yourself"),
                    press=lambda: self.add(query),
                )
            )
            return
        if [card.item_id for card in self._cards] != [card.item_id for card in cards]:
            self.list_view.scroll_y = 1.0
        self._cards = cards
        self.present(self.list_view)
        self._fill()

    def fill(self, width: float) -> None:
        self.list_view.data = [ResultRow.data(card, width) for card in self._cards]
