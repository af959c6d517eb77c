"""The keyboard's place in the window: what Tab and the arrows go through, and the ring around it."""

from collections.abc import Iterator
from typing import NamedTuple
from weakref import WeakKeyDictionary

from kivy.clock import Clock, ClockEvent
from kivy.core.window import Window
from kivy.metrics import dp
from kivy.properties import BooleanProperty, ListProperty, NumericProperty
from kivy.uix.scrollview import ScrollView
from kivy.uix.textinput import TextInput
from kivy.uix.widget import Widget

from device_app.widgets.basics import Hoverable
from device_app.widgets.controls import Slide

TRIES = 8
"""Frames in which a list may bring a far item into view."""


class Stop(NamedTuple):
    """One place of the focus.

    Attributes:
        widget: a button, a text field, or the list that holds the item.
        index: of the item in the list, whose widgets change while it scrolls; -1 outside of lists.
        part: 0 for the whole item, then its buttons; -1 for the last of them.
    """

    widget: Widget
    index: int = -1
    part: int = 0


class FocusRing(Widget):
    """Drawn above everything, around whatever has the focus, while the keyboard is in use."""

    box = ListProperty([0, 0, 0, 0])
    corner = NumericProperty(0)
    shown = BooleanProperty(False)

    def surround(self, widget: Widget | None) -> None:
        self.shown = widget is not None
        if widget is not None:
            gap = dp(2)
            x, y = widget.to_window(widget.x, widget.y)
            self.corner = min(getattr(widget, "corner", dp(14)), widget.height / 2) + gap
            self.box = [x - gap, y - gap, widget.width + 2 * gap, widget.height + 2 * gap]


class Focus:
    """Moves the focus through a window.

    Args:
        ring: shows where the focus is.
        areas: content first, in the order in which Tab goes through them.
    """

    def __init__(self, ring: FocusRing, areas: list[Widget]) -> None:
        self._ring = ring
        self._areas = areas
        self._stop: Stop | None = None
        self._content: Widget | None = None
        self._left_at: WeakKeyDictionary[Widget, Stop] = WeakKeyDictionary()
        self._following: ClockEvent = Clock.create_trigger(self._follow, 0, interval=True)
        Window.bind(on_touch_down=self.hide)

    def leave(self) -> None:
        """The window is closing, or made anew."""
        Window.unbind(on_touch_down=self.hide)
        self.hide()

    def enter(self, content: Widget) -> None:
        """`content` stands beside the navigation now: the focus is where it was there, if ever."""
        self._stop_typing()
        old, self._content = self._content, content
        if self._stop is not None and old is not None and _is_within(self._stop.widget, old):
            self._left_at[old] = self._stop
            self._stop = None
        if self._stop is None:
            self._stop = self._left_at.get(content)
        if self._stop is None:
            self._ring.surround(None)

    @property
    def is_shown(self) -> bool:
        return bool(self._ring.shown)

    @property
    def widget(self) -> Widget | None:
        """What has the focus, where it is in view."""
        if self._stop is None or self._stop.widget.get_root_window() is None:
            return None
        parts = _parts(self._stop)
        return parts[min(self._stop.part, len(parts) - 1)] if parts else None

    def hide(self, *_: object) -> None:
        """The mouse or a finger took over; the next key goes on from where the focus was."""
        self._following.cancel()
        self._ring.surround(None)

    def step(self, by: int) -> None:
        """Tab (1) and Shift+Tab (-1): through everything, an item's buttons after the item."""
        if self._resumes():
            return
        stop = self._stop
        parts = _parts(stop) if stop is not None and stop.index >= 0 else []
        part = (stop.part if stop and stop.part >= 0 else len(parts) - 1) + by
        if stop is None or stop.index < 0:
            self._neighbour(by)
        elif 0 <= part < len(parts):
            self._go(stop._replace(part=part))
        elif 0 <= stop.index + by < len(stop.widget.data):
            self._go(Stop(stop.widget, stop.index + by, 0 if by > 0 else -1))
        else:
            self._neighbour(by)

    def arrow(self, x: int, y: int) -> None:
        """Among the items of a list; along the buttons of one; else to the next thing."""
        if self._resumes():
            return
        stop = self._stop
        if x and isinstance(self.widget, Slide):
            self.widget.nudge(x)
            return
        if stop is None or stop.index < 0:
            if (stop is not None and y <= 0) or not self.first_item():
                self._neighbour(x or y)
            return
        columns = stop.widget.layout_manager.cols
        index = stop.index + x + y * columns
        if x and (stop.part != 0 or columns == 1):
            part = min(max(stop.part + x, 0), len(_parts(stop)) - 1)
            self._go(stop._replace(part=part))
        elif 0 <= index < len(stop.widget.data):
            self._go(stop._replace(index=index))
        elif index < 0:
            self._neighbour(-1)

    def first_item(self) -> bool:
        """To the first item in view of the list in view; whether there is one."""
        for widget in self._stops():
            if _is_list(widget):
                self._go(Stop(widget, _first_in_view(widget)))
                return True
        return False

    def on(self, widget: Widget) -> None:
        """Put the focus on a button."""
        self._go(Stop(widget))

    def typing(self, field: TextInput) -> None:
        """A text field has taken the keyboard, by a tap or by Tab."""
        self._stop = Stop(field)
        self.hide()

    def press(self) -> bool:
        """Enter or Space: do what a tap on it would; whether there was something to press."""
        widget = self.widget
        if not self.is_shown or widget is None or isinstance(widget, TextInput):
            return False
        widget.dispatch("on_release")
        return True

    def _resumes(self) -> bool:
        """After the mouse was used, the first key only shows where the focus is, if it is in view."""
        if self.is_shown or self._stop is None or self.widget is None:
            return False
        if isinstance(self._stop.widget, TextInput):
            return False
        self._go(self._stop)
        return True

    def _neighbour(self, by: int) -> None:
        widgets = list(self._stops())
        if not widgets:
            return
        present = self._stop.widget if self._stop is not None else None
        if present in widgets:
            widget = widgets[(widgets.index(present) + by) % len(widgets)]
        else:
            widget = widgets[0 if by > 0 else -1]
        is_list = _is_list(widget)
        self._go(Stop(widget, _first_in_view(widget)) if is_list else Stop(widget))

    def _stops(self) -> Iterator[Widget]:
        for area in self._areas:
            yield from _stops_in(area)

    def _go(self, stop: Stop, tries: int = TRIES) -> None:
        self._stop_typing()
        self._stop = stop
        if isinstance(stop.widget, TextInput):
            self.hide()
            stop.widget.focus = True
            return
        widget = self.widget
        if widget is None and stop.index >= 0 and tries:
            # Items of about the same height: this one is in view when the list is as far down.
            stop.widget.scroll_y = 1 - stop.index / max(1, len(stop.widget.data) - 1)
            Clock.schedule_once(lambda _: self._stop == stop and self._go(stop, tries - 1), 0)
            return
        if widget is not None:
            if stop.part < 0:
                self._stop = stop._replace(part=len(_parts(stop)) - 1)
            _scroll_to(widget)
        self._following.cancel()
        self._following()
        self._ring.surround(widget)

    def _stop_typing(self) -> None:
        """A field out of view would go on taking the keys."""
        if self._stop is not None and isinstance(self._stop.widget, TextInput):
            self._stop.widget.focus = False

    def _follow(self, *_: object) -> None:
        """Lists scroll and are filled anew under the ring."""
        stop = self._stop
        if stop is not None and stop.index >= 0 and stop.widget.data:
            self._stop = stop = stop._replace(index=min(stop.index, len(stop.widget.data) - 1))
        self._ring.surround(self.widget)


def _is_list(widget: Widget) -> bool:
    """Not by its class: the one that kv knows is loaded a second time, under another name."""
    return isinstance(widget, ScrollView) and hasattr(widget, "view_adapter")


def _stops_in(widget: Widget) -> Iterator[Widget]:
    """Lists, buttons and text fields that can be used, in reading order."""
    if widget.disabled or not widget.opacity or min(widget.size) <= 0:
        return
    if _is_list(widget):
        if widget.data:
            yield widget
        return
    if isinstance(widget, Hoverable | TextInput):
        yield widget
    for child in reversed(widget.children):
        yield from _stops_in(child)


def _parts(stop: Stop) -> list[Widget]:
    if stop.index < 0:
        return [stop.widget]
    view = stop.widget.view_adapter.get_visible_view(stop.index)
    return list(_stops_in(view)) if view is not None else []


def _first_in_view(list_view: Widget) -> int:
    """The first item whose top is in view."""
    top = list_view.to_window(list_view.x, list_view.top)[1]
    for index in range(len(list_view.data)):
        view = list_view.view_adapter.get_visible_view(index)
        if view is not None and view.to_window(view.x, view.top)[1] <= top + dp(4):
            return index
    return 0


def _scroll_to(widget: Widget) -> None:
    """Bring a widget into view, with a strip of what is next to it, so that a list has made that.

    Not by `ScrollView.scroll_to`, which does not work on a RecycleView.
    """
    parent = widget.parent
    while isinstance(parent, Widget):
        if isinstance(parent, ScrollView) and parent.do_scroll_y:
            _scroll_by(parent, _beyond(widget, parent, 1))
        elif isinstance(parent, ScrollView):
            _scroll_by(parent, _beyond(widget, parent, 0), axis=0)
        parent = parent.parent


def _beyond(widget: Widget, view: ScrollView, axis: int) -> float:
    """Pixels that the content must move, to the right or up, for the widget to be in view."""
    strip = dp(24)
    low = widget.to_window(*widget.pos)[axis] - strip
    high = widget.to_window(widget.right, widget.top)[axis] + strip
    view_low = view.to_window(*view.pos)[axis]
    view_high = view.to_window(view.right, view.top)[axis]
    if high > view_high or high - low > view_high - view_low:
        return view_high - high
    return max(0.0, view_low - low)


def _scroll_by(view: ScrollView, pixels: float, axis: int = 1) -> None:
    if all(content.size[axis] <= view.size[axis] for content in view.children):
        return  # a list that is shorter than its view would leave its top
    name = ("scroll_x", "scroll_y")[axis]
    share = view.convert_distance_to_scroll(*((pixels, 0), (0, pixels))[axis])[axis]
    setattr(view, name, min(1.0, max(0.0, getattr(view, name) - share)))


def _is_within(widget: Widget, ancestor: Widget) -> bool:
    present: object = widget
    while isinstance(present, Widget):
        if present is ancestor:
            return True
        present = present.parent if present.parent is not present else None
    return False
