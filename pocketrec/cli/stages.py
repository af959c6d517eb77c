"""The one place of the core that knows the stages, and imports one only when its command runs."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import cast

from pocketrec.run import Report, Run

Stage = Callable[[Run, Report], None]

# Read by libraries when they are imported: their own bars and advice would cut through ours.
_QUIET = {"TRANSFORMERS_VERBOSITY": "error", "TQDM_DISABLE": "1"}


def run_stages(run: Run, names: Iterable[str], report: Report) -> None:
    """Run stages (`pocketrec.run.STAGES`) in the given order; each skips what it finds done.

    Raises:
        PocketRecError: a stage could not do its work.
    """
    _silence_libraries()
    for name in names:
        _load(name)(run, report)


def pretrain_base(
    sources: list[Path],
    out: Path,
    minutes: float,
    seed: int,
    backbone: str,
    steps: int,
    report: Report,
) -> None:
    """Train a base teacher (``teacher.sources.train_base``)."""
    _silence_libraries()
    from teacher.sources import train_base

    train_base(sources, out, minutes, seed, backbone, steps, report)


def _silence_libraries() -> None:
    for variable, value in _QUIET.items():
        os.environ.setdefault(variable, value)


def _load(name: str) -> Stage:
    match name:
        case "teacher":
            from teacher import stage as teacher

            return cast(Stage, teacher.run)
        case "distill":
            from distill import stage as distill

            return cast(Stage, distill.run)
        case "export":
            from export import stage as export

            return cast(Stage, export.run)
    raise ValueError(f"no stage {name!r}")
