"""Shapes with round corners, as they are drawn."""

from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.ui


@pytest.fixture
def draw(start: Any, tmp_path: Path) -> Any:
    """Draws shapes alone, on black, 60 pixels wide and 40 high; returns the reds from the bottom."""
    start()

    def drawn(*instructions: Any) -> list[list[int]]:
        from kivy.graphics import ClearBuffers, ClearColor, Fbo

        from tests.device_app.conftest import Pixels

        fbo = Fbo(size=(60, 40))
        with fbo:
            ClearColor(0, 0, 0, 1)
            ClearBuffers()
        for instruction in instructions:
            fbo.add(instruction)
        fbo.draw()
        path = tmp_path / "shape.png"
        fbo.texture.save(str(path), flipped=True)
        pixels = Pixels(path)
        return [[pixels.at(x, y)[0] for x in range(60)] for y in range(40)]

    return drawn


def test_corners_are_round_sides_are_full_and_nothing_is_outside(draw: Any) -> None:
    from kivy.graphics import Color

    from device_app.widgets.rounded import Rounded

    reds = draw(Color(1, 0, 0, 1), Rounded(pos=(10, 5), size=(40, 30), radius=10))
    inside = [row[10:50] for row in reds[5:35]]
    assert sum(map(sum, reds)) == sum(map(sum, inside))
    # Along the diagonal a corner of radius 10 begins 10 - 10 / sqrt(2) = 2.9 pixels in.
    for corner in (inside[0], inside[-1]):
        assert corner[0] == corner[-1] == 0
        assert corner[20] == 255
    assert inside[2][2] < 128 < inside[3][3]
    assert inside[4][4] == inside[15][0] == inside[15][39] == 255
    # Its area, but for what a soft edge rounds: all less four corners of (1 - pi / 4) 10^2.
    assert sum(map(sum, inside)) / 255 == pytest.approx(40 * 30 - (4 - 3.1416) * 100, abs=2)


def test_a_radius_beyond_half_the_height_is_a_pill(draw: Any) -> None:
    from kivy.graphics import Color

    from device_app.widgets.rounded import Rounded

    shape = Rounded(pos=(10, 10), radius=100)
    shape.size = (40, 20)
    pill = draw(Color(1, 0, 0, 1), shape)
    assert pill == draw(Color(1, 0, 0, 1), Rounded(pos=(10, 10), size=(40, 20), radius=10))


def test_an_edge_is_one_dp_wide_in_its_own_colour(draw: Any) -> None:
    from kivy.graphics import Color

    from device_app.widgets.rounded import Rounded

    shades = ((1.0, 0.0, 0.0, 1.0), (0.4, 0.0, 0.0, 1.0))
    reds = draw(Color(1, 1, 1, 1), Rounded(pos=(10, 5), size=(40, 30), radius=8, shades=shades))
    assert reds[20][8:13] == [0, 0, 102, 255, 255]
    assert reds[5][30] == reds[34][30] == 102
    assert reds[6][30] == reds[33][30] == 255


def test_without_a_radius_it_is_a_rectangle(draw: Any) -> None:
    from kivy.graphics import Color

    from device_app.widgets.rounded import Rounded

    reds = draw(Color(1, 0, 0, 1), Rounded(pos=(10, 5), size=(40, 30)))
    assert sum(map(sum, reds)) == 255 * 40 * 30
