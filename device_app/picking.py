"""What the picks rest on, and how they are made."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from device_app.diversity import CANDIDATES, diversified
from device_app.events import AGAINST, OPINIONS, Event
from device_app.settings import Settings
from pocketrec.recommender import Recommendations, Recommender


@dataclass(frozen=True)
class Taste:
    """What a person said, as `Recommender.recommend` takes it.

    Attributes:
        likes: oldest first.
        against: what lowers what is near it.
        out: what must not be picked for other reasons.
    """

    likes: tuple[str, ...]
    against: tuple[str, ...]
    out: tuple[str, ...]

    @classmethod
    def of(cls, events: Iterable[Event], settings: Settings) -> Self:
        """From events, newest first; those that a pause leaves aside only keep their items out."""
        said = [event for event in reversed(tuple(events)) if event.kind in OPINIONS]
        after = settings.paused_after
        counted = [event for event in said if after is None or event.event_id <= after]
        likes = tuple(event.item_id for event in counted if event.kind == "like")
        against = tuple(event.item_id for event in counted if event.kind in AGAINST)
        out = {event.item_id for event in said}.difference(likes, against)
        return cls(likes, against, tuple(sorted(out)))


def picked(
    recommender: Recommender, taste: Taste, k: int, passed: Iterable[str], diversity: float
) -> Recommendations:
    """The ``k`` best items that were neither judged nor ``passed``; see `device_app.diversity`."""
    found = recommender.recommend(
        taste.likes,
        k * CANDIDATES if diversity else k,
        disliked=taste.against,
        exclude=[*taste.out, *passed],
    )
    if not diversity:
        return found
    scores = np.array([one.score for one in found], dtype=np.float32)
    vectors = recommender.vectors([one.item_id for one in found])
    places = diversified(scores, vectors, k, diversity)
    return replace(found, items=tuple(found.items[place] for place in places))
