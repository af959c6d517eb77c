"""Titles, years and ratings out of the text that a file has for them."""

import math
import re
from reprlib import repr as shortened
from typing import Final

from device_app.importers.rows import LONGEST_TITLE
from device_app.language import tr

LATEST_YEAR: Final = 2100
"""What is announced for later is a typing error."""

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]+")
_YEAR = re.compile(r"(-?\d{1,4})(?:\.0)?")


def clean(text: str) -> str:
    """``text`` in one line, without control characters and halves of characters."""
    return " ".join(_CONTROL.sub(" ", text).split())


def read_title(text: str) -> str:
    """Raises: ValueError: there is no title, or one that is no title for its length."""
    if not text:
        raise ValueError(tr("expected a title, found none"))
    if len(text) > LONGEST_TITLE:
        said = tr("expected a title of at most {:,} characters, found {:,}")
        raise ValueError(said.format(LONGEST_TITLE, len(text)))
    return text


def read_year(text: str) -> int | None:
    """A year, before our era below 0; None for what is none: it only helps to tell items apart."""
    found = _YEAR.fullmatch(text)
    year = int(found[1]) if found else None
    return year if year is not None and year <= LATEST_YEAR else None


def read_rating(text: str, best: float) -> float | None:
    """A number from 0 to ``best``, with a point or a comma; None where there is none.

    Raises:
        ValueError: something else is there. Its row must not count as one without a rating.
    """
    if not text:
        return None
    try:
        rating = float(text.replace(",", "."))
    except ValueError:
        rating = math.nan
    if not 0 <= rating <= best:
        said = tr("expected a rating from 0 to {:g}, found {}")
        raise ValueError(said.format(best, shortened(text)))
    return rating
