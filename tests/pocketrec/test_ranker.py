from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_data import unit_rows

from export.scorer import write_scorer
from pocketrec import ranker as module
from pocketrec.cold_items import impute
from pocketrec.encoders import SequenceEncoder
from pocketrec.engine import OnnxEngine
from pocketrec.errors import BundleError
from pocketrec.item_vectors import FloatVectors, Int8Vectors
from pocketrec.neighbour_table import NeighbourIndex, NeighbourTable
from pocketrec.quantize import quantize_rows
from pocketrec.ranker import Ranker, RankerSettings, popularity_scores, top_k

NOBODY = np.empty(0, dtype=np.int64)


class FixedUser:
    """An engine that answers every history with one user vector and remembers what it was given."""

    name = "fixed"
    inputs = ("items",)
    outputs = ("user",)

    def __init__(self, user):
        self.user = np.array(user, dtype=np.float32)
        self.seen = []

    def run(self, inputs):
        self.seen.append(inputs["items"])
        return np.repeat(self.user[None], len(inputs["items"]), axis=0)


class MeanUser(FixedUser):
    """Answers with the mean of what it was given."""

    def run(self, inputs):
        super().run(inputs)
        return inputs["items"].mean(axis=1)


def table_of(items, entries):
    """The table of {(history item, scored item): weight}."""
    sources, targets = np.array(list(entries), dtype=np.int64).reshape(-1, 2).T
    weights = np.array(list(entries.values()), dtype=np.float32)
    return NeighbourTable.from_entries(items, sources, targets, weights)


SETTINGS = RankerSettings(
    max_length=20,
    sequence_weight=1.0,
    neighbour_weight=1.0,
    decay=0.5,
    popularity_weight=0.0,
    cold_support=1.0,
)
POPULARITY = np.array([16, 81, 0, 1], dtype=np.float32)
# exp((logits - max) / 2) of the four items is 1, 1/2, 1/4, 1/4.
VECTORS = np.log(np.array([[1.0], [1 / 4], [1 / 16], [1 / 16]], dtype=np.float32))
TABLE = table_of(4, {(1, 0): 0.5, (1, 2): 0.25, (3, 2): 0.75})

# Mean 1/2, squared deviations 4/16, 0, 1/16, 1/16: variance 3/32.
S = np.array([1 / 2, 0, -1 / 4, -1 / 4]) / np.sqrt(3 / 32)
# History 1 (older, halved), 3: evidence 2/8, 0, 7/8, 0. In eighths: mean 9/4, variance (1 + 81 + 361 + 81) / 64.
E = np.array([-1 / 4, -9 / 4, 19 / 4, -9 / 4]) / np.sqrt(524 / 64)


def ranker(settings=SETTINGS, vectors=VECTORS, table=TABLE, user=(1.0,)):
    popularity = np.resize(POPULARITY, len(vectors))
    encoder = SequenceEncoder(FixedUser(user))
    index = [NeighbourIndex.of(table)]
    return Ranker(FloatVectors(vectors), encoder, index, popularity, settings)


# 16, 81, 0 and 1 to the power of 3/4 are 8, 27, 0 and 1: without the 0 mean 12, variance (16 + 225 + 121) / 3.
P = np.array([-4, 15, -12, -11]) / np.sqrt(362 / 3)


def indices(*values):
    return np.array(values, dtype=np.int64)


def test_fused_scores_by_hand():
    fused = replace(SETTINGS, sequence_weight=0.5, neighbour_weight=2.0)
    scores = ranker(fused).scores(indices(1, 3))
    assert scores.dtype == np.float32
    assert scores == pytest.approx(0.5 * S + 2 * E, abs=1e-6)


def test_popularity_has_its_weight():
    liked = replace(SETTINGS, popularity_weight=0.3)
    assert ranker(liked).scores(indices(1, 3)) == pytest.approx(S + E + 0.3 * P, abs=1e-6)
    assert ranker(liked).scores(NOBODY) == pytest.approx(S + 0.3 * P, abs=1e-6)


@pytest.mark.parametrize("counts", [[0, 0, 0, 0], [3, 3, 3, 3], [0, 5, 0, 0]])
def test_popularity_that_tells_nothing_apart_says_nothing(counts):
    assert popularity_scores(np.array(counts, dtype=np.float32)).tolist() == [0, 0, 0, 0]


def test_each_scorer_alone_by_hand():
    alone = replace(SETTINGS, neighbour_weight=0.0)
    assert ranker(alone).scores(indices(1, 3)) == pytest.approx(S, abs=1e-6)
    alone = replace(SETTINGS, sequence_weight=0.0)
    assert ranker(alone).scores(indices(1, 3)) == pytest.approx(E, abs=1e-6)


def test_the_order_of_the_history_sets_the_decay():
    alone = replace(SETTINGS, sequence_weight=0.0)
    # 3 is the older one now: evidence 1/2, 0, 1/4 + 3/8, 0. In eighths 4, 0, 5, 0.
    expected = np.array([7 / 4, -9 / 4, 11 / 4, -9 / 4])
    expected /= np.sqrt((expected**2).mean())
    assert ranker(alone).scores(indices(3, 1)) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("history", [(), (0,), (2, 0)])
def test_a_history_without_table_entries_is_scored_by_the_sequence_alone(history):
    assert ranker().scores(indices(*history)) == pytest.approx(S, abs=1e-6)


def test_equal_logits_count_as_nothing():
    flat = ranker(vectors=np.full((4, 1), 0.3, dtype=np.float32))
    assert flat.scores(indices(1, 3)) == pytest.approx(E, abs=1e-6)
    assert flat.scores(indices(0)).tolist() == [0, 0, 0, 0]


def test_equal_evidence_counts_as_nothing():
    everyone = table_of(4, {(0, target): 0.1 for target in range(4)})
    assert ranker(table=everyone).scores(indices(0)) == pytest.approx(S, abs=1e-6)


def test_a_weight_below_zero_lowers_a_score():
    alone = replace(SETTINGS, sequence_weight=0.0)
    against = table_of(4, {(1, 0): -0.5, (1, 2): 0.25, (3, 2): 0.75})
    # Evidence -2/8, 0, 7/8, 0. In eighths: mean 5/4, variance (169 + 25 + 529 + 25) / 64.
    expected = np.array([-13 / 4, -5 / 4, 23 / 4, -5 / 4]) / np.sqrt(748 / 64)
    scores = ranker(alone, table=against).scores(indices(1, 3))
    assert scores == pytest.approx(expected, abs=1e-6)
    assert scores[0] < scores[1] == scores[3]
    fused = ranker(table=against).scores(indices(1, 3))
    assert fused == pytest.approx(S + expected, abs=1e-6)
    assert fused[0] < ranker().scores(indices(1, 3))[0]


def test_evidence_from_long_ago_still_ranks():
    # 0.5 ** 140 squared is nothing in float32; the z-score of it is not.
    many = 200
    vectors = np.ones((many, 1), dtype=np.float32)
    scores = ranker(SETTINGS, vectors, table_of(many, {(0, 5): 0.7})).scores(np.arange(140))
    assert scores.argmax() == 5
    assert scores[5] == pytest.approx(np.sqrt(many - 1), rel=1e-5)


def test_the_encoder_sees_the_newest_items_oldest_first():
    engine = FixedUser([1.0])
    short = replace(SETTINGS, max_length=2)
    vectors, index = FloatVectors(VECTORS), [NeighbourIndex.of(TABLE)]
    made = Ranker(vectors, SequenceEncoder(engine), index, POPULARITY, short)
    made.scores(indices(2, 0, 1))
    assert engine.seen[0].shape == (1, 2, 1)
    assert engine.seen[0].ravel().tolist() == VECTORS[[0, 1]].ravel().tolist()


def test_an_encoder_that_answers_nan_is_an_error():
    with pytest.raises(BundleError, match="finite"):
        ranker(user=(np.nan,)).scores(indices(1))


def test_an_encoder_of_another_width_is_an_error():
    with pytest.raises(BundleError, match="expected 1 dimensions"):
        ranker(user=(1.0, 2.0)).scores(indices(1))


def test_scores_without_each_item_by_hand():
    alone = replace(SETTINGS, sequence_weight=0.0)
    # Without 1: only target 2, 3/4 -> z = (1 - 1/4) / sqrt(3/16). Without 3, item 1 is the newest: 1/2 and 1/4.
    without_three = (1 / 4 - 3 / 16) / np.sqrt((1 / 4 + 1 / 16) / 4 - 9 / 256)
    found = ranker(alone).without_each(indices(1, 3), indices(2, 1))
    assert found[:, 0] == pytest.approx([np.sqrt(3), without_three], rel=1e-5)
    assert found[0, 1] == pytest.approx(-np.sqrt(1 / 3), rel=1e-5)
    assert ranker().without_each(NOBODY, indices(2, 1)).shape == (0, 2)


@pytest.mark.parametrize(("window", "newest_without_entries"), [(8, 0), (8, 30), (30, 0)])
def test_what_is_too_long_ago_to_be_read_changes_nothing_by_its_absence(
    window, newest_without_entries
):
    rng, many = np.random.default_rng(0), 60
    spoken_by = many - newest_without_entries
    pairs = zip(rng.integers(spoken_by, size=300), rng.integers(many, size=300), strict=True)
    table = table_of(many, {(int(i), int(j)): rng.normal() for i, j in pairs})
    engine = MeanUser([1.0])
    settings = replace(SETTINGS, max_length=window)
    vectors = FloatVectors(rng.normal(size=(many, 1)).astype(np.float32))
    index = [NeighbourIndex.of(table)]
    popularity = np.ones(many, dtype=np.float32)
    made = Ranker(vectors, SequenceEncoder(engine), index, popularity, settings)
    history = np.arange(many)
    expected = [made.scores(np.delete(history, i))[[3, 7]] for i in history]
    engine.seen.clear()
    assert np.array_equal(made.without_each(history, indices(3, 7)), expected)
    assert len(engine.seen) < many


def test_similarities_by_hand():
    vectors = np.array([[1, 0], [0.6, 0.8], [0, 1], [-1, 0]], dtype=np.float32)
    # Item 1 speaks for targets 0 (1/2) and 2 (1/4); nothing speaks for it.
    cosines = np.array([0.6, 1.0, 0.8, -0.6])
    table = np.array([0.5, 0, 0.25, 0])
    expected = sum(0.5 * (x - x.mean()) / x.std() for x in (cosines, table))
    assert ranker(vectors=vectors, user=(1, 0)).similarities(1) == pytest.approx(expected, abs=1e-6)
    # 1 and 3 speak for item 2, which speaks for nothing.
    cosines = np.array([0, 0.8, 1, 0])
    table = np.array([0, 0.25, 0, 0.75])
    expected = sum(0.5 * (x - x.mean()) / x.std() for x in (cosines, table))
    assert ranker(vectors=vectors, user=(1, 0)).similarities(2) == pytest.approx(expected, abs=1e-6)


def test_both_directions_count_in_similarities():
    vectors = np.array([[1, 0], [0.6, 0.8], [0, 1], [-1, 0]], dtype=np.float32)
    both = table_of(4, {(1, 2): 0.25, (2, 1): 0.5, (1, 3): -0.5, (0, 1): 0.125, (0, 2): 9})
    cosines = np.array([0.6, 1.0, 0.8, -0.6])
    table = np.array([0.125, 0, 0.75, -0.5])
    expected = sum(0.5 * (x - x.mean()) / x.std() for x in (cosines, table))
    found = ranker(vectors=vectors, table=both, user=(1, 0)).similarities(1)
    assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("table", [table_of(4, {}), table_of(4, {(0, 2): 1, (3, 3): 1})])
def test_an_item_outside_the_table_is_compared_by_cosine_alone(table):
    vectors = np.array([[1, 0], [0.6, 0.8], [0, 1], [-1, 0]], dtype=np.float32)
    found = ranker(vectors=vectors, table=table, user=(1, 0)).similarities(1)
    assert found == pytest.approx([0.6, 1.0, 0.8, -0.6])


def test_imputed_entries_by_hand():
    known = np.array([[1, 0], [0.6, 0.8], [-1, 0], [0.8, -0.6]], dtype=np.float32)
    new = np.array([[1, 0], [0, -1]], dtype=np.float32)
    sources, targets, weights = impute(new, known, support=3.0, k=3)
    # Cosines 1, .6, -1, .8 -> squares 1, .36, 0, .64; then 0, -.8, 0, .6: one neighbour takes all.
    assert sources.dtype == targets.dtype == np.int64
    assert weights.dtype == np.float32
    assert sources.tolist() == [0, 3, 1, 3]
    assert targets.tolist() == [0, 0, 0, 1]
    assert weights == pytest.approx([1.5, 0.64 * 1.5, 0.36 * 1.5, 3])


def test_many_items_are_imputed_as_one_is():
    rng = np.random.default_rng(0)
    known = rng.standard_normal((50, 4)).astype(np.float32)
    new = rng.standard_normal((150, 4)).astype(np.float32)
    sources, targets, weights = impute(new, known, support=2.0, k=5)
    assert len(sources) == 150 * 5
    for row in (0, 63, 64, 149):
        alone = impute(new[row : row + 1], known, support=2.0, k=5)
        assert alone[0].tolist() == sources[targets == row].tolist()
        assert alone[1].tolist() == [0] * 5
        assert alone[2] == pytest.approx(weights[targets == row], rel=1e-4)


def test_a_catalogue_of_several_blocks_is_scored_whole():
    # 3 x 2731 values: one row more than a block of 8192 holds.
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((2731, 3)).astype(np.float32)
    found = ranker(vectors=vectors, table=table_of(2731, {}), user=(1, 2, 3))
    assert np.array_equal(found.vectors.rows(np.arange(2731)), vectors)
    logits = vectors.astype(np.float64) @ [1, 2, 3]
    sequence = np.exp((logits - logits.max()) / 2)
    expected = (sequence - sequence.mean()) / sequence.std()
    assert found.scores(indices(5)) == pytest.approx(expected, abs=1e-4)


def test_only_the_nearest_are_imputed():
    known = np.array([[1, 0], [0.6, 0.8], [0.8, -0.6]], dtype=np.float32)
    sources, targets, weights = impute(known[:1], known, support=1.0, k=2)
    assert sources.tolist() == [0, 2]
    assert targets.tolist() == [0, 0]
    assert weights.sum() == pytest.approx(1)


def test_an_item_like_nothing_known_gets_no_entry():
    known = np.array([[1, 0]], dtype=np.float32)
    for new in (-known, known[:0]):
        sources, targets, weights = impute(new, known, support=1.0, k=2)
        assert sources.dtype == targets.dtype == np.int64
        assert weights.dtype == np.float32
        assert len(sources) == len(targets) == len(weights) == 0


def test_top_k_breaks_ties_in_catalogue_order():
    scores = np.array([1, 3, 2, 3, 2, 2], dtype=np.float32)
    assert top_k(scores, 4, NOBODY).tolist() == [1, 3, 2, 4]
    assert top_k(scores, 4, indices(1, 2)).tolist() == [3, 4, 5, 0]
    assert top_k(scores, 99, indices(1)).tolist() == [3, 2, 4, 5, 0]
    assert top_k(scores, 3, np.arange(6)).tolist() == []
    assert scores.tolist() == [1, 3, 2, 3, 2, 2]


@given(
    st.lists(st.floats(-4, 4, width=16), min_size=1, max_size=40),
    st.integers(1, 50),
    st.data(),
)
def test_top_k_is_the_head_of_a_full_sort(values, k, data):
    excluded = data.draw(st.lists(st.integers(0, len(values) - 1), max_size=len(values) + 2))
    scores = np.array(values, dtype=np.float32)
    left = [i for i in range(len(values)) if i not in excluded]
    expected = sorted(left, key=lambda i: (-scores[i], i))[:k]
    assert top_k(scores, k, indices(*excluded)).tolist() == expected


@settings(max_examples=50)
@given(st.integers(1, 40), st.integers(0, 2**32 - 1), st.integers(1, 30))
def test_top_k_of_a_large_catalogue_is_that_of_a_sort(k, seed, levels):
    generator = np.random.default_rng(seed)
    scores = generator.integers(0, levels, 3000).astype(np.float32)  # ties on purpose
    excluded = generator.choice(3000, 100, replace=False)
    allowed = scores.copy()
    allowed[excluded] = -np.inf
    assert top_k(scores, k, excluded).tolist() == np.argsort(-allowed, kind="stable")[:k].tolist()


# --- the best of a large catalogue ----------------------------------------------------------------


def large(monkeypatch, settings=SETTINGS, items=3000, scorer=None):
    """A ranker that takes two steps, over int8 vectors where a scorer is given."""
    monkeypatch.setattr(module, "TWO_STEP", 100)
    rng = np.random.default_rng(0)
    vectors = unit_rows((items, 16))
    entries = {(s, t): rng.random() for s in range(60) for t in rng.integers(items, size=8)}
    popularity = rng.integers(0, 50, items).astype(np.float32)
    table = [NeighbourIndex.of(table_of(items, entries))]
    form = FloatVectors(vectors)
    if scorer:
        levels, scales = quantize_rows(vectors)
        sums = levels.sum(axis=1, dtype=np.float32)
        form = Int8Vectors(np.ascontiguousarray(levels.T), scales, sums, scorer)
    encoder = SequenceEncoder(FixedUser(vectors[5] * 12))
    return Ranker(form, encoder, table, popularity, settings)


@pytest.mark.parametrize("popularity_weight", [0.0, 0.4])
@pytest.mark.parametrize("history", [(), (70,), (70, 3, 9, 80), tuple(range(50))])
@pytest.mark.parametrize(("sequence", "neighbours"), [(1.0, 1.0), (0.0, 1.0), (1.0, 0.0)])
def test_two_steps_find_what_one_finds(
    monkeypatch, popularity_weight, history, sequence, neighbours
):
    weights = {"sequence_weight": sequence, "neighbour_weight": neighbours}
    made = large(monkeypatch, replace(SETTINGS, popularity_weight=popularity_weight, **weights))
    excluded = indices(*history, 8)
    found, their_scores = made.best(indices(*history), 10, excluded)
    sparse = made.scores(indices(*history))
    monkeypatch.setattr(module, "TWO_STEP", 10_000)
    scores = made.scores(indices(*history))
    assert sparse == pytest.approx(scores, abs=1e-5)
    if scores.std() > 0:
        assert found.tolist() == top_k(scores, 10, excluded).tolist()
    assert their_scores == pytest.approx(scores[found], abs=1e-4)


def test_two_steps_with_a_coarse_first_one(monkeypatch, tmp_path):
    write_scorer(tmp_path / "scorer.onnx")
    made = large(monkeypatch, scorer=OnnxEngine(tmp_path / "scorer.onnx"))
    shared = []
    for start in range(50):
        history = np.arange(start, start + 10)
        scores = made.scores(history)
        found, their_scores = made.best(history, 20, history)
        shared.append(len(np.intersect1d(found, top_k(scores, 20, history))) / 20)
        # Mean and spread of all scores are those of the coarse user vector.
        assert their_scores == pytest.approx(scores[found], rel=0.02, abs=0.02)
    assert np.mean(shared) > 0.999


def test_two_steps_give_no_more_than_there_is(monkeypatch):
    made = large(monkeypatch, items=120)
    assert len(made.best(indices(3), 500, np.arange(100))[0]) == 20
    assert len(made.best(indices(3), 5, np.arange(120))[0]) == 0
