"""EASE for catalogues of any size: each item's column is a ridge regression on the items most related to it alone.

The closed form inverts a dense [N, N] matrix, which costs N^3 time and N^2 memory. Most of that inverse is next to
nothing: an item is explained by the items that share people or words with it. So each column is solved over those
alone: N systems of a fixed size, and a sparse result. Sparse approximate inverses of a fixed pattern are due to
Benson and Frederickson 1982; for item-item models compare SANSA (Spisak et al. 2023), which cuts a Cholesky factor.
"""

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.linalg import lapack

from pocketrec.errors import RunError

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]

HUBS = 2048
"""The longest rows of the Gram matrix are kept dense among themselves: they are in most patterns."""
COMPARED_AT_ONCE = 32_000_000


def local_ridge(
    gram: sparse.csr_matrix,
    target: sparse.csr_matrix,
    vectors: Float32 | None,
    text_weight: float,
    ridge: float,
    width: int,
    progress: Callable[[int, int], None] | None = None,
) -> sparse.csr_matrix:
    """Column j of B from the ``width`` items A most related to j: (G_AA + ridge I) B_Aj = R_Aj; float32 [N, N].

    G is ``gram`` + text_weight VV' and R is ``target`` + text_weight VV'. The item itself is never in A, so the
    diagonal is zero as in EASE. A takes the items with the largest R_ij / sqrt(G_ii + ridge) above 0, those which
    alone would explain most of j. A ``width`` of N - 1 or more takes every item: B is then the closed form.

    Args:
        gram: float32 [N, N], symmetric; X'X of the interactions, or that of decayed pasts.
        target: float32 [N, N], row = history item, column = scored item; ``gram`` itself for EASE.
        vectors: float32 [N, d] unit rows, or None to leave out what texts say.
        text_weight: weight of the cosines of ``vectors``.
        ridge: what is added to the diagonal.
        width: most entries in a column.
        progress: called with (items done, N) after every block.

    Returns:
        Row = history item, column = scored item.

    Raises:
        RunError: a part of the Gram matrix is not positive definite.
    """
    items = gram.shape[0]
    if vectors is None:
        vectors = np.zeros((items, 0), dtype=np.float32)
    # The longest rows come first, inside: these are the hubs.
    order = np.argsort(-np.diff(gram.indptr), kind="stable")
    texts = np.float32(np.sqrt(text_weight)) * vectors[order]
    system = _System(gram[order][:, order], texts, ridge)
    place = np.empty(items, dtype=np.int64)
    place[order] = np.arange(items)
    wanted = target[order].tocsc()
    rows, weights, lengths = [], [], np.zeros(items, dtype=np.int64)
    for item, related, evidence in _related(wanted, texts, place, system.diagonal, width):
        solved = system.solve(related, evidence)
        rows.append(order[related].astype(np.int32))
        weights.append(solved)
        lengths[item] = len(related)
        if progress and (item % 256 == 255 or item == items - 1):
            progress(item + 1, items)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    none = np.empty(0, dtype=np.float32)
    return sparse.csc_matrix(
        (np.concatenate([none, *weights]), np.concatenate([none.astype(np.int32), *rows]), starts),
        shape=(items, items),
    ).tocsr()


class _System:
    """gram + texts texts' + ridge I, of which small blocks are solved; the longest rows of ``gram`` come first."""

    def __init__(self, gram: sparse.csr_matrix, texts: Float32, ridge: float) -> None:
        self.ridge = np.float32(ridge)
        self.texts = texts
        self.diagonal = gram.diagonal() + np.square(texts).sum(axis=1) + self.ridge
        self._hubs: Float32 = gram[:HUBS, :HUBS].toarray().astype(np.float32)
        self._others = gram[len(self._hubs) :].tocsr()
        self._place = np.full(gram.shape[0], -1, dtype=np.int32)

    def solve(self, items: Int64, evidence: Float32) -> Float32:
        """Weights [m] of ascending ``items`` that explain ``evidence`` [m]."""
        if len(items) == 0:
            return evidence
        # LAPACK counts in columns: what is the lower half here is the upper half there.
        _, weights, failed = lapack.sposv(self._block(items).T, evidence, overwrite_a=1)
        if failed:
            raise RunError(
                f"EASE: the Gram matrix is not positive definite at ridge {self.ridge:g}; raise the ridge"
            )
        return np.asarray(weights)

    def _block(self, items: Int64) -> Float32:
        """The rows and columns of ``items``, float32 [m, m]; above the diagonal it may lack entries."""
        texts = self.texts[items]
        block = texts @ texts.T
        hubs = int(np.searchsorted(items, len(self._hubs)))
        block[:hubs, :hubs] += self._hubs[items[:hubs, None], items[:hubs]]
        if hubs < len(items):
            self._place[items] = np.arange(len(items))
            others = self._others[items[hubs:] - len(self._hubs)]
            columns = self._place[others.indices]
            found = np.flatnonzero(columns >= 0)
            rows = hubs + np.searchsorted(others.indptr, found, side="right") - 1
            block[rows, columns[found]] += others.data[found]
            self._place[items] = -1
        block[np.diag_indices_from(block)] += self.ridge
        return block


def _related(
    target: sparse.csc_matrix, texts: Float32, place: Int64, diagonal: Float32, width: int
) -> Iterator[tuple[int, Int64, Float32]]:
    """Each scored item with the items that its column may use, ascending, and their evidence for it.

    ``target`` has rows in the order of ``texts`` and columns in that of the catalogue, where item j is row
    ``place[j]``.
    """
    items = len(place)
    scale = (1 / np.sqrt(diagonal)).astype(np.float32)
    size = max(1, COMPARED_AT_ONCE // items)
    for start in range(0, items, size):
        block = np.arange(start, min(start + size, items))
        evidence = texts[place[block]] @ texts.T
        evidence += target[:, block].T.toarray()
        scores = evidence * scale
        scores[np.arange(len(block)), place[block]] = -np.inf
        if width >= items - 1:
            everything = np.arange(items)
            for item, row in zip(block.tolist(), evidence, strict=True):
                others = np.delete(everything, place[item])
                yield item, others, row[others]
            continue
        least = np.partition(scores, items - width, axis=1)[:, items - width]
        for item, row, score, weakest in zip(block.tolist(), evidence, scores, least, strict=True):
            related = np.flatnonzero(score >= weakest if weakest > 0 else score > 0)
            if len(related) > width:  # a tie
                related = np.sort(related[np.argsort(-score[related], kind="stable")[:width]])
            yield item, related, row[related]
