"""What changed between two reports beyond the noise: `python -m benchmarks.compare BEFORE.json AFTER.json`."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.accuracy import METRICS
from benchmarks.latency import DOT_PRODUCT
from pocketrec.cli.output import results, say, table
from pocketrec.errors import PocketRecError, UsageError
from pocketrec.files import read_json

SLOWER, FATTER, LARGER = 1.3, 1.1, 1.02
"""Factors of time, memory and size that are no noise: two runs of one commit differ by less."""


@dataclass(frozen=True)
class Change:
    """One number before and after, in ``unit``, and whether it is a regression or better by as much."""

    what: str
    before: float
    after: float
    unit: str
    worse: bool


def compare(before: dict[str, Any], after: dict[str, Any]) -> list[Change]:
    """Every number that both reports hold and that changed beyond the noise.

    Accuracy: each mean lies outside the other's 95 % interval. Time: p50 in units of the dot product's p50 of its own
    report, since two machines, or one machine on two days, differ by more than a commit does.
    """
    return [*_accuracy(before, after), *_times(before, after), *_bytes(before, after)]


def _accuracy(before: dict[str, Any], after: dict[str, Any]) -> Iterator[Change]:
    theirs = {row["system"]: row for row in before["systems"]}
    for row in after["systems"]:
        if not (old := theirs.get(row["system"])):
            continue
        for metric in METRICS:
            was, now = old[metric], row[metric]
            outside = not was["low"] <= now["mean"] <= was["high"]
            if outside and not now["low"] <= was["mean"] <= now["high"]:
                what = f"{row['system']}, {metric}"
                yield Change(what, was["mean"], now["mean"], "", now["mean"] < was["mean"])


def _times(before: dict[str, Any], after: dict[str, Any]) -> Iterator[Change]:
    theirs, ours = _relative(before), _relative(after)
    for key in ours.keys() & theirs.keys():
        was, now = theirs[key], ours[key]
        if max(was, now) > SLOWER * min(was, now):
            system, operation, history = key
            of = f" of {history}" if history is not None else ""
            yield Change(f"{system}, {operation}{of}", was, now, "dot products", now > was)


def _relative(report: dict[str, Any]) -> dict[tuple[str, str, int | None], float]:
    found = {(r["system"], r["operation"], r["history"]): r["p50"] for r in report["latency"]}
    dots = [time for (system, *_), time in found.items() if system == DOT_PRODUCT]
    return {key: time / min(dots) for key, time in found.items() if key[0] != DOT_PRODUCT}


def _bytes(before: dict[str, Any], after: dict[str, Any]) -> Iterator[Change]:
    for name, unit, factor in (("memory", "MB of memory", FATTER), ("size", "MB", LARGER)):
        theirs, ours = _megabytes(before, name), _megabytes(after, name)
        for system in ours.keys() & theirs.keys():
            was, now = theirs[system], ours[system]
            if max(was, now) > factor * min(was, now):
                yield Change(system, was, now, unit, now > was)


def _megabytes(report: dict[str, Any], name: str) -> dict[str, float]:
    if name == "size":
        return {system: count / 1e6 for system, count in report["size"]["systems"].items()}
    return {system: start["peak_rss"] / 1e6 for system, start in report["start_up"].items()}


def read(path: Path) -> dict[str, Any]:
    """A report of `pocketrec bench`.

    Raises:
        UsageError: the file is missing or no such report.
    """
    try:
        report = read_json(path)
        if not all(name in report for name in ("data", "systems", "latency", "start_up", "size")):
            raise ValueError("other contents")
    except (OSError, ValueError, TypeError) as error:
        raise UsageError(
            f"{path}: expected a report of `pocketrec bench`, found {error}; give its JSON file"
        ) from error
    return dict(report)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what changed between two reports on the same data beyond the noise; 1 where anything is worse."""
    parser = argparse.ArgumentParser("python -m benchmarks.compare", description=main.__doc__)
    parser.add_argument("before", type=Path, metavar="BEFORE", help="a report of pocketrec bench")
    parser.add_argument("after", type=Path, metavar="AFTER", help="a later one")
    asked = parser.parse_args(arguments)
    before, after = read(asked.before), read(asked.after)
    if before["data"]["fingerprint"] != after["data"]["fingerprint"]:
        raise UsageError(
            f"{asked.after}: expected a report on the data of {asked.before} "
            f"({before['data']['name']}), found one on {after['data']['name']}; compare like with like"
        )
    changes = sorted(compare(before, after), key=lambda change: (not change.worse, change.what))
    if not changes:
        say("nothing changed beyond the noise")
        return 0
    drawn = table("", "before", "after", "", "", right=("before", "after"), narrow=True)
    for change in changes:
        shown = (f"{value:.4g}" for value in (change.before, change.after))
        drawn.add_row(change.what, *shown, change.unit, "worse" if change.worse else "better")
    results().print(drawn)
    return int(any(change.worse for change in changes))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except PocketRecError as error:
        sys.exit(f"compare: {error}")
