"""What the neighbour table keeps of an item-item model, by two rules: `python -m benchmarks.pruning RUN`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from benchmarks.accuracy import interval, refit
from benchmarks.report import signed
from benchmarks.run import data_record, environment
from distill.recipe import StudentRecipe
from pocketrec import metrics
from pocketrec.cli.output import results, say, table
from pocketrec.errors import PocketRecError
from pocketrec.evaluation import rank_targets
from pocketrec.files import write_json
from pocketrec.neighbour_table import NeighbourTable
from pocketrec.run import Run
from pocketrec.splits import interaction_counts
from teacher.closed_forms import TEXT_MODEL
from teacher.scorers import ItemItem

RESULTS = Path(__file__).parent / "results"
USERS = 2000
"""Validation users that tables are compared on."""


def prune(folder: Path, out: Path) -> None:
    """Compare tables of EASE with text on validation; write ``out/pruning-NAME.json`` and print it.

    No sequence model and no ItemKNN beside it: what is lost is lost by the table.

    Raises:
        RunError: the run's teacher is not finished.
    """
    run = Run.open(folder)
    model = refit(run, TEXT_MODEL)
    cases = run.split.validation.sample(USERS, run.settings.seed)
    counts = interaction_counts(run.split.train, model.items)

    def ndcg(scorer: ItemItem) -> npt.NDArray[np.float64]:
        return metrics.ndcg_at(rank_targets(scorer.scores, cases), 10)

    whole = ndcg(model)
    rows = []
    for width in run.recipe("student", StudentRecipe).neighbours:
        # Where all items were chosen equally often the weight alone decides.
        plain, weighed = (
            ndcg(_scorer(model.table(width * model.items, c), model.decay))
            for c in (np.zeros_like(counts), counts)
        )
        rows.append(
            {
                "entries": width,
                "by_weight": float(plain.mean()),
                "by_weight_and_count": float(weighed.mean()),
                "difference": interval(metrics.paired_bootstrap(weighed, plain)),
            }
        )
    path = out / f"pruning-{run.dataset.name}.json"
    result = {
        "environment": environment(0),
        "data": data_record(run),
        "users": len(cases),
        "whole": float(whole.mean()),
        "tables": rows,
    }
    write_json(path, result)
    show(result)
    say(str(path))


def _scorer(pruned: NeighbourTable, decay: float) -> ItemItem:
    shape = (pruned.items, pruned.items)
    matrix = sparse.csr_matrix((pruned.weights, (pruned.sources, pruned.targets)), shape=shape)
    return ItemItem("table", matrix, np.arange(pruned.items), pruned.items, decay)


def show(result: dict[str, Any]) -> None:
    """Print validation NDCG@10 by size and rule, and what the rule brings."""
    columns = ("entries an item", "by weight", "and count", "difference")
    drawn = table(*columns, right=columns, narrow=True)
    for row in result["tables"]:
        found = (f"{row[name]:.4f}" for name in ("by_weight", "by_weight_and_count"))
        drawn.add_row(str(row["entries"]), *found, signed(row["difference"]))
    drawn.add_row("all", f"{result['whole']:.4f}", "", "")
    results().print(drawn)


def main(arguments: Sequence[str] | None = None) -> None:
    """Prune the item-item model of a finished run to tables of each size, by two rules."""
    parser = argparse.ArgumentParser("python -m benchmarks.pruning", description=main.__doc__)
    parser.add_argument("run", type=Path, metavar="RUN", help="a finished run")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of pruning-NAME.json")
    asked = parser.parse_args(arguments)
    prune(asked.run, asked.out)


if __name__ == "__main__":
    try:
        main()
    except PocketRecError as error:
        sys.exit(f"pruning: {error}")
