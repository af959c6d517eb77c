"""Fusions that learn from validation users what a history's length and an item's popularity say about two scorers.

A head makes scores from two z-scores, the history's length and the item's popularity (both standardised logarithms): four
float32 tensors that broadcast to one shape, which is that of the result.
"""

from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from pocketrec.splits import Cases, Indices
from teacher.fusion import Fused, choose_weight, validation_ndcg
from teacher.scorers import Scorer, Scores, standardise
from teacher.transfer import Verdict, guard

Floats = npt.NDArray[np.float32]

CANDIDATES = 200
"""Items a user that learning ranks beside the target: as many of the best by the weighted sum, among which nearly all
that matters happens, as of any, without which a network would know nothing of the rest."""
STEPS, EVALUATE_EVERY, BATCH = 400, 50, 256
LEARNING_RATE = 0.003
SCALE_STEPS, SCALE_RATE = 100, 0.05
JUDGES = 0.2
"""Part of the learning users on whom the best of the training steps is found."""
HIDDEN = 16
LEAST_USERS, MOST_USERS, MOST_SCORES = 500, 3000, 30_000_000
"""From fewer validation users nothing is learned, and half of them could not tell; from more it takes longer. In a
catalogue of N items ``MOST_SCORES`` / N users are enough."""
WEIGHTED = "weighted sum"


class Gate(nn.Module):
    """A weighted sum whose weight a small network finds for each pair of history and item.

    A mixture of two experts (Jacobs et al. 1991) that starts as the plain weighted sum.
    """

    def __init__(self, weight: float) -> None:
        super().__init__()
        weight = float(np.clip(weight, 0.05, 0.95))
        self.inner, self.outer = nn.Linear(2, HIDDEN), nn.Linear(HIDDEN, 1)
        nn.init.zeros_(self.outer.weight)
        nn.init.constant_(self.outer.bias, float(np.log(weight / (1 - weight))))

    def forward(self, first: Tensor, second: Tensor, length: Tensor, count: Tensor) -> Tensor:
        seen = torch.stack(torch.broadcast_tensors(length, count), dim=-1)
        gate = torch.sigmoid(self.outer(torch.tanh(self.inner(seen)))).squeeze(-1)
        return gate * first + (1 - gate) * second


class Concatenation(nn.Module):
    """The weighted sum and what a small network makes of both scores, length and popularity side by side."""

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = weight
        self.inner, self.outer = nn.Linear(4, HIDDEN), nn.Linear(HIDDEN, 1)
        nn.init.zeros_(self.outer.weight)
        nn.init.zeros_(self.outer.bias)

    def forward(self, first: Tensor, second: Tensor, length: Tensor, count: Tensor) -> Tensor:
        parts = torch.broadcast_tensors(torch.asinh(first), torch.asinh(second), length, count)
        more = self.outer(torch.tanh(self.inner(torch.stack(parts, dim=-1)))).squeeze(-1)
        return self.weight * first + (1 - self.weight) * second + more


HEADS: dict[str, type[Gate] | type[Concatenation]] = {"gate": Gate, "concatenation": Concatenation}


@dataclass(frozen=True)
class LearnedFusion:
    """A trained head over two scorers.

    Attributes:
        counts: training interactions of each item, float32 [N].
        lengths: mean and deviation of log(1 + length) of the histories that the head learned from.
    """

    first: Scorer
    second: Scorer
    head: nn.Module
    counts: Floats
    lengths: tuple[float, float]

    @property
    def name(self) -> str:
        return f"{type(self.head).__name__} of {self.first.name} and {self.second.name}"

    @torch.no_grad()
    def scores(self, histories: list[Indices]) -> Scores:
        length = _standard_lengths(histories, self.lengths)
        one, two = (standardise(part.scores(histories)) for part in (self.first, self.second))
        scored = self.head(
            torch.from_numpy(one),
            torch.from_numpy(two),
            torch.from_numpy(length)[:, None],
            torch.from_numpy(_popularity(self.counts))[None, :],
        )
        return cast(Scores, scored.numpy())


def learn(
    head: nn.Module,
    first: Scorer,
    second: Scorer,
    weight: float,
    counts: Floats,
    cases: Cases,
    seed: int,
) -> LearnedFusion:
    """Train ``head`` on validation ``cases``: cross-entropy over each user's target and best candidates.

    Args:
        weight: of the weighted sum of z-scores that finds the candidates, and that the head starts from.
        counts: training interactions of each item, float32 [N].
    """
    logs = np.log1p([len(history) for history in cases.histories])
    fused = LearnedFusion(
        first, second, head, counts, (float(logs.mean()), float(logs.std()) or 1.0)
    )
    order = np.random.default_rng(seed).permutation(len(cases))
    judges, learners = (
        cases[np.sort(rows)] for rows in np.split(order, [int(JUDGES * len(order))])
    )
    one, two, count = _candidates(fused, weight, learners, np.random.default_rng(seed))
    length = torch.from_numpy(_standard_lengths(learners.histories, fused.lengths))[:, None]
    generator = torch.Generator().manual_seed(seed)
    sharpness = nn.Parameter(torch.tensor(0.0))

    def descend(optimiser: torch.optim.Optimizer) -> None:
        rows = torch.randint(len(learners), (BATCH,), generator=generator)
        logits = sharpness.exp() * head(one[rows], two[rows], length[rows], count[rows])
        loss = functional.cross_entropy(logits, torch.zeros(len(rows), dtype=torch.long))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    # First the scale that cross-entropy needs, else the head's first steps would do nothing but find it.
    scale = torch.optim.Adam([sharpness], lr=SCALE_RATE)
    for _ in range(SCALE_STEPS):
        descend(scale)
    optimiser = torch.optim.Adam([*head.parameters(), sharpness], lr=LEARNING_RATE)
    best, best_state = -1.0, head.state_dict()
    for step in range(STEPS + 1):
        # In the whole catalogue: a head may lift what is not among the candidates.
        if step % EVALUATE_EVERY == 0 and (ndcg := validation_ndcg(fused, judges)) > best:
            best = ndcg
            best_state = {name: value.clone() for name, value in head.state_dict().items()}
        descend(optimiser)
    head.load_state_dict(best_state)
    return fused


def _candidates(
    fused: LearnedFusion, weight: float, cases: Cases, generator: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Both z-scores and the popularity of each case's target, then of other items; float32 [C, 1 + K] each."""
    count = _popularity(fused.counts)
    found: list[tuple[Floats, Floats, Floats]] = []
    for start in range(0, len(cases), BATCH):
        histories = cases.histories[start : start + BATCH]
        one = standardise(fused.first.scores(histories))
        two = standardise(fused.second.scores(histories))
        mixed = weight * one + (1 - weight) * two
        targets = cases.targets[start : start + BATCH]
        for row, (history, target) in enumerate(zip(histories, targets, strict=True)):
            mixed[row, history] = mixed[row, target] = -np.inf
        most = min(CANDIDATES, mixed.shape[1] - 1)
        best = np.argpartition(-mixed, most - 1, axis=1)[:, :most]
        some = generator.integers(mixed.shape[1], size=best.shape)
        some = np.where(some == targets[:, None], best, some)
        rows = np.concatenate([targets[:, None], best, some], axis=1)
        found.append(
            (np.take_along_axis(one, rows, 1), np.take_along_axis(two, rows, 1), count[rows])
        )
    one, two, counted = (
        torch.from_numpy(np.concatenate(part)) for part in zip(*found, strict=True)
    )
    return one, two, counted


def _popularity(counts: Floats) -> Floats:
    """Logarithms of 1 + count, standardised over the catalogue; float32 [N]."""
    return standardise(np.log1p(counts)[None])[0]


def _standard_lengths(histories: list[Indices], over: tuple[float, float]) -> Floats:
    logs = np.log1p([len(history) for history in histories])
    return ((logs - over[0]) / over[1]).astype(np.float32)


@dataclass(frozen=True)
class Fusion:
    """The fusion that validation chose.

    Attributes:
        weight: of the first scorer in the plain weighted sum.
        validation: NDCG@10 of the plain weighted sum on all validation cases.
        verdict: why this fusion.
    """

    scorer: Scorer
    weight: float
    validation: float
    verdict: Verdict


def choose_fusion(first: Scorer, second: Scorer, counts: Floats, cases: Cases, seed: int) -> Fusion:
    """The best fusion of two scorers.

    The learned ones learn from one half of the validation ``cases`` and are compared with the weighted sum on the
    other; one whose gain is above zero by a paired bootstrap then learns from both halves.
    """
    weight, validation = choose_weight(first, second, cases)
    plain = Fused(first, second, weight)
    if len(cases) < LEAST_USERS:
        verdict = Verdict(WEIGHTED, WEIGHTED, {WEIGHTED: validation}, {})
        return Fusion(plain, weight, validation, verdict)
    most = max(LEAST_USERS, min(MOST_USERS, MOST_SCORES // len(counts)))
    cases = cases.sample(most, seed)
    order = np.random.default_rng(seed).permutation(len(cases))
    learning, judging = (cases[np.sort(half)] for half in np.array_split(order, 2))
    half, _ = choose_weight(first, second, learning)
    ways: dict[str, Scorer] = {WEIGHTED: Fused(first, second, half)}
    for name, head in HEADS.items():
        torch.manual_seed(seed)  # of the first weights
        ways[name] = learn(head(half), first, second, half, counts, learning, seed)
    verdict = guard({n: way.scores for n, way in ways.items()}, WEIGHTED, judging, seed)
    if verdict.used == WEIGHTED:
        return Fusion(plain, weight, validation, verdict)
    torch.manual_seed(seed)
    head = HEADS[verdict.used](weight)
    learned = learn(head, first, second, weight, counts, cases, seed)
    return Fusion(learned, weight, validation, verdict)
