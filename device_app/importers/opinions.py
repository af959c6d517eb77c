"""What a row says in the app's own words."""

from typing import Final

from device_app.events import Kind
from device_app.importers.rows import Imported

LIKE_FROM: Final = 0.7
"""Share of the scale: 3.5 of 5 stars, 7 of 10 points."""

DISLIKE_UP_TO: Final = 0.4
"""Share of the scale: 2 of 5 stars, 4 of 10 points."""


def opinion(row: Imported, best: float | None) -> Kind | None:
    """The kind of event that a row stands for; None for a rating in between, and for nothing said.

    What the file says outright goes before the rating, of which ``best`` is the highest there is.
    """
    if row.mark:
        return row.mark
    if row.liked is not None:
        return "like" if row.liked else "dislike"
    if row.rating is None or not best:
        return None
    share = row.rating / best
    if share >= LIKE_FROM:
        return "like"
    return "dislike" if share <= DISLIKE_UP_TO else None
