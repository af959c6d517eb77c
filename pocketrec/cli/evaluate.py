"""evaluate: how well a bundle ranks what people of a data set chose last."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pocketrec.cli.options import Bundle, Data, Json, data_folder
from pocketrec.errors import DataError, UsageError

if TYPE_CHECKING:
    from pocketrec.data import Dataset
    from pocketrec.metrics import Array
    from pocketrec.recommender import Recommender
    from pocketrec.run import Report


@dataclass(frozen=True)
class Evaluation:
    """Rank of each user's held-out item, float64 [U], and what was left out.

    Attributes:
        skipped: users whose held-out item is not in the bundle.
        unknown: history ids that are not in the bundle.
    """

    ranks: "Array"
    protocol: str
    skipped: int
    unknown: int


def evaluate(bundle: Bundle, data: Data, json: Json = False) -> None:
    """Measure a bundle on the last item of every user.

    The item is ranked among the whole catalogue, given the items before it.
    """
    from pocketrec import data as datasets
    from pocketrec.cli.output import print_json, print_ledger, say
    from pocketrec.cli.progress import RichReport
    from pocketrec.ledger import Ledger
    from pocketrec.recommender import Recommender

    recommender = Recommender.open(bundle)
    dataset = datasets.load(data_folder(data))
    _refuse_training_data(bundle, recommender, dataset)
    found = rank_held_out(recommender, dataset, RichReport())
    if found.skipped:
        users = len(found.ranks) + found.skipped
        say(
            f"left out: {found.skipped:,} of {users:,} users, whose held-out item is not in the bundle"
        )
    if found.unknown:
        say(f"skipped: {found.unknown:,} history ids that are not in the bundle")
    ledger = Ledger(dataset.name, found.protocol, seed=0)
    ledger.add("bundle", found.ranks)
    if json:
        print_json(
            {
                "bundle": str(bundle),
                "skipped": found.skipped,
                "unknown": found.unknown,
                **ledger.as_dict(),
            }
        )
        return
    print(f"{dataset.name}: {len(found.ranks):,} users, {found.protocol}")
    print_ledger(ledger.rows)


def rank_held_out(recommender: "Recommender", dataset: "Dataset", report: "Report") -> Evaluation:
    """Rank the leave-one-out test items of a data set by the scores of a bundle.

    Raises:
        DataError: no held-out item is in the bundle.
    """
    import numpy as np

    from pocketrec import metrics
    from pocketrec.splits import leave_one_out

    split = leave_one_out(dataset)
    external = dataset.ids.ids
    ranks, skipped, unknown = [], 0, 0
    with report.task("evaluate", total=len(split.test)) as advance:
        cases = zip(split.test.histories, split.test.targets, strict=True)
        for done, (history, target) in enumerate(cases, start=1):
            advance(done)
            index = recommender.ids.index_of(external[target])
            if index is None:
                skipped += 1
                continue
            ids: Sequence[str] = [external[item] for item in history]
            known = recommender.ids.indices(ids)
            unknown += len(ids) - len(known)
            scores = recommender.scores(ids)[None]
            ranks.append(metrics.ranks(scores, np.array([index]), [known])[0])
    if not ranks:
        raise DataError(
            f"{dataset.name}: expected items of the bundle {recommender.manifest.name!r}, "
            f"found none among {skipped} held-out items; give the data that the bundle was built on"
        )
    return Evaluation(np.array(ranks), split.protocol, skipped, unknown)


def _refuse_training_data(bundle: Path, recommender: "Recommender", dataset: "Dataset") -> None:
    manifest = recommender.manifest
    if manifest.trained_on == "all" and manifest.data.fingerprint == dataset.fingerprint:
        raise UsageError(
            f"{bundle}: was trained on all interactions of {dataset.name}, the held-out ones too, so a score would "
            f"mean nothing; evaluate the holdout/bundle of the same run instead"
        )
