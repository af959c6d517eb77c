"""EASE for catalogues of any size: each item's column is a ridge regression on the items most related to it alone.

The closed form inverts a dense [N, N] matrix, which costs N^3 time and N^2 memory. Most of that inverse is next to
nothing: an item is explained by the items that share people or words with it. So each column is solved over those
alone: N systems of a fixed size, and a sparse result. Regressing on a neighbourhood is due to fsSLIM (Ning and
Karypis 2011); the closed form of it, and why it approximates EASE's, to Steck 2019, arXiv:1910.09645.
"""

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from scipy.linalg import lapack

from pocketrec.errors import RunError
from teacher.evidence import Evidence

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]

HUBS = 2048
"""The longest rows of the Gram matrix are kept dense among themselves: they are in most patterns."""
READ = 4
"""Most entries of a column that are read, in widths: a hub has thousands, most of them of people it shares with all."""
COMPARED_AT_ONCE = 20_000_000


def local_ease(
    together: sparse.csr_matrix, ridge: float, width: int, columns: Int64 | None = None
) -> sparse.csr_matrix:
    """`teacher.neighbours.ease` over the ``width`` items most related to each; see ``local_ridge``."""
    return local_ridge(together, together, None, 0.0, ridge, width, columns=columns)


def local_ease_with_text(
    evidence: Evidence,
    text_weight: float,
    order: float,
    ridge: float,
    width: int,
    columns: Int64 | None = None,
) -> sparse.csr_matrix:
    """`teacher.neighbours.ease_with_text` over the ``width`` items most related to each; see ``local_ridge``."""
    gram, target = evidence.grams(order)
    return local_ridge(gram, target, evidence.vectors, text_weight, ridge, width, columns=columns)


def local_ridge(
    gram: sparse.csr_matrix,
    target: sparse.csr_matrix,
    vectors: Float32 | None,
    text_weight: float,
    ridge: float,
    width: int,
    progress: Callable[[int, int], None] | None = None,
    columns: Int64 | None = None,
) -> sparse.csr_matrix:
    """Column j of B from the ``width`` items A most related to j: (G_AA + ridge I) B_Aj = R_Aj; float32 [N, N].

    G is ``gram`` + text_weight VV' and R is ``target`` + text_weight VV'. The item itself is never in A, so the
    diagonal is zero as in EASE. A takes the items with the largest R_ij / sqrt(G_ii + ridge), those which alone would
    explain most of j, among the entries of ``target`` and the nearest by text. A ``width`` of N - 1 or more takes
    every item: B is then the closed form.

    Args:
        gram: float32 [N, N], symmetric; X'X of the interactions, or that of decayed pasts.
        target: float32 [N, N], row = history item, column = scored item; ``gram`` itself for EASE.
        vectors: float32 [N, d] unit rows, or None to leave out what texts say.
        text_weight: weight of the cosines of ``vectors``.
        ridge: what is added to the diagonal.
        width: most entries in a column.
        progress: called with (columns done, columns to solve) after every block.
        columns: int64, the items to solve for, the columns of the others stay empty; None for all.

    Returns:
        Row = history item, column = scored item.

    Raises:
        RunError: a part of the Gram matrix is not positive definite.
    """
    items = gram.shape[0]
    if vectors is None or text_weight == 0:
        vectors = np.zeros((items, 0), dtype=np.float32)
    # Inside, the longest rows come first: these are the hubs.
    order = np.argsort(-np.diff(gram.indptr), kind="stable").astype(np.int32)
    wanted = np.arange(items) if columns is None else np.argsort(order)[columns]
    texts = np.float32(np.sqrt(text_weight)) * vectors[order]
    ordered = gram[order][:, order]
    # A symmetric matrix is its own transpose, which costs no copy.
    wished = ordered.T if target is gram else target[order][:, order]
    solver = _Columns(ordered, wished, texts, ridge, width)
    rows, weights, lengths = [], [], []
    for block, near in _text_neighbours(texts, solver.scale, width, wanted):
        for item, candidates in zip(block.tolist(), near, strict=True):
            related, solved = solver.solve(item, candidates)
            rows.append(order[related])
            weights.append(solved)
            lengths.append(len(related))
        if progress:
            progress(len(lengths), len(wanted))
    places = np.concatenate(rows), np.repeat(order[wanted], lengths)
    found = sparse.csr_matrix((np.concatenate(weights), places), shape=(items, items))
    found.eliminate_zeros()
    return found


class _Columns:
    """Solves (gram + texts texts' + ridge I) b = target column; the longest rows of ``gram`` come first.

    Attributes:
        scale: 1 / sqrt of the system's diagonal, float32 [N].
    """

    def __init__(
        self,
        gram: sparse.csr_matrix,
        target: sparse.csr_matrix,
        texts: Float32,
        ridge: float,
        width: int,
    ) -> None:
        diagonal = gram.diagonal() + np.square(texts).sum(axis=1) + ridge
        self.scale: Float32 = (1 / np.sqrt(diagonal)).astype(np.float32)
        self._texts, self._ridge, self._width = texts, ridge, width
        self._target = target.tocsc()
        self._hubs: Float32 = gram[:HUBS, :HUBS].toarray().astype(np.float32)
        self._others = gram[len(self._hubs) :].tocsr()
        self._place = np.full(gram.shape[0], -1, dtype=np.int32)

    def solve(self, item: int, near: Int64) -> tuple[Int64, Float32]:
        """The items that explain ``item``, some of ``near`` among them, int64 [m], and their weights float32 [m]."""
        related, evidence = self._related(item, near)
        if len(related) == 0:
            return related, evidence
        # LAPACK counts along columns: what is the lower half here is the upper half there.
        _, weights, failed = lapack.sposv(self._block(related).T, evidence, overwrite_a=1)
        if failed:
            raise RunError(
                f"EASE: the Gram matrix is not positive definite at ridge {self._ridge:g}; raise the ridge"
            )
        return related, weights

    def _related(self, item: int, near: Int64) -> tuple[Int64, Float32]:
        """The items that alone explain most of ``item``, ascending, and the evidence of each for it."""
        entries = slice(self._target.indptr[item], self._target.indptr[item + 1])
        chosen, counts = self._target.indices[entries], self._target.data[entries]
        if len(chosen) > READ * self._width:
            alone = counts * self.scale[chosen]
            kept = np.argsort(-alone, kind="stable")[: READ * self._width]
            chosen, counts = chosen[kept], counts[kept]
        candidates = np.union1d(chosen, near)
        candidates = candidates[candidates != item]
        evidence = self._texts[candidates] @ self._texts[item]
        others = chosen != item
        evidence[np.searchsorted(candidates, chosen[others])] += counts[others]
        if len(candidates) > self._width:
            alone = evidence * self.scale[candidates]
            kept = np.sort(np.argsort(-alone, kind="stable")[: self._width])
            candidates, evidence = candidates[kept], evidence[kept]
        return candidates, evidence

    def _block(self, items: Int64) -> Float32:
        """The system's rows and columns ``items``, float32 [m, m]; above the diagonal it may lack entries."""
        texts = self._texts[items]
        block = texts @ texts.T
        hubs = int(np.searchsorted(items, len(self._hubs)))
        block[:hubs, :hubs] += self._hubs[items[:hubs, None], items[:hubs]]
        if hubs < len(items):
            self._place[items] = np.arange(len(items))
            others = self._others[items[hubs:] - len(self._hubs)]
            columns = self._place[others.indices]
            self._place[items] = -1
            found = np.flatnonzero(columns >= 0)
            rows = hubs + np.searchsorted(others.indptr, found, side="right") - 1
            block[rows, columns[found]] += others.data[found]
        block[np.diag_indices_from(block)] += np.float32(self._ridge)
        return block


def _text_neighbours(
    texts: Float32, scale: Float32, width: int, wanted: Int64
) -> Iterator[tuple[Int64, Int64]]:
    """Blocks of the items ``wanted`` int64 [b], each with those whose texts alone explain most of it, int64 [b, width + 1].

    The item itself may be among them. There is nobody where nothing is known of texts, and everybody where the width
    takes all items.
    """
    items = len(texts)
    scaled = (texts * scale[:, None]).T
    size = max(1, COMPARED_AT_ONCE // items)
    for start in range(0, len(wanted), size):
        block = wanted[start : start + size]
        if width >= items - 1:
            near = np.broadcast_to(np.arange(items), (len(block), items))
        elif texts.shape[1] == 0:
            near = np.empty((len(block), 0), dtype=np.int64)
        else:
            # torch finds the largest several times as fast as numpy does.
            scores = torch.from_numpy(texts[block] @ scaled)
            near = scores.topk(width + 1, sorted=False).indices.numpy()
        yield block, near
