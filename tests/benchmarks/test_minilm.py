"""The sentence encoder as one would ship it."""

import numpy as np
import pytest
from tiny_data import unit_rows

from benchmarks import minilm
from teacher.content import Content, sharpened
from teacher.pretrained import load_backbone
from teacher.scorers import ItemItem

TEXTS = ["A heist in Los Angeles", "A robbery in Los Angeles", "A recipe for bread", "Heat"]


@pytest.mark.slow
def test_the_graph_reads_nearly_as_the_model_does(tmp_path):
    minilm.write(tmp_path, TEXTS)
    vectors = minilm.item_vectors(tmp_path)
    backbone = load_backbone("minilm")
    read = backbone.encode(backbone.tokenize(TEXTS, minilm.MAX_TOKENS)).numpy()
    read /= np.linalg.norm(read, axis=1, keepdims=True)
    assert ((vectors * read).sum(axis=1) > 0.97).all()
    # Kernels for CPUs without VNNI round most.
    np.testing.assert_allclose(vectors @ vectors.T, read @ read.T, atol=0.06)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.1
    alone = minilm.encoder(tmp_path).encode(
        [TEXTS[0]]
    )  # padding beside longer texts changes nothing
    np.testing.assert_allclose(alone[0] @ vectors[0], 1, atol=0.02)
    size = sum(path.stat().st_size for path in tmp_path.iterdir())
    assert 22e6 < size < 26e6


def test_lists_are_those_of_the_peer():
    vectors, history = unit_rows((30, 8)), np.array([4, 9, 2])
    for sharpness, scorer in (
        (0.0, Content(vectors, 0.7)),
        (2.0, ItemItem("", sharpened(vectors, 2.0), np.arange(30), 30, 0.7)),
    ):
        scores = scorer.scores([history])[0]
        scores[history] = -np.inf
        expected = np.argsort(-scores)[:5]
        found = minilm.recommend(vectors, sharpness, 0.7, 5)(history)
        np.testing.assert_array_equal(found, expected)
