"""Whether the bundle that ships is as good as the one that was measured: `python -m benchmarks.shipped --data DIR --out RUN`."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from benchmarks import peers
from benchmarks.accuracy import PEERS, POPULARITY, differences, refit, summarize
from benchmarks.left_out import ask, build_without, ranks
from benchmarks.report import signed
from benchmarks.run import FULL, data_record, environment
from pocketrec import columns as c
from pocketrec.cli.output import results, say, table
from pocketrec.cli.progress import RichReport
from pocketrec.data import Dataset, load
from pocketrec.errors import PocketRecError
from pocketrec.evaluation import rank_targets
from pocketrec.files import write_json
from pocketrec.recommender import Recommender
from pocketrec.splits import Cases, everything, interaction_counts, leave_one_out
from teacher.scorers import Popularity

SHIPPED, MEASURED = "Bundle that ships", "Bundle that was measured"
FURTHER = (peers.IALS, peers.SASREC)
"""Peers beside those of the build, which have been the best one somewhere."""


def measure(data: Path, out: Path, minutes: float, seed: int, results_folder: Path) -> None:
    """Build without each user's last choice, and rank it with what ships and with peers that saw as much.

    Validation within the build chooses the settings of the peers and says which of them is the best.

    Raises:
        DataError: the data cannot be read, or no user has three interactions.
        RunError: a stage of the build could not do its work.
    """
    whole = load(data)
    cases = leave_one_out(whole, seed).test
    run = build_without(data, out, last_choices(whole, cases), minutes, seed)
    split = everything(run.dataset)
    popularity = Popularity(interaction_counts(split.train, len(whole.ids)))
    found = {POPULARITY: rank_targets(popularity.scores, cases)}
    judged = {}
    for kind in PEERS:
        judged[kind] = peers.validation(run, refit(run, kind))
        found[kind] = rank_targets(refit(run, kind, split).scores, cases)
    seconds = peers.training_seconds(run, FULL.training)
    for kind, peer in peers.fitted(run, seconds, RichReport(), FURTHER):
        judged[kind] = peer.validation
        found[kind] = peers.refit(run, kind, peer.settings, seconds, split, cases)
    for name, folder in ((MEASURED, "holdout/bundle"), (SHIPPED, "bundle")):
        found[name] = ranks(Recommender.open(run.folder / folder, precision="int8"), whole, cases)
    rows = summarize(found, seed)
    pairs = [(SHIPPED, theirs) for theirs in (*judged, MEASURED)]
    result: dict[str, Any] = {
        "environment": environment(seed),
        "data": {**data_record(run), "name": whole.name},
        "settings": {"minutes": minutes},
        "users": len(cases),
        "systems": rows,
        "best_peer": max(judged, key=lambda kind: judged[kind]),
        "peer_validation": judged,
        "differences": differences(found, pairs, seed),
    }
    path = results_folder / f"shipped-{whole.name}.json"
    write_json(path, result)
    show(result)
    say(str(path))


def last_choices(whole: Dataset, cases: Cases) -> pl.DataFrame:
    """The interactions that are the targets of ``cases``, by their ids."""
    return pl.DataFrame(
        {
            c.USER_ID: [whole.user_ids[user] for user in cases.users],
            c.ITEM_ID: [whole.ids.ids[item] for item in cases.targets],
        }
    )


def show(result: dict[str, Any]) -> None:
    """Print how often the last choice is found, and the differences that matter."""
    columns = ("", "R@10", "NDCG@10 (95 % CI)")
    drawn = table(*columns, right=columns[1:])
    for row in result["systems"]:
        ndcg = row["ndcg@10"]
        shown = f"{ndcg['mean']:.4f} ({ndcg['low']:.4f}-{ndcg['high']:.4f})"
        drawn.add_row(row["system"], f"{row['recall@10']['mean']:.4f}", shown)
    results().print(drawn)
    for row in result["differences"]:
        print(f"NDCG@10 of {row['ours']} less {row['theirs']}: {signed(row['ndcg@10'])}.")
    print(f"{result['data']['name']}: {result['users']:,} users.")


def main(arguments: Sequence[str] | None = None) -> None:
    """Build without each user's last choice, then rank it with the bundle that ships."""
    asked = ask("shipped", str(main.__doc__), arguments)
    measure(asked.data, asked.out, asked.minutes, asked.seed, asked.results)


if __name__ == "__main__":
    try:
        main()
    except PocketRecError as error:
        sys.exit(f"shipped: {error}")
