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

_WIDTH, _HEIGHT = 84, 116


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


@cache
def tile_texture(index: int) -> Texture:
    """A diagonal gradient, light above, with a light and a dark disc."""
    import numpy as np  # loaded with the model by the time there is a card to draw

    y, x = np.mgrid[:_HEIGHT, :_WIDTH].astype(np.float32)

    def disc(centre_x: float, centre_y: float, radius: float) -> np.ndarray:
        """How much of each pixel a disc covers, its edge one pixel soft."""
        distance = np.hypot(x - centre_x * _WIDTH, y - centre_y * _HEIGHT)
        return np.clip(radius * _WIDTH - distance + 0.5, 0, 1)[..., None]

    dark, light = (np.array(_rgb(colour), np.float32) for colour in TINTS[index])
    side = index % 2
    colours = dark + (light - dark) * (0.75 * y / _HEIGHT + 0.25 * x / _WIDTH)[..., None]
    colours += 0.11 * disc(1 - side, 0.98, 0.62) * (255 - colours)
    colours *= 1 - 0.14 * disc(side, 0.1, 0.5)
    texture = Texture.create(size=(_WIDTH, _HEIGHT), colorfmt="rgb")
    texture.mag_filter = texture.min_filter = "linear"
    texture.wrap = "clamp_to_edge"
    texture.blit_buffer(colours.astype(np.uint8).tobytes(), colorfmt="rgb", bufferfmt="ubyte")
    return texture


class Tile(Label):
    item_id = StringProperty()
    gradient = ObjectProperty(None, allownone=True)
    radius = NumericProperty(0)

    def on_item_id(self, _: Label, item_id: str) -> None:
        self.gradient = tile_texture(tint(item_id, len(TINTS)))
