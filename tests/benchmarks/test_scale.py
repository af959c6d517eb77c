"""Grown catalogues: made of real items, and measured."""

import numpy as np
import pytest

from benchmarks import scale
from pocketrec.bundle import LAYOUT
from pocketrec.files import read_json
from pocketrec.item_table import ItemTable
from pocketrec.recommender import Recommender


@pytest.fixture(scope="module")
def grown(tiny_bundle, tmp_path_factory):
    return scale.grown(tiny_bundle, 400, tmp_path_factory.mktemp("grown") / "bundle")


def test_a_grown_bundle_is_a_bundle_of_its_size(grown):
    recommender = Recommender.open(grown, verify=True)
    assert len(recommender.ids) == 400
    assert recommender.catalogue.search("banana")
    assert len(recommender.recommend(["0000001", "0000200"], 20)) == 20


def test_items_and_entries_are_those_they_were_drawn_from(grown, tiny_bundle):
    base, table = (ItemTable.read(b / LAYOUT.items) for b in (tiny_bundle, grown))
    cosines = table.unit_vectors() @ base.unit_vectors().T
    drawn = np.sort(np.random.default_rng(0).integers(40, size=400))
    assert (cosines[np.arange(400), drawn] > 0.98).all()
    entries, known = table.neighbours(), base.neighbours()
    originals = set(zip(known.sources.tolist(), known.targets.tolist(), strict=True))
    copied = zip(drawn[entries.sources].tolist(), drawn[entries.targets].tolist(), strict=True)
    assert set(copied) <= originals
    # As many an item as it has itself, up to the most.
    assert len(entries) == pytest.approx(len(known) * 10, rel=0.2)
    assert np.diff(table.starts).max() <= scale.ENTRIES


def test_each_size_has_its_line(tiny_bundle, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(scale, "OPENINGS", 1)
    asked = ["--sizes", "100", "300", "--calls", "3", "--out", str(tmp_path)]
    scale.main([str(tiny_bundle), *asked])
    first, second = read_json(tmp_path / "scale.json")["sizes"]
    assert (first["items"], second["items"]) == (100, 300)
    for row in (first, second):
        assert row["top20_shared"] == 1.0
        assert row["first_opening_seconds"] > 0
        assert [timing["operation"] for timing in row["timings"]] == [
            "recommend",
            "exact",
            "add an item",
        ]
        *searches, bound = row["search"]
        shared = {search["system"].split(",")[0]: search["shared"] for search in searches}
        for exact in ("numpy fp32", "onnxruntime fp32", "faiss flat fp32", "usearch exact fp32"):
            assert shared[exact] == pytest.approx(1)
        assert shared["PocketRec int8"] > 0.9
        assert shared["usearch HNSW int8"] > 0.9
        assert 0 < bound["p50"] < 1000
    assert "300" in capsys.readouterr().out


def test_a_catalogue_without_room_for_a_history(tiny_bundle, capsys):
    with pytest.raises(SystemExit):
        scale.main([str(tiny_bundle), "--sizes", "50"])
    assert "--sizes: expected more than 70 items, found 50" in capsys.readouterr().err
