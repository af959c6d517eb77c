"""Training of the sequence encoder: cross-entropy on the next item beside what the teacher says."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from distill.losses import embedding_distillation, ranking_distillation, relation_distillation
from distill.recipe import StudentRecipe
from distill.student import ItemTable, SequenceEncoder
from pocketrec import metrics
from pocketrec.artefact import TeacherArtefact
from pocketrec.evaluation import rank_targets
from pocketrec.splits import Cases, Indices, interaction_counts
from training.averaging import AveragedWeights
from training.dropout import set_dropout
from training.next_item import Taught, chosen_often, compare
from training.schedule import Course
from training.sequences import PAD, batches, trimmed


class Teacher:
    """The factors of the teacher's logits, from its artefact: ``items``, float32 [N, v], and users at any training place."""

    def __init__(self, artefact: TeacherArtefact) -> None:
        self.items = torch.from_numpy(artefact.projected)
        self.states = torch.from_numpy(artefact.states)
        lengths = (artefact.windows != PAD).sum(axis=1)
        self.starts = torch.from_numpy(np.concatenate([[0], np.cumsum(lengths)]))

    def users(self, rows: Tensor, places: Tensor) -> Tensor:
        """The teacher's user vectors at the marked places of windows ``rows``, temperature included; float32 [P, v].

        Args:
            rows: int64 [B].
            places: bool [B, L], filled places of these windows.
        """
        offsets = torch.arange(places.shape[1]).expand_as(places)
        return self.states[(self.starts[rows].unsqueeze(1) + offsets)[places]].float()


@dataclass(frozen=True)
class Trained:
    """What training ended with: validation NDCG@10 of the kept weights, epochs and seconds."""

    validation: float
    epochs: int
    seconds: float


def train_sequence_encoder(
    table: ItemTable,
    encoder: SequenceEncoder,
    windows: npt.NDArray[np.int32],
    teacher: Teacher | None,
    validation: Cases,
    recipe: StudentRecipe,
    seed: int,
    seconds: float | None = None,
    epochs: int | None = None,
    progress: Callable[[float], None] = lambda done: None,
) -> Trained:
    """Train ``table`` and ``encoder`` together.

    The weights of the best validation NDCG@10 are kept, those after an epoch or averaged until then; with ``epochs``
    given training runs that long and the average is. Without a teacher the loss is cross-entropy alone.
    """
    torch.manual_seed(seed)
    generator = np.random.default_rng(seed)
    both = nn.ModuleList([table, encoder])
    bridge = None
    if teacher is not None and recipe.embedding_distillation:
        bridge = nn.Linear(recipe.dimensions, teacher.items.shape[1], bias=False)
    taught = nn.ModuleList([both, *([bridge] if bridge else [])])

    def fresh_optimiser() -> torch.optim.AdamW:
        return torch.optim.AdamW(
            taught.parameters(),
            lr=recipe.learning_rate,
            weight_decay=recipe.weight_decay,
            betas=(0.9, 0.98),
            fused=True,
        )

    optimiser = fresh_optimiser()
    cut = windows.astype(np.int64)
    length = windows.shape[1]
    counts = interaction_counts([cut[cut != PAD]], len(table.features))
    often = chosen_often(counts, recipe.negatives)
    cases = validation.sample(recipe.validation_users, seed)
    total = recipe.epochs if epochs is None else epochs
    every = recipe.evaluate_every if epochs is None else None
    course = Course(total, seconds, every, recipe.patience)
    average = AveragedWeights(both)
    first, best_state = deepcopy(taught.state_dict()), None

    @torch.no_grad()
    def judge() -> None:
        """Keep the weights if they are the best so far."""
        nonlocal best_state
        ranks = rank_targets(StudentScorer(table(), encoder, length).logits, cases)
        if course.better(float(metrics.ndcg_at(ranks, 10).mean())):
            best_state = deepcopy(both.state_dict())

    while course.running:
        both.train()
        set_dropout(both, course.affordable >= recipe.dropout_epochs)
        steps = batches(windows, recipe.batch, recipe.batch_places, generator)
        for done, chosen in enumerate(steps):
            part = done / len(steps)
            progress(course.share(part))
            for group in optimiser.param_groups:
                group["lr"] = recipe.learning_rate * course.rate(part)
            loss = _loss(table, encoder, bridge, cut, chosen, often, teacher, recipe)
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(taught.parameters(), 1.0)
            optimiser.step()
            average.add()
            if course.late:
                break
        both.eval()
        if course.end_epoch():
            judge()
            with average.applied():
                judge()
            if course.start_over():
                taught.load_state_dict(first)
                average.start()
                optimiser = fresh_optimiser()
    if best_state is None:
        average.swap()
    else:
        both.load_state_dict(best_state)
    both.eval()
    made = course.epoch if best_state is None else course.best_epochs
    return Trained(course.best, made, course.seconds)


def _loss(
    table: ItemTable,
    encoder: SequenceEncoder,
    bridge: nn.Linear | None,
    cut: npt.NDArray[np.int64],
    rows: Indices,
    often: Indices,
    teacher: Teacher | None,
    recipe: StudentRecipe,
) -> Tensor:
    batch = trimmed(cut[rows])
    catalogue = len(table.features)
    comparison = compare(batch, catalogue, recipe.negatives, recipe.exact_windows, often)
    vectors = table(comparison.items)
    users = encoder(vectors[comparison.windows[:, :-1].clamp(min=0)])[comparison.predicted]
    if teacher is None:
        return comparison.loss(users, vectors)
    parts = []
    known = teacher.items if comparison.items is None else teacher.items[comparison.items]
    said = teacher.users(torch.from_numpy(rows), comparison.predicted)
    soft = recipe.logit_distillation
    if weight := recipe.cross_entropy + soft:
        taught = Taught(said / recipe.distillation_temperature, known, soft / weight)
        parts.append(weight * comparison.loss(users, vectors, taught if soft else None))
    if weight := recipe.ranking_distillation:
        best = min(recipe.ranked_items, max(1, len(vectors) // 2))
        parts.append(weight * ranking_distillation(users @ vectors.T, said @ known.T, best))
    if recipe.embedding_distillation or recipe.relation_distillation:
        some = torch.randperm(len(vectors))[: recipe.compared_items]
        if bridge is not None:
            found_there = embedding_distillation(bridge(vectors[some]), known[some])
            parts.append(recipe.embedding_distillation * found_there)
        if weight := recipe.relation_distillation:
            parts.append(weight * relation_distillation(vectors[some], known[some]))
    return torch.stack(parts).sum()


class StudentScorer:
    """The student's sequence part in batches over torch, for choosing on validation; ``items`` float32 [N, d]."""

    def __init__(self, items: Tensor, encoder: SequenceEncoder, length: int) -> None:
        self.items = items
        self.encoder = encoder.eval()
        self.length = length

    @torch.no_grad()
    def users(self, histories: list[Indices]) -> Tensor:
        """User vectors, temperature included; float32 [B, d]."""
        last = [h[-self.length :] for h in histories]
        padded = torch.zeros((len(last), max(1, *(len(h) for h in last))), dtype=torch.int64)
        for row, history in enumerate(last):
            padded[row, : len(history)] = torch.from_numpy(history)
        states = self.encoder(self.items[padded])
        return states[torch.arange(len(last)), torch.tensor([len(h) for h in last])]

    def logits(self, histories: list[Indices]) -> npt.NDArray[np.float32]:
        """float32 [B, N]."""
        return (self.users(histories) @ self.items.T).numpy()
