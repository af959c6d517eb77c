"""How long the app lets its user wait, and the memory it takes: `python -m benchmarks.app BUNDLE`."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.app_child import Seen
from benchmarks.memory import ROOT
from benchmarks.run import cores_in_use, environment, load_warning
from device_app.events import NewEvent
from device_app.store import Store
from pocketrec.cli.output import results, say, table
from pocketrec.cli.progress import RichReport
from pocketrec.errors import PocketRecError, RunError
from pocketrec.files import write_json
from pocketrec.recommender import Recommender

RESULTS = Path(__file__).parent / "results"
HISTORY = 20
"""Likes that are there when the app opens."""
PATIENCE = 60.0
"""Seconds beyond what is asked of it that the app may take."""
ROWS = {
    "first_frame": "start to first frame",
    "first_list": "start to first picks",
    "answers": "like to new list",
    "gaps": "frame to frame while it scrolls and infers",
    "peak_rss": "peak memory",
}


def started(bundle: Path, items: Sequence[str], likes: int, seconds: float) -> Seen:
    """What one fresh process saw, without a display, OpenGL in software.

    Args:
        items: what was liked before.

    Raises:
        RunError: the process failed, or took too long.
    """
    with tempfile.TemporaryDirectory(prefix="pocketrec-") as home:
        database = Path(home) / "history.db"
        store = Store.open(database, Recommender.open(bundle).manifest.data.name)
        store.add(NewEvent(item, "like", place) for place, item in enumerate(items))
        store.close()
        surroundings = {k: v for k, v in os.environ.items() if not k.endswith("DISPLAY")}
        surroundings |= {"SDL_VIDEODRIVER": "offscreen", "POCKETREC_HOME": home}
        given = [str(bundle.resolve()), str(database), repr(time.time()), str(likes), str(seconds)]
        try:
            done = subprocess.run(
                [sys.executable, "-m", "benchmarks.app_child", *given],
                capture_output=True,
                text=True,
                cwd=ROOT,
                env=surroundings,
                timeout=PATIENCE + likes + seconds,
            )
        except subprocess.TimeoutExpired as error:
            raise RunError(f"{bundle}: expected an app that can be used, found {error}") from error
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["nothing on stderr"])[-1]
        raise RunError(f"{bundle}: expected an app that can be used, found {last}")
    return Seen(**json.loads(done.stdout))


def summary(runs: Sequence[Seen]) -> dict[str, dict[str, float]]:
    """Of each quantity how often it was measured, its median, 95th percentile and largest value, over all runs."""
    found = {}
    for name in ROWS:
        values = np.concatenate([np.atleast_1d(asdict(run)[name]) for run in runs])
        p50, p95 = np.percentile(values, [50, 95]).tolist()
        found[name] = {"n": len(values), "p50": p50, "p95": p95, "max": float(values.max())}
    return found


def show(measured: dict[str, dict[str, float]]) -> None:
    """Print the table, in milliseconds and megabytes."""
    numbers = ("n", "p50", "p95", "max")
    made = table("", *numbers, right=numbers)
    for name, row in measured.items():
        scale, unit = (1e6, "MB") if name == "peak_rss" else (1e-3, "ms")
        cells = (f"{row[number] / scale:.0f} {unit}" for number in numbers[1:])
        made.add_row(ROWS[name], f"{row['n']:,}", *cells)
    results().print(made)


def main(arguments: Sequence[str] | None = None) -> None:
    """Time the app on a bundle in fresh processes: opening, liking, scrolling."""
    parser = argparse.ArgumentParser("python -m benchmarks.app", description=main.__doc__)
    parser.add_argument("bundle", type=Path, metavar="BUNDLE")
    parser.add_argument("--starts", type=int, default=10, help="fresh processes")
    parser.add_argument("--likes", type=int, default=20, help="in each")
    parser.add_argument("--seconds", type=float, default=8.0, help="of scrolling in each")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of app.json")
    asked = parser.parse_args(arguments)
    if asked.starts < 1 or asked.likes < 1:
        parser.error("--starts, --likes: expected at least 1")
    load, recommender = cores_in_use(), Recommender.open(asked.bundle)
    items = len(recommender.ids)
    drawn = np.random.default_rng(asked.seed).choice(items, min(HISTORY, items), replace=False)
    liked, runs = recommender.ids.names(drawn.tolist()), list[Seen]()
    with RichReport().task("Using the app", asked.starts) as advance:
        for _ in range(asked.starts):
            runs.append(started(asked.bundle, liked, asked.likes, asked.seconds))
            advance(len(runs))
    result: dict[str, Any] = {
        "environment": environment(asked.seed),
        "load": load,
        "warning": load_warning(load),
        "data": recommender.manifest.data.name,
        "items": items,
        "history": len(liked),
        "measured": summary(runs),
    }
    show(result["measured"])
    path = asked.out / "app.json"
    write_json(path, result)
    say(str(path))


if __name__ == "__main__":
    try:
        main()
    except PocketRecError as error:
        sys.exit(f"app: {error}")
