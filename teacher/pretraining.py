"""Pre-training of one sequence model on many domains, whose items meet in the language model's own space."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from pocketrec.splits import Indices
from teacher.device import best_device
from teacher.recipe import PretrainingRecipe
from teacher.sequence import SequenceModel
from training.schedule import warmup_cosine
from training.sequences import PAD, renumbered, window_length, windows


@dataclass(frozen=True)
class Domain:
    """One source domain.

    Attributes:
        vectors: float32 [N, h], whitened item vectors in the language model's space (``Whitening.basis``), unit rows.
        sequences: training histories, oldest first; int64 [n] each.
        as_sets: whether no order is known.
    """

    name: str
    vectors: npt.NDArray[np.float32]
    sequences: list[Indices]
    as_sets: bool = False


class Sampler:
    """Endless batches of windows of one domain, every window once a round."""

    def __init__(self, domain: Domain, start: int, length: int, places: int, seed: int) -> None:
        self.domain, self.start, self.length, self.places = domain, start, length, places
        self.generator = np.random.default_rng(seed)
        self.rows: list[npt.NDArray[np.int64]] = []

    def draw(self) -> npt.NDArray[np.int64]:
        """Windows int64 [B, length] of catalogue rows (``start`` added), -1 where padded."""
        if not self.rows:
            shown = self.domain.sequences
            if self.domain.as_sets:
                shown = [self.generator.permutation(s) for s in shown]
            cut = windows(shown, self.length)
            cut = cut[cut[:, 1] != PAD]
            order = self.generator.permutation(len(cut))
            filled = np.cumsum((cut[order] != PAD).sum(axis=1))
            ends = np.searchsorted(filled, np.arange(self.places, filled[-1], self.places))
            self.rows = [cut[part] for part in np.split(order, ends) if len(part)]
        batch = self.rows.pop()
        return np.where(batch == PAD, PAD, batch + self.start)


def pretrain(
    domains: list[Domain],
    recipe: PretrainingRecipe,
    seed: int,
    seconds: float | None = None,
    progress: Callable[[float], None] = lambda done: None,
) -> SequenceModel:
    """A sequence model that has learned from all domains; domain-balanced, mixed-domain negatives.

    A step draws windows of several domains, each with probability in proportion to the square root of its
    interactions. Every next item is told from sampled items of its own domain and of the others drawn with it, and two
    halves of one history are told from the halves of other people's (UniSRec, Hou et al. 2022, arXiv:2206.05941).

    Args:
        progress: gets the share of the work that is done.
    """
    torch.manual_seed(seed)
    generator = np.random.default_rng(seed)
    sizes = np.array([len(d.vectors) for d in domains])
    starts = np.cumsum(sizes) - sizes
    every = [s for d in domains for s in d.sequences]
    without_ids = recipe.sequence.model_copy(update={"id_embedding": False})  # they stay behind
    model = SequenceModel(
        np.concatenate([d.vectors for d in domains]),
        window_length(every, recipe.sequence.longest),
        without_ids,
    ).train()
    device = best_device()
    model.to(device)
    places = recipe.sequence.batch_places // recipe.domains
    samplers = [
        Sampler(domain, int(start), model.length, places, seed + n)
        for n, (domain, start) in enumerate(zip(domains, starts, strict=True))
    ]
    shares = np.sqrt([sum(map(len, d.sequences)) for d in domains])
    shares /= shares.sum()
    optimiser = torch.optim.AdamW(
        model.parameters(),
        lr=recipe.sequence.learning_rate,
        weight_decay=recipe.sequence.weight_decay,
        betas=(0.9, 0.98),
    )
    started = time.monotonic()
    for step in range(recipe.steps):
        spent = time.monotonic() - started
        share = max(step / recipe.steps, spent / seconds if seconds else 0.0)
        if share >= 1:
            break
        for group in optimiser.param_groups:
            group["lr"] = recipe.sequence.learning_rate * warmup_cosine(share)
        drawn = generator.choice(
            len(domains), min(recipe.domains, len(domains)), replace=False, p=shares
        )
        loss = _step_loss(
            model,
            [torch.from_numpy(samplers[d].draw()).to(device) for d in drawn],
            [(int(starts[d]), int(sizes[d])) for d in drawn],
            recipe,
        )
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        progress(share)
    return model.eval().cpu()


def _step_loss(
    model: SequenceModel,
    batches: list[Tensor],
    ranges: list[tuple[int, int]],
    recipe: PretrainingRecipe,
) -> Tensor:
    """Next-item cross-entropy of each domain's windows, averaged, and the contrast of history halves."""
    count = recipe.sequence.negatives // len(batches)
    device = batches[0].device
    negatives = torch.cat([start + torch.randint(size, (count,)) for start, size in ranges])
    wide = max(batch.shape[1] for batch in batches)
    cut = torch.cat([functional.pad(b, (0, wide - b.shape[1]), value=PAD) for b in batches])
    found = renumbered(cut.cpu().numpy(), negatives.numpy())
    rows, local, drawn = (torch.from_numpy(part).to(device) for part in found)
    items = model.items(rows)
    predicted = local != PAD
    predicted[:, 0] = False
    states = model(local[:, :-1], items)
    users, targets = states[predicted] * model.temperature, local[predicted]
    numbers = torch.arange(len(batches), device=device)
    owner = numbers.repeat_interleave(torch.tensor([len(b) for b in batches], device=device))
    domain = owner[:, None].expand_as(local)[predicted]
    logits = users @ items[drawn].T
    # A domain's own negatives stand for all of its items, the others for themselves alone.
    of = numbers.repeat_interleave(count)
    scale = torch.tensor([math.log(max(size / count, 1.0)) for _, size in ranges], device=device)
    logits = logits + torch.where(of[None, :] == domain[:, None], scale[domain][:, None], 0.0)
    logits = logits.masked_fill(drawn[None, :] == targets[:, None], -torch.inf)
    own = (users * items[targets]).sum(dim=-1, keepdim=True)
    per_place = functional.cross_entropy(
        torch.cat([own, logits], dim=1),
        torch.zeros_like(targets),
        reduction="none",
    )
    counts = torch.bincount(domain, minlength=len(batches)).clamp(min=1)
    loss = (per_place / counts[domain]).sum() / len(batches)
    if recipe.contrast > 0:
        loss = loss + recipe.contrast * _contrast(model, local, items)
    return loss


def _contrast(model: SequenceModel, local: Tensor, items: Tensor) -> Tensor:
    """InfoNCE between two random halves of each history, against the halves of everybody else in the batch."""
    known = (local != PAD).sum(dim=1) >= 4
    if known.sum() < 2:
        return items.new_zeros(())
    histories = local[known]
    side = torch.rand(histories.shape, device=histories.device) < 0.5
    halves = []
    for kept in (side, ~side):
        kept = kept & (histories != PAD)
        order = torch.argsort((~kept).to(torch.int8), dim=1, stable=True)
        half = torch.where(kept, histories, PAD).gather(1, order)
        read = kept.sum(dim=1)
        halves.append(model(half, items)[torch.arange(len(half), device=read.device), read])
    similarity = halves[0] @ halves[1].T * model.temperature
    wanted = torch.arange(len(similarity), device=similarity.device)
    return (
        functional.cross_entropy(similarity, wanted)
        + functional.cross_entropy(similarity.T, wanted)
    ) / 2
