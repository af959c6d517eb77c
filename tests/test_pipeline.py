"""The whole path on a small data set: ratings and texts to a bundle that recommends, and the same run again."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_data import ITEMS, USERS, Recorder, save_tiny_backbone, tiny_histories, write_tiny_data

import distill.stage
import export.stage
import teacher.closed_forms
import teacher.stage
import teacher.starts
from distill.checkpoint import Student
from pocketrec import metrics
from pocketrec.artefact import TeacherArtefact
from pocketrec.errors import RunError, UsageError
from pocketrec.files import read_json
from pocketrec.ledger import STAGES, Ledger
from pocketrec.recommender import Recommender
from pocketrec.run import Run

RECIPE = """
[teacher]
backbone = "{backbone}"
sentence_encoder = "none"
dimensions = 32
ridges = [10, 100]
text_weights = [0, 5]

[teacher.sequence]
dimensions = 32
layers = 1
dropout = 0.2
epochs = 8

[student]
dimensions = 16
layers = 1
dropout = 0.1
epochs = 10
vocabulary = 400
text_epochs = 8
"""
ARTEFACTS = [
    "teacher/vectors",
    "teacher/holdout",
    "teacher/final",
    "student/holdout",
    "student/control",
    "student/final",
    "holdout",
    "bundle",
]


@dataclass(frozen=True)
class Built:
    run: Run
    data: Path
    recipe: Path
    report: Recorder


def build(run: Run) -> Recorder:
    report = Recorder()
    for stage in (teacher.stage, distill.stage, export.stage):
        stage.run(run, report)
    return report


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Item vectors that the runs of this file share."""
    return tmp_path_factory.mktemp("vectors")


@pytest.fixture(autouse=True)
def _shared_cache(_own_cache: None, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POCKETREC_CACHE", str(cache))


@pytest.fixture(scope="module")
def built(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("built")
    recipe = folder / "recipe.toml"
    recipe.write_text(RECIPE.format(backbone=save_tiny_backbone(folder / "backbone")))
    data = write_tiny_data(folder / "books")
    run = Run.open(folder / "run", data, recipe=recipe)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POCKETREC_CACHE", str(cache))
        report = build(run)
    return Built(run, data, recipe, report)


def test_every_hand_over_is_in_the_ledger_on_the_same_users(built: Built) -> None:
    ledger = Ledger.load(built.run.folder)
    assert [row["stage"] for row in ledger.rows] == list(STAGES)
    assert all(ranks.shape == (USERS,) for ranks in ledger.ranks.values())
    assert ledger.as_dict()["users"] == USERS
    assert ledger.protocol == "leave-one-out"
    assert ledger.data == "books"
    for row in ledger.rows:
        low, high = row["ndcg@10_ci"]
        assert 0 <= low <= row["ndcg@10"] <= high <= 1


def test_every_stage_learned_something(built: Built) -> None:
    ndcg = {row["stage"]: row["ndcg@10"] for row in Ledger.load(built.run.folder).rows}
    for stage in STAGES[1:]:
        assert ndcg[stage] > 3 * ndcg["popularity"]


def test_nothing_is_lost_on_the_way_to_the_device(built: Built) -> None:
    ledger = Ledger.load(built.run.folder)
    # Full precision ranks as the student does; the bundle ranks as its int8 graphs do.
    np.testing.assert_allclose(ledger.ranks["onnx_fp32"], ledger.ranks["student_fp32"], atol=1)
    np.testing.assert_array_equal(ledger.ranks["bundle"], ledger.ranks["onnx_int8"])
    assert abs(ledger.difference("bundle", "student_fp32")[0]) < 0.02
    assert built.run.facts("holdout")["parity"]["passed"]


def test_the_measured_bundle_has_the_ranks_of_the_ledger(built: Built) -> None:
    """Counted anew through the public interface alone: a target of rank 10 or better is recommended."""
    recommender = Recommender.open(built.run.folder / "holdout/bundle")
    ranks = Ledger.load(built.run.folder).ranks["bundle"]
    hits = []
    for history in tiny_histories():
        ids = [f"b{item:03}" for item in history]
        listed = recommender.recommend(ids[:-1], k=10)
        hits.append(ids[-1] in [item.item_id for item in listed])
    assert np.mean(hits) == pytest.approx(metrics.recall_at(ranks, 10).mean())


def test_the_bundle_that_ships_recommends(built: Built) -> None:
    recommender = Recommender.open(built.run.folder / "bundle")
    history = ["b003", "b004", "b006", "b007"]
    listed = recommender.recommend(history, k=10)
    assert len(listed) == 10
    assert not listed.is_default
    assert not set(history) & {item.item_id for item in listed}
    genre = [item for item in listed if item.item_id < "b020"]
    assert len(genre) >= 5  # as the data's users stay in a genre
    assert len(recommender.similar("b003", k=5)) == 5
    assert recommender.explain(history, listed.items[0].item_id)
    assert recommender.encode(["The Cold Witness"]).shape == (1, 16)


def test_what_each_bundle_was_trained_on(built: Built) -> None:
    shipped = Recommender.open(built.run.folder / "bundle").manifest
    measured = Recommender.open(built.run.folder / "holdout/bundle").manifest
    assert (shipped.trained_on, measured.trained_on) == ("all", "train")
    assert [row["stage"] for row in shipped.ledger] == list(STAGES)
    assert shipped.ranker == measured.ranker  # chosen once, on validation
    assert shipped.data.fingerprint == built.run.dataset.fingerprint


def test_the_student_that_ships_goes_on_from_the_one_that_was_measured(built: Built) -> None:
    measured, shipped = (
        Student.load(built.run.folder / "student" / name) for name in ("holdout", "final")
    )
    cosines = (measured.vectors * shipped.vectors).sum(axis=1)
    assert 0.8 < np.median(cosines) < 0.9999  # from other first weights they would be about 0


def test_the_report_names_every_artefact(built: Built) -> None:
    assert [line.split(":")[0] for line in built.report.lines] == ARTEFACTS
    for done, total in zip(built.report.done, built.report.totals, strict=True):
        assert done == sorted(done)
        assert total is None or done[-1] <= total


def test_the_second_run_reuses_everything_and_trains_nothing(
    built: Built, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = built.run.folder / "bundle"
    files = [path for path in bundle.rglob("*") if path.is_file()]
    before = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in files}
    ledger = read_json(built.run.folder / "ledger.json")
    for stage, names in (
        (teacher.stage, ("read_texts",)),
        (teacher.closed_forms, ("fit", "Tuner")),
        (teacher.starts, ("train",)),
        (distill.stage, ("train_sequence_encoder", "train_text_encoder", "train_tokenizer")),
        (export.stage, ("export_student", "write_bundle")),
    ):
        for name in names:
            monkeypatch.setattr(stage, name, None)  # a call would fail
    report = build(Run.open(built.run.folder, built.data, recipe=built.recipe))
    assert [line.split(".")[0] for line in report.lines] == [f"{n}: reused" for n in ARTEFACTS]
    assert report.tasks == []
    assert before == {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in files}
    assert read_json(built.run.folder / "ledger.json") == ledger


def copied(built: Built, folder: Path) -> Run:
    shutil.copytree(built.run.folder, folder)
    return Run.open(folder)


def test_a_stage_alone_makes_what_is_missing(built: Built, tmp_path: Path) -> None:
    run = copied(built, tmp_path / "run")
    shutil.rmtree(run.folder / "bundle")
    report = Recorder()
    export.stage.run(run, report)
    assert "reused" in report.lines[0]
    assert "reused" not in report.lines[1]
    again, before = (
        Recommender.open(folder / "bundle").scores(["b003", "b050"])
        for folder in (run.folder, built.run.folder)
    )
    np.testing.assert_allclose(again, before, atol=1e-5)


@pytest.mark.parametrize("stage", [distill.stage, export.stage])
def test_a_stage_without_the_one_before_says_so(built: Built, tmp_path: Path, stage) -> None:
    run = Run.open(tmp_path / "run", built.data, recipe=built.recipe)
    with pytest.raises(RunError, match="run the stages before"):
        stage.run(run, Recorder())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("colour = 'blue'", r"recipe, table \[student\]: colour: .*, found 'blue'"),
        ("dimensions = 0", r"recipe, table \[student\]: dimensions: .*, found 0"),
        ("dimensions = 20\nheads = 3", r"recipe, table \[student\]: .*heads"),
    ],
)
def test_a_recipe_of_the_student_that_cannot_be(
    built: Built, tmp_path: Path, settings: str, message: str
) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(f"[student]\n{settings}\n")
    with pytest.raises(UsageError, match=message):
        distill.stage.run(Run.open(tmp_path / "run", built.data, recipe=recipe), Recorder())


def without_order(folder: Path) -> None:
    path = folder / "interactions.csv"
    rows = [line.rsplit(",", 1)[0] for line in path.read_text().splitlines()]
    path.write_text("\n".join(rows) + "\n")


def test_without_order_and_without_time_there_is_still_a_bundle(
    built: Built, tmp_path: Path
) -> None:
    data = write_tiny_data(tmp_path / "books")
    without_order(data)
    run = Run.open(tmp_path / "run", data, minutes=1e-4, recipe=built.recipe)
    build(run)
    assert [row["stage"] for row in Ledger.load(run.folder).rows] == list(STAGES)
    assert Ledger.load(run.folder).protocol == "leave-one-out (random, no order known)"
    assert len(Recommender.open(run.folder / "bundle").recommend(["b003"], k=10)) == 10


def test_without_a_teacher_the_student_has_as_long_and_starts_anew(
    built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[tuple[bool, bool, float]] = []
    train = distill.stage.train_sequence_encoder

    def spy(table: Any, encoder: Any, windows: Any, teacher: Any, *others: Any) -> Any:
        given.append((teacher is not None, bool(table.residual.weight.any()), others[3]))
        return train(table, encoder, windows, teacher, *others)

    monkeypatch.setattr(distill.stage, "train_sequence_encoder", spy)
    build(Run.open(tmp_path / "run", built.data, minutes=0.05, recipe=built.recipe))
    (_, starts_there, taught), *_, (is_taught, starts_too, alone), _ = given
    assert starts_there
    assert not is_taught
    assert not starts_too
    assert alone == taught > 0


def test_another_process_builds_the_same_bundle_to_the_last_byte(
    built: Built, tmp_path: Path
) -> None:
    made = []
    for number in range(2):
        out = tmp_path / str(number)
        environment = os.environ | {
            "SOURCE_DATE_EPOCH": "1767225600",
            "PYTHONHASHSEED": str(number),
            "POCKETREC_CACHE": str(tmp_path / f"cache{number}"),
            "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
        }
        command = [sys.executable, "-m", "pocketrec.cli", "build", "--data", str(built.data)]
        subprocess.run(
            [*command, "--out", str(out), "--recipe", str(built.recipe)],
            check=True,
            env=environment,
            capture_output=True,
        )
        files = (path for path in (out / "bundle").rglob("*") if path.is_file())
        made.append({p.relative_to(out).as_posix(): p.read_bytes() for p in sorted(files)})
    assert made[0].keys() == made[1].keys()
    for name, content in made[0].items():
        assert made[1][name] == content, name
    assert b'"created": "2026-01-01"' in made[0]["bundle/manifest.json"]


def test_nothing_that_is_measured_has_seen_a_test_item(built: Built, tmp_path: Path) -> None:
    """Other test items, the same everything else: the measured teacher and student are the same to the last bit."""
    data = write_tiny_data(tmp_path / "books")
    rng = np.random.default_rng(1)
    with (data / "interactions.csv").open("w") as stream:
        stream.write("user_id,item_id,timestamp\n")
        for user, history in enumerate(tiny_histories()):
            other = int(rng.choice(np.setdiff1d(np.arange(ITEMS), history)))
            for place, item in enumerate([*history[:-1], other]):
                stream.write(f"u{user:03},b{item:03},{1000 + place}\n")
    run = Run.open(tmp_path / "run", data, recipe=built.recipe)
    assert run.dataset.fingerprint != built.run.dataset.fingerprint
    teacher.stage.run(run, Recorder())
    distill.stage.run(run, Recorder())
    ours, theirs = (TeacherArtefact.load(r.folder / "teacher/holdout") for r in (run, built.run))
    for name, array in vars(theirs).items():
        np.testing.assert_array_equal(getattr(ours, name), array, err_msg=name)
    with (
        np.load(run.folder / "student/holdout/items.npz") as ours_items,
        np.load(built.run.folder / "student/holdout/items.npz") as their_items,
    ):
        for name in their_items.files:
            np.testing.assert_array_equal(ours_items[name], their_items[name], err_msg=name)
    assert (
        run.facts("student/holdout")["settings"] == built.run.facts("student/holdout")["settings"]
    )
