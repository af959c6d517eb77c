"""Lines of a screen that is no list: another item, and a fact."""

from typing import TYPE_CHECKING, Self

from kivy.properties import NumericProperty, StringProperty
from kivy.uix.behaviors import ButtonBehavior
from kivy.uix.boxlayout import BoxLayout

from device_app.widgets.basics import Hoverable

if TYPE_CHECKING:
    from device_app.views import Card


class ItemLine(ButtonBehavior, Hoverable, BoxLayout):
    """A tap opens the item.

    Attributes:
        facts: what is known of it, or what it does here.
        share: the length of a bar beneath; 0 without one.
    """

    item_id = StringProperty()
    title = StringProperty()
    facts = StringProperty()
    initials = StringProperty()
    share = NumericProperty(0)

    @classmethod
    def of(cls, card: "Card", **others: object) -> Self:
        texts = {"title": card.title, "facts": card.facts, "initials": card.initials}
        return cls(item_id=card.item_id, **texts | others)


class Fact(BoxLayout):
    """What something is called, and its value."""

    name = StringProperty()
    value = StringProperty()
