"""What the screens have in common: a head, and a body that shows one thing at a time."""

from collections.abc import Callable

from kivy.metrics import dp
from kivy.properties import StringProperty
from kivy.uix.boxlayout import BoxLayout
from kivy.uix.recycleview import RecycleView
from kivy.uix.scrollview import ScrollView
from kivy.uix.textinput import TextInput
from kivy.uix.widget import Widget

from device_app.widgets.basics import Surface
from device_app.widgets.notice import Notice, Skeleton
from pocketrec.errors import PocketRecError


class PageHead(BoxLayout):
    """Title and subtitle; what is put into it stands at the right."""

    title = StringProperty()
    subtitle = StringProperty()


class Panel(Surface):
    """A group on a screen without a list."""


class Section(Panel):
    """One with a title."""

    title = StringProperty()


class Page(BoxLayout):
    """A screen that can be loading, empty, broken, or show its view, which scrolls.

    A page is loaded when it comes into view and whenever what it shows has changed; an answer that
    a later question has overtaken is dropped.
    """

    subtitle = StringProperty()

    def __init__(self, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.notice = Notice()
        self.skeleton = Skeleton()
        self._asked = 0

    def on_kv_post(self, base_widget: Widget) -> None:
        # An id is a weak reference: without this one a view that is not shown would be gone.
        self.body: Widget = self.ids.body.__self__
        self.view: ScrollView = self.ids.view.__self__

    @property
    def is_typing(self) -> bool:
        """Whether a text field of the page has the keyboard."""
        return any(isinstance(w, TextInput) and w.focus for w in self.walk(restrict=True))

    def load(self) -> None:
        """Ask for what the page shows now."""
        raise NotImplementedError

    def present(self, widget: Widget) -> None:
        """Make `widget` the one thing in the body."""
        if self.body.children != [widget]:
            self.body.clear_widgets()
            self.body.add_widget(widget)

    def present_error(self, error: PocketRecError, retry: Callable[[], None]) -> None:
        self.present(
            self.notice.say(
                "error",
                "That did not work",
                str(error),
                tone="danger",
                action="Try again",
                press=retry,
            )
        )

    def next_question(self) -> int:
        self._asked += 1
        return self._asked

    def is_overtaken(self, question: int) -> bool:
        return question != self._asked

    def take_over(self, old: "Page") -> None:
        """Be where a page of the same kind was, which was made for another size of text."""
        old.next_question()  # what it still waits for is not for it any more
        self.view.scroll_y = old.view.scroll_y


class OverPage(Page):
    """One that is opened over another, for as long as it is open.

    Attributes:
        title: its name, for the way back from what is opened over it.
        way_back: the name of what is beneath.
    """

    title = StringProperty()
    way_back = StringProperty()


class BackHead(BoxLayout):
    """The way back; what is put into it stands at the right."""

    way_back = StringProperty()


class ListPage(Page):
    """A page whose view is a list."""

    list_view: RecycleView

    def on_kv_post(self, base_widget: Widget) -> None:
        super().on_kv_post(base_widget)
        self.list_view = self.view

    @property
    def cell_width(self) -> float:
        """Pixels of one row or card of the list; 0 while the list is not laid out."""
        grid = self.list_view.layout_manager
        left, _, right, _ = grid.padding
        room = self.list_view.width - left - right - grid.spacing[0] * (grid.cols - 1)
        return room / grid.cols if room > dp(240) else 0.0
