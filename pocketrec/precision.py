"""int8 or full precision: which of a bundle's two sequence encoders is faster on this machine, timed once."""

import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from pocketrec.encoders import SequenceEncoder
from pocketrec.engine import Engine
from pocketrec.files import cache_folder, read_json, write_json

Precision = Literal["int8", "fp32"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)

CALLS = 30
HISTORY = 20
MARGIN = 0.95
"""Share of the int8 time that full precision must stay under to be worth its memory."""


def choose_precision(
    graphs: Mapping[Precision, Path],
    name: str,
    dimensions: int,
    length: int,
    load: Callable[[Path], Engine],
) -> Precision:
    """The faster one of ``graphs``, as timed here or by an earlier call on this machine.

    Args:
        name: what the answer is remembered under; other graphs have another one.
        dimensions: of an item vector.
        length: the longest history that the graphs read.

    Raises:
        BundleError: a graph cannot be loaded or run.
    """
    if len(graphs) < 2:
        return next(iter(graphs))
    try:
        chosen: Precision = read_json(_note(name))["chosen"]
        if chosen in graphs:
            return chosen
    except (OSError, RuntimeError, ValueError, KeyError, TypeError):
        pass  # never timed here, or a note that something else wrote
    items = np.full((1, min(HISTORY, length), dimensions), dimensions**-0.5, dtype=np.float32)
    timed = {kind: _time(SequenceEncoder(load(path)), items) for kind, path in graphs.items()}
    chosen = "fp32" if timed["fp32"] < MARGIN * timed["int8"] else "int8"
    with suppress(OSError, RuntimeError):  # without a cache it will be timed again
        write_json(_note(name), {"chosen": chosen, "microseconds": timed})
    return chosen


def _time(encoder: SequenceEncoder, items: np.ndarray) -> float:
    """Median time of a call in microseconds, after a few that do not count."""
    spent = []
    for _ in range(CALLS):
        started = time.perf_counter_ns()
        encoder.encode(items)
        spent.append((time.perf_counter_ns() - started) / 1000)
    return round(statistics.median(spent[CALLS // 3 :]), 1)


def _note(name: str) -> Path:
    return cache_folder() / "precision" / f"{name}.json"
