"""Item-item models added up in one matrix: scores are linear in it, so two models cost a device no more than one."""

from dataclasses import replace

from scipy import sparse

from pocketrec import metrics
from pocketrec.evaluation import rank_mixtures
from pocketrec.splits import Cases
from teacher.scorers import ItemItem
from teacher.transfer import Verdict, judge

SHARES = (0.1, 0.2, 0.3, 0.4, 0.5)
ALONE = "EASE with text alone"
SCALED_ON = 256
"""Histories that tell how large the scores of a model are."""


def blended(model: ItemItem, other: ItemItem, share: float, scale: float) -> ItemItem:
    """``share`` of ``scale`` times the other's weights, the rest of the model's; the other's items are among its own.

    The history is read with the model's decay.
    """
    weights = other.weights
    if len(other.head) < len(model.head):  # a local form of the whole catalogue
        inner = sparse.coo_matrix(weights)
        places = other.head[inner.row], other.head[inner.col]
        weights = sparse.csr_matrix((inner.data, places), shape=model.weights.shape)
    return replace(
        model,
        name=f"{model.name} and {share:g} {other.name}",
        weights=(1 - share) * model.weights + share * scale * weights,
        tail=None if model.tail is None else (1 - share) * model.tail,
    )


def scale_of(model: ItemItem, other: ItemItem, cases: Cases) -> float:
    """How much larger the model's scores are than the other's: the ratio of their deviations over the catalogue."""
    some = cases.histories[:SCALED_ON]
    mine, theirs = (float(one.scores(some).std(axis=1).mean()) for one in (model, other))
    return mine / theirs if theirs else 0.0


def choose_blend(
    model: ItemItem, other: ItemItem, cases: Cases, seed: int
) -> tuple[float, float, Verdict]:
    """The share and the scale of ``other`` with the best validation NDCG@10, and why; the share is 0 without a gain.

    A gain must be above zero by a paired bootstrap on the validation ``cases``.
    """
    other = replace(other, decay=model.decay)
    scale = scale_of(model, other, cases)
    names = {f"EASE with text and {share:g} ItemKNN": share for share in SHARES}
    parts = [(1.0, 0.0), *((1 - share, share * scale) for share in SHARES)]
    ranks = rank_mixtures(model.scores, other.scores, parts, cases, within=10)
    found = dict(zip([ALONE, *names], metrics.ndcg_at(ranks, 10), strict=True))
    verdict = judge(found, ALONE, seed)
    return names.get(verdict.used, 0.0), scale, verdict
