"""For a start without a history: a few known titles that tell tastes apart, to choose from."""

from typing import Final

import numpy as np

from pocketrec.recommender import Recommender

TITLES: Final = 18
KNOWN: Final = 15
"""Popular items that are chosen from, for each one that is shown."""


def taste_wall(recommender: Recommender, page: int = 0, count: int = TITLES) -> list[str]:
    """The ids of one page; fewer than ``count`` on the last one, none after it.

    Among the ``KNOWN * count`` items that most people chose, the first is the most popular; each
    next one is far from all before it and popular too: the largest (1 - highest cosine to these) *
    sqrt(popularity). That is k-means++ (Arthur and Vassilvitskii 2007) with the likeliest draw in
    place of a random one, so that the same bundle gives the same wall. Further pages choose the
    same way among what earlier ones left.
    """
    popular = [one for one in recommender.recommend([], KNOWN * count) if one.score > 0]
    ids = [one.item_id for one in popular]
    vectors = recommender.vectors(ids)
    weights = np.sqrt([one.score for one in popular])
    left = np.ones(len(ids), dtype=bool)
    shown: list[int] = []
    for _ in range(page + 1):
        shown = []
        distances = np.ones(len(ids))
        while len(shown) < count and left.any():
            # What is as near as can be still comes before what is not there any more.
            gain = np.where(left, distances.clip(min=0) * weights, -1)
            shown.append(int(gain.argmax()))
            left[shown[-1]] = False
            np.minimum(distances, 1 - vectors @ vectors[shown[-1]], out=distances)
    return [ids[place] for place in shown]
