"""Titles of at most two lines. Kivy shortens one line only, and a list must know its heights."""

from functools import lru_cache

from kivy.core.text import Label as CoreLabel
from kivy.metrics import sp

from device_app.typeface import font_for

MOST_LINES = 2


def line_count(text: str, size: float, width: float) -> int:
    """How many lines, at most two, a title of `size` sp takes in `width` pixels."""
    return min(MOST_LINES, _lines(text, sp(size), width))


def line_height(text: str, size: float) -> float:
    """Pixels of one line; Chinese and Japanese stand higher."""
    return _extents(text, sp(size))[1]


def fitted(text: str, size: float, width: float) -> str:
    """The title, or as much of it as two lines of `width` pixels hold, with an ellipsis."""
    if _lines(text, sp(size), width) <= MOST_LINES:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if _lines(text[:middle].rstrip() + "…", sp(size), width) <= MOST_LINES:
            low = middle
        else:
            high = middle - 1
    return text[:low].rstrip(" ,;:-") + "…"


def _lines(text: str, pixels: float, width: float) -> int:
    """How many lines a label makes of a text: words go to the next line, words too long are cut.

    Of a third line a label would show the end and lose the beginning.
    """
    room = width - 2  # words one by one are a little narrower than their line
    lines, line = 1, ""
    for word in text.split(" "):
        longer = f"{line} {word}" if line else word
        if _extents(longer, pixels)[0] <= room:
            line = longer
            continue
        lines += 1 if line else 0
        line = word
        while _extents(line, pixels)[0] > room:
            cut = next(n for n in range(len(line), 0, -1) if _fits(line[:n], pixels, room, n))
            lines, line = lines + 1, line[cut:]
    return lines


def _fits(text: str, pixels: float, room: float, letters: int) -> bool:
    return letters == 1 or _extents(text, pixels)[0] <= room


def natural_width(text: str, pixels: float) -> float:
    """Pixels of one line of plain text in letters of so many pixels."""
    return _extents(text, pixels, bold=False)[0]


@lru_cache(maxsize=8192)
def _extents(text: str, pixels: float, bold: bool = True) -> tuple[float, float]:
    label = CoreLabel(font_size=pixels, font_name=font_for(text), bold=bold)
    width, height = label.get_extents(text)
    return float(width), float(height)
