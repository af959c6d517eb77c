"""Contrastive training of a LoRA adapter: its recipe, its loss, and a run that can be killed and go on."""

import json
import math
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Literal

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from pocketrec.errors import RunError, UsageError
from pocketrec.files import atomic_write
from pocketrec.splits import Indices
from teacher.adapter import save_adapter
from teacher.backbone import Backbone
from teacher.base import ADAPTER
from teacher.domains import Domain
from teacher.layers import Targets, UpperLayers
from teacher.pairs import Batch, Batches, PairSampler
from teacher.pretrained import SMOLLM2
from teacher.recipe import Strict
from training.schedule import warmup_cosine

LOG_EVERY = 20
CHECKPOINT, LOG = "checkpoint.pt", "log.jsonl"
Loss = Literal["infonce", "ntxent"]


class AdapterRecipe(Strict):
    backbone: str = SMOLLM2
    """The language model: "smollm2", a folder in Hugging Face format, or a hub id."""
    layer: PositiveInt | None = None
    """Hidden layer to pool; the family's default when not given."""
    first_layer: int | None = Field(None, ge=0)
    """Layers that stay frozen, whose output is kept; two thirds of those that are run when not given."""
    rank: PositiveInt = 32
    alpha: PositiveInt = 32
    targets: Targets = "all-linear"
    learning_rate: PositiveFloat = 5e-4
    weight_decay: float = Field(0.01, ge=0)
    loss: Loss = "infonce"
    """Who stands against an item: the other side's items ("infonce"), or those of both sides ("ntxent")."""
    temperature: PositiveFloat = 0.12
    pairs: int = Field(384, ge=2)
    """Pairs a step, over all processes."""
    steps: PositiveInt = 850
    max_tokens: int = Field(33, ge=2)
    """Tokens read of a text, special ones included."""
    dimensions: PositiveInt = 256
    """Of the whitened vectors whose cosine is trained, as in ``TeacherRecipe``."""
    whitening: float = Field(0.25, ge=0, le=0.5)
    items: PositiveInt = 40_000
    """Most items of a domain, the most chosen ones."""
    window: PositiveInt = 5
    """Places between the two items of a pair, where the order is known."""
    popularity_damping: float = Field(0.5, ge=0, le=1)
    """An item is drawn with a weight of count ** -damping."""
    user_balance: float = Field(0.5, ge=0, le=1)
    """A history is drawn with a weight of length ** balance."""
    domain_balance: float = Field(0.5, ge=0, le=1)
    """A domain takes turns in proportion to interactions ** balance."""

    def first(self, backbone: Backbone) -> int:
        """How many layers stay as they are.

        Raises:
            UsageError: none is left to train.
        """
        first = backbone.layer * 2 // 3 if self.first_layer is None else self.first_layer
        if first >= backbone.layer:
            raise UsageError(
                f"first_layer: expected 0 to {backbone.layer - 1}, fewer than the layers that are run, "
                f"found {first}"
            )
        return first


def candidates_of(negatives: Tensor, loss: Loss) -> tuple[Tensor, Tensor]:
    """Among which rows each row has to find its partner, and which one that is.

    ``infonce``: an anchor's candidates are the positives, and a positive's the anchors (CLIP, Radford et al. 2021).
    ``ntxent``: the candidates are all other items of the batch (SimCLR, Chen et al. 2020).

    Args:
        negatives: which of B anchors and their B positives may stand against which; bool [2 B, 2 B].

    Returns:
        bool [2 B, 2 B], the partner included, and int64 [2 B].
    """
    rows = torch.arange(len(negatives), device=negatives.device)
    half = len(rows) // 2
    partner = (rows + half) % len(rows)
    candidates = negatives.clone()
    if loss == "infonce":
        candidates &= (rows < half)[:, None] != (rows < half)[None, :]
    candidates[rows, partner] = True
    return candidates, partner


def pair_loss(vectors: Tensor, candidates: Tensor, partner: Tensor, temperature: float) -> Tensor:
    """Mean cross-entropy of telling each row's partner from its other candidates by cosine; a scalar.

    A row whose negatives are all masked adds 0. The loss of a model that knows nothing is the mean log of the number of
    candidates.

    Args:
        vectors: unit rows [2 B, d].
        candidates, partner: as ``candidates_of`` gives them.
    """
    logits = (vectors @ vectors.T / temperature).masked_fill(~candidates, -torch.inf)
    return functional.cross_entropy(logits, partner)


class Training:
    """The state of a run, the same in all processes: adapter, optimiser, steps done and seconds spent.

    Every process draws the same batch, encodes its share of the pairs and computes the whole loss over the gathered
    vectors, so the result does not depend on how many there are.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        upper: UpperLayers,
        domains: list[Domain],
        recipe: AdapterRecipe,
        settings: dict[str, Any],
        out: Path,
    ) -> None:
        self.accelerator, self.domains, self.recipe = accelerator, domains, recipe
        self.settings, self.out = settings, out
        self.adapter, self.config = upper.adapter, upper.config
        sources = [domain.source for domain in domains]
        samplers = [
            PairSampler(s, recipe.window, recipe.popularity_damping, recipe.user_balance)
            for s in sources
        ]
        self.batches = Batches(
            samplers,
            [source.interactions for source in sources],
            recipe.pairs,
            settings["seed"],
            recipe.domain_balance,
        )
        optimiser = torch.optim.AdamW(
            self.adapter.values(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
        )
        self.upper, self.optimiser = accelerator.prepare(upper, optimiser)
        self.step, self.spent = 0, 0.0
        # Domain, loss, chance and tokens of each step since the last log line.
        self.recent: list[list[float]] = []
        if (out / CHECKPOINT).is_file():
            self._resume()
        elif accelerator.is_main_process:
            (out / LOG).unlink(missing_ok=True)

    def run(
        self,
        seconds: float | None,
        checkpoint_every: int,
        progress: Callable[[float], None],
        clock: Callable[[], float],
    ) -> None:
        before, began = self.spent, clock()
        while (share := self._share(seconds)) < 1:
            for group in self.optimiser.param_groups:
                group["lr"] = self.recipe.learning_rate * warmup_cosine(share)
            self._take_step(self.batches.draw(self.step))
            self.step += 1
            self.spent = before + clock() - began
            if self.step % LOG_EVERY == 0:
                self._log()
            if self.step % checkpoint_every == 0:
                self._save()
            progress(share)
        self._save()

    def finish(self) -> Path:
        """Write the adapter; returns its folder."""
        folder = self.out / ADAPTER
        if self.accelerator.is_main_process:
            facts = {**self.settings, "steps": self.step, "seconds": round(self.spent, 1)}
            save_adapter(folder, self.adapter, self.config, facts)
        self.accelerator.wait_for_everyone()
        return folder

    def _share(self, seconds: float | None) -> float:
        """How much of the steps or of the time is used, whichever is more; the first process's clock decides."""
        share = max(self.step / self.recipe.steps, self.spent / seconds if seconds else 0.0)
        return float(broadcast_object_list([share])[0])

    def _take_step(self, batch: Batch) -> None:
        domain, recipe = self.domains[batch.source], self.recipe
        vectors = self._vectors(domain, batch.items)
        candidates, partner = candidates_of(
            torch.from_numpy(batch.negatives).to(vectors.device), recipe.loss
        )
        loss = pair_loss(vectors, candidates, partner, recipe.temperature)
        self.recent.append(
            [
                batch.source,
                loss.item(),
                candidates.sum(dim=1).log().mean().item(),
                int(domain.states.lengths[batch.items].sum()),
            ]
        )
        if not math.isfinite(self.recent[-1][1]):
            raise RunError(
                f"step {self.step}, {domain.source.name}: expected a finite loss, found {loss.item()}; "
                "lower learning_rate or raise temperature"
            )
        self.optimiser.zero_grad()
        # A process has the gradient of its own vectors alone, and the average over processes divides it.
        self.accelerator.backward(loss * self.accelerator.num_processes)
        nn.utils.clip_grad_norm_(self.adapter.values(), 1.0)
        self.optimiser.step()

    def _vectors(self, domain: Domain, items: Indices) -> Tensor:
        """Whitened unit vectors of ``items``, those of this process's share with gradient; float32 [2 B, d]."""
        processes, index = self.accelerator.num_processes, self.accelerator.process_index
        share = items.reshape(2, processes, -1)[:, index].reshape(-1)
        rows, place = np.unique(share, return_inverse=True)
        states, lengths = domain.states.read(rows)
        pooled = self.upper(states.to(domain.mean.device), lengths)[place]
        own = functional.normalize((pooled - domain.mean) @ domain.matrix, dim=-1)
        if processes == 1:
            return own
        parts = list(self.accelerator.gather(own.detach()).chunk(processes))
        parts[index] = own
        # [process, side, pair, d] to [side, process, pair, d]: the order of ``items``.
        return torch.stack([torch.stack(part.chunk(2)) for part in parts], dim=1).flatten(0, 2)

    def _log(self) -> None:
        names = [domain.source.name for domain in self.domains]
        by_domain = defaultdict(list)
        for source, loss, _, _ in self.recent:
            by_domain[names[int(source)]].append(loss)
        _, losses, chances, tokens = zip(*self.recent, strict=True)
        line = {
            "step": self.step,
            "loss": round(float(np.mean(losses)), 4),
            "chance": round(float(np.mean(chances)), 4),
            "domains": {name: round(float(np.mean(of)), 4) for name, of in by_domain.items()},
            "tokens": int(sum(tokens)),
            "seconds": round(self.spent, 1),
        }
        self.recent = []
        if self.accelerator.is_main_process:
            self.out.mkdir(parents=True, exist_ok=True)
            with (self.out / LOG).open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(line) + "\n")

    def _save(self) -> None:
        if not self.accelerator.is_main_process:
            return
        kept = {
            "settings": self.settings,
            "step": self.step,
            "spent": self.spent,
            "recent": self.recent,
            "adapter": {name: value.detach().cpu() for name, value in self.adapter.items()},
            "optimiser": self.optimiser.state_dict(),
        }
        with atomic_write(self.out / CHECKPOINT) as temporary:
            torch.save(kept, temporary)

    def _resume(self) -> None:
        path = self.out / CHECKPOINT
        try:
            kept = torch.load(path, map_location="cpu", weights_only=True)
            for name, found in kept["settings"].items():
                if found != self.settings[name]:
                    raise UsageError(
                        f"{self.out}: holds a run with {name} {found!r}, found {self.settings[name]!r}; "
                        "choose another folder or remove it"
                    )
            with torch.no_grad():
                for name, parameter in self.adapter.items():
                    parameter.copy_(kept["adapter"][name])
            self.optimiser.load_state_dict(kept["optimiser"])
            self.step, self.spent, self.recent = kept["step"], kept["spent"], kept["recent"]
        except (OSError, RuntimeError, KeyError, EOFError, UnpicklingError) as error:
            reason = str(error).splitlines()[0]
            raise RunError(f"{path}: expected a checkpoint, found: {reason}; remove it") from error
        if self.accelerator.is_main_process and (self.out / LOG).is_file():
            lines = (self.out / LOG).read_text(encoding="utf-8").splitlines(keepends=True)
            with atomic_write(self.out / LOG) as temporary:
                kept_lines = [line for line in lines if json.loads(line)["step"] <= self.step]
                temporary.write_text("".join(kept_lines), encoding="utf-8")
