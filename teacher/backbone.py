"""Language models as frozen text encoders, cut off at the one layer whose hidden states are read."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch


@dataclass(frozen=True)
class Backbone:
    """A frozen encoder of texts: tokenizer and the layers of a model up to the one that is read.

    Attributes:
        name: what the user asked for, for logs and model cards.
        fingerprint: model, layer and pooling; equal on every machine that would compute the same vectors.
        tokenizer: the model's own, padding on the right.
        model: the truncated model in evaluation mode, no gradients.
        block: its last layer, whose output is the hidden state that is read.
        layer: how many layers are run.
        depth: how many the model has.
        hidden_size: width of the hidden states.
        prefix: token put before every text and left out of the mean, or None. Decoders spend their first
            position as an attention sink: its state is huge and says nothing about the text.
        suffix: how many special tokens the tokenizer puts after every text (BERT and T5: 1).
    """

    name: str
    fingerprint: str
    tokenizer: Any
    model: torch.nn.Module
    block: torch.nn.Module
    layer: int
    depth: int
    hidden_size: int
    prefix: int | None
    suffix: int

    readings = 1
    """Vectors that ``encode`` puts side by side."""

    @property
    def width(self) -> int:
        """Of what ``encode`` gives."""
        return self.hidden_size

    def tokenize(self, texts: Sequence[str], max_tokens: int) -> list[list[int]]:
        """Token ids of each text, special tokens included, at most ``max_tokens`` of them."""
        if not texts:
            return []
        limit = min(max_tokens, self.tokenizer.model_max_length)
        ids = self.tokenizer(
            list(texts), truncation=True, max_length=limit, return_attention_mask=False
        )["input_ids"]
        if self.prefix is None:
            return ids
        return [i if i[:1] == [self.prefix] else [self.prefix, *i][:limit] for i in ids]

    def cut(self, ids: list[int], max_tokens: int) -> list[int]:
        """What ``tokenize`` would have given with a smaller ``max_tokens``."""
        if len(ids) <= max_tokens:
            return ids
        return ids[: max_tokens - self.suffix] + ids[len(ids) - self.suffix :]

    @torch.inference_mode()
    def encode(self, ids: Sequence[Sequence[int]]) -> torch.Tensor:
        """Mean hidden state over the real tokens of each row; float32 [B, hidden_size].

        A row without a real token gives zeros.
        """
        tokens, mask = self._pad(ids)
        seen: list[torch.Tensor] = []
        hook = self.block.register_forward_hook(
            lambda _block, _inputs, output: seen.append(
                output[0] if isinstance(output, tuple) else output
            )
        )
        try:
            last = self.model(input_ids=tokens, attention_mask=mask).last_hidden_state
        finally:
            hook.remove()
        # Below full depth the model's final norm does not belong to the layer that is read.
        return self._mean(seen[0] if self.layer < self.depth else last, mask).cpu()

    @torch.inference_mode()
    def embed(self, ids: Sequence[Sequence[int]]) -> torch.Tensor:
        """Mean input embedding over the real tokens of each row; float32 [B, width of the embeddings]."""
        rows = [row if self.prefix is None else row[1:] for row in ids]
        starts = np.cumsum([0, *map(len, rows)])[:-1]
        table = self.model.get_input_embeddings().weight
        return (
            torch.nn.functional.embedding_bag(
                torch.tensor([token for row in rows for token in row], device=table.device),
                table,
                torch.from_numpy(starts).to(table.device),
                mode="mean",
            )
            .float()
            .cpu()
        )

    def _pad(self, ids: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        width = max(1, *map(len, ids))
        tokens = torch.full((len(ids), width), self.tokenizer.pad_token_id, dtype=torch.long)
        mask = torch.zeros(len(ids), width, dtype=torch.long)
        for row, sequence in enumerate(ids):
            tokens[row, : len(sequence)] = torch.tensor(sequence, dtype=torch.long)
            mask[row, : len(sequence)] = 1
        device = next(self.model.parameters()).device
        return tokens.to(device), mask.to(device)

    def _mean(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return mean_state(states, mask, self.prefix is not None)


def mean_state(states: torch.Tensor, mask: torch.Tensor, skip_first: bool) -> torch.Tensor:
    """Mean of ``states`` [B, T, h] where ``mask`` int64 [B, T] is 1, the first position left out or not; float32 [B, h].

    A row without such a position gives zeros.
    """
    real = mask.clone()
    if skip_first:
        real[:, 0] = 0
    # Where, not a product: a padded position may hold NaN, and NaN * 0 is NaN.
    kept = torch.where(real[:, :, None] > 0, states.float(), 0.0)
    return kept.sum(1) / real.sum(1, keepdim=True).clamp(min=1)
