"""Titles of at most two lines. Kivy shortens one line only, and a list must know its heights."""

from functools import lru_cache

from kivy.core.text import Label as CoreLabel
from kivy.metrics import sp

from device_app.typeface import font_for

MOST_LINES = 2


def line_count(text: str, size: float, width: float) -> int:
    """How many lines, at most two, a title of `size` sp takes in `width` pixels."""
    return min(MOST_LINES, 1 + int(_extents(text, sp(size))[0] > width))


def line_height(text: str, size: float) -> float:
    """Pixels of one line; Chinese and Japanese stand higher."""
    return _extents(text, sp(size))[1]


def fitted(text: str, size: float, width: float) -> str:
    """The title, or as much of it as two lines of `width` pixels hold, with an ellipsis.

    A tenth is kept back for the words that do not fill their line.
    """
    room = (MOST_LINES - 0.1) * width
    if _extents(text, sp(size))[0] <= room:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if _extents(text[:middle] + "…", sp(size))[0] <= room:
            low = middle
        else:
            high = middle - 1
    return text[:low].rstrip(" ,;:-") + "…"


def natural_width(text: str, pixels: float) -> float:
    """Pixels of one line of plain text in letters of so many pixels."""
    return _extents(text, pixels, bold=False)[0]


@lru_cache(maxsize=2048)
def _extents(text: str, pixels: float, bold: bool = True) -> tuple[float, float]:
    label = CoreLabel(font_size=pixels, font_name=font_for(text), bold=bold)
    width, height = label.get_extents(text)
    return float(width), float(height)
