"""What the screens have in common: a head, and a body that shows one thing at a time."""

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from kivy.app import App
from kivy.clock import Clock
from kivy.metrics import dp
from kivy.properties import StringProperty
from kivy.uix.boxlayout import BoxLayout
from kivy.uix.recycleview import RecycleView
from kivy.uix.scrollview import ScrollView
from kivy.uix.textinput import TextInput
from kivy.uix.widget import Widget

from device_app import rules
from device_app.language import tr
from device_app.widgets.basics import Surface
from device_app.widgets.notice import Notice, Skeleton
from pocketrec.errors import PocketRecError

if TYPE_CHECKING:
    from device_app.session import Session

T = TypeVar("T")


class PageHead(BoxLayout):
    """Title and subtitle; what is put into it stands at the right."""

    title = StringProperty()
    subtitle = StringProperty()


class Panel(Surface):
    """A group on a screen without a list."""


class Section(Panel):
    """One with a title."""

    title = StringProperty()


class FreeView(ScrollView):
    """What scrolls, with a bar that stays: Kivy's fades for half a second after every change, frame by frame."""

    def _bind_inactive_bar_color(self, *_: object) -> None:
        pass


class ListView(FreeView, RecycleView):
    """The same, as a list."""


class Page(BoxLayout):
    """A screen that can be loading, empty, broken, or show its view, which scrolls.

    A page is loaded when it comes into view and whenever what it shows has changed; an answer that
    a later question has overtaken is dropped.
    """

    subtitle = StringProperty()

    def __init__(self, **kwargs: object) -> None:
        rules.load_for(type(self))
        super().__init__(**kwargs)
        self._asked = 0

    @cached_property
    def notice(self) -> Notice:
        return Notice()

    @cached_property
    def skeleton(self) -> Skeleton:
        return Skeleton()

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
                tr("That did not work"),
                str(error),
                tone="danger",
                action=tr("Try again"),
                press=retry,
            )
        )

    def ask(
        self,
        work: "Callable[[Session], T]",
        show: Callable[[T], None],
        fail: Callable[[PocketRecError], None] | None = None,
    ) -> None:
        """Ask the session for what the page shows, then `show` it.

        Args:
            fail: takes what went wrong; None shows it, to be tried again.
        """
        question = self.next_question()

        def done(answer: T) -> None:
            if not self.is_overtaken(question):
                show(answer)

        def failed(error: PocketRecError) -> None:
            if self.is_overtaken(question):
                return
            if fail is not None:
                fail(error)
            else:
                self.present_error(error, self.load)

        App.get_running_app().ask(work, done, failed)

    def next_question(self) -> int:
        self._asked += 1
        return self._asked

    def is_overtaken(self, question: int) -> bool:
        return question != self._asked

    def take_over(self, old: "Page") -> None:
        """Be where a page of the same kind was, which was made for another size of text or in another language."""
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
    """A page whose view is a list, which is filled anew whenever its cells change their width."""

    list_view: RecycleView

    def __init__(self, **kwargs: object) -> None:
        self._fill = Clock.create_trigger(self._fill_list, -1)
        super().__init__(**kwargs)

    def on_kv_post(self, base_widget: Widget) -> None:
        super().on_kv_post(base_widget)
        self.list_view = self.view
        self.list_view.bind(width=self._fill)
        self.list_view.layout_manager.bind(cols=self._fill)

    def fill(self, width: float) -> None:
        """Hand the list its data, for cells of `width` pixels."""
        raise NotImplementedError

    def _fill_list(self, *_: object) -> None:
        if width := self.cell_width:
            self.fill(width)

    @property
    def cell_width(self) -> float:
        """Pixels of one row or card of the list; 0 while the list is not laid out."""
        grid = self.list_view.layout_manager
        left, _, right, _ = grid.padding
        room = self.list_view.width - left - right - grid.spacing[0] * (grid.cols - 1)
        return room / grid.cols if room > dp(240) else 0.0
