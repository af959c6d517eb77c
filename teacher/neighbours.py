"""Item-item models in closed form: ItemKNN, EASE, and EASE with text and order."""

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.linalg import lapack

from pocketrec.errors import RunError
from teacher.evidence import Evidence

Weights = npt.NDArray[np.float32]


def item_knn(together: sparse.csr_matrix, neighbours: int, shrink: float) -> Weights:
    """Cosine similarity of items, shrunk, the strongest ``neighbours`` kept per scored item; float32 [N, N].

    ``together`` [N, N] counts who chose both of two items. Sarwar et al. 2001; shrinkage as in Bell and Koren 2007.
    """
    gram = together.toarray(order="C").astype(np.float32, copy=False)
    norms = np.sqrt(np.diag(gram))
    gram /= norms[:, None] * norms[None, :] + np.float32(shrink) + np.float32(1e-9)
    np.fill_diagonal(gram, 0.0)
    if neighbours < len(gram):
        # Of each row, which is the column too as long as the matrix is symmetric.
        weakest = np.partition(gram, len(gram) - neighbours, axis=1)[:, len(gram) - neighbours]
        gram[gram < weakest[None, :]] = 0.0
    return gram


def ease(together: sparse.csr_matrix, ridge: float) -> Weights:
    """EASE (Steck 2019): the item-item regression with a zero diagonal in closed form; float32 [N, N].

    ``together`` [N, N] counts who chose both of two items.
    """
    return _without_self(_inverse(together.toarray().astype(np.float32), ridge))


def ease_with_text(evidence: Evidence, text_weight: float, order: float, ridge: float) -> Weights:
    """EASE that also reads what the items' texts say and in which order people chose; float32 [N, N].

    B minimises, over the matrices with a zero diagonal,

        (1 - order) |X - XB|^2 + order |T - SB|^2 + text_weight |V' - V'B|^2 + ridge |B|^2

    with X the interactions, S the decayed past of each choice and T the choice itself (``Evidence``), and V the item
    vectors. The text counts as d synthetic users, each of whom "likes" items by one text dimension: an item that few
    people chose leans on what its text says. Where ``order`` is 0 this is EASE on a Gram matrix with the cosines of
    the texts added; the mix of a symmetric and a directed model is SLIST (Choi et al. 2021, arXiv:2103.16104).
    """
    gram, target = evidence.grams(order)
    # In float32 and in place: at 16,000 items each dense matrix takes a gigabyte.
    text = np.float32(text_weight) * (evidence.vectors @ evidence.vectors.T)
    if order == 0:
        text += gram
        return _without_self(_inverse(text, ridge))
    wanted = text + target.toarray()
    text += gram
    inverse = _inverse(text, ridge)
    weights = inverse @ wanted
    return _constrained(weights, inverse)


def _inverse(gram: Weights, ridge: float) -> Weights:
    """(gram + ridge I)^-1 of a symmetric float32 matrix [N, N], which is overwritten."""
    gram[np.diag_indices_from(gram)] += np.float32(ridge)
    factor, failed = lapack.spotrf(gram, lower=1, overwrite_a=1)
    if not failed:
        inverse, failed = lapack.spotri(factor, lower=1, overwrite_c=1)
    if failed:
        raise RunError(
            f"EASE: the Gram matrix is not positive definite at ridge {ridge}; raise the ridge"
        )
    inverse = np.tril(inverse)
    inverse += np.tril(inverse, -1).T
    return np.ascontiguousarray(inverse)


def _without_self(inverse: Weights) -> Weights:
    """EASE's weights from the inverse of its Gram matrix, in place: I - P diag(1 / P_jj) without its diagonal."""
    inverse /= -np.diag(inverse).copy()[None, :]
    np.fill_diagonal(inverse, 0.0)
    return inverse


def _constrained(weights: Weights, inverse: Weights) -> Weights:
    """The least-squares solution with a zero diagonal from the one without: P (R - diag(mu)), mu_j = (PR)_jj / P_jj."""
    weights -= inverse * (np.diag(weights) / np.diag(inverse))[None, :]
    np.fill_diagonal(weights, 0.0)
    return weights
