"""Accuracy of every system on the same test users, with intervals, differences and slices."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pocketrec import metrics
from pocketrec.evaluation import rank_targets
from pocketrec.ledger import Ledger, Ranks
from pocketrec.recommender import Recommender
from pocketrec.run import Run
from pocketrec.splits import Cases, Split
from teacher.evidence import Evidence
from teacher.item_models import Chosen, fit
from teacher.scorers import ItemItem

POPULARITY = "Popularity"
ITEM_KNN = "ItemKNN"
EASE = "EASE"
TEACHER = "Teacher"
WITHOUT_TEACHER = "Student without a teacher"
FULL_PRECISION = "Student fp32"
BUNDLE = "Student int8 bundle"

STAGES = {
    POPULARITY: "popularity",
    TEACHER: "teacher",
    WITHOUT_TEACHER: "student_no_kd",
    FULL_PRECISION: "student_fp32",
    BUNDLE: "bundle",
}
"""Stage of the ledger that holds a system's ranks. It holds the better peer's too, under ``best_peer``."""
PEERS = (ITEM_KNN, EASE)
SYSTEMS = (POPULARITY, *PEERS, TEACHER, WITHOUT_TEACHER, FULL_PRECISION, BUNDLE)

METRICS = {
    "recall@10": lambda rank: metrics.recall_at(rank, 10),
    "ndcg@10": lambda rank: metrics.ndcg_at(rank, 10),
    "recall@20": lambda rank: metrics.recall_at(rank, 20),
    "mrr": metrics.reciprocal_rank,
}
HISTORY_LENGTHS = (1, 5, 10, 20, 50)
CHOSEN = (0, 1, 5, 20, 100)
"""Where a slice begins: items in the history, and training interactions of the test item."""
LIST_USERS = 5000


def best_peer(run: Run) -> str:
    """The peer that validation preferred in the whole catalogue, which the ledger calls ``best_peer``."""
    peer: str = run.facts("teacher/holdout")["best_peer"]
    return peer


def refit(run: Run, kind: str, split: Split | None = None) -> ItemItem:
    """An item-item model with the settings that the run chose on validation.

    Args:
        split: what it is fitted on; None for the training part of the run.
    """
    split = split or run.split
    facts = run.facts("teacher/holdout")
    vectors = np.load(run.folder / "teacher/holdout/item_vectors.npy")
    evidence = Evidence.of(split.train, split.unordered, vectors)
    chosen = Chosen(**facts["item_models"][kind])
    return fit(chosen, evidence, facts["exact_items"], width=facts["local_width"])


def all_ranks(run: Run, ledger: Ledger, peers: Mapping[str, ItemItem]) -> dict[str, Ranks]:
    """Rank of each user's test item under each of ``SYSTEMS``; float64 [U] each.

    What the ledger has is taken from there, so that report and ledger agree to the last digit.
    """
    ranks = {system: ledger.ranks[stage] for system, stage in STAGES.items()}
    ranks[best_peer(run)] = ledger.ranks["best_peer"]
    for kind in PEERS:
        if kind not in ranks:
            ranks[kind] = rank_targets(peers[kind].scores, run.split.test)
    return {system: ranks[system] for system in SYSTEMS}


def summarize(ranks: Mapping[str, Ranks], seed: int) -> list[dict[str, Any]]:
    """Mean and bootstrap 95 % interval of every metric of every system."""
    rows = []
    for system, rank in ranks.items():
        row: dict[str, Any] = {"system": system}
        for name, per_user in METRICS.items():
            row[name] = interval(metrics.bootstrap(per_user(rank), seed))
        rows.append(row)
    return rows


def differences(
    ranks: Mapping[str, Ranks], pairs: Sequence[tuple[str, str]], seed: int
) -> list[dict[str, Any]]:
    """Recall@10 and NDCG@10 of the first of each pair less the second, on the same users."""
    rows = []
    for ours, theirs in pairs:
        row: dict[str, Any] = {"ours": ours, "theirs": theirs}
        for name in ("recall@10", "ndcg@10"):
            values = METRICS[name](ranks[ours]), METRICS[name](ranks[theirs])
            row[name] = interval(metrics.paired_bootstrap(*values, seed))
        rows.append(row)
    return rows


def slices(
    ranks: Mapping[str, Ranks], sizes: npt.NDArray[np.integer], starts: Sequence[int]
) -> list[dict[str, Any]]:
    """NDCG@10 of each system for users who are alike in something; a slice begins at each of ``starts``.

    Args:
        sizes: int [U], such as the length of each user's history, or how often their test item was chosen.
    """
    rows = []
    for first, after in zip(starts, (*starts[1:], None), strict=True):
        users = (sizes >= first) & (sizes < (after or np.inf))
        if users.any():
            means = {
                system: float(metrics.ndcg_at(rank[users], 10).mean())
                for system, rank in ranks.items()
            }
            last = None if after is None else after - 1
            rows.append({"first": first, "last": last, "users": int(users.sum()), "ndcg@10": means})
    return rows


def lists(
    recommender: Recommender,
    ids: Sequence[str],
    vectors: npt.NDArray[np.float32],
    cases: Cases,
    k: int = 10,
) -> dict[str, Any]:
    """How much of the catalogue the lists of ``cases`` show, and how unlike the items of one list are.

    Args:
        recommender: a bundle of this catalogue.
        ids: external ids in catalogue order.
        vectors: float32 [N, d] unit item vectors, in which unlikeness is the cosine distance.
    """
    place = {external: index for index, external in enumerate(ids)}
    found = []
    for history in cases.histories:
        items = recommender.recommend([ids[item] for item in history.tolist()], k)
        found.append([place[one.item_id] for one in items])
    whole = np.array([items for items in found if len(items) == k], dtype=np.int64).reshape(-1, k)
    if len(whole) == 0:  # a catalogue of hardly more items than a history
        return {"users": 0, "coverage@10": None, "diversity@10": None}
    return {
        "users": len(whole),
        "coverage@10": metrics.coverage(whole, len(ids)),
        "diversity@10": float(metrics.intra_list_diversity(whole, vectors).mean()),
    }


def interval(found: tuple[float, float, float]) -> dict[str, float]:
    return dict(zip(("mean", "low", "high"), found, strict=True))
