"""The look in one place: colours of the light and the dark theme, one accent, and the fonts."""

from dataclasses import dataclass, fields

from kivy.core.text import LabelBase
from kivy.event import EventDispatcher
from kivy.properties import BooleanProperty, ColorProperty

from device_app.typeface import CHINESE, FILLED, FOLDER, JAPANESE, LATIN, OUTLINED


@dataclass(frozen=True)
class Palette:
    """Colours as #rrggbb.

    Attributes:
        background: behind everything.
        surface: cards, bars.
        raised: buttons and chips at rest.
        pressed: the same under a finger or pointer.
        line: the one-pixel edge of a surface.
        text, muted: first and second voice.
        accent: the one colour that means "yours": chosen, liked, recommended.
        accent_soft: a ground for accent-coloured text or icons.
        accent_text: text on accent.
        danger, danger_soft: disliked, failed.
        snack, snack_text, snack_accent: the short message at the bottom.
    """

    background: str
    surface: str
    raised: str
    pressed: str
    line: str
    text: str
    muted: str
    accent: str
    accent_soft: str
    accent_text: str
    danger: str
    danger_soft: str
    snack: str
    snack_text: str
    snack_accent: str


LIGHT = Palette(
    background="#f6f5f1",
    surface="#ffffff",
    raised="#f1efea",
    pressed="#e4e1d9",
    line="#e3e0d8",
    text="#17191b",
    muted="#64676b",
    accent="#0a6f63",
    accent_soft="#d8eee9",
    accent_text="#ffffff",
    danger="#b3261e",
    danger_soft="#f8e2df",
    snack="#1d2022",
    snack_text="#f3f3f1",
    snack_accent="#6ee0c8",
)

DARK = Palette(
    background="#0e1012",
    surface="#171a1d",
    raised="#22262a",
    pressed="#2f343a",
    line="#272b30",
    text="#f1f2f3",
    muted="#9aa1a9",
    accent="#5fdac2",
    accent_soft="#15352f",
    accent_text="#06231d",
    danger="#ff8a80",
    danger_soft="#3b1e1c",
    snack="#eef0f1",
    snack_text="#17191b",
    snack_accent="#0a6f63",
)


class Theme(EventDispatcher):
    """The palette in use; kv rules bind to its colours and follow a change."""

    dark = BooleanProperty(False)

    background = ColorProperty()
    surface = ColorProperty()
    raised = ColorProperty()
    pressed = ColorProperty()
    line = ColorProperty()
    text = ColorProperty()
    muted = ColorProperty()
    accent = ColorProperty()
    accent_soft = ColorProperty()
    accent_text = ColorProperty()
    danger = ColorProperty()
    danger_soft = ColorProperty()
    snack = ColorProperty()
    snack_text = ColorProperty()
    snack_accent = ColorProperty()

    def __init__(self, dark: bool) -> None:
        super().__init__(dark=dark)
        self.on_dark(self, dark)

    def on_dark(self, _: EventDispatcher, dark: bool) -> None:
        palette = DARK if dark else LIGHT
        for token in fields(palette):
            setattr(self, token.name, getattr(palette, token.name))


def register_fonts() -> None:
    LabelBase.register(
        LATIN, str(FOLDER / "Inter-Regular.ttf"), fn_bold=str(FOLDER / "Inter-SemiBold.ttf")
    )
    for name in (CHINESE, JAPANESE):
        LabelBase.register(name, str(FOLDER / f"{name}.otf"))
    for name in (OUTLINED, FILLED):
        LabelBase.register(name, str(FOLDER / f"{name}.ttf"))
