"""The export stage: the held-out student to a measured bundle, the final student to the one that ships."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distill.checkpoint import Student
from export.build import Exported, Teacher, export_student, write_bundle
from export.recipe import ExportRecipe
from pocketrec import metrics
from pocketrec.evaluation import Score, rank_targets
from pocketrec.ledger import Ledger
from pocketrec.ranker import Ranker
from pocketrec.recommender import Recommender
from pocketrec.run import Report, Run
from pocketrec.splits import Indices

GATE_USERS = 2000
GATE_TEXTS = 2000


def run(run: Run, report: Report) -> None:
    """Make ``RUN/holdout/bundle`` (what the ledger measures) and ``RUN/bundle`` (what ships).

    Raises:
        UsageError: the recipe has an unknown key or an impossible value.
        RunError: a stage before is missing, or a graph is not what the student computes.
    """
    recipe = run.recipe("export", ExportRecipe)
    taught = run.facts("teacher/holdout")
    teacher = Teacher(taught["described"], tuple(taught["source_domains"]))
    holdout = run.facts("student/holdout")["fingerprint"]
    measured = run.artefact(
        "holdout",
        {"student": holdout, "recipe": recipe.model_dump()},
        lambda folder: _measure(run, teacher, folder, report),
        report,
    )
    ledger = Ledger.load(run.folder)
    with np.load(run.folder / "holdout/ranks.npz") as ranks:
        for stage in ("onnx_fp32", "onnx_int8", "bundle"):
            ledger.add(stage, ranks[stage], measured["names"][stage])
    ledger.save(run.folder)
    final = run.facts("student/final")["fingerprint"]
    run.artefact(
        "bundle",
        {"student": final, "measured": measured},
        lambda folder: _ship(run, teacher, ledger, folder),
        report,
    )


def _measure(run: Run, teacher: Teacher, folder: Path, report: Report) -> dict[str, Any]:
    student = Student.load(run.folder / "student/holdout")
    split = run.split
    with tempfile.TemporaryDirectory() as scratch:
        exported = _exported(run, student, Path(scratch))
        bundle = folder / "bundle"
        bundle.mkdir()
        write_bundle(bundle, exported, student, run.dataset, teacher, "train", [])
        shown = {"onnx_fp32": _scores(exported.fp32), "onnx_int8": _scores(exported.int8)}
        shown["bundle"] = _read_back(
            Recommender.open(bundle, precision="int8"), run.dataset.ids.ids
        )
        with report.task("Ranking the test items with the bundle", len(shown)) as advance:
            ranks: dict[str, npt.NDArray[np.float64]] = {}
            for stage, score in shown.items():
                ranks[stage] = rank_targets(score, split.test)
                advance(len(ranks))
    np.savez_compressed(folder / "ranks.npz", **ranks)  # type: ignore[arg-type]
    return {
        "names": {
            "onnx_fp32": "ONNX, full precision",
            "onnx_int8": f"ONNX, sequence encoder {exported.precision['sequence_encoder.onnx']}, items int8",
            "bundle": "bundle read back",
        },
        "parity": exported.parity.as_dict(),
        "precision": exported.precision,
        "differences": exported.differences,
        "summary": f"NDCG@10 {metrics.ndcg_at(ranks['bundle'], 10).mean():.4f}; {_describe(exported)}",
    }


def _exported(run: Run, student: Student, scratch: Path) -> Exported:
    cases = run.split.validation.sample(GATE_USERS, run.settings.seed)
    return export_student(
        student, cases, run.dataset.texts[:GATE_TEXTS], scratch, run.recipe("export", ExportRecipe)
    )


def _describe(exported: Exported) -> str:
    overlap = f"top-20 overlap with full precision {exported.parity.top20_overlap:.1%}"
    return overlap if exported.parity.passed else f"{overlap}, WHICH MISSES THE PARITY GATE"


def _scores(ranker: Ranker) -> Score:
    return lambda histories: np.stack([ranker.scores(history) for history in histories])


def _read_back(recommender: Recommender, ids: list[str]) -> Score:
    def score(histories: list[Indices]) -> npt.NDArray[np.float32]:
        return np.stack(
            [recommender.scores([ids[item] for item in history]) for history in histories]
        )

    return score


def _ship(run: Run, teacher: Teacher, ledger: Ledger, folder: Path) -> dict[str, Any]:
    student = Student.load(run.folder / "student/final")
    with tempfile.TemporaryDirectory() as scratch:
        exported = _exported(run, student, Path(scratch))
        write_bundle(folder, exported, student, run.dataset, teacher, "all", ledger.rows)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return {"bytes": size, "summary": f"{size / 1e6:.2f} MB; {_describe(exported)}"}
