"""The teacher's sequence model: causal attention over frozen language-model item vectors."""

import math
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from pocketrec import metrics
from pocketrec.errors import RunError
from pocketrec.evaluation import rank_targets
from pocketrec.files import atomic_write
from pocketrec.splits import Cases, Indices, interaction_counts
from teacher.device import best_device
from teacher.recipe import SequenceRecipe
from training.averaging import AveragedWeights
from training.dropout import Dropout, dropout_share, set_dropout
from training.next_item import chosen_often, compare
from training.schedule import Course
from training.sequences import PAD, batches, trimmed, windows


class SequenceModel(nn.Module):
    """SASRec (Kang and McAuley 2018) whose item embedding is a projection of given features plus a learned ID residual.

    Logits are cosines times a learned temperature, so that popular items gain nothing by the length of their vector.

    Args:
        vectors: text vectors of the items, factors of who chose them beside these or not, rows of about unit length;
            float32 [N, v].
        length: most history items that are read.
        id_rate: how many times as fast as the rest the ID residual learns.
    """

    vectors: Tensor

    def __init__(
        self,
        vectors: npt.NDArray[np.float32],
        length: int,
        recipe: SequenceRecipe,
        id_rate: float = 1.0,
    ) -> None:
        super().__init__()
        d = recipe.dimensions
        self.length = length
        self.id_rate = id_rate
        # Unit rows of v numbers are small ones; at unit variance the projection learns twice as fast.
        self.register_buffer(
            "vectors", torch.from_numpy(vectors * np.float32(vectors.shape[1] ** 0.5))
        )
        self.project = nn.Linear(vectors.shape[1], d)
        self.residual = nn.Embedding(len(vectors), d) if recipe.id_embedding else None
        if self.residual is not None:
            nn.init.zeros_(self.residual.weight)
        self.item_dropout = Dropout(recipe.projection_dropout)
        self.start = nn.Parameter(torch.randn(d) * 0.02)
        self.position = nn.Parameter(torch.randn(length + 1, d) * 0.02)
        self.input_norm = nn.LayerNorm(d)
        layer = nn.TransformerEncoderLayer(
            d, recipe.heads, 2 * d, recipe.dropout, "gelu", batch_first=True, norm_first=True
        )
        layer.dropout, layer.dropout1, layer.dropout2 = (Dropout(recipe.dropout) for _ in range(3))
        self.layers = nn.TransformerEncoder(layer, recipe.layers, enable_nested_tensor=False)
        self.output_norm = nn.LayerNorm(d)
        self.log_temperature = nn.Parameter(torch.tensor(math.log(recipe.temperature)))

    def items(self, rows: Tensor | None = None) -> Tensor:
        """Unit item vectors in the model's space, of the catalogue or of some ``rows`` int64 [M]; float32 [M, d]."""
        item = self.project(self.item_dropout(self.vectors if rows is None else self.vectors[rows]))
        if self.residual is not None:
            residual = self.residual.weight if rows is None else self.residual(rows)
            # Adam's steps do not depend on a gradient's size: a factor here is one on the learning rate.
            item = item + self.id_rate * self.item_dropout(residual)
        return functional.normalize(item, dim=-1)

    def forward(self, histories: Tensor, items: Tensor) -> Tensor:
        """Unit user vectors after 0, 1, ... L history items.

        Args:
            histories: int64 [B, L], right-padded with -1.
            items: float32 [N, d], from ``items()``.

        Returns:
            float32 [B, L + 1, d]; position i has read the first i items.
        """
        d = items.shape[1]
        embedded = items[histories.clamp(min=0)] * math.sqrt(d)
        start = (self.start * math.sqrt(d)).expand(len(histories), 1, d)
        x = torch.cat([start, embedded], dim=1) + self.position[: histories.shape[1] + 1]
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1], device=x.device)
        x = self.layers(self.input_norm(x), mask=mask, is_causal=True)
        return functional.normalize(self.output_norm(x), dim=-1)

    @torch.no_grad()
    def text_length(self) -> float:
        """Mean length of the projected text vectors, before items are made unit vectors."""
        return float(self.project(self.vectors).norm(dim=1).mean())

    def save(self, path: Path) -> None:
        """Write what was learned, as safetensors."""
        learned = {name: parameter.detach().cpu() for name, parameter in self.named_parameters()}
        with atomic_write(path) as temporary:
            save_file(learned, temporary)

    def load(self, path: Path) -> None:
        """Take what ``save`` wrote.

        Raises:
            RunError: the file is missing or damaged, or of a model of another shape.
        """
        try:
            self.load_state_dict({**self.state_dict(), **load_file(path)})
        except (OSError, SafetensorError, RuntimeError) as error:
            raise RunError(
                f"{path}: expected the weights of a sequence model, found {error}; "
                f"remove {path.parent}"
            ) from error

    @property
    def temperature(self) -> Tensor:
        return self.log_temperature.exp().clamp(max=100.0)


def readable(sequences: list[Indices], unordered: Indices) -> tuple[list[Indices], bool]:
    """The histories that a sequence model reads, and whether it must read them as sets because no order is known.

    Args:
        unordered: how many leading entries of each history have no known order; int64 [U].
    """
    ordered = [s[n:] for s, n in zip(sequences, unordered, strict=True)]
    as_sets = not any(map(len, ordered))
    return [s for s in (sequences if as_sets else ordered) if len(s)], as_sets


def for_density(recipe: SequenceRecipe, sequences: list[Indices]) -> SequenceRecipe:
    """``recipe`` as data of that density need it."""
    return recipe.for_share(dropout_share(sequences))


@dataclass(frozen=True)
class Trained:
    """What training ended with: validation NDCG@10 of the kept weights and how many epochs made them."""

    validation: float
    epochs: int
    seconds: float


def train(
    model: SequenceModel,
    sequences: list[Indices],
    validation: Cases,
    recipe: SequenceRecipe,
    seed: int,
    seconds: float | None = None,
    epochs: int | None = None,
    shuffle: bool = False,
    pretrained: bool = False,
    progress: Callable[[float], None] = lambda done: None,
) -> Trained:
    """Train with cross-entropy over the catalogue and keep the weights of the best validation NDCG@10.

    They are those after an epoch or averaged until then. With ``epochs`` given nothing is chosen: training runs that long
    and the average stays. ``shuffle`` reads histories as sets, in a new order each epoch. A ``pretrained`` model keeps the
    weights it came with where training makes none better. ``progress`` gets the share of the work that is done.
    """
    torch.manual_seed(seed)
    generator = np.random.default_rng(seed)
    device = best_device()
    model.to(device)

    def fresh_optimiser() -> torch.optim.AdamW:
        return torch.optim.AdamW(
            model.parameters(),
            lr=recipe.learning_rate,
            weight_decay=recipe.weight_decay,
            betas=(0.9, 0.98),
            fused=True,
        )

    optimiser = fresh_optimiser()
    total = recipe.epochs if epochs is None else epochs
    every = recipe.evaluate_every if epochs is None else None
    course = Course(total, seconds, every, recipe.patience)
    average = AveragedWeights(model)
    first, best_state = deepcopy(model.state_dict()), None
    cases = validation.sample(recipe.validation_users, seed)
    often = chosen_often(interaction_counts(sequences, len(model.vectors)), recipe.negatives)

    def judge() -> None:
        """Keep the weights if they are the best so far."""
        nonlocal best_state
        ranks = rank_targets(SequenceScorer(model).logits, cases)
        if course.better(float(metrics.ndcg_at(ranks, 10).mean())):
            best_state = deepcopy(model.state_dict())

    if pretrained and epochs is None:
        judge()
    while course.running:
        model.train()
        set_dropout(model, course.affordable >= recipe.dropout_epochs)
        shown = [generator.permutation(s) for s in sequences] if shuffle else sequences
        cut = windows(shown, model.length)
        steps = batches(cut, recipe.batch, recipe.batch_places, generator)
        for done, rows in enumerate(steps):
            part = done / len(steps)
            progress(course.share(part))
            for group in optimiser.param_groups:
                group["lr"] = recipe.learning_rate * course.rate(part)
            loss = _loss(model, trimmed(cut[rows]), often, recipe)
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            average.add()
            if course.late:
                break
        if course.end_epoch():
            judge()
            with average.applied():
                judge()
            if course.start_over():
                model.load_state_dict(first)
                average.start()
                optimiser = fresh_optimiser()
    if best_state is None:
        average.swap()
    else:
        model.load_state_dict(best_state)
    model.eval().cpu()
    made = course.epoch if best_state is None else course.best_epochs
    return Trained(course.best, made, course.seconds)


def _loss(
    model: SequenceModel, batch: npt.NDArray[np.int64], often: Indices, recipe: SequenceRecipe
) -> Tensor:
    """Cross-entropy of each next item, over the whole catalogue or a sample of it."""
    catalogue, device = len(model.vectors), model.vectors.device
    found = compare(batch, catalogue, recipe.negatives, recipe.exact_windows, often, device)
    items = model.items(found.items)
    users = model(found.windows[:, :-1], items)[found.predicted] * model.temperature
    return found.loss(users, items)


class SequenceScorer:
    """Trained sequence models as one scorer, their logits added; item vectors are computed once.

    Attributes:
        items: item vectors of the models side by side, unit rows; float32 [N, D].
    """

    name = "Sequence"

    def __init__(self, *models: SequenceModel) -> None:
        self.models = [model.eval() for model in models]
        with torch.no_grad():
            self._items = [model.items() for model in models]
        self._scale = math.sqrt(len(models))
        self.items = torch.cat(self._items, dim=1) / self._scale

    @property
    def length(self) -> int:
        """Most history items that are read."""
        return self.models[0].length

    @torch.no_grad()
    def states(self, histories: Tensor) -> Tensor:
        """User vectors with the temperature folded in, after 0, 1, ... L items; float32 [B, L + 1, D].

        Args:
            histories: int64 [B, L], right-padded with -1.
        """
        read = [
            model(histories, items) * model.temperature * self._scale
            for model, items in zip(self.models, self._items, strict=True)
        ]
        return torch.cat(read, dim=2)

    def users(self, histories: list[Indices]) -> Tensor:
        """User vectors with the temperature folded in; float32 [B, D]."""
        last = [h[-self.length :] for h in histories]
        padded = torch.full((len(last), max(1, *(len(h) for h in last))), PAD, dtype=torch.int64)
        for row, history in enumerate(last):
            padded[row, : len(history)] = torch.from_numpy(history)
        states = self.states(padded.to(self.items.device))
        return states[torch.arange(len(last)), torch.tensor([len(h) for h in last])]

    def logits(self, histories: list[Indices]) -> npt.NDArray[np.float32]:
        return (self.users(histories) @ self.items.T).cpu().numpy()

    def scores(self, histories: list[Indices]) -> npt.NDArray[np.float32]:
        """Square roots of the softmax probabilities: their z-scores mix best with a linear model's; [B, N]."""
        logits = self.logits(histories)
        return np.exp((logits - logits.max(axis=1, keepdims=True)) / 2)
