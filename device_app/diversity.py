"""A list that is good as a whole: each place goes to an item that is unlike those above it."""

from typing import Final

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]

CANDIDATES: Final = 4
"""Items of the plain ranking that are chosen from, for each one that is shown."""


def diversified(scores: Float32, vectors: Float32, k: int, diversity: float) -> list[int]:
    """The places of ``k`` items, fewer where there are no more, by maximal marginal relevance.

    Each next one has the largest (1 - diversity) * relevance - diversity * (its highest cosine to
    those chosen before), with relevance the score as a share of the way from the lowest to the
    highest (Carbonell and Goldstein 1998, "The use of MMR, diversity-based reranking for reordering
    documents and producing summaries"). The first is always the best; of equals the better goes
    first.

    Args:
        scores: float32 [n], highest first.
        vectors: float32 [n, d], of unit length.
        diversity: 0 gives the first ``k``; with 1 scores decide nothing after the first.
    """
    k = min(k, len(scores))
    if not diversity or not k:
        return list(range(k))
    spread = float(scores[0] - scores[-1])
    relevance = (scores - scores[-1]) / spread if spread > 0 else np.zeros_like(scores)
    nearest = np.full(len(scores), -np.inf, dtype=np.float32)
    chosen = [0]
    while len(chosen) < k:
        np.maximum(nearest, vectors @ vectors[chosen[-1]], out=nearest)
        marginal = (1 - diversity) * relevance - diversity * nearest
        marginal[chosen] = -np.inf
        chosen.append(int(marginal.argmax()))
    return chosen
