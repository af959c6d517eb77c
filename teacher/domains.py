"""Source domains made ready for the contrastive training of a backbone's upper layers."""

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from torch import Tensor

from pocketrec.run import Report
from pocketrec.splits import Indices
from teacher.backbone import Backbone
from teacher.device import fastest_dtype
from teacher.layers import LowerStates, UpperLayers, open_states
from teacher.sources import Source
from teacher.whitening import Whitening, fit_whitening

T = TypeVar("T")

_WHITENING_SAMPLE = 2048
_CHECKED = 4


@dataclass(frozen=True)
class Opened:
    """A source with what enters the upper layers, and for a few of its items what the whole backbone makes of them."""

    source: Source
    states: LowerStates
    sample: Indices
    expected: Tensor


@dataclass(frozen=True)
class Domain:
    """A source ready for training.

    ``mean`` float32 [h] and ``matrix`` float32 [h, d] whiten its vectors as they were before training. The loss then
    sees what the product sees: raw vectors of a language model share a few huge directions, and their cosines say next
    to nothing.
    """

    source: Source
    states: LowerStates
    mean: Tensor
    matrix: Tensor


@dataclass(frozen=True)
class Preparing:
    """The work before training, shared among processes source by source; what it makes is kept in ``folder``."""

    accelerator: Accelerator
    folder: Path
    report: Report

    def open(
        self, sources: list[Source], backbone: Backbone, first: int, max_tokens: int
    ) -> list[Opened]:
        """Move the backbone to the device and run its lower layers over every text that was not read before."""
        backbone.model.to(device=self.accelerator.device, dtype=self._dtype())
        for source in self._share(sources):
            title = f"Reading {len(source.texts):,} texts of {source.name}"
            with self.report.task(title, len(source.texts)) as advance:
                open_states(self.folder, source, backbone, first, max_tokens, advance)
        self.accelerator.wait_for_everyone()
        opened = []
        for source in sources:
            source, states = open_states(self.folder, source, backbone, first, max_tokens)
            sample = _evenly(len(source.items), _CHECKED)
            ids = backbone.tokenize([source.texts[row] for row in sample], max_tokens)
            opened.append(Opened(source, states, sample, backbone.encode(ids)))
        return opened

    def whiten(
        self, opened: list[Opened], upper: UpperLayers, dimensions: int, power: float
    ) -> list[Domain]:
        """Check the untrained upper layers on every source and fit its whitening, both once and for all.

        Raises:
            UsageError: the upper layers alone do not give the backbone's vectors.
        """
        device = self.accelerator.device
        for one in opened:
            upper.check(one.states, one.sample, one.expected, one.source.name)
        paths = {
            one.source.name: self.folder
            / f"{one.source.name}.{one.source.fingerprint[:12]}-{len(one.source.items)}"
            f".whitening-{one.states.max_tokens}-{dimensions}-{power}.safetensors"
            for one in opened
        }
        for one in self._share(opened):
            if not paths[one.source.name].is_file():
                with self.report.task(f"Whitening {one.source.name}"):
                    rows = _evenly(len(one.source.items), _WHITENING_SAMPLE)
                    frozen = upper.encode(one.states, rows)
                    fit_whitening(frozen, dimensions, power).save(paths[one.source.name])
        self.accelerator.wait_for_everyone()
        domains = []
        for one in opened:
            fitted = Whitening.load(paths[one.source.name])
            mean, matrix = torch.from_numpy(fitted.mean), torch.from_numpy(fitted.matrix)
            domains.append(Domain(one.source, one.states, mean.to(device), matrix.to(device)))
        return domains

    def _share(self, everything: list[T]) -> list[T]:
        return everything[self.accelerator.process_index :: self.accelerator.num_processes]

    def _dtype(self) -> torch.dtype:
        kind = self.accelerator.device.type
        if kind == "cuda":
            return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
        # Timed on each process, so they may disagree: the first one decides.
        chosen = [fastest_dtype() if kind == "cpu" else torch.float32]
        dtype: torch.dtype = broadcast_object_list(chosen)[0]
        return dtype


def _evenly(count: int, most: int) -> Indices:
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.int64))
