"""The window: builds the screens, hands their questions to the worker, and knows what is shown."""

import gc
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from kivy.app import App
from kivy.clock import Clock
from kivy.core.window import Window
from kivy.metrics import Metrics, dp, sp
from kivy.properties import BooleanProperty, NumericProperty, ObjectProperty, StringProperty
from kivy.uix.floatlayout import FloatLayout
from kivy.uix.widget import Widget

from device_app import rules
from device_app.appearance import Appearance
from device_app.changes import Changes
from device_app.keyboard import Keyboard
from device_app.language import tr
from device_app.places import default_bundle, shipped_bundle
from device_app.preferences import preferences_path
from device_app.screens.page import OverPage, Page
from device_app.theme import register_fonts
from device_app.widgets import basics, focus, snackbar
from device_app.widgets.navigation import PLACES
from device_app.worker import Worker
from pocketrec.errors import BundleError, PocketRecError

if TYPE_CHECKING:
    from device_app.session import Session
    from device_app.views import About
    from pocketrec.engine import Loader

T = TypeVar("T")

WIDE_DP = 760
RAIL_DP = 216
PAGES = {
    "for_you": "ForYouPage",
    "search": "SearchPage",
    "saved": "SavedPage",
    "history": "HistoryPage",
    "settings": "SettingsPage",
}
"""Place of the navigation, which names the module, and class."""


class Shell(FloatLayout):
    """Navigation, the present screen, and the short message above both."""


class Pages(dict[str, Page]):
    """The places of the navigation, each made when it is first gone to."""

    def __missing__(self, place: str) -> Page:
        page: Page = getattr(import_module(f"device_app.screens.{place}"), PAGES[place])()
        self[place] = page
        return page


class PocketRecApp(App):
    """The app over one bundle and one history database.

    Args:
        bundle: None opens the one that was installed, else the one that the app came with.
        engine: loads the graphs of the bundle; None leaves the choice to `pocketrec`.
        came_with: the bundle that lies in the same package; None is that of `shipped_bundle`.

    Attributes:
        theme: the colours in use; `looks` chooses them.
        page: the place of the navigation in view, or beneath what is opened over it.
        wide: whether there is room for the rail and two columns.
        titles: how many items the bundle holds; 0 before it is open.
        is_open: whether bundle and history are open, so that the screens have something to show.
        margin, content_x, content_width, content_bottom: pixels, for the kv rules.
    """

    title = "PocketRec"
    icon = str(Path(__file__).with_name("icon.png"))
    theme = ObjectProperty(None)
    page = StringProperty("for_you")
    wide = BooleanProperty(False)
    titles = NumericProperty(0)
    is_open = BooleanProperty(False)
    margin = NumericProperty(0)
    content_x = NumericProperty(0)
    content_width = NumericProperty(0)
    content_bottom = NumericProperty(0)

    def __init__(
        self,
        bundle: Path | None,
        database: Path,
        engine: "Loader | None" = None,
        came_with: Path | None = None,
    ) -> None:
        super().__init__(kv_file="")
        self._came_with = bundle or came_with or shipped_bundle()
        self._bundle = bundle or default_bundle(self._came_with)
        self._engine = engine
        self._database = database
        self._worker = Worker(self._deliver)
        self._stopped = False
        self._session: Session | None = None
        self._opened_pages: list[OverPage] = []
        self._pointer: basics.Pointer | None = None
        self._keyboard = Keyboard(self)
        self.changes = Changes(self)

    def load_kv(self, filename: str | None = None) -> bool:
        """The rules are loaded by `build`, so that `on_stop` can unload them."""
        return False

    def build(self) -> Shell:
        register_fonts()
        self.looks = Appearance(preferences_path(self._database), self._worker, self.report)
        self.theme = self.looks.theme
        rules.load()
        # What the window is cleared with is there for nothing; a rectangle of its size is not.
        self.theme.fbind("background", self._paint_ground)
        self._paint_ground()
        Window.softinput_mode = "below_target"
        self._measure()
        Window.bind(size=self._measure, on_keyboard=self._keyboard.pressed, focus=self._came_back)
        return Shell()

    def on_start(self) -> None:
        self._furnish()
        self._show(self._current)
        self._current.present(self._current.skeleton)
        # The model is opened after the first frame is on screen.
        Window.bind(on_flip=self._first_frame)

    def on_stop(self) -> None:
        """Everything handed to the worker is written before the window is gone."""
        if self._stopped:  # `stop` says it a second time
            return
        self._stopped = True
        Window.unbind(on_flip=self._first_frame)
        Window.unbind(size=self._measure, on_keyboard=self._keyboard.pressed, focus=self._came_back)
        if self._pointer is not None:
            self._pointer.leave()
            self.focus.leave()
        self.looks.leave()
        self._worker.close(self._close_session)
        rules.unload()

    def open(self) -> None:
        """Open bundle and history, off the window's thread."""
        self._worker.submit(self._open_session, self._opened, self._failed_to_open)

    def reopen(self) -> None:
        """Open the bundle that is in use by now, with nothing left over from the one before."""
        self.is_open = False
        self._opened_pages.clear()
        self._bundle = default_bundle(self._came_with)
        self._worker.submit(self._close_session, lambda _: None, self.report)
        self._furnish()
        self._show(self._current)
        self.open()

    def ask(
        self,
        work: "Callable[[Session], T]",
        done: Callable[[T], None],
        failed: Callable[[PocketRecError], None] | None = None,
    ) -> None:
        """Run `work` on the session off the window's thread, then `done` with the answer on it.

        Nothing is asked of a session that is not open: what would have asked is made anew with it.
        """
        if not self.is_open:
            return

        def on_session() -> T:
            assert self._session is not None, "screens are loaded once the session is open"
            return work(self._session)

        self._worker.submit(on_session, done, failed or self.report)

    def go(self, page: str) -> None:
        """To a place of the navigation, out of all that is opened over the present one."""
        if not self.is_open:
            return
        self._opened_pages.clear()
        if self.page == page:
            self._show_current()
        self.page = page

    def show_item(self, item_id: str) -> None:
        """Open an item over what is in view, unless it is that item."""
        from device_app.screens.detail import DetailPage

        if getattr(self._current, "item_id", None) != item_id:
            self.open_page(DetailPage(item_id=item_id))

    def open_page(self, page: OverPage) -> None:
        """Open a page over what is in view, which stays as it is."""
        if self.is_open:
            below = self._opened_pages[-1].title if self._opened_pages else tr(PLACES[self.page][1])
            page.way_back = below
            self._opened_pages.append(page)
            self._show_current()

    def open_wall(self) -> None:
        """Where one without a history begins."""
        from device_app.screens.wall import WallPage

        self.open_page(WallPage())

    def back(self) -> bool:
        """To what is beneath an opened page, or from another place home; whether there was a way."""
        if self._opened_pages:
            self._opened_pages.pop()
            self._show_current()
        elif self.page != "for_you":
            self.go("for_you")
        else:
            return False
        return True

    def other_picks(self) -> None:
        if self._current is self._pages["for_you"]:
            self._current.other_picks()

    def say(self, text: str, action: str = "", press: Callable[[], None] | None = None) -> None:
        """A short message over whatever is shown."""
        self._snackbar.show(text, action, press)

    def hush(self) -> None:
        """Take the short message away."""
        self._snackbar.hide()

    def report(self, error: PocketRecError) -> None:
        """Say what went wrong; of a bundle, whose errors are in English, first that in the language in use."""
        lead = tr("The bundle cannot be used.") if isinstance(error, BundleError) else ""
        self.say(f"{lead} {error}".lstrip())

    def reload(self) -> None:
        """What is shown may have changed."""
        self._current.load()

    def choose_text_size(self, name: str) -> None:
        if name != self.looks.text_size:
            self.looks.choose_text_size(name)
            self._make_anew(name)

    def choose_language(self, name: str) -> None:
        if name != self.looks.language:
            self.looks.choose_language(name)
            self._make_anew(name)

    def _make_anew(self, chosen: str) -> None:
        """All widgets: what they compute from `sp`, and what they say, they make out once.

        Args:
            chosen: the name of the chip that was pressed for it.
        """
        by_key = self.focus.is_shown
        before = self._pages
        rules.forget_rows()
        Window.remove_widget(self.root)
        self._measure()
        self.root = Shell()
        Window.add_widget(self.root)
        self._furnish()
        for place, page in before.items():
            self._pages[place].take_over(page)
        self._show_current()
        if by_key and self.page == "settings":
            Clock.schedule_once(lambda _: self.focus.on(self._current.choice(chosen)), 0)

    def on_page(self, _: App, page: str) -> None:
        if not self.is_open:
            return
        self._show_current()
        if page == "search" and self.wide:  # on a phone the keyboard would cover the screen
            self._pages["search"].focus()

    @property
    def _current(self) -> Page:
        return self._opened_pages[-1] if self._opened_pages else self._pages[self.page]

    @property
    def is_typing(self) -> bool:
        return self._current.is_typing

    @property
    def _snackbar(self) -> snackbar.Snackbar:
        return self.root.ids.snackbar

    def _show(self, content: Widget) -> None:
        """Make `content` what stands beside the navigation."""
        if self.root.ids.screen.children != [content]:
            self.root.ids.screen.clear_widgets()
            self.root.ids.screen.add_widget(content)
            self.focus.enter(content)

    def _show_current(self) -> None:
        self._show(self._current)
        self._current.load()

    def _furnish(self) -> None:
        """Make what stands in the shell and around it."""
        if self._pointer is not None:
            self._pointer.leave()
            self.focus.leave()
        self._pointer = basics.Pointer()
        self._pointer.follow()
        ids = self.root.ids
        self.focus = focus.Focus(ids.ring, [ids.screen, ids.snackbar, ids.rail, ids.bar])
        self._pages = Pages()

    def _came_back(self, _: object, focused: bool) -> None:
        if focused and not self._stopped:
            self.looks.follow_system()

    def _deliver(self, call: Callable[[], None]) -> None:
        """Run `call` on the window's thread, unless the window is gone by then."""
        Clock.schedule_once(lambda _: None if self._stopped else call())

    def _first_frame(self, *_: object) -> None:
        Window.unbind(on_flip=self._first_frame)
        self.open()

    def _open_session(self) -> "Session":
        # Imported here: numpy and the inference engine load while the first frame is on screen.
        from device_app.session import Session

        return Session.open(self._bundle, self._database, self._engine)

    def _close_session(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def _opened(self, session: "Session") -> None:
        self._session = session
        self.changes.forget()
        self.is_open = True
        self.ask(lambda s: (s.about, s.is_new), self._begin)

    def _begin(self, answer: "tuple[About, bool]") -> None:
        about, is_new = answer
        # What is there by now stays, modules most of it. To look through it for garbage takes Python .06 s at a time, which
        # is a halt where something scrolls. Once: what a bundle before this one left behind is garbage.
        if not gc.get_freeze_count():
            gc.collect()  # or garbage would stay as well
            gc.freeze()
        self.titles = about.items
        if is_new and self.page == "for_you":
            self.open_wall()
        else:
            self._show_current()

    def _failed_to_open(self, error: PocketRecError) -> None:
        from device_app.screens.failure import Failure

        failure = Failure()
        failure.explain(error, self.open)
        self._show(failure)

    def _paint_ground(self, *_: object) -> None:
        Window.clearcolor = self.theme.background

    def _measure(self, *_: object) -> None:
        width = Window.width / Metrics.density
        self.wide = width >= WIDE_DP
        self.margin = dp(32) if self.wide else dp(16)
        self.content_x = dp(RAIL_DP) if self.wide else 0
        self.content_width = Window.width - self.content_x
        self.content_bottom = 0 if self.wide else dp(52) + sp(22)
