"""Dropout that is cheap on a CPU."""

import torch
from torch import Tensor, nn
from torch.nn import functional


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
