"""Draw device_app/icon.png, what launchers and title bars show: `python -m device_app.packaging.icon`.

Needs Pillow, which the app does without.
"""

from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from device_app.theme import LIGHT
from device_app.typeface import FILLED, FOLDER, ICONS

SIDE = 256
FINER = 4
"""Drawn larger, then made smaller: soft edges."""


def draw() -> Image.Image:
    """The mark of the navigation, light on the accent; RGBA, ``SIDE`` pixels wide and high."""
    side = SIDE * FINER
    drawn = Image.new("RGBA", (side, side))
    pen = ImageDraw.Draw(drawn)
    pen.rounded_rectangle((0, 0, side - 1, side - 1), radius=side * 0.23, fill=LIGHT.accent)
    font = ImageFont.truetype(FOLDER / f"{FILLED}.ttf", round(side * 0.66))
    pen.text((side / 2, side / 2), ICONS["reason"], LIGHT.accent_text, font, anchor="mm")
    return drawn.resize((SIDE, SIDE), Image.Resampling.LANCZOS)


if __name__ == "__main__":
    draw().save(Path(__file__).parents[1] / "icon.png", optimize=True)
