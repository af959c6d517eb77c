"""Training windows: histories cut to the length that a sequence model reads."""

import numpy as np
import numpy.typing as npt

from pocketrec.splits import Indices

PAD = -1


def windows(sequences: list[Indices], length: int) -> npt.NDArray[np.int64]:
    """Cut each sequence, from its end, into windows of at most ``length`` items; int64 [W, length], right-padded with -1.

    Right padding keeps causal attention free of padded keys. Empty sequences give no window.
    """
    rows = [
        sequence[max(0, end - length) : end]
        for sequence in sequences
        for end in range(len(sequence), 0, -length)
    ]
    cut = np.full((len(rows), length), PAD, dtype=np.int64)
    for row, window in enumerate(rows):
        cut[row, : len(window)] = window
    return cut


def batches(
    cut: npt.NDArray[np.integer], rows: int, places: int, generator: np.random.Generator
) -> list[npt.NDArray[np.int64]]:
    """Rows of ``cut`` in random batches for one epoch; int64 arrays.

    A batch holds at most about ``rows`` windows and ``places`` filled places, so long histories make smaller ones.
    Windows of one item are left out: a model predicts from the second on, because from nothing only popularity could
    be learned.
    """
    usable = np.flatnonzero(cut[:, 1] != PAD)
    if len(usable) == 0:
        return []
    filled = int((cut[usable] != PAD).sum())
    count = min(len(usable), max(-(-len(usable) // rows), -(-filled // places)))
    return np.array_split(generator.permutation(usable), count)


def window_length(sequences: list[Indices], longest: int) -> int:
    """The 95th percentile of the sequence lengths, at least 10 and at most ``longest``."""
    lengths = [len(s) for s in sequences] or [0]
    return int(np.clip(np.quantile(lengths, 0.95), 10, longest))
