"""What stands where a poster would: a gradient that an item keeps, and its initials."""

from functools import cache

from kivy.graphics.texture import Texture
from kivy.properties import NumericProperty, ObjectProperty, StringProperty
from kivy.uix.label import Label

from device_app.presentation import tint

TINTS = (
    ("#1f3b73", "#5b8def"),
    ("#0b5550", "#3fb8ac"),
    ("#4a2277", "#a874ea"),
    ("#7a2440", "#e8728f"),
    ("#7c4708", "#eba94f"),
    ("#1f4d2b", "#74bd84"),
    ("#36424f", "#8ba3bb"),
    ("#6b2a12", "#ec8258"),
    ("#123f5e", "#48b3d9"),
    ("#5a1f5e", "#d277c8"),
    ("#3d4013", "#b3b547"),
    ("#2a2a6e", "#8087ee"),
)

_WIDTH, _HEIGHT = 44, 60


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _disc(x: float, y: float, cx: float, cy: float, radius: float) -> float:
    """How much of the pixel at (x, y) a disc covers, 0 to 1, its edge one pixel soft."""
    distance = ((x - cx) ** 2 + (y - cy) ** 2) ** 0.5
    return min(1.0, max(0.0, radius - distance + 0.5))


@cache
def tile_texture(index: int) -> Texture:
    """A diagonal gradient, dark below, with a light and a dark disc; a few milliseconds, once."""
    dark, light = (_rgb(colour) for colour in TINTS[index])
    side = index % 2 * _WIDTH
    pixels = bytearray()
    for y in range(_HEIGHT):
        for x in range(_WIDTH):
            along = 0.75 * y / _HEIGHT + 0.25 * x / _WIDTH
            glow = 0.11 * _disc(x, y, _WIDTH - side, _HEIGHT * 0.98, _WIDTH * 0.62)
            shade = 0.14 * _disc(x, y, side, _HEIGHT * 0.1, _WIDTH * 0.5)
            for low, high in zip(dark, light, strict=True):
                value = low + (high - low) * along
                pixels.append(round((value + (255 - value) * glow) * (1 - shade)))
    texture = Texture.create(size=(_WIDTH, _HEIGHT), colorfmt="rgb")
    texture.mag_filter = texture.min_filter = "linear"
    texture.wrap = "clamp_to_edge"
    texture.blit_buffer(bytes(pixels), colorfmt="rgb", bufferfmt="ubyte")
    return texture


class Tile(Label):
    item_id = StringProperty()
    gradient = ObjectProperty(None, allownone=True)
    radius = NumericProperty(0)

    def on_item_id(self, _: Label, item_id: str) -> None:
        self.gradient = tile_texture(tint(item_id, len(TINTS)))
