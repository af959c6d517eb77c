"""A backbone that reads every text twice: as it was trained by its makers, and as an adapter taught it."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import torch
from torch import Tensor, nn

from teacher.adapter import adapter_sha, merged_layers
from teacher.backbone import Backbone, mean_state
from teacher.layers import blocks_of, entering_block, run_upper
from teacher.pretrained import load_backbone


@dataclass(frozen=True)
class AdaptedBackbone(Backbone):
    """A backbone and the layers that an adapter changed; what lies below those is run once for both.

    Attributes:
        upper: the model with the adapted layers alone.
        first: the first of them.
    """

    upper: nn.Module
    first: int

    readings = 2

    @property
    def width(self) -> int:
        return 2 * self.hidden_size

    @torch.inference_mode()
    def encode(self, ids: Sequence[Sequence[int]]) -> Tensor:
        """The frozen backbone's vector, then the adapted one's; float32 [B, 2 hidden_size]."""
        seen: list[Tensor] = []

        def keep(entering: Tensor) -> Tensor:
            seen.append(entering)
            return entering

        with entering_block(blocks_of(self)[2][self.first], keep):
            frozen = super().encode(ids)
        _, mask = self._pad(ids)
        blocks = next(m for m in self.upper.modules() if isinstance(m, nn.ModuleList))
        leaving = run_upper(
            self.upper, blocks[0], blocks[-1], seen[0], mask, self.layer == self.depth
        )
        return torch.cat([frozen, mean_state(leaving, mask, self.prefix is not None).cpu()], dim=1)


def load_adapted(source: str, layer: int | None, adapter: Path) -> AdaptedBackbone:
    """Load a backbone and the adapter in ``adapter`` (written by ``pocketrec adapt``); the fingerprint names both.

    Raises:
        UsageError: as ``load_backbone``, or the adapter is missing or of another backbone.
        RunError: as ``load_backbone``, or the adapter is damaged.
    """
    digest = adapter_sha(adapter)  # all of its files are there
    backbone = load_backbone(source, layer)
    merged = merged_layers(backbone, adapter)
    owner, attribute, blocks = blocks_of(backbone)
    path = next(name for name, module in backbone.model.named_modules() if module is owner)
    adapted = getattr(merged.get_submodule(path), attribute)
    first = next(
        (n for n, pair in enumerate(zip(blocks, adapted, strict=True)) if _differ(*pair)),
        len(blocks) - 1,
    )
    setattr(merged.get_submodule(path), attribute, adapted[first:])
    plain = {field.name: getattr(backbone, field.name) for field in fields(backbone)}
    plain["fingerprint"] += f"/adapter-{digest}"
    return AdaptedBackbone(**plain, upper=merged, first=first)


def _differ(one: nn.Module, other: nn.Module) -> bool:
    return any(
        not torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True)
    )
