"""Made catalogues: what is copied, what is cut, and what one measurement reports."""

import json
from dataclasses import replace

import numpy as np
import pytest
from tiny_data import ITEMS, unit_rows, write_tiny_data

from benchmarks import growth
from pocketrec.data import load
from pocketrec.errors import RunError


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_tiny_data(tmp_path_factory.mktemp("growth") / "tiny")


@pytest.fixture(scope="module")
def dataset(data):
    return load(data)


def test_texts_that_share_words_lie_together():
    texts = ["red cat", "red cat sleeps", "blue dog", "blue dog sleeps"]
    vectors = growth.word_vectors(texts, 2, 0.25, seed=0)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    cosines = vectors @ vectors.T
    assert cosines[0, 1] > cosines[0, 2]
    assert cosines[2, 3] > cosines[2, 1]
    np.testing.assert_array_equal(vectors, growth.word_vectors(texts, 2, 0.25, seed=0))


@pytest.mark.parametrize("items", [30, ITEMS, 300])
def test_a_grown_catalogue(dataset, items):
    grown = growth.grow(dataset, unit_rows((ITEMS, 16)), items, seed=0)
    chosen = np.concatenate(grown.sequences)
    assert chosen.min() >= 0
    assert chosen.max() < items
    assert grown.vectors.shape == (items, 16)
    np.testing.assert_allclose(np.linalg.norm(grown.vectors, axis=1), 1, rtol=1e-5)
    assert len(grown.unordered) == len(grown.sequences)
    assert all(len(set(h.tolist())) == len(h) for h in grown.sequences)
    # Whole users, until there are interactions enough.
    short = len(chosen) - growth.AN_ITEM * items
    assert short < 0 or short <= max(map(len, grown.sequences))


def test_copies_keep_vectors_and_popularity(dataset, monkeypatch):
    monkeypatch.setattr(growth, "PERTURBED", 0.0)
    monkeypatch.setattr(growth, "STRAY", 0.0)
    monkeypatch.setattr(growth, "AN_ITEM", 10**6)
    vectors = unit_rows((ITEMS, 16))
    grown = growth.grow(dataset, vectors, 2 * ITEMS, seed=0)
    counts = np.bincount(np.concatenate(dataset.sequences), minlength=ITEMS)
    order = np.argsort(-counts, kind="stable")
    np.testing.assert_allclose(grown.vectors, np.tile(vectors[order], (2, 1)), rtol=1e-6)
    found = np.bincount(np.concatenate(grown.sequences), minlength=2 * ITEMS)
    np.testing.assert_array_equal(found, np.tile(counts[order], 2))
    # Without strays nobody leaves a copy, and a history is a real one in its order.
    real = {tuple(history.tolist()) for history in dataset.sequences}
    for history in grown.sequences:
        assert len(set((history // ITEMS).tolist())) == 1
        assert tuple(order[history % ITEMS].tolist()) in real


def test_a_part_is_the_most_chosen_items(dataset, monkeypatch):
    monkeypatch.setattr(growth, "AN_ITEM", 10**6)
    grown = growth.grow(dataset, unit_rows((ITEMS, 16)), 30, seed=0)
    counts = np.sort(np.bincount(np.concatenate(dataset.sequences), minlength=ITEMS))[::-1]
    found = np.bincount(np.concatenate(grown.sequences), minlength=30)
    np.testing.assert_array_equal(found, counts[:30])


def test_interactions_without_order_stay_so(dataset, monkeypatch):
    monkeypatch.setattr(growth, "AN_ITEM", 10**6)
    grown = growth.grow(dataset, unit_rows((ITEMS, 16)), ITEMS, seed=0)
    assert not grown.unordered.any()
    as_sets = replace(dataset, unordered=np.array([len(s) for s in dataset.sequences]))
    grown = growth.grow(as_sets, unit_rows((ITEMS, 16)), 50, seed=0)
    assert grown.unordered.tolist() == [len(s) for s in grown.sequences]


def test_the_report(data, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(
        growth, "in_fresh_process", lambda *asked: {**growth.measure(*asked), "load": 0.25}
    )
    out = tmp_path / "growth.json"
    growth.main(["--data", str(data), "--items", "40", "90", "--out", str(out)])
    result = json.loads(out.read_text(encoding="utf-8"))
    assert [row["items"] for row in result["rows"]] == [40, 90]
    for row in result["rows"]:
        assert row["form"] == "exact"
        assert row["order"] == growth.SETTINGS["order"]
        assert 0 < row["rss_before_fit"] <= row["peak_rss_fit"] <= row["peak_rss"]
        assert 0 < row["table_entries"] <= 200 * row["items"]
        assert row["interactions"] > 0
    assert result["environment"]["command"].endswith("--data tiny --items 40 90 --seed 0")
    assert str(tmp_path) not in json.dumps(result)
    printed = capsys.readouterr().out
    assert "exact" in printed
    assert "90" in printed


def test_beyond_the_exact_items_the_fit_is_local(data, monkeypatch):
    small = growth.TeacherRecipe(exact_items=50, local_width=5, dimensions=16)
    monkeypatch.setattr(growth, "TeacherRecipe", lambda: small)
    assert growth.measure(data, 50, seed=0)["form"] == "exact"
    row = growth.measure(data, 51, seed=0)
    assert row["form"] == "local"
    assert row["table_entries"] <= 51 * 5


def test_a_fresh_process(data):
    row = growth.in_fresh_process(data, 40, seed=0)
    assert row["items"] == 40
    assert row["load"] >= 0


def test_sizes_are_checked_before_anything_is_measured(data, capsys):
    with pytest.raises(SystemExit):
        growth.main(["--data", str(data), "--items", "40", "0"])
    assert "--items: expected 1 or more" in capsys.readouterr().err


def test_a_process_that_fails_says_why(tmp_path):
    with pytest.raises(RunError, match=r"40 items: expected seconds and memory, found growth: "):
        growth.in_fresh_process(tmp_path / "none", 40, seed=0)


def test_the_page_shows_what_was_measured():
    page = (growth.ROOT / "docs/growth.md").read_text(encoding="utf-8")
    for row in json.loads(growth.RESULT.read_text(encoding="utf-8"))["rows"]:
        assert f"| {' | '.join(growth.cells(row))} |" in page
