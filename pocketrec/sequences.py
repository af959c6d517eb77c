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


def window_length(sequences: list[Indices], longest: int) -> int:
    """The 95th percentile of the sequence lengths, at least 10 and at most ``longest``."""
    lengths = [len(s) for s in sequences] or [0]
    return int(np.clip(np.quantile(lengths, 0.95), 10, longest))
