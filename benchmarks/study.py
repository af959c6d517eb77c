"""What transfer brings at each amount of target data: `python -m benchmarks.study RUN`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.few_shot import FewShot, Target
from benchmarks.run import data_record, environment
from benchmarks.study_report import notes, show, show_overview, update_document
from pocketrec.cli.output import say
from pocketrec.cli.progress import RichReport
from pocketrec.errors import PocketRecError, RunError
from pocketrec.files import read_json, write_json
from pocketrec.run import Run

RESULTS = Path(__file__).parent / "results"
SHARES = (0.0, 0.01, 0.1, 1.0)


def study(
    folder: Path,
    shares: Sequence[float],
    seconds: float,
    seed: int,
    out: Path,
    document: Path | None,
) -> None:
    """Measure each share that ``out/study-NAME.json`` does not hold yet; write and print each.

    Args:
        document: a Markdown file whose section of this data set is renewed.

    Raises:
        RunError: the run's teacher is not finished, or the file holds something else.
        UsageError: ``document`` has no such section.
    """
    run = Run.open(folder)
    target = Target(run)
    path = out / f"study-{run.dataset.name}.json"
    made = {name: run.facts(name)["fingerprint"] for name in ("teacher/vectors", "teacher/holdout")}
    settings = {**made, "seconds": seconds, "seed": seed}
    asked = (
        f"--shares {' '.join(f'{share:g}' for share in shares)} --seconds {seconds:g} --seed {seed}"
    )
    command = f"python -m benchmarks.study {folder.name} {asked}"
    result = {
        "environment": {
            **environment(seed),
            "command": command,
            "threads": torch.get_num_threads(),
        },
        "data": data_record(run),
        "settings": settings,
        "source_domains": target.base.domains,
        "titled": target.titled,
    }
    rows = {row["share"]: row for row in _kept(path, settings)}
    for share in shares:
        if share not in rows:
            rows[share] = FewShot(target, share, seconds, seed, RichReport()).measure()
            rows[share]["commit"] = result["environment"]["commit"]
            write_json(path, {**result, "shares": [rows[done] for done in sorted(rows)]})
        show(rows[share])
    if len(shares) > 1:
        show_overview([rows[share] for share in shares])
    print(*notes(result), sep="\n")
    say(str(path))
    if document:
        every = [read_json(one) for one in sorted(out.glob("study-*.json"))]
        update_document(document, read_json(path), every)
        say(str(document))


def _kept(path: Path, settings: dict[str, Any]) -> list[dict[str, Any]]:
    """The shares that were measured with the same settings."""
    if not path.is_file():
        return []
    try:
        stored = read_json(path)
        return list(stored["shares"]) if stored["settings"] == settings else []
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path}: expected a study, found {error!r}; remove it") from error


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure every system with none, a part and all of a target's training users."""
    parser = argparse.ArgumentParser("python -m benchmarks.study", description=main.__doc__)
    parser.add_argument("run", type=Path, metavar="RUN", help="a finished run")
    parser.add_argument("--shares", type=float, nargs="+", default=SHARES)
    parser.add_argument("--seconds", type=float, default=120.0, help="for each sequence model")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of study-NAME.json")
    parser.add_argument(
        "--docs", type=Path, metavar="FILE", help="a Markdown file whose section is renewed"
    )
    asked = parser.parse_args(arguments)
    if not all(0 <= share <= 1 for share in asked.shares):
        parser.error(f"--shares: expected numbers from 0 to 1, found {asked.shares}")
    if not asked.seconds > 0:
        parser.error(f"--seconds: expected more than 0, found {asked.seconds:g}")
    study(asked.run, asked.shares, asked.seconds, asked.seed, asked.out, asked.docs)


if __name__ == "__main__":
    try:
        main()
    except PocketRecError as error:
        sys.exit(f"study: {error}")
