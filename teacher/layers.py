"""A backbone cut in two: what enters its upper layers, computed once, and the upper layers with LoRA on them."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
import torch
from peft import LoraConfig, get_peft_model
from peft.utils import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as FAMILY_TARGETS
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers.pytorch_utils import Conv1D

from pocketrec.errors import RunError, UsageError
from pocketrec.files import atomic_write
from pocketrec.splits import Indices
from teacher.backbone import Backbone, mean_state
from teacher.sources import Source

Half = npt.NDArray[np.float16]
Targets = Literal["query-value", "all-linear"]

_BATCH_TOKENS = 2048
_HALF_MAX = float(np.finfo(np.float16).max)
_GROUPS = 4
# Of the spread of a few vectors: measured roundings stay below a third of these, another model or mask far above.
_TOLERANCE = {torch.float32: 0.02, torch.bfloat16: 0.15}


@dataclass(frozen=True)
class LowerStates:
    """The hidden states that enter the upper layers, token by token.

    Attributes:
        states: float16 [T, h], texts one after the other, memory-mapped.
        starts: where each item's states begin; int64 [N].
        lengths: how many are read, special tokens included; int64 [N].
        max_tokens: most that are read of a text.
    """

    states: Half
    starts: Indices
    lengths: Indices
    max_tokens: int

    def read(self, rows: Indices) -> tuple[Tensor, Tensor]:
        """States of the items ``rows`` one after the other, float16 [t, h], and their lengths, int64 [B]."""
        parts = [self.states[s : s + n] for s, n in self._places(rows)]
        return torch.from_numpy(np.concatenate(parts)), torch.from_numpy(self.lengths[rows])

    def _places(self, rows: Indices) -> Iterator[tuple[int, int]]:
        return zip(self.starts[rows].tolist(), self.lengths[rows].tolist(), strict=True)


def open_states(
    folder: Path,
    source: Source,
    backbone: Backbone,
    first: int,
    max_tokens: int,
    progress: Callable[[float], None] = lambda done: None,
) -> tuple[Source, LowerStates]:
    """The states of a source after ``first`` layers, from ``folder`` where they are kept, else computed and kept there.

    ``NAME.lF.npy`` (F is ``first``) holds the states and ``NAME.npz`` says whose they are: ``starts`` int64 [n + 1],
    ``items`` int64 [n] (catalogue indices; all of them in order where absent) and ``texts``, a hash of what was read.
    Files without the hash are taken on trust, so that states computed elsewhere can be linked in; of longer texts the
    first ``max_tokens`` are read, as a decoder would. ``UpperLayers.check`` tells whether they serve.

    Returns:
        The source, restricted to the items whose states there are, and its states.

    Raises:
        RunError: the kept files are damaged.
    """
    index, states = folder / f"{source.name}.npz", folder / f"{source.name}.l{first}.npy"
    wanted = _hash(source.texts)
    found = _read_index(index) if states.is_file() else None
    if found is None or found.get("texts", wanted) != wanted:
        ids = backbone.tokenize(source.texts, max_tokens)
        starts = np.cumsum([0, *map(len, ids)])
        with atomic_write(states) as temporary:
            _write_states(temporary, backbone, ids, starts, first, progress)
        found = {"starts": starts, "items": source.items, "texts": wanted}
        with atomic_write(index) as temporary:
            np.savez(temporary, **found)
    starts = found["starts"]
    items = found.get("items", np.arange(len(starts) - 1))
    source = source.restrict(items)
    place = np.searchsorted(items, source.items)
    mapped = np.load(states, mmap_mode="r")
    if mapped.shape != (starts[-1], backbone.hidden_size):
        raise RunError(
            f"{states}: expected states [{starts[-1]}, {backbone.hidden_size}], found "
            f"{list(mapped.shape)}; remove it to compute it again"
        )
    lengths = np.minimum(starts[place + 1] - starts[place], max_tokens)
    return source, LowerStates(mapped, starts[place], lengths, max_tokens)


def _hash(texts: list[str]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for text in texts:
        digest.update(f"{text}\x1e".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _read_index(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        with np.load(path) as file:
            known = {name: file[name] for name in ("starts", "items", "texts") if name in file}
        return {**known, "starts": known["starts"]}
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise RunError(
            f"{path}: expected starts and items of kept states, found: {error}; remove it"
        ) from error


def _write_states(
    path: Path,
    backbone: Backbone,
    ids: list[list[int]],
    starts: Indices,
    first: int,
    progress: Callable[[float], None],
) -> None:
    shape = (int(starts[-1]), backbone.hidden_size)
    states = np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=shape)
    done, batch = 0, list[int]()
    for text in sorted(range(len(ids)), key=lambda i: len(ids[i])):
        if batch and (len(batch) + 1) * len(ids[text]) > _BATCH_TOKENS:
            done += _write_batch(states, backbone, ids, starts, first, batch)
            progress(done)
            batch = []
        batch.append(text)
    _write_batch(states, backbone, ids, starts, first, batch)
    states.flush()


@torch.inference_mode()
def _write_batch(
    states: Half,
    backbone: Backbone,
    ids: list[list[int]],
    starts: Indices,
    first: int,
    batch: list[int],
) -> int:
    device = next(backbone.model.parameters()).device
    rows = [torch.tensor(ids[text]) for text in batch]
    mask = pad_sequence([torch.ones_like(row) for row in rows], batch_first=True).to(device)
    tokens = pad_sequence(rows, batch_first=True, padding_value=backbone.tokenizer.pad_token_id)
    owner, attribute, blocks = blocks_of(backbone)
    seen: list[Tensor] = []

    def keep(entering: Tensor) -> Tensor:
        seen.append(entering)
        return entering

    # One layer more than is needed, because families differ in what a layer returns, not in what it is given first.
    setattr(owner, attribute, blocks[: first + 1])
    try:
        with entering_block(blocks[first], keep):
            backbone.model(input_ids=tokens.to(device), attention_mask=mask)
    finally:
        setattr(owner, attribute, blocks)
    half = seen[0].float().clamp(-_HALF_MAX, _HALF_MAX).half().cpu().numpy()
    for row, text in enumerate(batch):
        states[starts[text] : starts[text + 1]] = half[row, : len(ids[text])]
    return len(batch)


def blocks_of(backbone: Backbone) -> tuple[nn.Module, str, nn.ModuleList]:
    """The layers of a backbone: the module that owns them, its attribute, and they themselves."""
    for owner in backbone.model.modules():
        for attribute, child in owner.named_children():
            if isinstance(child, nn.ModuleList) and len(child) and child[-1] is backbone.block:
                return owner, attribute, child
    raise UsageError(f"{backbone.name}: expected a model whose layers are whole, found it cut")


@contextmanager
def entering_block(block: nn.Module, look: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """While open, ``look`` sees the hidden states that enter ``block`` and says what enters in their place."""

    def hook(_: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return (look(args[0]), *args[1:])

    handle = block.register_forward_pre_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def run_upper(
    model: nn.Module,
    first: nn.Module,
    last: nn.Module,
    entering: Tensor,
    mask: Tensor,
    final: bool,
) -> Tensor:
    """What leaves ``last`` when ``entering`` [B, T, h] enters ``first``, the first layer that ``model`` still has.

    The model's own forward pass runs, over placeholder tokens. ``final`` reads after the model's last norm.
    """
    seen: list[Tensor] = []
    hook = last.register_forward_hook(
        lambda _block, _inputs, output: seen.append(
            output[0] if isinstance(output, tuple) else output
        )
    )
    try:
        with entering_block(first, lambda _: entering):
            output = model(input_ids=torch.zeros_like(mask), attention_mask=mask)
    finally:
        hook.remove()
    return output.last_hidden_state if final else seen[0]


class UpperLayers(nn.Module):
    """The layers of a backbone from ``first`` on, frozen but for LoRA (Hu et al. 2021, arXiv:2106.09685).

    The backbone's own forward pass runs, over placeholder tokens, and the kept states take the place of what enters
    the first upper layer: positions, rotary angles and masks are the model's own, whatever its family. The backbone
    is taken over: its lower layers are dropped.

    Attributes:
        adapter: the trained matrices, float32, by the names that peft gives them.
        config: their peft configuration.

    Raises:
        UsageError: the family has no known query and value projections.
    """

    def __init__(
        self, backbone: Backbone, first: int, rank: int, alpha: int, targets: Targets
    ) -> None:
        super().__init__()
        owner, attribute, blocks = blocks_of(backbone)
        names = _target_names(backbone, list(blocks[first:]), targets)
        self.config = LoraConfig(
            r=rank,
            lora_alpha=alpha,
            target_modules=names,
            fan_in_fan_out=isinstance(backbone.model.get_submodule(names[0]), Conv1D),
        )
        peft = get_peft_model(backbone.model, self.config)
        self.config.base_model_name_or_path = backbone.name  # not the folder of a cache
        self.config.target_modules = names
        self.adapter = {
            name.replace(".default.", "."): parameter
            for name, parameter in peft.named_parameters()
            if parameter.requires_grad
        }
        setattr(owner, attribute, blocks[first:])
        self.model, self.first_block, self.last_block = backbone.model, blocks[first], blocks[-1]
        self.final = backbone.layer == backbone.depth
        self.skip_first = backbone.prefix is not None

    def forward(self, states: Tensor, lengths: Tensor) -> Tensor:
        """Pooled vectors as ``Backbone.encode`` gives them.

        Args:
            states: as ``LowerStates.read`` gives them; [t, h].
            lengths: int64 [B].

        Returns:
            float32 [B, h].
        """
        dtype = next(self.model.parameters()).dtype
        rows = torch.split(states.to(dtype), lengths.tolist())
        order = np.argsort(lengths.cpu().numpy(), kind="stable")
        # A few groups of like length: less padding, and still large products.
        groups = [group.tolist() for group in np.array_split(order, _GROUPS) if len(group)]
        pooled = torch.cat([self._pool([rows[i] for i in group]) for group in groups])
        return pooled[torch.from_numpy(np.argsort(order)).to(pooled.device)]

    def _pool(self, rows: list[Tensor]) -> Tensor:
        entering = pad_sequence(rows, batch_first=True)
        width = entering.shape[1]
        lengths = torch.tensor([len(row) for row in rows], device=entering.device)
        mask = (torch.arange(width, device=entering.device) < lengths[:, None]).long()
        leaving = run_upper(
            self.model, self.first_block, self.last_block, entering, mask, self.final
        )
        return mean_state(leaving, mask, self.skip_first)

    @torch.no_grad()
    def encode(self, states: LowerStates, rows: Indices) -> npt.NDArray[np.float32]:
        """Pooled vectors of the items ``rows``, without gradient; float32 [B, h]."""
        device = next(self.model.parameters()).device
        parts = []
        for start in range(0, len(rows), 128):
            read, lengths = states.read(rows[start : start + 128])
            parts.append(self(read.to(device), lengths).cpu().numpy())
        return np.concatenate(parts)

    def check(self, states: LowerStates, rows: Indices, expected: Tensor, name: str) -> None:
        """Compare untrained upper layers on kept states with the whole backbone.

        Args:
            expected: ``Backbone.encode`` of the texts of ``rows``; [B, h].

        Raises:
            UsageError: they differ by more than rounding does.
        """
        found = torch.from_numpy(self.encode(states, rows))
        spread = torch.linalg.norm(expected - expected.mean(0)).clamp(min=1e-6)
        error = float(torch.linalg.norm(found - expected) / spread)
        if not error < _TOLERANCE[next(self.model.parameters()).dtype]:
            raise UsageError(
                f"{name}: expected kept states that lead to the backbone's vectors, found vectors that are off by "
                f"{error:.0%}; remove them if they are of another model, else set first_layer = 0"
            )


def _target_names(backbone: Backbone, upper: list[nn.Module], targets: Targets) -> list[str]:
    """Full names of the projections that get LoRA."""
    inside = {id(module) for block in upper for module in block.modules()}
    names = [
        name
        for name, module in backbone.model.named_modules()
        if id(module) in inside and isinstance(module, nn.Linear | Conv1D)
    ]
    if targets == "query-value":
        config: Any = backbone.model.config
        family = config.model_type
        known = FAMILY_TARGETS.get(family)
        if not isinstance(known, list):
            raise UsageError(
                f"{backbone.name}: expected a family whose query and value projections are known, found "
                f"{family!r}; set targets = 'all-linear'"
            )
        names = [name for name in names if name.rpartition(".")[2] in known]
    return names
