"""What transfer brings at each amount of target data: `python -m benchmarks.study RUN`."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.few_shot import FewShot, Target
from benchmarks.run import environment
from pocketrec.cli.output import results, say, table
from pocketrec.cli.progress import RichReport
from pocketrec.errors import PocketRecError, RunError
from pocketrec.files import read_json, write_json
from pocketrec.run import Run

RESULTS = Path(__file__).parent / "results"
SHARES = (0.0, 0.01, 0.1, 1.0)
COLUMNS = ("", "P@10", "R@10", "F1@10", "NDCG@10 (95 % CI)")


def study(
    folder: Path, shares: Sequence[float], seconds: float, seed: int, out: Path, markdown: bool
) -> None:
    """Measure each share that ``out/study-NAME.json`` does not hold yet; write and print each.

    Raises:
        RunError: the run's teacher is not finished, or the file holds something else.
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
        "data": {
            "name": run.dataset.name,
            "fingerprint": run.dataset.fingerprint,
            "protocol": run.split.protocol,
            "users": len(run.split.test),
            "items": len(run.dataset.ids),
        },
        "settings": settings,
        "source_domains": target.base.domains,
    }
    rows = {row["share"]: row for row in _kept(path, settings)}
    for share in shares:
        if share not in rows:
            rows[share] = FewShot(target, share, seconds, seed, RichReport()).measure()
            rows[share]["commit"] = result["environment"]["commit"]
            write_json(path, {**result, "shares": [rows[done] for done in sorted(rows)]})
        show(rows[share], markdown)
    if len(shares) > 1:
        overview([rows[share] for share in shares], markdown)
    print(*notes(result), sep="\n\n" if markdown else "\n")
    say(str(path))


def _kept(path: Path, settings: dict[str, Any]) -> list[dict[str, Any]]:
    """The shares that were measured with the same settings."""
    if not path.is_file():
        return []
    try:
        stored = read_json(path)
        return list(stored["shares"]) if stored["settings"] == settings else []
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path}: expected a study, found {error!r}; remove it") from error


def title(row: dict[str, Any]) -> str:
    if not row["share"]:
        return "No training user"
    return f"{100 * row['share']:g} % of the training users ({row['training_users']:,})"


def cells(row: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    """One row a system, under ``COLUMNS``."""
    for one in row["systems"]:
        ndcg = one["ndcg@10"]
        means = one["precision@10"], one["recall@10"]["mean"], one["f1@10"]
        interval = f"{ndcg['mean']:.4f} ({ndcg['low']:.4f}–{ndcg['high']:.4f})"
        yield (one["system"], *(f"{mean:.4f}" for mean in means), interval)


def overview(rows: list[dict[str, Any]], markdown: bool) -> None:
    """Print Recall@10 and NDCG@10 of every system at every share."""
    found: dict[str, dict[float, str]] = {}
    for row in reversed(rows):  # the largest share knows the most systems
        for one in row["systems"]:
            means = f"{one['recall@10']['mean']:.4f} / {one['ndcg@10']['mean']:.4f}"
            found.setdefault(one["system"], {})[row["share"]] = means
    shares = [row["share"] for row in rows]
    columns = ("R@10 / NDCG@10", *(f"{100 * share:g} %" for share in shares))
    lines = [(name, *(cell.get(s, "") for s in shares)) for name, cell in found.items()]
    draw("At each share of the training users", columns, lines, markdown)


def show(row: dict[str, Any], markdown: bool) -> None:
    """Print a share's table and differences, for a terminal or as Markdown."""
    answers = [
        f"NDCG@10 of {one['ours']} less {one['theirs']}: {one['ndcg@10']['mean']:+.4f} "
        f"({one['ndcg@10']['low']:+.4f} to {one['ndcg@10']['high']:+.4f})."
        for one in row["differences"]
    ]
    draw(title(row), COLUMNS, list(cells(row)), markdown)
    print(*(f"- {answer}" if markdown else answer for answer in answers), "", sep="\n")


def draw(
    heading: str, columns: Sequence[str], lines: Sequence[Sequence[str]], markdown: bool
) -> None:
    """Print a table whose first column holds names and the others numbers."""
    if markdown:
        drawn = [columns, ("---", *["---:"] * (len(columns) - 1)), *lines]
        print(f"**{heading}**", "", *(f"| {' | '.join(line)} |" for line in drawn), "", sep="\n")
        return
    made = table(*columns, right=columns[1:], title=heading)
    made.padding, made.show_edge = (0, 1, 0, 0), False  # else a name would wrap in 80 columns
    for line in lines:
        made.add_row(*line)
    results().print(made)
    print("")


def notes(result: dict[str, Any]) -> list[str]:
    """What holds for all tables."""
    data, made = result["data"], result["environment"]
    lines = [
        f"{data['name']}: the same {data['users']:,} test users in every table, {data['items']:,} items, "
        f"{data['protocol']}, ranked among the whole catalogue."
    ]
    if data["name"] in result["source_domains"]:
        lines.append(
            f"The base teacher and its adapter learned from {data['name']} itself: what they add here is no transfer "
            "to an unseen domain, at no share."
        )
    return [*lines, f"`{made['command']}`, {made['date']}, {made['commit'] or 'no commit'}."]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure every system with none, a part and all of a target's training users."""
    parser = argparse.ArgumentParser("python -m benchmarks.study", description=main.__doc__)
    parser.add_argument("run", type=Path, metavar="RUN", help="a finished run")
    parser.add_argument("--shares", type=float, nargs="+", default=SHARES)
    parser.add_argument("--seconds", type=float, default=120.0, help="for each sequence model")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of study-NAME.json")
    parser.add_argument("--markdown", action="store_true", help="print the tables as Markdown")
    asked = parser.parse_args(arguments)
    if not all(0 <= share <= 1 for share in asked.shares):
        parser.error(f"--shares: expected numbers from 0 to 1, found {asked.shares}")
    if not asked.seconds > 0:
        parser.error(f"--seconds: expected more than 0, found {asked.seconds:g}")
    study(asked.run, asked.shares, asked.seconds, asked.seed, asked.out, asked.markdown)


if __name__ == "__main__":
    try:
        main()
    except PocketRecError as error:
        sys.exit(f"study: {error}")
