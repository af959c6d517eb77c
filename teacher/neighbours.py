"""Item-item models in closed form: ItemKNN, EASE, and EASE with text."""

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.linalg import lapack

from pocketrec.errors import RunError

Weights = npt.NDArray[np.float32]


def item_knn(interactions: sparse.csr_matrix, neighbours: int, shrink: float) -> Weights:
    """Cosine similarity of item columns, shrunk, the strongest ``neighbours`` kept per scored item; float32 [N, N].

    ``interactions`` is binary [U, N]. Sarwar et al. 2001; shrinkage as in Bell and Koren 2007.
    """
    gram = np.asarray((interactions.T @ interactions).todense(), dtype=np.float32)
    norms = np.sqrt(np.diag(gram))
    gram /= norms[:, None] * norms[None, :] + np.float32(shrink) + np.float32(1e-9)
    np.fill_diagonal(gram, 0.0)
    if neighbours < len(gram):
        weakest = np.partition(gram, len(gram) - neighbours, axis=0)[len(gram) - neighbours]
        gram[gram < weakest[None, :]] = 0.0
    return gram


def ease(interactions: sparse.csr_matrix, ridge: float) -> Weights:
    """EASE (Steck 2019): the item-item regression with a zero diagonal in closed form; float32 [N, N]."""
    return _from_gram(
        np.asarray((interactions.T @ interactions).todense(), dtype=np.float32), ridge
    )


def ease_with_text(
    interactions: sparse.csr_matrix,
    vectors: npt.NDArray[np.float32],
    text_weight: float,
    ridge: float,
) -> Weights:
    """EASE whose Gram matrix also counts text: G = X'X + text_weight * VV' + ridge * I; float32 [N, N].

    ``vectors`` float32 [N, d] are unit rows (half-whitened item-text vectors), so VV' is their cosine. Equivalent to
    adding d synthetic users, each of whom "likes" items by one text dimension: an item that few people chose leans on
    what its text says.
    """
    gram = np.asarray((interactions.T @ interactions).todense(), dtype=np.float32)
    gram += np.float32(text_weight) * (vectors @ vectors.T)
    return _from_gram(gram, ridge)


def _from_gram(gram: Weights, ridge: float) -> Weights:
    gram[np.diag_indices_from(gram)] += np.float32(ridge)
    factor, failed = lapack.spotrf(gram, lower=1, overwrite_a=1)
    if not failed:
        inverse, failed = lapack.spotri(factor, lower=1, overwrite_c=1)
    if failed:
        raise RunError(
            f"EASE: the Gram matrix is not positive definite at ridge {ridge}; raise the ridge"
        )
    diagonal = np.diag(inverse).copy()
    inverse = np.tril(inverse, -1)
    inverse += inverse.T
    inverse /= -diagonal[None, :]
    return np.ascontiguousarray(inverse)
