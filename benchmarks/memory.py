"""What a system needs besides time per call: start-up, memory and space on disk."""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pocketrec.errors import RunError

ROOT = Path(__file__).parents[1]


def start_up(kind: str, path: Path, history: Iterable[object], starts: int) -> dict[str, Any]:
    """Medians over ``starts`` fresh processes (see `benchmarks.child`), files in the page cache.

    Returns:
        ``seconds`` from the first import to the end of what ``kind`` says, ``process_seconds`` from start to end of the
        process, ``peak_rss`` and ``settled_rss`` in bytes.

    Raises:
        RunError: a process failed.
    """
    history = list(history)
    found = [fresh(kind, path, history) for _ in range(starts)]
    medians = {name: statistics.median(one[name] for one in found) for name in found[0]}
    held = {name: int(medians[name]) for name in ("peak_rss", "settled_rss")}
    return {"starts": starts, **medians, **held}


def fresh(kind: str, path: Path, history: Iterable[object] = ()) -> dict[str, float]:
    """What a fresh process (see `benchmarks.child`) prints, and ``process_seconds`` from its start to its end.

    Raises:
        RunError: the process failed.
    """
    command = [sys.executable, "-m", "benchmarks.child", kind, str(path), *map(str, history)]
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    environment = {**os.environ, **threads, "PYTHONPATH": os.pathsep.join(paths)}
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    elapsed = time.perf_counter() - started
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["nothing on stderr"])[-1]
        raise RunError(f"{kind!r} in a fresh process: expected it to end well, found {last}")
    return {**json.loads(done.stdout), "process_seconds": elapsed}


def sizes(folder: Path) -> dict[str, int]:
    """Bytes of each file and folder in a folder, the largest first."""
    found: dict[str, int] = {}
    for path in folder.rglob("*"):
        if path.is_file():
            name = path.relative_to(folder).parts[0]
            found[name] = found.get(name, 0) + path.stat().st_size
    return dict(sorted(found.items(), key=lambda entry: -entry[1]))
