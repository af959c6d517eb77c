"""Zero-shot scores: how near an item's text is to the texts of a history; nothing is learned from the target domain."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pocketrec.splits import Indices
from teacher.scorers import Scores, history_matrix

DECAY = 0.7


@dataclass(frozen=True)
class Content:
    """Sum of decay**age times the cosine with a history item, by item vectors float32 [N, d] with unit rows."""

    vectors: npt.NDArray[np.float32]
    decay: float = DECAY
    name: str = "Content"

    def scores(self, histories: list[Indices]) -> Scores:
        read = history_matrix(histories, len(self.vectors), self.decay) @ self.vectors
        return np.asarray(read @ self.vectors.T, dtype=np.float32)


def sharpened(vectors: npt.NDArray[np.float32], sharpness: float) -> npt.NDArray[np.float32]:
    """Similarities of all pairs of texts, by unit vectors float32 [N, d]; float32 [N, N].

    The cosine c, or with ``sharpness`` s > 0 the kernel (exp(s c) - 1) / (exp(s) - 1): next to nothing between texts
    that have little in common, so that one near text says more than many half near ones.
    """
    cosines = vectors @ vectors.T
    if not sharpness:
        return cosines
    cosines *= np.float32(sharpness)
    np.expm1(cosines, out=cosines)
    cosines /= np.expm1(np.float32(sharpness))
    return cosines
