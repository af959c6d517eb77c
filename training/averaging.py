"""Weights averaged over training: what one step learned by chance the next ones do not confirm."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

DECAY = 8.0
"""Step t of a training counts as t to this power: half of the average is the last fourteenth of the steps."""


class AveragedWeights:
    """Polynomial-decay averaging of a model's weights (Shamir and Zhang 2013, arXiv:1212.1824).

    Unlike an exponential average it spans the same share of any training, however short.
    """

    def __init__(self, model: nn.Module) -> None:
        self._parameters = list(model.parameters())
        self.start()

    def start(self) -> None:
        """Forget all steps; the average is the present weights until there is one."""
        self._steps = 0
        self._average = [parameter.detach().clone() for parameter in self._parameters]

    @torch.no_grad()
    def add(self) -> None:
        """Count the present weights as those after one more step."""
        self._steps += 1
        share = (DECAY + 1) / (DECAY + self._steps)
        for average, parameter in zip(self._average, self._parameters, strict=True):
            average.lerp_(parameter, share)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Let the model have the average for weights meanwhile."""
        self.swap()
        try:
            yield
        finally:
            self.swap()

    def swap(self) -> None:
        """Exchange the model's weights and the average."""
        for place, parameter in enumerate(self._parameters):
            self._average[place], parameter.data = parameter.data, self._average[place]
