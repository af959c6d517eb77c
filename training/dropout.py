"""Dropout that is cheap on a CPU."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from pocketrec.splits import Indices

SPARSE = 25.0
"""Interactions an item, on average, up to which all of the dropout is needed."""
DROPOUT_EPOCHS = 10
"""Epochs that the time must be enough for where items are chosen more often: before that nothing is learned by heart."""


def dropout_share(sequences: Sequence[Indices]) -> float:
    """How much of its dropout a sequence model needs, in (0, 1]: less where items are chosen often.

    There is less to learn by heart, and what is dropped costs training that a time budget does not give back
    (docs/transfer.md, with the trials that ``SPARSE`` comes from).
    """
    chosen = np.concatenate([np.zeros(0, np.int64), *sequences])
    return min(1.0, SPARSE * len(np.unique(chosen)) / len(chosen)) if len(chosen) else 1.0


def set_dropout(model: nn.Module, active: bool) -> None:
    """Let a model in training drop something or, until it is put into training again, nothing; torch's attention too."""
    for module in model.modules():
        if isinstance(module, Dropout | nn.MultiheadAttention):
            module.train(active)


class Dropout(nn.Module):
    """Dropout (Srivastava et al. 2014) with masks of random bytes; ``p`` in [0, 1) is rounded to 256ths.

    On a CPU torch draws a number of its own for each value, one after the other: two fifths of a training step.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self._dropped = min(round(256 * p), 255)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not self._dropped:
            return x
        if x.device.type != "cpu":
            return functional.dropout(x, self._dropped / 256)
        words = torch.empty(-(-x.numel() // 8), dtype=torch.int64).random_(-(2**63), None)
        kept = words.view(torch.uint8)[: x.numel()].view(x.shape) >= self._dropped
        return x * (kept.to(x.dtype) * (256 / (256 - self._dropped)))
