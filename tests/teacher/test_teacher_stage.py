"""The teacher stage on a small data set: what it reads, what it chooses and what it hands over."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file
from tiny_data import ITEMS, USERS, Recorder, save_tiny_backbone, write_tiny_data

from pocketrec.artefact import TeacherArtefact
from pocketrec.errors import UsageError
from pocketrec.evaluation import rank_targets
from pocketrec.ledger import Ledger
from pocketrec.run import Run
from pocketrec.splits import Cases, interaction_counts
from teacher import closed_forms, stage, starts
from teacher.scorers import Popularity
from teacher.transfer import Verdict, judge
from training import sequences

RECIPE = """
[teacher]
backbone = "{backbone}"
sentence_encoder = "none"
dimensions = 32
neighbours = 5
table_entries = 1200
ridges = [10, 100]
text_weights = [0, 5]
[teacher.sequence]
dimensions = 16
layers = 1
epochs = 15
evaluate_every = 1
"""


def teach(folder: Path, patch: pytest.MonkeyPatch) -> tuple[Run, Recorder]:
    patch.setenv("POCKETREC_CACHE", str(folder / "cache"))
    backbone = save_tiny_backbone(folder / "backbone")
    (folder / "recipe.toml").write_text(RECIPE.format(backbone=backbone))
    data = write_tiny_data(folder / "books")
    run, report = Run.open(folder / "run", data, recipe=folder / "recipe.toml"), Recorder()
    stage.run(run, report)
    return run, report


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Recorder]:
    with pytest.MonkeyPatch.context() as patch:
        return teach(tmp_path_factory.mktemp("taught"), patch)


def artefact(run: Run, name: str) -> TeacherArtefact:
    return TeacherArtefact.load(run.folder / "teacher" / name)


def test_item_vectors_are_unit_rows_for_every_item(taught: tuple[Run, Recorder]) -> None:
    run, _ = taught
    vectors = np.load(run.folder / "teacher/vectors/vectors.npy")
    assert vectors.shape == (ITEMS, 32)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert list(run.facts("teacher/vectors")["encoded"].values()) == [ITEMS]
    np.testing.assert_array_equal(artefact(run, "holdout").item_vectors, vectors)


def test_factors_that_help_reach_the_sequence_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of everything lie as those of the training part do: what was learned on these goes on with those."""
    verdict = Verdict("half factors", "no factors", {}, {"half factors": (0.1, 0.05, 0.15)})
    monkeypatch.setattr(stage, "choose_factors", lambda factors, *others: (factors, verdict))
    run, report = teach(tmp_path, monkeypatch)
    assert "factors beside texts used" in report.lines[1]
    assert run.facts("teacher/holdout")["factors"]["used"] == "factors beside texts"
    assert run.facts("teacher/holdout")["factors"]["width"] == 64
    held, final = (artefact(run, name).factors for name in ("holdout", "final"))
    assert held.shape == final.shape == (ITEMS, 64)
    chosen = interaction_counts(run.split.train, ITEMS) > 0
    assert held[chosen].any(axis=1).all()
    assert not held[~chosen].any()
    assert (held * final)[chosen].sum() > 0.9 * np.linalg.norm(held) * np.linalg.norm(final[chosen])
    start = run.folder / "teacher/holdout/sequence-scratch.safetensors"
    assert load_file(start)["project.weight"].shape == (16, 32 + 64)


def test_factors_that_help_no_sequence_model_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever they would add to the closed form."""

    def keeps(ways: dict[str, Any], without: str, cases: Cases, seed: int) -> Verdict:
        return Verdict(without, without, {}, dict.fromkeys(ways, (0.0, -0.1, 0.1)))

    verdict = Verdict("half factors", "no factors", {}, {"half factors": (0.1, 0.05, 0.15)})
    monkeypatch.setattr(stage, "choose_factors", lambda factors, *others: (factors, verdict))
    monkeypatch.setattr(starts, "guard", keeps)
    run, report = teach(tmp_path, monkeypatch)
    assert "no factors kept" in report.lines[1]
    assert run.facts("teacher/holdout")["factors"]["width"] == 0
    made = artefact(run, "holdout")
    np.testing.assert_array_equal(made.features, made.item_vectors)


def test_factors_that_do_not_help_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    verdict = Verdict("no factors", "no factors", {}, {"half factors": (0.0, -0.1, 0.1)})
    monkeypatch.setattr(stage, "choose_factors", lambda factors, *others: (factors[:, :0], verdict))
    run, _ = teach(tmp_path, monkeypatch)
    for name in ("holdout", "final"):
        made = artefact(run, name)
        assert made.factors.shape == (ITEMS, 0)
        np.testing.assert_array_equal(made.features, made.item_vectors)


@pytest.mark.parametrize(("gain", "used"), [(0.0, "EASE"), (0.1, "EASE with text")])
def test_ease_takes_the_place_of_ease_with_text_that_is_not_better(
    gain: float, used: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def verdict(ways: dict[str, Any], without: str, cases: Cases, seed: int) -> Verdict:
        assert len(cases) == USERS
        found = {kind: np.full(len(cases), 0.5) for kind in ways}
        found["EASE with text"] += gain
        return judge(found, without, seed)

    monkeypatch.setattr(closed_forms, "guard", verdict)
    monkeypatch.setattr(closed_forms, "validation_ndcg", lambda *_: 0.4)  # of ItemKNN
    run, _ = teach(tmp_path, monkeypatch)
    facts = run.facts("teacher/holdout")
    models = facts["item_models"]
    ease = {**models["EASE"], "kind": "EASE with text"}
    ease["settings"] = {**ease["settings"], "text_weight": 0.0, "order": 0.0}
    assert (models["EASE with text"] == ease) == (used == "EASE")
    assert facts["best_peer"] == "EASE"
    assert facts["text"]["used"] == used
    assert f"{used} {'kept' if used == 'EASE' else 'used'}" in facts["described"]


@pytest.mark.parametrize("name", ["holdout", "final"])
def test_the_artefact_fits_together(taught: tuple[Run, Recorder], name: str) -> None:
    handed = artefact(taught[0], name)
    assert handed.projected.shape == (ITEMS, 16)
    np.testing.assert_allclose(np.linalg.norm(handed.projected, axis=1), 1, atol=1e-5)
    assert handed.states.shape == ((handed.windows != sequences.PAD).sum(), 16)
    assert handed.states.dtype == np.float16
    # Every user vector is a unit vector times the one temperature.
    lengths = np.linalg.norm(handed.states.astype(np.float32), axis=1)
    np.testing.assert_allclose(lengths, lengths[0], rtol=2e-3)
    assert (handed.peer_table is None) == (name == "final")
    for table in filter(None, (handed.table, handed.peer_table)):
        assert table.items == ITEMS
        assert ITEMS * 5 < len(table) <= ITEMS * 10


def test_the_states_know_something_about_what_comes_next(taught: tuple[Run, Recorder]) -> None:
    handed = artefact(taught[0], "final")
    logits = handed.states.astype(np.float32) @ handed.projected.T
    targets = handed.windows[handed.windows != sequences.PAD]
    ranks = (logits > logits[np.arange(len(targets)), targets][:, None]).sum(axis=1)
    assert ranks.mean() < ITEMS / 3  # a guess: half of them


def test_the_held_out_artefact_reads_the_training_part_the_final_one_everything(
    taught: tuple[Run, Recorder],
) -> None:
    run, _ = taught
    for name, read in (("holdout", run.split.train), ("final", run.dataset.sequences)):
        windows = artefact(run, name).windows
        expected = sequences.windows(read, windows.shape[1])
        np.testing.assert_array_equal(windows, expected)


def test_the_final_teacher_has_the_settings_that_validation_chose(
    taught: tuple[Run, Recorder],
) -> None:
    run, _ = taught
    facts = run.facts("teacher/holdout")
    assert run.facts("teacher/final")["epochs"] == [math.ceil(0.5 * facts["epochs"]["scratch"])]
    assert facts["epochs"]["scratch"] > 0
    assert facts["training_seconds"]["scratch"] > 0
    assert artefact(run, "final").windows.shape[1] == facts["length"]
    assert set(facts["item_models"]) == {"ItemKNN", "EASE", "EASE with text"}
    assert facts["names"]["best_peer"].startswith(f"{facts['best_peer']} (")
    assert facts["item_models"]["EASE"]["settings"]["ridge"] in (10, 100)
    assert 0 <= facts["sequence_weight"] <= 1


def test_the_final_teacher_goes_on_from_the_held_out_one(taught: tuple[Run, Recorder]) -> None:
    held, final = (artefact(taught[0], name).projected for name in ("holdout", "final"))
    cosines = (held * final).sum(axis=1)
    assert cosines.mean() > 0.9
    assert not np.array_equal(held, final)


def test_the_final_teacher_learns_ids_at_the_rate_that_validation_chose(
    taught: tuple[Run, Recorder],
) -> None:
    run, _ = taught
    facts = run.facts("teacher/holdout")
    assert set(facts["id_rates"]) == {"1", "10"}
    assert facts["id_rates"][f"{facts['id_rate']:g}"] == max(facts["id_rates"].values())
    assert f"IDs learn at rate {facts['id_rate']:g}" in facts["described"]


def test_what_is_blended_in_reaches_the_bundle(
    taught: tuple[Run, Recorder], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _ = taught
    verdict = Verdict("half ItemKNN", "alone", {}, {"half ItemKNN": (0.1, 0.05, 0.15)})
    monkeypatch.setattr(closed_forms, "choose_blend", lambda *given: (0.5, 2.0, verdict))
    made = run.folder.parent
    monkeypatch.setenv("POCKETREC_CACHE", str(made / "cache"))
    other = Run.open(tmp_path / "run", made / "books", recipe=made / "recipe.toml")
    report = Recorder()
    stage.run(other, report)
    assert "half ItemKNN used" in report.lines[1]
    assert "and 0.5 ItemKNN (" in other.facts("teacher/holdout")["names"]["teacher"]
    for name in ("holdout", "final"):
        table, alone = artefact(other, name).table, artefact(run, name).table
        assert (table.weights > alone.weights.max()).any()


def test_the_ledger_begins_with_three_stages_on_the_same_users(
    taught: tuple[Run, Recorder],
) -> None:
    run, _ = taught
    ledger = Ledger.load(run.folder)
    assert list(ledger.ranks) == ["popularity", "best_peer", "teacher"]
    assert all(len(ranks) == len(run.split.test) == USERS for ranks in ledger.ranks.values())
    popularity = Popularity(interaction_counts(run.split.train, ITEMS))
    expected = rank_targets(popularity.scores, run.split.test)
    np.testing.assert_array_equal(ledger.ranks["popularity"], expected)
    assert ledger.rows[1]["name"].startswith(("ItemKNN (", "EASE ("))
    assert ledger.rows[2]["ndcg@10"] > 3 * ledger.rows[0]["ndcg@10"]


def test_the_report_says_what_was_done(taught: tuple[Run, Recorder]) -> None:
    _, report = taught
    assert [line.split(":")[0] for line in report.lines] == [
        "teacher/vectors",
        "teacher/holdout",
        "teacher/final",
    ]
    for done, total in zip(report.done, report.totals, strict=True):
        assert done == sorted(done)
        assert total is None or done[-1] <= total


def test_again_reuses_all_of_it(
    taught: tuple[Run, Recorder], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _ = taught
    for module, name in ((stage, "read_texts"), (closed_forms, "fit"), (starts, "train")):
        monkeypatch.setattr(module, name, None)
    report = Recorder()
    stage.run(Run.open(run.folder), report)
    assert [line.split(".")[0] for line in report.lines] == [
        "teacher/vectors: reused",
        "teacher/holdout: reused",
        "teacher/final: reused",
    ]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"colour": "blue"}, r"recipe, table \[teacher\]: colour: .*, found 'blue'"),
        ({"sequence": {"layer": 2}}, r"\[teacher\]: sequence\.layer: .*, found 2"),
        ({"sequence": {"layers": 0}}, r"\[teacher\]: sequence\.layers: .*, found 0"),
        ({"sequence": {"heads": 3}}, r"sequence\.heads: .*divisor of dimensions = 128, found 3"),
        ({"whitening": 0.9}, r"\[teacher\]: whitening: .*, found 0\.9"),
        ({"ridges": [1.0, -1.0]}, r"\[teacher\]: ridges\.1: .*, found -1\.0"),
        ({"layer": "first"}, r"\[teacher\]: layer: .*, found 'first'"),
    ],
)
def test_a_recipe_that_cannot_be(
    taught: tuple[Run, Recorder],
    monkeypatch: pytest.MonkeyPatch,
    table: dict[str, Any],
    message: str,
) -> None:
    run, _ = taught
    monkeypatch.setattr(run, "table", lambda name: table)
    with pytest.raises(UsageError, match=message):
        stage.run(run, Recorder())
