"""The loss that sequence models learn from: which item comes next, told from the catalogue or from a sample of it."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from pocketrec.splits import Indices
from training.sequences import PAD, renumbered

BARRED = -1e9
"""Logit of what is no wrong answer: finite, for a teacher's probability of 0 is multiplied with it."""


@dataclass(frozen=True)
class Taught:
    """What a teacher thinks of the same places, as the factors of its logits.

    Attributes:
        users: float32 [P, v], divided by the distillation temperature.
        vectors: float32 [R, v], of the items of the comparison.
        share: how much of the right answer is the teacher's opinion; the rest is the item that was chosen.
    """

    users: Tensor
    vectors: Tensor
    share: float


@dataclass(frozen=True)
class Comparison:
    """What the next items of a batch are told from.

    Attributes:
        items: item numbers that are needed, int64 [R]; None for the whole catalogue.
        windows: the batch as places among them, int64 [B, L], right-padded with PAD.
        predicted: bool [B, L], the filled places but each first one: from nothing only popularity could be learned.
        others: the wrong answers, places among the items; int64 [C].
        weights: log of how many items each of these stands for; float32 [C].
    """

    items: Tensor | None
    windows: Tensor
    predicted: Tensor
    others: Tensor
    weights: Tensor

    def loss(self, users: Tensor, vectors: Tensor, taught: Taught | None = None) -> Tensor:
        """Mean cross-entropy of the predicted items, or of these and what a teacher thinks of all that are compared.

        The other items of a window are no wrong answers to it: those before are never recommended again, those after are
        right ones too. A teacher's logits count as the student's do, so that both sums over a sample estimate those over
        the catalogue. This is logit distillation (Hinton et al. 2015, arXiv:1503.02531), but for the teacher's own
        entropy, which no weight changes, and with the temperature on the teacher's side alone: a student has its own.

        Args:
            users: float32 [P, d], one for each predicted place, temperature included.
            vectors: float32 [R, d], of ``items``.
        """
        held = torch.zeros(
            (len(self.windows), len(vectors)), dtype=torch.bool, device=vectors.device
        )
        filled = self.windows != PAD
        rows, _ = filled.nonzero(as_tuple=True)
        held[rows, self.windows[filled]] = True
        window, _ = self.predicted.nonzero(as_tuple=True)
        stands_for = self.weights.masked_fill(held[:, self.others], BARRED)[window]
        chosen = self.windows[self.predicted]
        soft = taught and (
            *_logits(taught.users, taught.vectors[chosen], taught.vectors[self.others], stands_for),
            taught.share,
        )
        apply: Callable[..., Tensor] = _CrossEntropy.apply
        return apply(users, vectors[chosen], vectors[self.others], stands_for, soft)


class _CrossEntropy(torch.autograd.Function):
    """Mean of log(1 + sum exp(other logits + what each stands for - own logit)), with its gradients found on the way.

    There are many times more logits than numbers in anything else of a step, and on a CPU each pass over them counts:
    in their place lie first their exponentials and then their gradients, and they are never kept.
    """

    @staticmethod
    def forward(
        ctx: Any,
        users: Tensor,
        targets: Tensor,
        others: Tensor,
        stands_for: Tensor,
        soft: tuple[Tensor, Tensor, float] | None,
    ) -> Tensor:
        """users and targets float32 [P, d], others float32 [C, d], stands_for float32 [P, C] -> float32 scalar.

        ``soft`` holds a teacher's logits of targets and others, float32 [P, 1] and [P, C], which are overwritten, and its share.
        """
        own, logits = _logits(users, targets, others, stands_for)
        answer = own
        if soft is not None:
            *said, share = soft
            own_likely, likely, _ = _softmax(*said)
            expected = own_likely * own + torch.einsum("pc,pc->p", likely, logits).unsqueeze(1)
            answer = own.lerp(expected, share)
        own_gradients, gradients, log_total = _softmax(own, logits)
        if soft is None:
            own_gradients -= 1
        else:
            own_gradients -= 1 - share + share * own_likely
            gradients.sub_(likely, alpha=share)
        ctx.save_for_backward(
            (gradients @ others + own_gradients * targets) / len(users),
            own_gradients * users / len(users),
            gradients.T @ users / len(users),
        )
        return (log_total - answer).mean()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        users, targets, others = (scale * found for found in ctx.saved_tensors)
        return users, targets, others, None, None


def _logits(
    users: Tensor, targets: Tensor, others: Tensor, stands_for: Tensor
) -> tuple[Tensor, Tensor]:
    """Logits of the targets, float32 [P, 1], and of the others with what each stands for, float32 [P, C]."""
    return (users * targets).sum(dim=1, keepdim=True), torch.addmm(stands_for, users, others.T)


def _softmax(own: Tensor, logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Probabilities of the targets and, in place of ``logits``, of the others, and the logarithm of their total, float32 [P, 1]."""
    largest = torch.maximum(logits.amax(dim=1, keepdim=True), own)
    own_odds, odds = (own - largest).exp(), logits.sub_(largest).exp_()
    total = odds.sum(dim=1, keepdim=True) + own_odds
    return own_odds / total, odds.mul_(1 / total), total.log() + largest


def chosen_often(counts: npt.NDArray[np.float32], negatives: int) -> Indices:
    """The items that are more than one in ``negatives`` of all interactions; ascending, int64.

    Uniform draws miss such an item in most steps and count it many times over in the others.

    Args:
        counts: interactions of each item, float32 [N].
    """
    return np.flatnonzero(counts * negatives > counts.sum())


def compare(
    windows: npt.NDArray[np.int64],
    catalogue: int,
    negatives: int,
    exactly: bool,
    often: Indices,
    device: torch.device | None = None,
) -> Comparison:
    """What a batch is told from: a sample of the catalogue, or all of it where it holds at most ``2 * negatives`` items.

    Some wrong answers stand for themselves. Of the others so many are drawn uniformly, each standing for as many as there
    are for one that was drawn, so that the sum over the sample estimates that over the catalogue (Jean et al. 2015,
    arXiv:1412.2007).

    Args:
        windows: int64 [B, L], right-padded with -1.
        catalogue: how many items there are.
        negatives: how many are drawn.
        exactly: whether the items of all windows stand for themselves. What is chosen often, which the sum hangs on, is
            then seldom missed; that helps where there is much to learn from and hurts where there is little
            (docs/transfer.md).
        often: items that always do; int64 [H].
        device: where the answer goes.
    """
    items = None
    local, others, weights = windows, np.arange(catalogue), np.zeros(catalogue)
    if catalogue > 2 * negatives:
        drawn = torch.randint(catalogue, (negatives,)).numpy()
        items, local, places = renumbered(windows, np.concatenate([often, drawn]))
        themselves = places[: len(often)]
        if exactly:
            themselves = np.concatenate([themselves, local[local != PAD]])
        others = np.union1d(themselves, places)
        stand_in = ~np.isin(others, themselves)
        weights = np.zeros(len(others))
        if stand_in.any():
            rest = catalogue - np.count_nonzero(~stand_in)
            weights[stand_in] = math.log(rest / np.count_nonzero(stand_in))

    def tensor(array: npt.NDArray[np.generic]) -> Tensor:
        return torch.from_numpy(array).to(device)

    predicted = local != PAD
    predicted[:, 0] = False
    return Comparison(
        None if items is None else tensor(items),
        *map(tensor, (local, predicted, others, weights.astype(np.float32))),
    )
