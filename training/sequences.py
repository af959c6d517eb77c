"""Training windows: histories cut to the length that a sequence model reads."""

import numpy as np
import numpy.typing as npt

from pocketrec.splits import Indices

PAD = -1
POOL = 8
"""Batches whose windows are dealt out by length."""


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

    Batches of about ``rows`` windows, fewer where they would hold more than ``places`` filled places. Windows of like
    length meet, so that `trimmed` leaves little padding: ``POOL`` batches at a time are drawn, sorted by length and cut
    up again, equally many places to predict a batch. Windows of one item are left out: a model predicts from the second
    on, because from nothing only popularity could be learned.
    """
    lengths = (cut != PAD).sum(axis=1)
    usable = np.flatnonzero(lengths > 1)
    if len(usable) == 0:
        return []
    filled = int(lengths[usable].sum())
    count = min(len(usable), max(-(-len(usable) // rows), -(-filled // places)))
    pools = np.array_split(generator.permutation(usable), -(-count // POOL))
    rising = [pool[np.argsort(lengths[pool], kind="stable")] for pool in pools]
    # Every second pool falls, so that a batch between two pools holds windows of like length too.
    order = np.concatenate([pool[:: (-1) ** n] for n, pool in enumerate(rising)])
    predicted = np.cumsum(lengths[order] - 1)
    ends = np.searchsorted(predicted, predicted[-1] * np.arange(1, count) // count) + 1
    found = [batch for batch in np.split(order, ends) if len(batch)]
    return [found[n] for n in generator.permutation(len(found))]


def trimmed(cut: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The same windows without the columns that hold nothing but padding."""
    return cut[:, : (cut != PAD).sum(axis=1).max(initial=0)]


def renumbered(
    batch: npt.NDArray[np.int64], drawn: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """What a step needs of a large catalogue: its items, and windows and negatives in the numbers of these.

    Args:
        batch: windows [B, L], padded with PAD, which stays.
        drawn: item numbers of negatives [M].

    Returns:
        Item numbers [R], rising, and ``batch`` and ``drawn`` as places among them; all int64.
    """
    filled = batch != PAD
    named = np.concatenate([batch[filled], drawn])
    rows, places = np.unique(named, return_inverse=True)
    local = np.full_like(batch, PAD)
    local[filled] = places[: filled.sum()]
    return rows, local, places[filled.sum() :]


def window_length(sequences: list[Indices], longest: int) -> int:
    """The 95th percentile of the sequence lengths, at least 10 and at most ``longest``."""
    lengths = [len(s) for s in sequences] or [0]
    return int(np.clip(np.quantile(lengths, 0.95), 10, longest))
