"""What stands where a poster would: a gradient that an item keeps, and its initials."""

from functools import lru_cache

from kivy.clock import Clock
from kivy.graphics.texture import Texture
from kivy.properties import NumericProperty, ObjectProperty, StringProperty
from kivy.uix.label import Label

from device_app.presentation import tint
from device_app.widgets.rounded import texture_of

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


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


@lru_cache(maxsize=64)
def tile_texture(index: int, width: int, height: int, radius: int) -> Texture:
    """A diagonal gradient, light above, with a light and a dark disc and round corners; sizes in pixels."""
    import numpy as np  # loaded with the model by the time there is a card to draw

    y, x = np.mgrid[:height, :width].astype(np.float32) + np.float32(0.5)

    def disc(centre_x: float, centre_y: float, share: float) -> np.ndarray:
        """How much of each pixel a disc covers, its edge one pixel soft."""
        distance = np.hypot(x - centre_x * width, y - centre_y * height)
        return np.clip(share * width - distance + 0.5, 0, 1)[..., None]

    dark, light = (np.array(_rgb(colour), np.float32) for colour in TINTS[index])
    side = index % 2
    colours = dark + (light - dark) * (0.75 * y / height + 0.25 * x / width)[..., None]
    colours += 0.11 * disc(1 - side, 0.98, 0.62) * (255 - colours)
    colours *= 1 - 0.14 * disc(side, 0.1, 0.5)
    beyond = np.hypot(
        *(np.maximum(radius - np.minimum(at, end - at), 0) for at, end in ((x, width), (y, height)))
    )
    cover = 255 * np.clip(radius - beyond + 0.5, 0, 1)[..., None]
    pixels = np.concatenate([colours, cover], axis=2).astype(np.uint8)
    return texture_of(width, height, pixels.tobytes())


class Tile(Label):
    item_id = StringProperty()
    gradient = ObjectProperty(None, allownone=True)
    radius = NumericProperty(0)

    def __init__(self, **kwargs: object) -> None:
        # Before the next frame: by then it has its size.
        self._paint = Clock.create_trigger(self._painted, -1)
        super().__init__(**kwargs)
        for name in ("item_id", "size", "radius"):
            self.fbind(name, self._paint)

    def _painted(self, *_: object) -> None:
        width, height, radius = (round(length) for length in (*self.size, self.radius))
        if self.item_id and width > 0 and height > 0:
            self.gradient = tile_texture(tint(self.item_id, len(TINTS)), width, height, radius)
