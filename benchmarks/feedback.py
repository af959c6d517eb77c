"""What dislikes do to held-out choices: `python -m benchmarks.feedback RUN`, of data with ratings."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.accuracy import interval
from benchmarks.report import signed
from benchmarks.run import data_record, environment
from pocketrec import metrics
from pocketrec.cli.output import results, say, table
from pocketrec.data import Dataset
from pocketrec.errors import DataError, PocketRecError
from pocketrec.files import write_json
from pocketrec.recommender import Recommender
from pocketrec.run import Run

RESULTS = Path(__file__).parent / "results"
HELD_OUT = 2
"""Last choices of a user that ``RUN/holdout/bundle`` has not seen."""
LOW, HIGH = 2.0, 4.0
"""A rating of at most the first is a dislike, one of at least the second a like."""
ALL, LIKED, BOTH = "all in the history", "dislikes left out", "dislikes lower"


@dataclass(frozen=True)
class Case:
    """A held-out choice: how it was rated, and what the user had liked and disliked before."""

    target: str
    rating: float
    liked: list[str]
    disliked: list[str]


def cases(dataset: Dataset) -> list[Case]:
    """The held-out choices of the users who disliked something before them.

    Raises:
        DataError: there is none.
    """
    found = []
    for sequence, ratings in zip(dataset.sequences, dataset.ratings, strict=True):
        ids = [dataset.ids.ids[item] for item in sequence]
        known, rated = ids[:-HELD_OUT], ratings[:-HELD_OUT]
        disliked = [item for item, rating in zip(known, rated, strict=True) if rating <= LOW]
        liked = [item for item in known if item not in set(disliked)]
        if liked and disliked:
            for target, rating in zip(ids[-HELD_OUT:], ratings[-HELD_OUT:], strict=True):
                found.append(Case(target, float(rating), liked, disliked))
    if not any(case.rating <= LOW for case in found):
        raise DataError(
            f"{dataset.name}: expected users with ratings up to {LOW:g} and one of them held out, found none"
        )
    return found


def places(recommender: Recommender, found: Sequence[Case], way: str) -> npt.NDArray[np.float64]:
    """The rank of each target among the items that its user has not rated, 1 the first."""
    ranks = []
    for case in found:
        known = recommender.ids.indices([*case.liked, *case.disliked])
        if way == ALL:
            scores = recommender.scores([*case.liked, *case.disliked])
        else:
            scores = recommender.scores(case.liked, case.disliked if way == BOTH else ())
        at = recommender.ids.indices([case.target])
        ranks.append(metrics.ranks(scores[None], at, [known])[0])
    return np.array(ranks)


def measure(folder: Path, out: Path) -> None:
    """Rank held-out choices with and without dislikes; write ``out/feedback-NAME.json`` and print it.

    Raises:
        RunError: the run is not finished.
        DataError: its data has no ratings to tell likes from dislikes.
    """
    run = Run.open(folder)
    run.facts("holdout")
    found = cases(run.dataset)
    recommender = Recommender.open(run.folder / "holdout/bundle", precision="int8")
    by_way = {way: places(recommender, found, way) for way in (ALL, LIKED, BOTH)}
    ratings = np.array([case.rating for case in found])
    rows: list[dict[str, Any]] = []
    for name, chosen in (("disliked", ratings <= LOW), ("liked", ratings >= HIGH)):
        for way in (LIKED, BOTH):
            ours, theirs = by_way[way][chosen], by_way[ALL if way == LIKED else LIKED][chosen]
            ndcg = [metrics.ndcg_at(ranks, 10) for ranks in (ours, theirs)]
            rows.append(
                {
                    "held_out": name,
                    "choices": int(chosen.sum()),
                    "way": way,
                    "median_rank": float(np.median(ours)),
                    "ndcg@10": float(ndcg[0].mean()),
                    "change": interval(metrics.paired_bootstrap(*ndcg)),
                }
            )
    whole = {"environment": environment(0), "data": data_record(run), "rows": rows}
    path = out / f"feedback-{run.dataset.name}.json"
    write_json(path, whole)
    show(rows)
    say(str(path))


def show(rows: Sequence[dict[str, Any]]) -> None:
    """Print the median rank and NDCG@10 of held-out choices, and what each step changes."""
    numbers = ("rank", "NDCG@10")
    drawn = table("held out", "way", *numbers, "change (95 % CI)", right=numbers, narrow=True)
    for row in rows:
        drawn.add_row(
            f"{row['held_out']} ({row['choices']})",
            row["way"],
            f"{row['median_rank']:,.0f}",
            f"{row['ndcg@10']:.4f}",
            signed(row["change"]),
        )
    results().print(drawn)
    print("rank: the median, among the items that are not rated yet. change: of NDCG@10.")


def main(arguments: Sequence[str] | None = None) -> None:
    """Where held-out likes and dislikes stand without dislikes, and with them."""
    parser = argparse.ArgumentParser("python -m benchmarks.feedback", description=main.__doc__)
    parser.add_argument("run", type=Path, metavar="RUN", help="a finished run on data with ratings")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of feedback-NAME.json")
    asked = parser.parse_args(arguments)
    measure(asked.run, asked.out)


if __name__ == "__main__":
    try:
        main()
    except PocketRecError as error:
        sys.exit(f"feedback: {error}")
