"""Maximal marginal relevance, worked out by hand and against its formula."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from device_app.diversity import diversified
from device_app.taste_wall import taste_wall
from pocketrec.catalogue import Item
from pocketrec.recommender import Recommender

EAST, NORTH = [1.0, 0.0], [0.0, 1.0]


def test_by_hand() -> None:
    scores = np.array([3, 2, 1, 0], dtype=np.float32)
    vectors = np.array([EAST, EAST, NORTH, NORTH], dtype=np.float32)
    assert diversified(scores, vectors, 3, 0) == [0, 1, 2]
    # Relevance 1, 2/3, 1/3, 0. Second place: 0.5 * 2/3 - 0.5 * 1 < 0.5 * 1/3 - 0.
    assert diversified(scores, vectors, 4, 0.5) == [0, 2, 1, 3]
    # 0.8 * 2/3 - 0.2 * 1 > 0.8 * 1/3 - 0
    assert diversified(scores, vectors, 4, 0.2) == [0, 1, 2, 3]


def test_of_equals_the_better_goes_first() -> None:
    scores = np.zeros(4, dtype=np.float32)
    vectors = np.array([EAST] * 4, dtype=np.float32)
    assert diversified(scores, vectors, 9, 0.7) == [0, 1, 2, 3]
    assert diversified(scores[:0], vectors[:0], 9, 0.7) == []


@given(st.data(), st.integers(1, 12), st.integers(1, 12), st.floats(0, 1))
def test_each_place_has_the_largest_marginal_relevance(
    data: st.DataObject, n: int, k: int, diversity: float
) -> None:
    values = st.floats(-1, 1, width=32, allow_subnormal=False)
    scores = np.sort(data.draw(arrays.arrays(np.float32, n, elements=values)))[::-1].copy()
    vectors = data.draw(arrays.arrays(np.float32, (n, 3), elements=values)) + np.float32(0.001)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True) + np.float32(1e-9)
    chosen = diversified(scores, vectors, k, diversity)
    assert len(chosen) == len(set(chosen)) == min(n, k)
    assert chosen[0] == 0
    if diversity == 0:
        assert chosen == list(range(min(n, k)))
    spread = scores[0] - scores[-1]
    relevance = (scores - scores[-1]) / spread if spread else np.zeros(n)
    for place in range(1, len(chosen)):
        before = chosen[:place]
        worth = (1 - diversity) * relevance - diversity * (vectors @ vectors[before].T).max(axis=1)
        rest = [i for i in range(n) if i not in before]
        assert worth[chosen[place]] >= worth[rest].max() - 1e-5


# --- the taste wall -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def recommender(tiny_bundle: Path) -> Recommender:
    return Recommender.open(tiny_bundle)


def genres(recommender: Recommender, ids: list[str]) -> list[str]:
    return [item.categories for item in recommender.catalogue.get_many(ids)]


def test_the_wall_begins_with_the_most_popular_and_reaches_every_region(
    recommender: Recommender,
) -> None:
    wall = taste_wall(recommender, count=5)
    assert wall[0] == "m01"
    assert sorted(genres(recommender, wall)) == ["Comedy", "Horror", "Romance", "Space", "Western"]
    assert wall == taste_wall(recommender, count=5)


def test_pages_hold_others_until_none_are_left(recommender: Recommender) -> None:
    pages = [taste_wall(recommender, page) for page in range(4)]
    # 36 of the 40 films were chosen by somebody.
    assert [len(page) for page in pages] == [18, 18, 0, 0]
    assert len(set(pages[0] + pages[1])) == 36
    assert len(set(genres(recommender, pages[1][:5]))) >= 4


def test_the_wall_is_of_known_titles(recommender: Recommender) -> None:
    cold = {"m37", "m38", "m39", "m40"}
    assert not cold & set(taste_wall(recommender, count=40))
    own = recommender.with_items([Item("n1", "New")])
    assert taste_wall(own) == taste_wall(recommender)
