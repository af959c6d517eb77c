"""Low-rank factors of who chose what: what a sequence model knows of an item beside its text before it has learned anything."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from implicit.als import AlternatingLeastSquares
from scipy import sparse
from scipy.linalg import orthogonal_procrustes
from threadpoolctl import threadpool_limits

from pocketrec.splits import Cases, Indices
from teacher.fusion import fused_where_it_helps
from teacher.scorers import Scorer, Scores, history_matrix
from teacher.transfer import Verdict

Factors = npt.NDArray[np.float32]

CONFIDENCE, RIDGE, ITERATIONS = 50.0, 50.0, 15
"""A choice weighs 50 times as much as an item that was not chosen. Where the tuning of iALS as a peer ends on
amazon-beauty, amazon-scientific and yelp (`benchmarks.peers`)."""
LENGTH = 0.5
"""Of a row of factors, on average, where that of a text is 1."""


def fit_factors(interactions: sparse.csr_matrix, width: int, seed: int) -> Factors:
    """Item factors of iALS (Hu, Koren and Volinsky 2008), rotated to their principal directions; float32 [N, width].

    Directions are scaled to the roots of their singular values, so that the strongest do not drown the rest, and all of
    it so that rows are of ``LENGTH`` on average. Items that nobody chose are zeros.

    Args:
        interactions: float32 [U, N], 1 where a user chose an item.
        width: 0 for no factors.
    """
    items = interactions.shape[1]
    chosen = np.diff(interactions.tocsc().indptr) > 0
    if not width or not chosen.any():
        return np.zeros((items, width), dtype=np.float32)
    with threadpool_limits(1):  # the library has threads of its own
        model = AlternatingLeastSquares(
            factors=width,
            regularization=RIDGE,
            alpha=CONFIDENCE,
            iterations=ITERATIONS,
            random_state=seed,
        )
        model.fit(interactions, show_progress=False)
    directions, lengths, _ = np.linalg.svd(model.item_factors, full_matrices=False)
    found = np.zeros((items, width), dtype=np.float32)
    found[:, : len(lengths)] = directions * np.sqrt(lengths)
    found[~chosen] = 0
    return found * np.float32(LENGTH / np.linalg.norm(found[chosen], axis=1).mean())


def aligned(factors: Factors, known: Factors) -> Factors:
    """``factors`` [N, f] turned to lie as ``known`` [N, f] do, for a model that has learned on these.

    A factorisation fits as well however it is turned, so a second one of nearly the same choices need not look like the
    first (Schoenemann 1966).
    """
    if not factors.any() or not known.any():
        return factors
    rotation, _ = orthogonal_procrustes(factors, known)
    return factors @ rotation.astype(np.float32)


@dataclass(frozen=True)
class LowRank:
    """What the factors alone say: those of the history, and how much each item's are in their line.

    Scores are h Y (Y'Y + LENGTH^2 I)^-1 Y' for a history h and factors Y.

    Attributes:
        factors: float32 [N, f].
        decay: how much an older history item counts beside the next newer one.
    """

    factors: Factors
    decay: float
    name: str = "Factors"

    def scores(self, histories: list[Indices]) -> Scores:
        factors = self.factors
        spread = factors.T @ factors + LENGTH**2 * np.eye(factors.shape[1], dtype=np.float32)
        read = history_matrix(histories, len(factors), self.decay) @ factors
        return np.asarray(np.linalg.solve(spread, read.T).T @ factors.T, dtype=np.float32)


def choose_factors(
    factors: Factors, model: Scorer, decay: float, cases: Cases, seed: int
) -> tuple[Factors, Verdict]:
    """The factors, or none of them (float32 [N, 0]) where no sequence model need try them, and why.

    They are worth a try where they know something that ``model``, the closed form, does not: where adding what they say to
    its scores is a gain above zero by a paired bootstrap on the validation ``cases``. Where that was none
    they helped no sequence model beyond chance, and items that nobody chose, which have none, are harder to find with them
    (docs/transfer.md).
    """
    both, verdict = fused_where_it_helps(LowRank(factors, decay), "factors", model, cases, seed)
    return factors if both is not model else factors[:, :0], verdict
