"""Every named data set, built and measured: `python -m benchmarks.full --data-root DIR`.

Takes hours. It goes on where it was: a build that is finished is not made again, nor is a report of the same commit.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.compare import read
from benchmarks.run import environment
from pocketrec.cli.output import say
from pocketrec.errors import PocketRecError, RunError, UsageError

MINUTES = {
    "movielens-small": 12,
    "amazon-scientific": 16,
    "amazon-beauty": 16,
    "movielens-1m": 60,
    "goodreads": 18,
    "yelp": 20,
    "ibm-articles": 8,
    "ifdb": 10,
    "steam": 60,
}
"""Data sets, and the time budget of their builds; movielens-1m and steam have the hour that a build has by default."""


def full(root: Path, names: Sequence[str], runs: Path, out: Path) -> list[Path]:
    """Build and measure the data folders ``names`` of ``root``; returns the reports, ``out/NAME/latest.json``.

    Each step is a process of its own, so that none finds the memory of another's.

    Raises:
        UsageError: a data folder is missing.
        RunError: a step failed.
    """
    for name in names:
        if not (root / name).is_dir():
            raise UsageError(f"{root / name}: expected a data folder, found none; see --names")
    commit, reports = environment(0)["commit"], []
    for name in names:
        report = out / name / "latest.json"
        reports.append(report)
        if report.exists() and read(report)["environment"]["commit"] == commit:
            say(f"{name}: measured before")
            continue
        run = runs / name
        say(f"{name}: building")
        minutes = str(MINUTES.get(name, 15))
        _run("build", "--data", str(root / name), "--out", str(run), "--minutes", minutes)
        say(f"{name}: measuring")
        _run("bench", str(run), "--out", str(out / name))
    return reports


def _run(*arguments: str) -> None:
    done = subprocess.run([sys.executable, "-m", "pocketrec.cli", *arguments])
    if done.returncode:
        raise RunError(f"pocketrec {' '.join(arguments)}: failed with status {done.returncode}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Build and measure every named data set; hours, resumable."""
    parser = argparse.ArgumentParser("python -m benchmarks.full", description=main.__doc__)
    parser.add_argument("--data-root", type=Path, required=True, help="folder of data folders")
    parser.add_argument("--names", nargs="+", default=list(MINUTES), metavar="NAME")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    asked = parser.parse_args(arguments)
    for report in full(asked.data_root, asked.names, asked.runs, asked.out):
        say(str(report))


if __name__ == "__main__":
    try:
        main()
    except PocketRecError as error:
        sys.exit(f"full: {error}")
