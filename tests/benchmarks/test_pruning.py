"""Tables of a model that is fitted on a tiny data set, by two rules of what to leave out."""

import numpy as np
import pytest
from tiny_data import ITEMS, unit_rows, write_tiny_data

from benchmarks import pruning
from benchmarks.accuracy import refit
from pocketrec import metrics
from pocketrec.errors import RunError
from pocketrec.evaluation import rank_targets
from pocketrec.files import read_json, write_json
from pocketrec.run import Run
from teacher.closed_forms import TEXT_MODEL

MODEL = {
    "kind": TEXT_MODEL,
    "settings": {"ridge": 5.0, "text_weight": 1.0, "order": 0.0},
    "decay": 0.9,
    "validation": 0.1,
}


@pytest.fixture
def run(tmp_path):
    (tmp_path / "recipe.toml").write_text(f"[student]\nneighbours = [2, {ITEMS}]\n")
    data = write_tiny_data(tmp_path / "books")
    return Run.open(tmp_path / "run", data, recipe=tmp_path / "recipe.toml")


def test_a_table_of_everything_is_the_model_and_a_small_one_depends_on_the_rule(
    run, tmp_path, capsys
):
    facts = {"item_models": {TEXT_MODEL: MODEL}, "exact_items": ITEMS, "local_width": None}
    write_json(
        run.folder / "records/teacher-holdout.json",
        {"fingerprint": "tiny", "seconds": 1.0, "facts": facts},
    )
    (run.folder / "teacher/holdout").mkdir(parents=True)
    np.save(run.folder / "teacher/holdout/item_vectors.npy", unit_rows((ITEMS, 16)))
    pruning.main([str(run.folder), "--out", str(tmp_path / "results")])
    found = read_json(tmp_path / "results/pruning-books.json")
    small, everything = found["tables"]
    ranks = rank_targets(refit(run, TEXT_MODEL).scores, run.split.validation)
    assert found["whole"] == pytest.approx(metrics.ndcg_at(ranks, 10).mean())
    assert everything["by_weight"] == everything["by_weight_and_count"] == found["whole"]
    assert small["by_weight"] != small["by_weight_and_count"]
    gained = small["by_weight_and_count"] - small["by_weight"]
    assert small["difference"]["mean"] == pytest.approx(gained)
    assert "all" in capsys.readouterr().out


def test_a_run_without_a_teacher_is_refused(run, tmp_path):
    with pytest.raises(RunError, match="teacher/holdout"):
        pruning.main([str(run.folder), "--out", str(tmp_path / "results")])
