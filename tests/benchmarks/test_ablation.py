"""The ablation of the student's losses on a run whose teacher is made up."""

import numpy as np
import pytest
from tiny_data import ITEMS, unit_rows, write_tiny_data

from benchmarks import ablation
from distill.recipe import StudentRecipe
from pocketrec.artefact import TeacherArtefact
from pocketrec.errors import RunError
from pocketrec.files import read_json, write_json
from pocketrec.run import Run
from training.sequences import PAD, windows

RECIPE = """
[student]
dimensions = 16
layers = 1
epochs = 6
batch = 32
neighbours = [5]
"""


@pytest.fixture
def run(tmp_path):
    (tmp_path / "recipe.toml").write_text(RECIPE)
    data = write_tiny_data(tmp_path / "books")
    return Run.open(tmp_path / "run", data, recipe=tmp_path / "recipe.toml")


def teach(run):
    folder = run.folder / "teacher/holdout"
    folder.mkdir(parents=True)
    cut = windows(run.split.train, 12)
    states = unit_rows((int((cut != PAD).sum()), 8)).astype(np.float16)
    sources = np.repeat(np.arange(ITEMS), 5)
    table = (sources, (sources + np.tile(np.arange(1, 6), ITEMS)) % ITEMS)
    weights = np.ones(len(sources), dtype=np.float32)
    TeacherArtefact(
        unit_rows((ITEMS, 32)),
        unit_rows((ITEMS, 4), seed=2),
        unit_rows((ITEMS, 8), seed=1),
        cut.astype(np.int32),
        states,
        *(*table, weights),
        *(*table, weights),
    ).save(folder)
    write_json(
        run.folder / "records/teacher-holdout.json",
        {"fingerprint": "tiny", "seconds": 1.0, "facts": {"id_rate": 1.0}},
    )


def test_every_way_is_measured_beside_the_one_without_a_teacher(run, tmp_path, capsys):
    teach(run)
    ways = ["none", "logits", "relations"]
    asked = [str(run.folder), "--ways", *ways, "--seconds", "5", "--seeds", "2"]
    ablation.main([*asked, "--out", str(tmp_path / "results")])
    stored = read_json(tmp_path / "results/ablation-books.json")
    assert stored["data"]["users"] == len(run.split.test)
    assert [row["way"] for row in stored["ways"]] == ways
    for row in stored["ways"]:
        for found in row["ndcg@10"].values():
            assert found["mean"] == pytest.approx(np.mean(found["seeds"]))
            assert len(set(found["seeds"])) > 1
            assert ("less_none" in found) == (row["way"] != "none")
    alone = [row["ndcg@10"]["alone, validation"]["mean"] for row in stored["ways"]]
    assert len(set(alone)) == len(ways)
    shown = capsys.readouterr().out
    assert all(way in shown for way in ways)


def test_differences_are_paired_over_the_means_of_the_seeds():
    ours = [{"alone, test": np.array([1.0, 0.0, 0.5])}, {"alone, test": np.array([1.0, 0.5, 0.5])}]
    theirs = [{"alone, test": np.array([0.5, 0.25, 0.0])}] * 2
    row = ablation._row("logits", ours, theirs)["ndcg@10"]["alone, test"]
    assert row["seeds"] == [pytest.approx(0.5), pytest.approx(2 / 3)]
    assert row["mean"] == pytest.approx(3.5 / 6)
    # (1, .25, .5) less (.5, .25, 0).
    assert row["less_none"]["mean"] == pytest.approx(1 / 3)
    assert 0 <= row["less_none"]["low"] <= 1 / 3 <= row["less_none"]["high"] <= 0.5


@pytest.mark.parametrize("way", ablation.WAYS)
def test_every_way_is_a_recipe(way):
    recipe = StudentRecipe(**ablation.weights(way))
    taught = [name for name in ("logit", "ranking", "embedding", "relation") if name in way]
    weights = recipe.model_dump()
    assert all(weights[f"{name}_distillation"] for name in taught)
    assert bool(taught) == (way != "none")


@pytest.mark.parametrize(("option", "value"), [("--seconds", "0"), ("--seeds", "0")])
def test_impossible_settings_are_refused(run, option, value, capsys):
    with pytest.raises(SystemExit) as stopped:
        ablation.main([str(run.folder), option, value])
    assert stopped.value.code == 2
    assert f"{option}: expected" in capsys.readouterr().err


def test_a_run_without_a_teacher_is_refused(run):
    with pytest.raises(RunError, match="teacher"):
        ablation.main([str(run.folder)])
