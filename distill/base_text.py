"""The base text encoder: static embeddings of word pieces that know many catalogues, for each build to start from."""

import hashlib
import json
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from distill.recipe import AUTO, NONE, StudentRecipe
from distill.student import TextEncoder
from distill.text import PADDING, text_loss, tokenize, train_tokenizer
from pocketrec.errors import BundleError, UsageError
from pocketrec.files import atomic_write
from pocketrec.run import Report
from pocketrec.tokenizer import Tokenizer

Vectors = npt.NDArray[np.float32]

FILE, TOKENIZER = "text_base.safetensors", "tokenizer.json"
RELEASED = Path(__file__).parent / "weights"
COMMON = 8192
"""Pieces that every catalogue's vocabulary has: a vocabulary is in the order in which its pieces were found to be
frequent, its characters first."""
RIDGE = 0.3
"""Of the regression from base vectors to an item space, times their mean variance."""


class BaseTextRecipe(BaseModel):
    """Settings of the training of a base text encoder."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    vocabulary: PositiveInt = 16384
    dimensions: PositiveInt = 112
    tokens: PositiveInt = 64
    epochs: PositiveInt = 20
    batch: PositiveInt = 512
    learning_rate: PositiveFloat = 6e-3
    weight_decay: float = Field(0.01, ge=0)


@dataclass(frozen=True)
class BaseText:
    """Static embeddings and the weight of each word piece in the mean of a text.

    Attributes:
        embedding: float32 [V, D].
        importance: logarithm of the weight, float32 [V].
        folder: that holds the tokenizer whose pieces they are.
        facts: what made it.
    """

    embedding: Tensor
    importance: Tensor
    folder: Path
    facts: dict[str, Any]

    @cached_property
    def tokenizer(self) -> Tokenizer:
        return Tokenizer.load(self.folder / TOKENIZER)

    @cached_property
    def sha(self) -> str:
        """Hash of pieces and weights."""
        digest = hashlib.blake2b((self.folder / TOKENIZER).read_bytes(), digest_size=16)
        for part in (self.embedding, self.importance):
            digest.update(part.numpy().tobytes())
        return digest.hexdigest()

    def pieces_for(self, texts: list[str]) -> list[str]:
        """The common pieces, and those that ``texts`` use: what the vocabulary of a catalogue begins with."""
        used = {number for text in texts for number in self.tokenizer.encode(text)}
        return [
            piece
            for number, piece in enumerate(self.tokenizer.pieces)
            if number < COMMON or number in used
        ]

    def encoder(
        self, tokenizer: Tokenizer, tokens: npt.NDArray[np.int64], target: Tensor
    ) -> TextEncoder:
        """A text encoder for an item space, which puts texts where a ridge regression on base vectors puts them.

        A mean of embeddings is linear in them, so the regression goes into the embeddings: the encoder is as small as
        any other of its vocabulary. A piece that the base does not know begins as the mean of the pieces that it is
        spelt with there.

        Args:
            tokenizer: of the catalogue.
            tokens: of the catalogue's texts, int64 [N, T], 0 = padding.
            target: where the item space has them, float32 [N, d] unit rows.
        """
        known = {piece: number for number, piece in enumerate(self.tokenizer.pieces)}
        spelt = [
            [known[piece]]
            if piece in known
            else self.tokenizer.encode(piece.removeprefix("##")) or [known[PADDING]]
            for piece in tokenizer.pieces
        ]
        embedding = torch.stack([self.embedding[ids].mean(dim=0) for ids in spelt])
        importance = torch.stack([self.importance[ids].mean() for ids in spelt])
        read = _means(embedding, importance, torch.from_numpy(tokens))
        matrix, constant = _ridge(read, target)
        encoder = TextEncoder(len(tokenizer), target.shape[1])
        with torch.no_grad():
            encoder.embedding.weight.copy_(embedding @ matrix + constant)
            encoder.importance.weight.copy_(importance[:, None])
            encoder.contract.weight.mul_(0.1)  # at first the mixer adds little to the regression
            encoder.contract.bias.zero_()
        return encoder

    def save(self, folder: Path) -> None:
        """Write it beside its ``tokenizer.json``: rows as int8 with a scale each."""
        scales = self.embedding.abs().amax(dim=1).clamp(min=1e-8) / 127
        tensors = {
            "rows": (self.embedding / scales[:, None]).round().to(torch.int8),
            "scales": scales.half(),
            "importance": self.importance.half(),
        }
        with atomic_write(folder / FILE) as temporary:
            save_file(tensors, temporary, metadata={"facts": json.dumps(self.facts)})

    @classmethod
    def load(cls, folder: Path) -> "BaseText":
        """Read what ``save`` wrote.

        Raises:
            UsageError: a file is missing, damaged, or holds something else, or the two do not belong together.
        """
        path = folder / FILE
        try:
            with safe_open(path, "pt") as file:
                facts = json.loads(file.metadata()["facts"])
                rows, scales, importance = (
                    file.get_tensor(name).float() for name in ("rows", "scales", "importance")
                )
            found = cls(rows * scales[:, None], importance, folder, facts)
            pieces = len(found.tokenizer)
        except (
            OSError,
            ValueError,
            KeyError,
            TypeError,
            RuntimeError,
            SafetensorError,
            BundleError,
        ) as error:
            raise UsageError(
                f"{path}: expected a base text encoder, found: {error}; "
                "train one with `pocketrec pretrain-text` or name another folder"
            ) from error
        if not len(rows) == len(scales) == len(importance) == pieces:
            raise UsageError(
                f"{path}: expected as many rows as {TOKENIZER} has pieces, {pieces}, found {len(rows)}"
            )
        return found


def open_base_text(recipe: StudentRecipe) -> BaseText | None:
    """The base text encoder that a recipe's ``text_base`` names; None for "none".

    Raises:
        UsageError: a folder that holds none, or something damaged.
    """
    if recipe.text_base == NONE:
        return None
    return BaseText.load(RELEASED if recipe.text_base == AUTO else Path(recipe.text_base))


class _Reader(nn.Module):
    """A text encoder of some dimensions whose output is compared with the teacher's many."""

    def __init__(self, vocabulary: int, dimensions: int, wide: int) -> None:
        super().__init__()
        self.narrow = TextEncoder(vocabulary, dimensions)
        self.widen = nn.Linear(dimensions, wide)

    def forward(self, tokens: Tensor) -> Tensor:
        return functional.normalize(self.widen(self.narrow.mixed(tokens)), dim=-1)


def train_base_text(
    texts: list[str],
    targets: Vectors,
    domains: list[str],
    recipe: BaseTextRecipe,
    seed: int,
    out: Path,
    report: Report,
) -> None:
    """Distil the teacher's reading of ``texts`` into a base text encoder, written to ``out``.

    The loss is that of a catalogue's text encoder: 1 - cosine and an in-batch contrast. A hundredth of the texts is held
    out, for the cosine that is reported.

    Args:
        targets: float32 [N, v] unit rows.
        domains: names of the catalogues that the texts are of.
    """
    out.mkdir(parents=True, exist_ok=True)
    tokenizer = train_tokenizer(texts, recipe.vocabulary, out / TOKENIZER)
    ids = torch.from_numpy(tokenize(tokenizer, texts, recipe.tokens))
    goal = torch.from_numpy(targets)
    generator = np.random.default_rng(seed)
    held, taught = np.split(generator.permutation(len(texts)), [max(1, len(texts) // 100)])
    torch.manual_seed(seed)
    reader = _Reader(len(tokenizer), recipe.dimensions, targets.shape[1])
    optimiser = torch.optim.AdamW(
        reader.parameters(), recipe.learning_rate / 25, weight_decay=recipe.weight_decay
    )
    batches = math.ceil(len(taught) / recipe.batch)
    steps = recipe.epochs * batches
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, recipe.learning_rate, steps + 1)
    with report.task("Distilling the base text encoder", steps) as advance:
        for step in range(steps):
            if step % batches == 0:
                order = np.array_split(generator.permutation(taught), batches)
            rows = torch.from_numpy(order[step % batches])
            loss = text_loss(reader, _trimmed(ids[rows]), goal[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            advance(step + 1)
    reader.eval()
    with torch.no_grad():
        cosine = float((reader(ids[held]) * goal[held]).sum(dim=-1).mean())
    facts = {
        "domains": domains,
        "texts": len(texts),
        "seed": seed,
        "recipe": recipe.model_dump(),
        "cosine": round(cosine, 4),
    }
    narrow = reader.narrow
    BaseText(
        narrow.embedding.weight.detach(), narrow.importance.weight.detach()[:, 0], out, facts
    ).save(out)
    report.line(
        f"{out}: a base text encoder of {len(domains)} domains; unseen texts land at cosine {cosine:.2f}"
    )


def _trimmed(tokens: Tensor) -> Tensor:
    """Without the columns that are padding in every row."""
    return tokens[:, : max(1, int((tokens > 0).sum(dim=1).max()))]


def _means(embedding: Tensor, importance: Tensor, tokens: Tensor) -> Tensor:
    """Weighted means of the embeddings of texts; float32 [N, D]."""
    found = []
    for part in tokens.split(4096):
        weight = importance[part].exp() * (part != 0)
        total = (embedding[part] * weight[..., None]).sum(dim=1)
        found.append(total / weight.sum(dim=1, keepdim=True).clamp(min=1e-6))
    return torch.cat(found)


def _ridge(read: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Matrix [D, d] and constant [d] of the regression from ``read`` [N, D] to ``target`` [N, d]."""
    centre, mean = read.mean(dim=0), target.mean(dim=0)
    inner = (read - centre).T @ (read - centre)
    strength = RIDGE * inner.diagonal().mean().clamp(min=1e-8)
    matrix = torch.linalg.solve(
        inner + strength * torch.eye(len(inner)), (read - centre).T @ (target - mean)
    )
    return matrix, mean - centre @ matrix
