"""The one place of the core that knows the stages, and imports one only when its command runs."""

import os
from collections.abc import Callable, Iterable
from typing import Any, cast

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


def load_training(name: str) -> Any:
    """A module of what is trained on source domains.

    "base_training" trains a base teacher, "contrastive" an adapter; "text_targets" reads texts for "base_text", which
    trains a base text encoder.
    """
    _silence_libraries()
    match name:
        case "base_training":
            from teacher import base_training

            return base_training
        case "contrastive":
            from teacher import contrastive

            return contrastive
        case "text_targets":
            from teacher import text_targets

            return text_targets
        case "base_text":
            from distill import base_text

            return base_text
    raise ValueError(f"no training {name!r}")


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
