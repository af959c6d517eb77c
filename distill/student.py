"""The student's two networks, written so that they export to ONNX as they stand."""

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from distill.recipe import StudentRecipe
from training.dropout import Dropout

START_RIDGE = 10.0
"""Of the regression that an item space starts with, in interactions."""


class TextEncoder(nn.Module):
    """Static token embeddings, averaged with learned token weights, then a small residual mixer; unit output.

    Token 0 is padding. The weight of a token (its say in the mean) is learned, which replaces the fixed inverse
    frequency weighting of Arora et al. 2017.
    """

    def __init__(self, vocabulary: int, dimensions: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, dimensions)
        nn.init.normal_(self.embedding.weight, std=dimensions**-0.5)
        self.importance = nn.Embedding(vocabulary, 1)
        nn.init.zeros_(self.importance.weight)
        self.expand = nn.Linear(dimensions, 2 * dimensions)
        self.contract = nn.Linear(2 * dimensions, dimensions)

    def mixed(self, tokens: Tensor) -> Tensor:
        """int64 [B, T] -> float32 [B, d] of any length."""
        weight = self.importance(tokens).exp() * (tokens != 0).unsqueeze(-1)
        mean = (self.embedding(tokens) * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1e-6)
        return mean + self.contract(functional.gelu(self.expand(mean)))

    def forward(self, tokens: Tensor) -> Tensor:
        """int64 [B, T] -> float32 [B, d] unit rows; a text without tokens maps to one fixed vector."""
        mixed = self.mixed(tokens)
        return mixed / mixed.norm(dim=-1, keepdim=True).clamp(min=1e-6)


class Block(nn.Module):
    """Pre-norm transformer block with plain operators, so that quantization sees each matrix product."""

    def __init__(self, dimensions: int, heads: int, dropout: float) -> None:
        super().__init__()
        # Plain numbers: a size read off a tensor would become shape arithmetic in the graph, which costs more than
        # the products of so small a model. For the same reason heads are slices and not a dimension.
        self.heads, self.width = heads, dimensions // heads
        self.attention_norm = nn.LayerNorm(dimensions)
        self.query_key_value = nn.Linear(dimensions, 3 * dimensions)
        self.output = nn.Linear(dimensions, dimensions)
        self.feed_norm = nn.LayerNorm(dimensions)
        self.expand = nn.Linear(dimensions, 2 * dimensions)
        self.contract = nn.Linear(2 * dimensions, dimensions)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Attend to what the mask leaves, or with the last step alone to all of them.

        Args:
            x: float32 [B, S, d].
            mask: float32 [S, S] added to the attention logits; None asks for the last step alone, the only one that
                the device needs of the last block.

        Returns:
            float32 [B, S, d], or [B, 1, d].
        """
        parts = self.query_key_value(self.attention_norm(x)).split(self.width, dim=-1)
        queries, keys, values = (
            parts[place : place + self.heads] for place in range(0, len(parts), self.heads)
        )
        heads = []
        for q, k, v in zip(queries, keys, values, strict=True):
            asked = q[:, -1:] if mask is None else q
            logits = asked @ k.transpose(1, 2) * self.width**-0.5
            if mask is not None:
                logits = logits + mask
            heads.append(self.dropout(logits.softmax(dim=-1)) @ v)
        read = torch.cat(heads, dim=-1)
        x = (x[:, -1:] if mask is None else x) + self.dropout(self.output(read))
        return x + self.dropout(self.contract(functional.gelu(self.expand(self.feed_norm(x)))))


class SequenceEncoder(nn.Module):
    """Causal transformer over unit item vectors; position i of the output has read the first i items."""

    mask: Tensor

    def __init__(self, length: int, recipe: StudentRecipe) -> None:
        super().__init__()
        d = self.dimensions = recipe.dimensions
        self.start = nn.Parameter(torch.randn(d) * 0.02)
        self.position = nn.Parameter(torch.randn(length + 1, d) * 0.02)
        self.input_norm = nn.LayerNorm(d)
        self.blocks = nn.ModuleList(
            Block(d, recipe.heads, recipe.dropout) for _ in range(recipe.layers)
        )
        self.output_norm = nn.LayerNorm(d)
        self.log_temperature = nn.Parameter(torch.tensor(math.log(recipe.temperature)))
        future = torch.full((length + 1, length + 1), -1e9).triu(1)
        self.register_buffer("mask", future, persistent=False)

    def forward(self, items: Tensor, last: bool = False) -> Tensor:
        """User vectors, temperature folded in.

        Args:
            items: float32 [B, L, d] item vectors, oldest first, L at most the length given.
            last: whether only the vector after the whole history is wanted.

        Returns:
            float32 [B, L + 1, d], or [B, 1, d] for the last one alone.
        """
        # A row of zeros becomes the start vector: joining one to each history would take ten nodes of the graph.
        start = torch.cat(
            [self.start[None] * self.dimensions**0.5, torch.zeros_like(self.position[1:])]
        )
        x = functional.pad(items, (0, 0, 1, 0)) * self.dimensions**0.5
        steps = x.shape[1]
        x = self.input_norm(x + (self.position + start)[:steps])
        mask = self.mask[:steps, :steps]
        for place, block in enumerate(self.blocks, start=1):
            only_last = last and place == len(self.blocks)
            x = block(x, None if only_last else mask)
        x = self.output_norm(x)
        x = x / x.norm(dim=-1, keepdim=True).clamp(min=1e-6)
        return x * self.log_temperature.exp().clamp(max=100.0)


class ItemTable(nn.Module):
    """The item space: fixed feature vectors, projected, plus an ID residual for the items that training knows.

    An item without a training interaction keeps the residual 0: it is only ever a wrong answer in training, which
    would push it away from everybody.
    """

    features: Tensor
    warm: Tensor

    def __init__(
        self, features: npt.NDArray[np.float32], warm: npt.NDArray[np.bool_], recipe: StudentRecipe
    ) -> None:
        super().__init__()
        scaled = features.astype(np.float32) * np.float32(features.shape[1] ** 0.5)
        self.register_buffer("features", torch.from_numpy(scaled))
        self.register_buffer("warm", torch.from_numpy(warm.astype(np.float32))[:, None])
        self.project = nn.Linear(features.shape[1], recipe.dimensions)
        self.residual = nn.Embedding(len(features), recipe.dimensions)
        nn.init.zeros_(self.residual.weight)
        self.id_rate = recipe.id_rate or 1.0
        self.dropout = Dropout(recipe.item_dropout)

    def forward(self, rows: Tensor | None = None) -> Tensor:
        """Unit vectors of all items, float32 [N, d], or of some ``rows`` int64 [M]; float32 [M, d]."""
        features, residual, warm = self.features, self.residual.weight, self.warm
        if rows is not None:
            features, residual, warm = features[rows], self.residual(rows), warm[rows]
        residual = self.id_rate * self.dropout(residual * warm)
        return functional.normalize(self.project(self.dropout(features)) + residual, dim=-1)

    @torch.no_grad()
    def start_from(self, taught: Tensor, popularity: Tensor) -> None:
        """Begin in another model's item space, as far as its main axes hold it.

        The projection becomes the ridge regression of these on the features, each interaction an example, and the
        residual what it leaves. Cosines are kept; the length is a new model's, of which ID residuals learn as fast.

        Args:
            taught: unit item vectors of the other model; float32 [N, D].
            popularity: training interactions of each item; float32 [N].
        """
        d = self.project.out_features
        known = taught[popularity > 0]
        axes = torch.linalg.eigh(known.T @ known).eigenvectors[:, -d:]
        axes = functional.pad(axes, (0, d - axes.shape[1]))
        length = self.project(self.features).norm(dim=-1).mean()
        target = length * functional.normalize(taught @ axes, dim=-1)
        inputs = functional.pad(self.features, (0, 1), value=1.0)
        weighted = inputs * popularity[:, None]
        gram = weighted.T @ inputs + START_RIDGE * torch.eye(inputs.shape[1])
        found = torch.linalg.solve(gram, weighted.T @ target)
        self.project.weight.copy_(found[:-1].T)
        self.project.bias.copy_(found[-1])
        self.residual.weight.copy_(self.warm * (target - inputs @ found) / self.id_rate)

    def learned(self) -> dict[str, Tensor]:
        """Its parameters by name: all but the features, which the teacher gives."""
        return {name: parameter.detach() for name, parameter in self.named_parameters()}

    def from_features(self) -> Tensor:
        """Unit vectors of the part that text decides, float32 [N, d]: what the text encoder learns."""
        return functional.normalize(self.project(self.features), dim=-1)
