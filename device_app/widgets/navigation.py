"""Ways between the screens: a bar at the bottom when narrow, a rail at the left when wide."""

from typing import Final

from kivy.properties import BooleanProperty, StringProperty
from kivy.uix.behaviors import ButtonBehavior
from kivy.uix.boxlayout import BoxLayout
from kivy.uix.floatlayout import FloatLayout

from device_app.language import mark
from device_app.widgets.basics import Hoverable

PLACES: Final = {
    "for_you": ("home", mark("For you")),
    "search": ("search", mark("Search")),
    "saved": ("bookmarks", mark("Saved")),
    "history": ("history", mark("History")),
    "settings": ("settings", mark("Settings")),
}
"""page -> icon and name, in the order of the navigation and of Ctrl+1, Ctrl+2, ..."""


class NavItem(ButtonBehavior, Hoverable, FloatLayout):
    """Icon above name, a pill behind the icon of the present screen."""

    icon = StringProperty()
    text = StringProperty()
    active = BooleanProperty(False)


class RailItem(ButtonBehavior, Hoverable, BoxLayout):
    """Icon beside name, a pill behind both."""

    icon = StringProperty()
    text = StringProperty()
    active = BooleanProperty(False)


class BottomBar(BoxLayout):
    pass


class Rail(BoxLayout):
    pass
