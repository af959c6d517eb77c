"""How well a bundle finds items that nobody has chosen yet: `python -m benchmarks.cold --data DIR --out RUN`."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from benchmarks.accuracy import interval
from benchmarks.left_out import ask, build_without, ranks
from benchmarks.report import signed
from benchmarks.run import data_record, environment
from export.build import catalogue_items
from pocketrec import columns as c
from pocketrec import metrics
from pocketrec.cli.output import results, say, table
from pocketrec.data import load
from pocketrec.errors import PocketRecError
from pocketrec.evaluation import rank_targets
from pocketrec.files import write_json
from pocketrec.recommender import Recommender
from pocketrec.splits import cold_items, interaction_counts
from teacher.scorers import Popularity

BUNDLE = "holdout/bundle"
"""What is measured: the bundle of the build that has not seen the last two choices of its users."""


def measure(data: Path, out: Path, minutes: float, seed: int, results_folder: Path) -> None:
    """Build without a tenth of the items, add these by their text, and rank them for who chose them next.

    Raises:
        DataError: the data cannot be read, or nobody chose a cold item after a warm one.
        RunError: a stage of the build could not do its work.
    """
    whole = load(data)
    split, cold = cold_items(whole, seed=seed)
    left_out = pl.DataFrame({c.ITEM_ID: [whole.ids.ids[item] for item in cold]})
    run = build_without(data, out, left_out, minutes, seed)
    shipped = Recommender.open(run.folder / BUNDLE, precision="int8")
    items = catalogue_items(whole)
    extended = shipped.with_items([items[item] for item in cold])
    popularity = Popularity(interaction_counts(split.train, len(items)))
    found = {
        "bundle": ranks(extended, whole, split.test),
        "popularity": rank_targets(popularity.scores, split.test),
    }
    warm = run.split.test.sample(2000, seed)
    before, after = (ranks(r, run.dataset, warm) for r in (shipped, extended))
    ndcg = [metrics.ndcg_at(one, 10) for one in (after, before)]
    result: dict[str, Any] = {
        "environment": environment(seed),
        "data": {**data_record(run), "name": whole.name, "cold_items": len(cold)},
        "settings": {"minutes": minutes},
        "cold": {name: _summary(one) for name, one in found.items()},
        "random": {f"recall@{k}": k / len(items) for k in (10, 50)},
        "cases": len(split.test),
        "warm": {
            "users": len(warm),
            "ndcg@10": float(ndcg[1].mean()),
            "lost": interval(metrics.paired_bootstrap(*ndcg)),
        },
    }
    path = results_folder / f"cold-{whole.name}.json"
    write_json(path, result)
    show(result)
    say(str(path))


def _summary(rank: npt.NDArray[np.float64]) -> dict[str, Any]:
    return {
        "recall@10": interval(metrics.bootstrap(metrics.recall_at(rank, 10))),
        "recall@50": interval(metrics.bootstrap(metrics.recall_at(rank, 50))),
        "ndcg@10": interval(metrics.bootstrap(metrics.ndcg_at(rank, 10))),
    }


def show(result: dict[str, Any]) -> None:
    """Print how often the cold item is found, and what the warm ones lose."""
    columns = ("Cold items", "R@10", "R@50", "NDCG@10 (95 % CI)")
    drawn = table(*columns, right=columns[1:])
    for name, row in result["cold"].items():
        ndcg = row["ndcg@10"]
        shown = f"{ndcg['mean']:.4f} ({ndcg['low']:.4f}-{ndcg['high']:.4f})"
        recalls = (f"{row[f'recall@{k}']['mean']:.4f}" for k in (10, 50))
        drawn.add_row(name, *recalls, shown)
    chance = (f"{result['random'][f'recall@{k}']:.4f}" for k in (10, 50))
    drawn.add_row("random", *chance, "")
    results().print(drawn)
    warm = result["warm"]
    print(
        f"{result['data']['cold_items']:,} items were added by their text, {result['cases']:,} users chose one next. "
        f"Warm items: NDCG@10 {warm['ndcg@10']:.4f} before, {signed(warm['lost'])} after."
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Build a bundle without a tenth of the items, add them by text, and rank them."""
    asked = ask("cold", str(main.__doc__), arguments)
    measure(asked.data, asked.out, asked.minutes, asked.seed, asked.results)


if __name__ == "__main__":
    try:
        main()
    except PocketRecError as error:
        sys.exit(f"cold: {error}")
