"""LoRA on the upper layers of a language model, so that texts of items that the same people chose come near each other.

Under ``accelerate launch``, or ``torchrun --nproc-per-node N -m pocketrec.cli adapt ...`` on processors alone, the work
is shared among processes.
"""

import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import torch
from accelerate import Accelerator, InitProcessGroupKwargs
from pydantic import ValidationError

from pocketrec.errors import UsageError
from pocketrec.files import cache_folder
from pocketrec.run import Report
from teacher.adapter_training import AdapterRecipe, Training
from teacher.domains import Preparing
from teacher.layers import UpperLayers
from teacher.pretrained import load_backbone
from teacher.sources import load_sources

# One process prepares a source while the others wait for it.
_PATIENCE = timedelta(hours=12)

LEAST_TRAINING = 0.25
"""Of the time budget, however long the sources took to prepare."""


def read_adapter_recipe(path: Path | None) -> AdapterRecipe:
    """The recipe in a TOML file, or the default one without a file.

    Raises:
        UsageError: the file is absent, not TOML, or has an unknown key or an impossible value.
    """
    if path is None:
        return AdapterRecipe()
    try:
        return AdapterRecipe(**tomllib.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        found = error.errors()[0]
        raise UsageError(
            f"{path}: {'.'.join(map(str, found['loc']))}: {found['msg']}, found {found['input']!r}"
        ) from error
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: expected a recipe in TOML, found {error}") from error


def train_adapter(
    folders: list[Path],
    out: Path,
    recipe: AdapterRecipe,
    seed: int,
    seconds: float | None,
    report: Report,
    states: Path | None = None,
    checkpoint_every: int = 100,
    clock: Callable[[], float] = time.monotonic,
) -> Path:
    """Train an adapter on the training parts of data folders and write it to ``out / "adapter"``.

    ``out / "checkpoint.pt"`` lets a killed run go on where it was; the result is that of a run that was never killed.
    ``out / "log.jsonl"`` gets the mean loss of every 20 steps, beside ``chance``, the loss of a model that knows nothing.

    Args:
        seconds: time for everything. Preparing (lower layers once a source, whitening) comes first and is not cut
            short; the learning rate falls to its floor when the rest, a quarter at least, or ``recipe.steps`` ends,
            whichever is first.
        states: folder of the lower layers' states (see ``open_states``); in the user's cache by default.

    Raises:
        UsageError: impossible arguments, or ``out`` holds a run of other settings.
        DataError: a domain cannot be read or holds no pairs.
        RunError: the backbone or a kept file cannot be read, or the loss is not finite.
    """
    began = clock()
    accelerator = Accelerator(
        cpu=not torch.accelerator.is_available(),  # else processes without a device would not find each other
        kwargs_handlers=[InitProcessGroupKwargs(timeout=_PATIENCE)],
    )
    if recipe.pairs % accelerator.num_processes:
        raise UsageError(
            f"pairs: expected a multiple of {accelerator.num_processes} processes, found {recipe.pairs}"
        )
    sources = load_sources(folders, recipe.items)
    backbone = load_backbone(recipe.backbone, recipe.layer)
    settings = {
        "recipe": recipe.model_dump(mode="json"),
        "seed": seed,
        "sources": {source.name: source.fingerprint for source in sources},
        "backbone": backbone.fingerprint,
    }
    if not accelerator.is_main_process:
        report = _Silent()
    first = recipe.first(backbone)
    if states is None:
        key = f"{backbone.fingerprint}-{first}-{recipe.max_tokens}".replace("/", "-")
        states = cache_folder() / "states" / key
    preparing = Preparing(accelerator, states, report)
    opened = preparing.open(sources, backbone, first, recipe.max_tokens)
    torch.manual_seed(seed)
    upper = UpperLayers(backbone, first, recipe.rank, recipe.alpha, recipe.targets)
    domains = preparing.whiten(opened, upper, recipe.dimensions, recipe.whitening)
    training = Training(accelerator, upper, domains, recipe, settings, out)
    if seconds is not None:
        seconds = max(seconds - (clock() - began), LEAST_TRAINING * seconds)
    with report.task(f"Learning from {len(domains)} domains", 1.0) as advance:
        training.run(seconds, checkpoint_every, advance, clock)
    folder = training.finish()
    report.line(f"{folder}: {training.step:,} steps in {training.spent:,.0f} s")
    return folder


class _Silent:
    """The report of all processes but the first."""

    @contextmanager
    def task(
        self, description: str, total: float | None = None
    ) -> Iterator[Callable[[float], None]]:
        yield lambda done: None

    def line(self, text: str) -> None:
        pass
