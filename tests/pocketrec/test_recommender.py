import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from tiny_bundle import COLD, DECAY, SETTINGS, TEMPERATURE, tiny_items

from pocketrec.bundle import LAYOUT
from pocketrec.catalogue import Item
from pocketrec.engine import OnnxEngine
from pocketrec.errors import BundleError, UsageError
from pocketrec.item_table import ItemTable
from pocketrec.ranker import DISLIKE_WEIGHT
from pocketrec.recommender import Recommender
from pocketrec.text import item_text

IDS = [item.item_id for item in tiny_items()]
SHORT = ["m01", "m06", "m12"]
# Longer than the encoder's window of 20, so that leaving one out shifts an older item into it.
LONG = [IDS[(7 * i) % 40] for i in range(27)]


def run_python(code):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False
    )


@pytest.fixture(scope="module")
def recommender(tiny_bundle):
    return Recommender.open(tiny_bundle)


def reference(folder, history: list[str]) -> np.ndarray:
    """The fused scores written out, item by item, in float64 and without a graph."""
    table = ItemTable.read(folder / LAYOUT.items)
    vectors = table.unit_vectors().astype(np.float64)
    known = [IDS.index(item) for item in history]
    window = known[-SETTINGS.max_length :]
    shares = DECAY ** np.arange(len(window) - 1, -1, -1.0)
    user = TEMPERATURE * (shares @ vectors[window]) / shares.sum() if window else np.zeros(8)
    logits = vectors @ user
    sequence = np.exp((logits - logits.max()) / 2)
    evidence = np.zeros(len(vectors))
    for source, (start, end) in enumerate(pairwise(table.starts.tolist())):
        for target, level in zip(table.targets[start:end], table.weights[start:end], strict=True):
            if source in known:
                age = known[::-1].index(source)
                weight = float(level) * table.weight_scales[target]
                evidence[target] += weight * SETTINGS.decay**age
    counts = table.popularity**0.75
    chosen = counts[counts > 0]
    return (
        SETTINGS.sequence_weight * z(sequence)
        + SETTINGS.neighbour_weight * z(evidence)
        + SETTINGS.popularity_weight * (counts - chosen.mean()) / chosen.std()
    )


def z(x: np.ndarray) -> np.ndarray:
    return (x - x.mean()) / x.std() if x.std() > 1e-9 else np.zeros_like(x)


# --- recommend ------------------------------------------------------------------------------------


@pytest.mark.parametrize("history", [SHORT, ["m40"], LONG])
def test_scores_follow_the_formula(recommender, tiny_bundle, history):
    scores = recommender.scores(history)
    assert scores.dtype == np.float32
    # The user vector is read with 14 bits.
    assert scores == pytest.approx(reference(tiny_bundle, history), abs=5e-4)


def test_recommendations_are_the_best_scores_without_the_history(recommender):
    scores = dict(zip(recommender.ids.ids, recommender.scores(SHORT).tolist(), strict=True))
    expected = sorted((i for i in IDS if i not in SHORT), key=lambda i: -scores[i])[:10]
    found = recommender.recommend(SHORT)
    assert [r.item_id for r in found] == expected
    assert [r.score for r in found] == [scores[i] for i in expected]
    assert len(found) == 10
    assert not found.is_default
    assert found.unknown == ()


def test_a_taste_is_recognised(recommender):
    comedies = [item.item_id for item in tiny_items() if item.categories == "Comedy"]
    found = recommender.recommend(comedies[:4], k=4)
    assert {r.item_id for r in found} == set(comedies[4:])


@pytest.mark.parametrize("k", [1, 5, 37, 38, 1000])
def test_k_is_kept_up_to_the_end_of_the_catalogue(recommender, k):
    found = recommender.recommend(SHORT, k)
    assert len(found) == min(k, 37)
    assert {r.item_id for r in found}.isdisjoint(SHORT)


@pytest.mark.parametrize("k", [0, -1])
def test_k_below_one_is_a_usage_error(recommender, k):
    for call in (
        lambda: recommender.recommend(SHORT, k),
        lambda: recommender.similar("m01", k),
        lambda: recommender.explain(SHORT, "m02", k),
    ):
        with pytest.raises(UsageError, match="k: expected at least 1"):
            call()


def test_excluded_items_are_never_returned(recommender):
    first = recommender.recommend(SHORT, 3)
    without = [r.item_id for r in first]
    found = recommender.recommend(SHORT, 40, exclude=iter([*without, "unheard"]))
    assert len(found) == 34
    assert {r.item_id for r in found}.isdisjoint(without)
    assert found.unknown == ()


def test_all_excluded_leaves_nothing(recommender):
    assert len(recommender.recommend(SHORT, 3, exclude=IDS)) == 0


def test_unknown_ids_are_reported_and_skipped(recommender):
    found = recommender.recommend(["x1", "m01", "x2", "m06", "m12", "x1"])
    assert found.unknown == ("x1", "x2", "x1")
    assert found.items == recommender.recommend(SHORT).items


def test_a_repeated_item_counts_at_its_last_place(recommender):
    assert recommender.recommend(["m01", "m06", "m12", "m01"]) == recommender.recommend(
        ["m06", "m12", "m01"]
    )


def test_the_order_of_a_history_matters(recommender):
    assert recommender.recommend(SHORT) != recommender.recommend(SHORT[::-1])


@pytest.mark.parametrize(("history", "unknown"), [([], ()), (["x"], ("x",))])
def test_nothing_known_gives_the_popularity_list(recommender, history, unknown):
    found = recommender.recommend(history, 3)
    assert [(r.item_id, r.score) for r in found] == [("m01", 40), ("m02", 39), ("m03", 38)]
    assert found.is_default
    assert found.unknown == unknown
    assert recommender.scores(history).tolist()[:3] == [40, 39, 38]


def test_the_popularity_list_ends_with_cold_items_in_catalogue_order(recommender):
    found = recommender.recommend([], 40, exclude=["m01"])
    assert [r.item_id for r in found] == IDS[1:]
    assert [r.score for r in found][-COLD:] == [0] * COLD


def test_what_scores_returns_belongs_to_the_caller(recommender):
    recommender.scores([])[:] = 0
    assert recommender.scores([])[0] == 40


def test_a_history_of_the_whole_catalogue(recommender):
    assert len(recommender.recommend(IDS)) == 0


def test_threads_get_the_same_answers(recommender):
    histories = [IDS[i : i + 5] for i in range(30)]
    alone = [recommender.recommend(h) for h in histories]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(recommender.recommend, histories)) == alone


# --- explain --------------------------------------------------------------------------------------


@pytest.mark.parametrize("history", [SHORT, LONG])
def test_explain_is_the_brute_force_difference(recommender, tiny_bundle, history):
    for best in recommender.recommend(history, 3):
        target = recommender.ids.index_of(best.item_id)
        whole = reference(tiny_bundle, history)[target]
        drops = {
            item: whole - reference(tiny_bundle, [h for h in history if h != item])[target]
            for item in history
        }
        expected = sorted((i for i in history if drops[i] > 0), key=lambda i: -drops[i])
        found = recommender.explain(history, best.item_id, k=100)
        assert [r.item_id for r in found] == expected
        assert [r.drop for r in found] == pytest.approx([drops[i] for i in expected], abs=5e-4)
        assert recommender.explain(history, best.item_id, k=2) == found[:2]


def test_explain_agrees_with_scores(recommender):
    target = recommender.ids.index_of("m16")
    for reason in recommender.explain(LONG, "m16", k=100):
        without = [item for item in LONG if item != reason.item_id]
        drop = recommender.scores(LONG)[target] - recommender.scores(without)[target]
        assert reason.drop == drop


def test_explain_of_a_history_of_one(recommender, tiny_bundle):
    [reason] = recommender.explain(["m01"], "m06")
    whole, none = (reference(tiny_bundle, h)[5] for h in (["m01"], []))
    assert reason.item_id == "m01"
    assert reason.drop == pytest.approx(whole - none, abs=2e-5)


def test_explain_all_is_explain_of_each(recommender):
    items = [r.item_id for r in recommender.recommend(LONG)]
    assert recommender.explain_all(LONG, items, 2) == [
        recommender.explain(LONG, i, 2) for i in items
    ]
    assert recommender.explain_all(LONG, []) == []
    assert recommender.explain_all([], items[:2]) == [[], []]


def test_explain_without_a_known_history_has_no_reasons(recommender):
    assert recommender.explain([], "m01") == []
    assert recommender.explain(["x"], "m01") == []


# --- similar and encode ---------------------------------------------------------------------------


def test_similar_items_share_the_genre(recommender):
    found = recommender.similar("m03", 5)
    assert "m03" not in {r.item_id for r in found}
    genres = [recommender.catalogue.get(r.item_id).categories for r in found]
    assert genres.count("Western") >= 4
    assert [r.score for r in found] == sorted((r.score for r in found), reverse=True)
    assert len(recommender.similar("m03", 1000)) == 39


def test_the_nearest_items_of_a_text_go_by_the_cosine(recommender):
    text = "A western about a sheriff"
    found = recommender.nearest(text, 5)
    everything = recommender.ids.ids
    cosines = recommender.vectors(everything) @ recommender.encode([text])[0]
    best = [everything[place] for place in np.argsort(-cosines, kind="stable")[:5]]
    assert [r.item_id for r in found] == best
    np.testing.assert_allclose([r.score for r in found], np.sort(cosines)[::-1][:5], atol=2e-3)
    with pytest.raises(UsageError, match="k"):
        recommender.nearest(text, 0)


def test_an_unknown_item_is_a_usage_error(recommender):
    with pytest.raises(UsageError, match="item 'x1'"):
        recommender.similar("x1")
    with pytest.raises(UsageError, match="item 'x1'"):
        recommender.explain(SHORT, "x1")


def test_vectors_are_those_of_the_table(recommender, tiny_bundle):
    table = ItemTable.read(tiny_bundle / LAYOUT.items).unit_vectors()
    found = recommender.vectors(["m03", "m40", "m03"])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, table[[2, 39, 2]], rtol=1e-6)
    assert np.linalg.norm(found, axis=1) == pytest.approx(1, abs=0.02)
    assert recommender.vectors([]).shape == (0, recommender.dimensions)
    own = Item("n1", "Canyon Ghost")
    more = recommender.with_items([own])
    np.testing.assert_allclose(more.vectors(["n1"]), more.encode([own.text]), rtol=1e-6)
    with pytest.raises(UsageError, match="'n1'"):
        recommender.vectors(["n1"])


def test_encode_gives_unit_rows_that_do_not_depend_on_the_batch(recommender):
    texts = [item.text for item in tiny_items()] * 3  # more than one batch, of several lengths
    vectors = recommender.encode(texts)
    assert vectors.shape == (120, recommender.dimensions)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
    assert vectors[17] == pytest.approx(recommender.encode([texts[17]])[0], abs=1e-6)
    table = ItemTable.read(recommender._folder / LAYOUT.items)
    assert vectors[:40] == pytest.approx(table.unit_vectors(), abs=0.01)


def test_encode_of_nothing(recommender):
    assert recommender.encode([]).shape == (0, 8)
    assert recommender.encode([""]).shape == (1, 8)


# --- adding items ---------------------------------------------------------------------------------


def new_item(item_id: str, title: str, categories: str) -> Item:
    return Item(
        item_id=item_id,
        title=title,
        text=item_text(title, categories=categories),
        description="",
        categories=categories,
        creator="",
        year=None,
    )


NEW = [
    new_item("n1", "The Rustler of Canyon Prairie", "Western"),
    new_item("n2", "Rocket and Comet", "Space"),
]
WESTERNS = [item.item_id for item in tiny_items() if item.categories == "Western"]


@pytest.fixture(scope="module", params=["folder", "zip"])
def extended(request, recommender, tmp_path_factory):
    out = tmp_path_factory.mktemp("extended") / (
        "new" + {"folder": "", "zip": ".zip"}[request.param]
    )
    recommender.add_items(NEW, out)
    assert [p.name for p in out.parent.iterdir()] == [out.name]
    return out


def test_new_items_are_found(extended):
    recommender = Recommender.open(extended)
    assert recommender.ids.ids == [*IDS, "n1", "n2"]
    assert "n1" in {r.item_id for r in recommender.recommend(WESTERNS[:4], 10)}
    assert "n2" not in {r.item_id for r in recommender.recommend(WESTERNS[:4], 6)}
    assert {r.item_id for r in recommender.similar("n1", 5)} <= set(WESTERNS)
    assert recommender.catalogue.get("n1") == NEW[0]
    assert recommender.explain(WESTERNS[:4], "n1")
    assert recommender.recommend([], 42).items[-1].item_id == "n2"


def test_a_new_item_can_stand_in_a_history(extended):
    found = Recommender.open(extended).recommend(["n1"], 4)
    assert not found.is_default
    assert {r.item_id for r in found} <= {*WESTERNS, "n2"}


def test_present_items_stay_as_they_are(extended, recommender, tiny_bundle):
    new = Recommender.open(extended)
    old_table, new_table = recommender._table, new._table
    assert np.array_equal(new_table.vectors[:, :40], old_table.vectors)
    for name in ("scales", "sums", "weight_scales", "popularity"):
        assert np.array_equal(getattr(new_table, name)[:40], getattr(old_table, name))
    assert new_table.popularity[40:].tolist() == [0, 0]
    old_entries, new_entries = old_table.neighbours(), new_table.neighbours()
    present = new_entries.targets < 40
    assert np.array_equal(new_table.weights[present], old_table.weights)
    for name in ("sources", "targets", "weights"):
        assert np.array_equal(getattr(new_entries, name)[present], getattr(old_entries, name))
    assert new.catalogue.get_many(IDS) == recommender.catalogue.get_many(IDS)
    assert replace(new.manifest, files={}) == replace(recommender.manifest, files={})
    # Means and spreads are of two items more: what is close may change places, so only the first ones are compared.
    for history in (SHORT, LONG):
        kept = [r.item_id for r in new.recommend(history, 5) if r.item_id not in ("n1", "n2")][:3]
        assert kept == [r.item_id for r in recommender.recommend(history, len(kept))]


def test_new_items_are_spoken_for_by_their_nearest(extended, tiny_bundle, recommender):
    table = ItemTable.read(tiny_bundle / LAYOUT.items)
    entries = Recommender.open(extended)._table.neighbours()
    vectors = recommender.encode([item.text for item in NEW])
    for new, vector in enumerate(vectors, 40):
        mine = entries.targets == new
        cosines = table.unit_vectors() @ vector
        nearest = [i for i in np.argsort(-cosines)[:30].tolist() if cosines[i] > 0]
        assert sorted(nearest) == entries.sources[mine].tolist()
        expected = cosines[sorted(nearest)] ** 2
        expected *= SETTINGS.cold_support / expected.sum()
        # Half a level of int8.
        assert entries.weights[mine] == pytest.approx(expected, abs=float(expected.max()) / 253)
    assert entries.sources.max() < 40


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ([], "at least one item"),
        ([new_item("m07", "Again", "")], "item 'm07': expected a new id"),
        ([NEW[0], NEW[0]], "item 'n1': expected a new id"),
        ([new_item("n3", "  ", "Western")], "item 'n3': expected a title"),
        ([new_item("", "Nameless", "Western")], "item '': expected an id"),
    ],
)
def test_items_that_cannot_be_added(recommender, tmp_path, items, expected):
    with pytest.raises(UsageError, match=expected):
        recommender.add_items(items, tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


def test_an_existing_path_is_not_overwritten(recommender, tmp_path):
    (tmp_path / "new").mkdir()
    with pytest.raises(UsageError, match="choose another"):
        recommender.add_items(NEW, tmp_path / "new")


def test_a_failure_leaves_nothing_behind(tiny_bundle_copy, tmp_path):
    recommender = Recommender.open(tiny_bundle_copy)
    (tiny_bundle_copy / LAYOUT.model_card).unlink()
    with pytest.raises(FileNotFoundError):
        recommender.add_items(NEW, tmp_path / "new")
    assert [p.name for p in tmp_path.iterdir()] == ["tiny"]


def test_a_text_encoder_of_another_width(tiny_bundle_copy):
    from tiny_bundle import write_text_encoder

    recommender = Recommender.open(tiny_bundle_copy)
    write_text_encoder(tiny_bundle_copy / LAYOUT.text_encoder, np.ones((1000, 4), dtype=np.float32))
    with pytest.raises(BundleError, match=r"text_encoder\.onnx.*expected 8 dimensions.*found 4"):
        recommender.encode(["film"])


# --- the backends ----------------------------------------------------------------------------------


@pytest.mark.parametrize("history", [[], ["m01"], SHORT, LONG])
def test_numpy_alone_gives_the_same_lists(recommender, tiny_bundle, history):
    other = Recommender.open(tiny_bundle, backend="numpy")
    found, expected = other.recommend(history, 20), recommender.recommend(history, 20)
    assert [r.item_id for r in found] == [r.item_id for r in expected]
    assert [r.score for r in found] == pytest.approx([r.score for r in expected], abs=1e-4)
    assert other.encode(["a film"]) == pytest.approx(recommender.encode(["a film"]), abs=1e-5)
    assert [r.item_id for r in other.similar("m03")] == [
        r.item_id for r in recommender.similar("m03")
    ]


def test_a_backend_that_does_not_exist(tiny_bundle):
    with pytest.raises(UsageError, match="backend: expected onnxruntime or numpy, found 'torch'"):
        Recommender.open(tiny_bundle, backend="torch")


def test_an_engine_of_ones_own(tiny_bundle):
    loaded = []

    def load(path):
        loaded.append(path.name)
        return OnnxEngine(path)

    other = Recommender.open(tiny_bundle, backend=load, precision="int8")
    expected = Recommender.open(tiny_bundle).recommend(SHORT, 5)
    assert other.recommend(SHORT, 5) == expected
    assert other.with_items([]).encode(["a film"]).shape == (1, other.dimensions)
    assert loaded == [LAYOUT.sequence_encoder, LAYOUT.scorer, LAYOUT.text_encoder]
    # The choice of the precision is noted by the loader's name, where it has one.
    assert Recommender.open(tiny_bundle, backend=partial(load)).recommend(SHORT, 5) == expected


def test_a_device_without_onnxruntime(tiny_bundle):
    code = f"""
import sys
sys.modules["onnxruntime"] = None  # importing it raises, as where it is not installed
from pocketrec import Recommender
from pocketrec.errors import UsageError
opened = Recommender.open({str(tiny_bundle)!r})
print([r.item_id for r in opened.recommend({SHORT!r}, 5)])
try:
    Recommender.open({str(tiny_bundle)!r}, backend="onnxruntime")
except UsageError as error:
    print(error)
"""
    done = run_python(code)
    assert done.returncode == 0, done.stderr
    listed, error = done.stdout.splitlines()
    expected = [r.item_id for r in Recommender.open(tiny_bundle).recommend(SHORT, 5)]
    assert listed == str(expected)
    assert "expected onnxruntime to be installed" in error


# --- the import path ------------------------------------------------------------------------------


def test_a_recommendation_loads_nothing_heavy(tiny_bundle):
    heavy = ["polars", "pandas", "torch", "transformers", "tokenizers", "onnx", "typer", "rich"]
    heavy += ["sqlite_utils", "scipy", "pydantic", "kivy"]
    code = f"""
import json, sys
import pocketrec
assert "numpy" not in sys.modules
from pocketrec import Recommender
assert len(Recommender.open({str(tiny_bundle)!r}).recommend(["m01"], 5)) == 5
print(json.dumps([name for name in {heavy!r} if name in sys.modules]))
"""
    done = run_python(code)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == []


def test_the_top_level_names():
    import pocketrec

    assert pocketrec.Recommender is Recommender
    assert pocketrec.Item is Item
    assert pocketrec.__version__
    with pytest.raises(AttributeError, match="no attribute 'Recommendor'"):
        _ = pocketrec.Recommendor


# --- dislikes -------------------------------------------------------------------------------------


def test_a_dislike_lowers_what_is_near_it(recommender):
    comedies = [item.item_id for item in tiny_items() if item.categories == "Comedy"]
    history, disliked = ["m01", "m03", "m08"], WESTERNS[0]
    before, after = recommender.scores(history), recommender.scores(history, [disliked])
    near, far = recommender.ids.indices(WESTERNS[1:]), recommender.ids.indices(comedies)
    assert (after - before)[near].max() < (after - before)[far].min()


def test_scores_with_dislikes_by_hand(recommender):
    vectors = recommender._table.unit_vectors()
    away = vectors[[6, 30]].mean(axis=0) - vectors[[0, 5, 11]].mean(axis=0)
    found = recommender.scores(SHORT, ["m07", "m31"])
    expected = recommender.scores(SHORT) - DISLIKE_WEIGHT * z(vectors @ away)
    assert found == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("history", [[], SHORT])
def test_disliked_items_are_never_returned(recommender, history):
    found = recommender.recommend(history, 99, disliked=["m07", "m08", "m07", "x1"])
    listed = {r.item_id for r in found}
    assert listed == set(IDS) - {"m07", "m08", *history}
    assert found.is_default == (not history)
    assert found.unknown == ("x1",)


def test_a_liked_item_that_is_disliked_speaks_for_nothing(recommender):
    ours = recommender.recommend([*SHORT, "m02"], 5, disliked=["m02"])
    assert ours.items == recommender.recommend(SHORT, 5, disliked=["m02"]).items


def test_without_a_history_dislikes_lower_the_popular(recommender):
    most = [r.item_id for r in recommender.recommend([], 40)]
    less = [r.item_id for r in recommender.recommend([], 40, disliked=WESTERNS[:2])]
    places = [np.mean([list_.index(w) for w in WESTERNS[2:]]) for list_ in (most, less)]
    assert places[1] > places[0]
