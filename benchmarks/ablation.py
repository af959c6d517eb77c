"""What each way of learning from the teacher brings the student: `python -m benchmarks.ablation RUN`."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.accuracy import interval
from benchmarks.report import signed
from benchmarks.run import data_record, environment
from distill.fusion import StudentRanker, choose_settings
from distill.recipe import StudentRecipe
from distill.stage import student_recipe
from distill.student import ItemTable, SequenceEncoder
from distill.train import StudentScorer, Teacher, train_sequence_encoder
from pocketrec import metrics
from pocketrec.artefact import TeacherArtefact
from pocketrec.cli.output import results, say, table
from pocketrec.cli.progress import RichReport
from pocketrec.errors import PocketRecError
from pocketrec.evaluation import rank_targets
from pocketrec.files import write_json
from pocketrec.run import Run
from pocketrec.splits import interaction_counts

RESULTS = Path(__file__).parent / "results"
NONE = "none"
LOSSES = ("cross_entropy", "logit", "ranking", "embedding", "relation")
WAYS: dict[str, tuple[float, ...]] = {
    NONE: (1, 0, 0, 0, 0),
    "logits": (0.5, 0.5, 0, 0, 0),
    "ranking": (0.2, 0, 0.8, 0, 0),
    "embeddings": (1, 0, 0, 1, 0),
    "relations": (1, 0, 0, 0, 10),
    "logits, ranking": (0.5, 0.5, 0.2, 0, 0),
    "logits, relations": (0.5, 0.5, 0, 0, 10),
    "logits, embeddings": (0.5, 0.5, 0, 1, 0),
}
"""Weights of ``LOSSES``."""
USERS = 2000
"""Validation users that decay and fusion weight are chosen on."""


def weights(way: str) -> dict[str, float]:
    """The fields of the student's recipe that ``way`` sets."""
    names = (n if n == "cross_entropy" else f"{n}_distillation" for n in LOSSES)
    return dict(zip(names, WAYS[way], strict=True))


def ablate(folder: Path, ways: Sequence[str], seconds: float, seeds: int, out: Path) -> None:
    """Train the student in each way, ``seeds`` times ``seconds``; write ``out/ablation-NAME.json`` and print it.

    All of them start from the teacher's item space and are fused with the same neighbour table: only what the sequence
    encoder is taught differs.

    Raises:
        RunError: the run's teacher is not finished.
        UsageError: the run's recipe is impossible.
    """
    run = Run.open(folder)
    recipe = student_recipe(run)
    artefact = TeacherArtefact.load(run.folder / "teacher/holdout")
    measured: dict[str, list[dict[str, npt.NDArray[np.float64]]]] = {way: [] for way in ways}
    with RichReport().task("Training students", len(ways) * seeds) as advance:
        for seed in range(seeds):
            for way in ways:
                taught = recipe.model_copy(update=weights(way))
                measured[way].append(_measure(run, artefact, taught, seconds, seed))
                advance(sum(map(len, measured.values())))
    rows = [_row(way, found, measured.get(NONE)) for way, found in measured.items()]
    made = {**environment(0), "threads": torch.get_num_threads()}
    result = {
        "environment": made,
        "data": data_record(run),
        "settings": {"seconds": seconds, "seeds": seeds},
        "ways": rows,
    }
    path = out / f"ablation-{run.dataset.name}.json"
    write_json(path, result)
    show(rows)
    say(str(path))


def _measure(
    run: Run, artefact: TeacherArtefact, recipe: StudentRecipe, seconds: float, seed: int
) -> dict[str, npt.NDArray[np.float64]]:
    """NDCG@10 of each user: on validation and test, of the sequence encoder alone and fused."""
    split, items = run.split, len(artefact.item_vectors)
    counts = interaction_counts(split.train, items)
    torch.manual_seed(seed)
    space = ItemTable(artefact.features, counts > 0, recipe)
    teacher = Teacher(artefact)
    space.start_from(teacher.items, torch.from_numpy(counts))
    length = artefact.windows.shape[1]
    encoder = SequenceEncoder(length, recipe)
    train_sequence_encoder(
        space,
        encoder,
        artefact.windows,
        teacher,
        split.validation,
        recipe,
        seed,
        seconds,
    )
    with torch.no_grad():
        vectors = space()
    found = vectors.numpy()
    neighbours = artefact.table.pruned(min(recipe.neighbours) * items, counts)
    chosen, _ = choose_settings(
        found, encoder, neighbours, length, split.validation.sample(USERS, run.settings.seed)
    )
    both = StudentRanker.of(found, encoder, neighbours, counts, chosen).scores
    alone = StudentScorer(vectors, encoder, length).logits
    return {
        f"{name}, {part}": metrics.ndcg_at(rank_targets(scores, cases), 10)
        for part, cases in (("validation", split.validation), ("test", split.test))
        for name, scores in (("alone", alone), ("fused", both))
    }


def _row(
    way: str,
    found: Sequence[Mapping[str, npt.NDArray[np.float64]]],
    control: Sequence[Mapping[str, npt.NDArray[np.float64]]] | None,
) -> dict[str, Any]:
    """Means over seeds, each seed's mean, and the paired difference to the same students without a teacher."""
    row: dict[str, Any] = {"way": way, "weights": weights(way), "ndcg@10": {}}
    for name in found[0]:
        users = np.mean([one[name] for one in found], axis=0)
        row["ndcg@10"][name] = {
            "mean": float(users.mean()),
            "seeds": [float(one[name].mean()) for one in found],
        }
        if control is not None and control is not found:
            theirs = np.mean([one[name] for one in control], axis=0)
            row["ndcg@10"][name]["less_none"] = interval(metrics.paired_bootstrap(users, theirs))
    return row


def show(rows: Sequence[dict[str, Any]]) -> None:
    """Print NDCG@10 of every way, and how far it is from the student that hears no teacher."""
    shown = ("alone, validation", "fused, validation", "fused, test")
    columns = ("NDCG@10", "alone, val.", "fused, val.", "fused, test", f"less {NONE}")
    drawn = table(*columns, right=columns[1:], narrow=True)
    for row in rows:
        found = [row["ndcg@10"][name] for name in shown]
        less = found[-1].get("less_none")
        gap = signed(less) if less else ""
        drawn.add_row(row["way"], *(f"{one['mean']:.4f}" for one in found), gap)
    results().print(drawn)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train the student of a finished run with each loss for the same time, over several seeds."""
    parser = argparse.ArgumentParser("python -m benchmarks.ablation", description=main.__doc__)
    parser.add_argument("run", type=Path, metavar="RUN", help="a finished run")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS), metavar="WAY")
    parser.add_argument("--seconds", type=float, default=60.0, help="for each student")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of ablation-NAME.json")
    asked = parser.parse_args(arguments)
    if not asked.seconds > 0:
        parser.error(f"--seconds: expected more than 0, found {asked.seconds:g}")
    if asked.seeds < 1:
        parser.error(f"--seeds: expected at least 1, found {asked.seeds}")
    ablate(asked.run, asked.ways, asked.seconds, asked.seeds, asked.out)


if __name__ == "__main__":
    try:
        main()
    except PocketRecError as error:
        sys.exit(f"ablation: {error}")
