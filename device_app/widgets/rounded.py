"""Shapes with round corners, each drawn in one go."""

from functools import cache

from kivy.factory import Factory
from kivy.graphics import BorderImage
from kivy.graphics.texture import Texture
from kivy.metrics import dp

CORNER = 10
"""Segments of a corner where Kivy draws a round outline; it would take 45, and 170 kB an outline for 65."""

Colour = tuple[float, float, float, float]
WHITE: Colour = (1, 1, 1, 1)


def texture_of(width: int, height: int, pixels: bytes) -> Texture:
    """A texture of RGBA bytes, rows from the bottom."""
    texture = Texture.create(size=(width, height), colorfmt="rgba")
    texture.mag_filter = texture.min_filter = "linear"
    texture.wrap = "clamp_to_edge"
    texture.blit_buffer(pixels, colorfmt="rgba", bufferfmt="ubyte")
    return texture


@cache
def _picture(radius: int, fill: Colour, edge: Colour, thick: int) -> Texture:
    """Four corners and two pixels between them, the outline one pixel soft.

    Args:
        radius: of a corner, in pixels.
        thick: of the edge, in pixels.
    """
    # A quarter is enough: the rest is its mirror image.
    away = [*(radius - place - 0.5 for place in range(radius)), 0.0]
    rows = []
    for y in away:
        row = []
        for x in away:
            inside = radius + 0.5 - (x * x + y * y) ** 0.5 if radius else 1
            ground = min(max(inside - thick, 0), 1)
            mixed = [e + (f - e) * ground for f, e in zip(fill, edge, strict=True)]
            mixed[3] *= min(max(inside, 0), 1)
            row.append(bytes(round(255 * share) for share in mixed))
        rows.append(b"".join([*row, *reversed(row)]))
    side = 2 * len(away)
    return texture_of(side, side, b"".join([*rows, *reversed(rows)]))


class Rounded(BorderImage):
    """A rectangle with round corners, in the colour that is set before it, times those of its own.

    Its corners are those of a small picture, the rest of which is stretched. Kivy's own SmoothRoundedRectangle draws a fan
    of triangles and then a ring: 150 kB a shape and frame for 45 where OpenGL is software, and twice the calls.

    Args:
        radius: of the corners, in pixels; at most half of the shorter side is taken.
        shades: of the inside and of its edge, one dp wide; None for white.
    """

    def __init__(
        self,
        pos: tuple[float, float] = (0, 0),
        size: tuple[float, float] = (0, 0),
        radius: float = 0,
        shades: tuple[Colour, Colour] | None = None,
    ) -> None:
        self._radius = radius
        self._shades = shades
        super().__init__(pos=pos, size=size)
        self._fit()  # Kivy has given it borders of its own meanwhile

    @property
    def size(self) -> tuple[float, float]:
        return BorderImage.size.__get__(self)

    @size.setter
    def size(self, size: tuple[float, float]) -> None:
        BorderImage.size.__set__(self, size)
        self._fit()

    @property
    def radius(self) -> float:
        return self._radius

    @radius.setter
    def radius(self, radius: float) -> None:
        self._radius = radius
        self._fit()

    @property
    def shades(self) -> tuple[Colour, Colour] | None:
        return self._shades

    @shades.setter
    def shades(self, shades: tuple[Colour, Colour] | None) -> None:
        self._shades = shades
        self._fit()

    def _fit(self) -> None:
        corner = max(0, min(round(self._radius), int(min(self.size) / 2)))
        fill, edge = map(tuple, self._shades or (WHITE, WHITE))
        self.texture = _picture(corner, fill, edge, round(dp(1)))
        self.border = (corner,) * 4


Factory.register("Rounded", cls=Rounded)
