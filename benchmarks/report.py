"""The report as tables: for the terminal and, between two markers, for the README."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.latency import TYPICAL
from pocketrec.errors import UsageError
from pocketrec.files import atomic_write

if TYPE_CHECKING:
    from rich.table import Table

SECTION = "benchmark"
"""Name of the section of the README that holds the table."""
COLUMNS = ("", "R@10", "NDCG@10 (95 % CI)", "p50 ms", "peak MB", "size MB")
"""Short, so that a terminal of 80 columns shows the table whole; the notes say what they mean."""
NOTHING = "–"

Result = dict[str, Any]


def rows(result: Result) -> list[tuple[str, ...]]:
    """One row a system under ``COLUMNS``, a dash where nothing was measured."""
    memory = result["start_up"]
    size = result["size"]["systems"]
    found: list[tuple[str, ...]] = []
    for row in result["systems"]:
        system, ndcg = row["system"], row["ndcg@10"]
        timing = _typical(result, system)
        found.append(
            (
                system,
                f"{row['recall@10']['mean']:.4f}",
                f"{ndcg['mean']:.4f} ({ndcg['low']:.4f}–{ndcg['high']:.4f})",
                f"{timing['p50'] / 1000:.2f}" if timing else NOTHING,
                f"{memory[system]['peak_rss'] / 1e6:.0f}" if system in memory else NOTHING,
                f"{size[system] / 1e6:.2f}" if system in size else NOTHING,
            )
        )
    return found


def notes(result: Result) -> list[str]:
    """What the numbers mean, in sentences."""
    data, environment = result["data"], result["environment"]
    lines = [
        f"{data['name']}: {data['users']:,} test users, {data['items']:,} items, {data['protocol']}, "
        "ranked among the whole catalogue. R@10 is Recall@10, CI the bootstrap interval."
    ]
    if result["peer_items"] < data["items"]:
        fitted = "ItemKNN is" if result["peer_local"] else "ItemKNN and EASE are"
        scored = "it scores" if result["peer_local"] else "they score"
        lines.append(
            f"{fitted} fitted on the {result['peer_items']:,} most chosen items, as the run's settings or "
            f"time budget asked; {scored} no other item."
        )
    lines += [
        f"NDCG@10 of {row['ours']} less {row['theirs']}: {signed(row['ndcg@10'])}."
        for row in result["differences"]
    ]
    if unquantized := [name for name, kind in result["precision"].items() if kind != "int8"]:
        lines.append(
            f"Kept in full precision, as int8 missed the parity gate: {', '.join(unquantized)}."
        )
    empty = result["start_up"]["empty Python"]["peak_rss"] / 1e6
    lines.append(
        f"p50 ms: median time of ten recommendations for a history of {TYPICAL}, on one thread of {environment['cpu']}. "
        f"peak MB: memory of a fresh process up to its first recommendation; an empty Python takes {empty:.0f} MB."
    )
    if result["warning"]:
        lines.append(f"Not a clean measurement: {result['warning']}.")
    commit = environment["commit"] or "no commit"
    changed = " with changes" if environment["changed"] else ""
    lines.append(f"`{environment['command']}`, {environment['date']}, {commit}{changed}.")
    return lines


def on_lists(result: Result) -> list[str]:
    """How much of the catalogue the lists show, and how unlike their items are, in sentences."""
    lists = result["lists"]
    if not lists["users"]:
        return []
    return [
        f"The lists of ten of {lists['users']:,} users show {lists['coverage@10']:.1%} of the catalogue; two items of a "
        f"list are {lists['diversity@10']:.2f} apart on average (1 less the cosine of their texts)."
    ]


def signed(difference: Mapping[str, float]) -> str:
    """A difference with its interval, as `benchmarks.accuracy.interval` gives it."""
    return "{mean:+.4f} ({low:+.4f} to {high:+.4f})".format(**difference)


def markdown(result: Result) -> str:
    """The table of the README, accuracy x latency x memory x size, and its notes."""
    table = [COLUMNS, ("---", *["---:"] * (len(COLUMNS) - 1)), *rows(result)]
    lines = [f"| {' | '.join(row)} |" for row in table]
    return "\n".join([*lines, "", *(f"- {note}" for note in notes(result))]) + "\n"


def replace_section(path: Path, name: str, content: str) -> None:
    """Replace what stands between the two markers of a section of a Markdown file.

    Raises:
        UsageError: the markers are not there, each once and in order.
    """
    first, last = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    text = path.read_text(encoding="utf-8")
    before, begin, rest = text.partition(first)
    _, end, after = rest.partition(last)
    if not begin or not end or first in rest or last in before + after:
        raise UsageError(f"{path}: expected {first} and then {last}, each once; add them")
    with atomic_write(path) as temporary:
        temporary.write_text(f"{before}{first}\n{content}{last}{after}", encoding="utf-8")


def tables(result: Result) -> "list[Table]":
    """The table of the README, the latencies and the sizes for a terminal."""
    from pocketrec.cli.output import table

    systems = table(*COLUMNS, right=COLUMNS[1:])
    systems.padding = (0, 1, 0, 0)  # else a name would wrap in 80 columns
    for row in rows(result):
        systems.add_row(*row)
    numbers = ("history", "p50", "p95", "p99")
    latency = table("microseconds a call", "", *numbers, right=numbers)
    for row in result["latency"]:
        percentiles = (f"{row[name]:,.0f}" for name in numbers[1:])
        history = NOTHING if row["history"] is None else str(row["history"])
        latency.add_row(row["system"], row["operation"], history, *percentiles)
    size = table("file of the bundle", "bytes", right=["bytes"])
    for name, count in result["size"]["bundle"].items():
        size.add_row(name, f"{count:,}")
    return [systems, latency, size]


def _typical(result: Result, system: str) -> dict[str, Any] | None:
    for row in result["latency"]:
        if (row["system"], row["operation"], row["history"]) == (system, "recommend", TYPICAL):
            return dict(row)
    return None
