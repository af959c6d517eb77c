"""The window: builds the screens, hands their questions to the worker, and knows what is shown."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from kivy.app import App
from kivy.clock import Clock
from kivy.core.window import Window
from kivy.lang import Builder
from kivy.metrics import Metrics, dp, sp
from kivy.properties import BooleanProperty, NumericProperty, ObjectProperty, StringProperty
from kivy.uix.floatlayout import FloatLayout
from kivy.uix.widget import Widget

from device_app.events import Change, Kind
from device_app.preferences import Preferences, preferences_path
from device_app.screens import failure, for_you, history, page, search
from device_app.screens.page import Page
from device_app.theme import Theme, register_fonts
from device_app.widgets import basics, card, navigation, notice, rows, snackbar, tile
from device_app.worker import Worker
from pocketrec.errors import PocketRecError

if TYPE_CHECKING:
    from device_app.session import Session
    from pocketrec.engine import Loader

T = TypeVar("T")

WIDE_DP = 760
RAIL_DP = 216

# Importing a module makes its classes known to kv; its rules lie beside it. In order of use.
PARTS = (basics, tile, card, rows, navigation, notice, snackbar, page, for_you, search, history)
KV_FILES = [str(Path(part.__file__).with_suffix(".kv")) for part in PARTS]
KV_FILES.append(str(Path(__file__).with_name("shell.kv")))

SAID = {"like": "Liked", "dislike": "Not for you:", "hide": "Hidden:", "save": "Saved"}
PAGES = ("for_you", "search", "history")


class Shell(FloatLayout):
    """Navigation, the present screen, and the short message above both."""


class PocketRecApp(App):
    """The app over one bundle and one history database.

    Args:
        engine: loads the graphs of the bundle; None leaves the choice to `pocketrec`.

    Attributes:
        page: the screen in view.
        wide: whether there is room for the rail and two columns.
        about: one line on the bundle.
        is_open: whether bundle and history are open, so that the screens have something to show.
        margin, content_x, content_width, content_bottom: pixels, for the kv rules.
    """

    title = "PocketRec"
    theme = ObjectProperty(None)
    page = StringProperty("for_you")
    wide = BooleanProperty(False)
    about = StringProperty()
    is_open = BooleanProperty(False)
    margin = NumericProperty(0)
    content_x = NumericProperty(0)
    content_width = NumericProperty(0)
    content_bottom = NumericProperty(0)

    def __init__(self, bundle: Path, database: Path, engine: "Loader | None" = None) -> None:
        super().__init__(kv_file="")
        self._bundle = bundle
        self._engine = engine
        self._database = database
        self._preferences = preferences_path(database)
        self._worker = Worker(self._deliver)
        self._stopped = False
        self._session: Session | None = None
        self._waiting: set[str] = set()
        self._last: Change | None = None
        self._pointer: basics.Pointer | None = None

    def load_kv(self, filename: str | None = None) -> bool:
        """The rules are loaded by `build`, so that `on_stop` can unload them."""
        return False

    def build(self) -> Shell:
        register_fonts()
        self.theme = Theme(dark=Preferences.read(self._preferences).dark)
        for file in KV_FILES:
            Builder.load_file(file)
        Window.softinput_mode = "below_target"
        self._measure()
        Window.bind(size=self._measure, on_keyboard=self._pressed_key)
        return Shell()

    def on_start(self) -> None:
        self._pointer = basics.Pointer()
        self._pointer.follow()
        self._pages = {
            "for_you": for_you.ForYouPage(),
            "search": search.SearchPage(),
            "history": history.HistoryPage(),
        }
        self._failure = failure.Failure()
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
        Window.unbind(size=self._measure, on_keyboard=self._pressed_key)
        if self._pointer is not None:
            self._pointer.leave()
        self._worker.close(self._close_session)
        for file in KV_FILES:
            Builder.unload_file(file)

    def open(self) -> None:
        """Open bundle and history, off the window's thread."""
        self._worker.submit(self._open_session, self._opened, self._failed_to_open)

    def ask(
        self,
        work: "Callable[[Session], T]",
        done: Callable[[T], None],
        failed: Callable[[PocketRecError], None] | None = None,
    ) -> None:
        """Run `work` on the session off the window's thread, then `done` with the answer on it."""

        def on_session() -> T:
            assert self._session is not None, "screens are loaded once the session is open"
            return work(self._session)

        self._worker.submit(on_session, done, failed or self.report)

    def mark(self, item_id: str, title: str, kind: Kind) -> None:
        """A button of an item was pressed. A second press before the answer does nothing."""
        self._change(item_id, title, lambda session: session.mark(item_id, kind))

    def withdraw(self, item_id: str, title: str, kind: Kind) -> None:
        """An entry of the history is to be removed."""
        self._change(item_id, title, lambda session: session.withdraw(item_id, kind))

    def undo(self) -> None:
        """Take back the last change, even when its short message is gone; once."""
        change, self._last = self._last, None
        if change is not None:
            self._snackbar.hide()
            self.ask(lambda session: session.undo(change), lambda _: self._current.load())

    def report(self, error: PocketRecError) -> None:
        """Say what went wrong, over whatever is shown."""
        self._snackbar.show(str(error))

    def toggle_theme(self) -> None:
        dark = not self.theme.dark
        self.theme.dark = dark
        self._worker.submit(
            lambda: Preferences(dark=dark).write(self._preferences), lambda _: None, self.report
        )

    def on_page(self, _: App, page: str) -> None:
        if not self.is_open:
            return
        self._show(self._current)
        self._current.load()
        if page == "search" and self.wide:  # on a phone the keyboard would cover the screen
            self._pages["search"].focus()

    @property
    def _current(self) -> Page:
        return self._pages[self.page]

    @property
    def _is_typing(self) -> bool:
        return self.page == "search" and self._pages["search"].is_typing

    @property
    def _snackbar(self) -> snackbar.Snackbar:
        return self.root.ids.snackbar

    def _show(self, content: Widget) -> None:
        """Make `content` what stands beside the navigation."""
        if self.root.ids.screen.children != [content]:
            self.root.ids.screen.clear_widgets()
            self.root.ids.screen.add_widget(content)

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
        if self._session is not None:
            self._session.close()

    def _opened(self, session: "Session") -> None:
        self._session = session
        self.is_open = True
        self.ask(lambda s: s.about, lambda about: setattr(self, "about", f"{about.items:,} titles"))
        self.on_page(self, self.page)

    def _failed_to_open(self, error: PocketRecError) -> None:
        self._failure.explain(error, self.open)
        self._show(self._failure)

    def _change(self, item_id: str, title: str, work: "Callable[[Session], Change]") -> None:
        if item_id in self._waiting or not self.is_open:
            return
        self._waiting.add(item_id)

        def done(change: Change) -> None:
            self._waiting.discard(item_id)
            said = SAID[change.added[0].kind] if change.added else "Removed"
            self._last = change
            self._snackbar.show(f"{said} {title}", "Undo", self.undo)
            self._current.load()

        def failed(error: PocketRecError) -> None:
            self._waiting.discard(item_id)
            self.report(error)

        self.ask(work, done, failed)

    def _measure(self, *_: object) -> None:
        width = Window.width / Metrics.density
        self.wide = width >= WIDE_DP
        self.margin = dp(32) if self.wide else dp(16)
        self.content_x = dp(RAIL_DP) if self.wide else 0
        self.content_width = Window.width - self.content_x
        self.content_bottom = 0 if self.wide else dp(52) + sp(22)

    def _pressed_key(self, _: object, key: int, scan: int, text: str, modifiers: list[str]) -> bool:
        if not self.is_open:
            return False
        if key == 27 and self.page != "for_you":  # Escape, and the back button of a phone
            self.page = "for_you"
            return True
        if "ctrl" not in modifiers and "meta" not in modifiers:
            return False
        if text in ("1", "2", "3"):
            self.page = PAGES[int(text) - 1]
        elif text == "f":
            self.page = "search"
        elif text == "r" and self.page == "for_you":
            self._current.other_picks()
        elif text == "z" and not self._is_typing:  # there it undoes letters
            self.undo()
        elif text == "d":
            self.toggle_theme()
        else:
            return False
        return True
