"""Places of held-out choices, with and without what was disliked."""

from types import SimpleNamespace

import numpy as np
import pytest
from tiny_bundle import tiny_items

from benchmarks import feedback
from benchmarks.feedback import ALL, BOTH, LIKED, Case, cases, places
from pocketrec.errors import DataError
from pocketrec.ids import IdMap
from pocketrec.recommender import Recommender

IDS = [item.item_id for item in tiny_items()]


def dataset(*users):
    """Users as lists of (item number, rating)."""
    return SimpleNamespace(
        name="films",
        ids=IdMap(IDS),
        sequences=[np.array([item for item, _ in user]) for user in users],
        ratings=[np.array([rating for _, rating in user], dtype=np.float32) for user in users],
    )


def test_cases_are_the_last_two_choices_of_who_disliked_something():
    found = cases(
        dataset(
            [(0, 4), (1, 2), (2, np.nan), (3, 1), (4, 5)],
            [(0, 4), (1, 3), (2, 1), (3, 5)],  # disliked nothing before
            [(0, 1), (1, 2), (2, 1), (3, 5)],  # liked nothing before
        )
    )
    assert found == [
        Case("m04", 1.0, ["m01", "m03"], ["m02"]),
        Case("m05", 5.0, ["m01", "m03"], ["m02"]),
    ]


def test_data_without_low_ratings_is_refused():
    with pytest.raises(DataError, match="films: expected users with ratings up to 2"):
        cases(dataset([(0, 4), (1, 2), (2, 3), (3, 5)]))


def test_places_by_hand(tiny_bundle):
    recommender = Recommender.open(tiny_bundle)
    case = Case("m20", 1.0, ["m01", "m06"], ["m03"])
    for way, scores in (
        (ALL, recommender.scores(["m01", "m06", "m03"])),
        (LIKED, recommender.scores(["m01", "m06"])),
        (BOTH, recommender.scores(["m01", "m06"], ["m03"])),
    ):
        others = np.delete(scores, [0, 5, 2])
        expected = (others > scores[19]).sum() + 1
        assert places(recommender, [case], way) == pytest.approx([expected])


def test_what_is_near_a_dislike_comes_later(tiny_bundle):
    westerns = [item.item_id for item in tiny_items() if item.categories == "Western"]
    case = Case(westerns[3], 1.0, ["m01", "m06"], westerns[:3])
    recommender = Recommender.open(tiny_bundle)
    (before,), (after,) = (places(recommender, [case], way) for way in (LIKED, BOTH))
    assert after > before


def test_the_table_shows_every_row(capsys):
    change = {"mean": 0.01, "low": -0.01, "high": 0.03}
    row = {"held_out": "liked", "choices": 7, "way": BOTH, "change": change}
    row |= {"median_rank": 1234.0, "ndcg@10": 0.25}
    feedback.show([row])
    shown = capsys.readouterr().out
    for text in ("liked (7)", BOTH, "1,234", "0.2500", "+0.0100 (-0.0100 to +0.0300)"):
        assert text in shown
