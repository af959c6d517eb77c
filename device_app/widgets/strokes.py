"""Icons that are drawn with lines, since the fonts in this folder do not hold them."""

from dataclasses import dataclass

from kivy.clock import Clock
from kivy.graphics import Color, InstructionGroup, SmoothLine
from kivy.properties import BooleanProperty, StringProperty
from kivy.uix.label import Label

from device_app.widgets.rounded import Rounded

GRID = 24
"""Side of the square that the points below lie in; y grows upwards."""


@dataclass(frozen=True)
class Strokes:
    """Lines as x, y, x, y, ... and knobs as (x, y, radius), which are full where an icon is filled.

    Attributes:
        weight: half the width of a line.
    """

    lines: tuple[tuple[float, ...], ...]
    knobs: tuple[tuple[float, float, float], ...] = ()
    weight: float = 1.15


STROKES = {
    "add": Strokes(((12, 4.5, 12, 19.5), (4.5, 12, 19.5, 12))),
    "back": Strokes(((20, 12, 4.5, 12), (11.5, 19, 4.5, 12, 11.5, 5))),
    "file": Strokes(((6, 20.5, 14, 20.5, 18, 16.5, 18, 3.5, 6, 3.5, 6, 20.5),)),
    "folder": Strokes(((3.5, 19, 9.5, 19, 11.5, 16.5, 20.5, 16.5, 20.5, 5, 3.5, 5, 3.5, 19),)),
    "next": Strokes(((9, 18, 15, 12, 9, 6),)),
    "seen": Strokes(((4, 12, 9.5, 6.5, 20, 17),), weight=1.5),
    "settings": Strokes(
        ((3, 17.5, 12.2, 17.5), (17.8, 17.5, 21, 17.5), (3, 6.5, 6.2, 6.5), (11.8, 6.5, 21, 6.5)),
        ((15, 17.5, 2.8), (9, 6.5, 2.8)),
    ),
    "up": Strokes(((12, 4.5, 12, 19.5), (5.5, 13, 12, 19.5, 18.5, 13))),
}


class Drawn(Label):
    """A label whose `icon` is drawn where it is one of STROKES; its text is then empty."""

    icon = StringProperty()
    filled = BooleanProperty(False)

    def __init__(self, **kwargs: object) -> None:
        self._strokes = InstructionGroup()
        self._redraw = Clock.create_trigger(self._draw, -1)
        super().__init__(**kwargs)
        self.canvas.after.add(self._strokes)
        for name in ("icon", "filled", "pos", "size", "font_size", "color"):
            self.fbind(name, self._changed)
        self._changed()

    def _changed(self, *_: object) -> None:
        if self.icon in STROKES or self._strokes.length():
            self._redraw()

    def _draw(self, *_: object) -> None:
        self._strokes.clear()
        strokes = STROKES.get(self.icon)
        if strokes is None:
            return
        unit = self.font_size / GRID
        left, bottom = self.center_x - self.font_size / 2, self.center_y - self.font_size / 2
        width = strokes.weight * unit
        self._strokes.add(Color(*self.color))
        for line in strokes.lines:
            points = [(left, bottom)[i % 2] + value * unit for i, value in enumerate(line)]
            self._strokes.add(SmoothLine(points=points, width=width, cap="round", joint="round"))
        for x, y, radius in strokes.knobs:
            centre_x, centre_y, pixels = left + x * unit, bottom + y * unit, radius * unit
            self._strokes.add(SmoothLine(circle=(centre_x, centre_y, pixels), width=width))
            if self.filled:
                box = (centre_x - pixels, centre_y - pixels)
                self._strokes.add(Rounded(pos=box, size=(2 * pixels, 2 * pixels), radius=pixels))
