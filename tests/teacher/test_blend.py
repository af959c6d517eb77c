from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse
from tiny_data import random_histories

from pocketrec.splits import Cases
from teacher.blend import ALONE, blended, choose_blend, scale_of
from teacher.fusion import validation_ndcg
from teacher.scorers import ItemItem

ITEMS = 40
HISTORIES = random_histories(300, ITEMS, 3)
FRESH = [h for h in HISTORIES if (h[-1] + 1) % ITEMS not in h]
CASES = Cases(np.arange(len(FRESH)), FRESH, np.array([(h[-1] + 1) % ITEMS for h in FRESH]))


def model(name: str, weights: np.ndarray, **more: object) -> ItemItem:
    return ItemItem(name, weights.astype(np.float32), np.arange(ITEMS), ITEMS, 0.5, **more)


NOISE = np.random.default_rng(1).normal(size=(ITEMS, ITEMS))
SUCCESSOR = 3 * np.roll(np.eye(ITEMS), 1, axis=1)


def test_a_blend_by_hand() -> None:
    one = ItemItem("one", np.array([[0.0, 1], [2, 0]]), np.arange(2), 2, 0.8)
    two = ItemItem("two", np.array([[0.0, 3], [0, 0]]), np.arange(2), 2, 0.6)
    made = blended(one, two, 0.25, 2)
    np.testing.assert_allclose(made.weights, [[0, 0.75 + 1.5], [1.5, 0]])
    assert (made.decay, made.name) == (0.8, "one and 0.25 two")


def test_a_tail_keeps_its_share() -> None:
    tail = sparse.csr_matrix(np.array([[0, 0, 4.0], [0, 0, 0]]))
    one = ItemItem("one", np.ones((2, 2)), np.arange(2), 3, tail=tail)
    two = ItemItem("two", np.ones((2, 2)), np.arange(2), 3)
    made = blended(one, two, 0.5, 1)
    np.testing.assert_allclose(made.scores([np.array([0])]), [[1, 1, 2]])


def test_a_head_is_blended_into_a_local_form() -> None:
    local = sparse.csr_matrix(np.array([[0, 1.0, 0], [0, 0, 0], [1, 0, 0]]))
    one = ItemItem("local", local, np.arange(3), 3)
    two = ItemItem("head", np.array([[0.0, 2], [4, 0]]), np.array([0, 2]), 3)
    made = blended(one, two, 0.5, 1)
    assert sparse.issparse(made.weights)
    np.testing.assert_allclose(made.weights.toarray(), [[0, 0.5, 1], [0, 0, 0], [2.5, 0, 0]])


def test_what_knows_the_answer_is_blended_in() -> None:
    text, knn = model("text", NOISE), replace(model("knn", SUCCESSOR), decay=0.9)
    share, scale, verdict = choose_blend(text, knn, CASES, 0)
    assert share > 0
    assert verdict.used == f"EASE with text and {share:g} ItemKNN"
    # What was judged is what the blended model scores.
    made = blended(text, knn, share, scale)
    assert validation_ndcg(made, CASES) == pytest.approx(verdict.ndcg[verdict.used])


def test_what_knows_nothing_is_left_out() -> None:
    share, _, verdict = choose_blend(model("text", SUCCESSOR), model("knn", NOISE), CASES, 0)
    assert (share, verdict.used) == (0, ALONE)


def test_the_scale_makes_scores_alike() -> None:
    one, two = model("one", 5 * NOISE), model("two", NOISE)
    assert scale_of(one, two, CASES) == pytest.approx(5, rel=1e-4)
    assert scale_of(one, model("none", 0 * NOISE), CASES) == 0
