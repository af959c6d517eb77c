"""A study as tables: for the terminal, and between two markers of a document."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks import accuracy
from benchmarks.few_shot import (
    CONTENT,
    FUSED,
    QUESTIONS,
    READINGS,
    SCRATCH,
    SENTENCES_ALONE,
    TRANSFER,
)
from benchmarks.report import NOTHING, replace_section, signed
from benchmarks.sasrec import SASREC
from pocketrec.cli.output import results, table
from teacher.closed_forms import TEXT_MODEL
from teacher.readings import reads_with_adapter

Row = dict[str, Any]
Result = dict[str, Any]

COLUMNS = ("", "P@10", "R@10", "F1@10", "NDCG@10 (95 % CI)")
MIXED = f"{TEXT_MODEL} + {CONTENT}"
EVERY = "all"
"""Name of the section with one line a data set."""


def show(row: Row) -> None:
    """Print a share's table and differences."""
    _draw(title(row), COLUMNS, list(cells(row)))
    for one in row["differences"]:
        print(f"NDCG@10 of {one['ours']} less {one['theirs']}: {_difference(one)}.")
    print("")


def show_overview(rows: Sequence[Row]) -> None:
    """Print Recall@10 and NDCG@10 of every system at every share."""
    _draw("At each share of the training users", *overview(rows))


def update_document(path: Path, result: Result, every: Sequence[Result]) -> None:
    """Renew the section of one data set and the table of ``every`` data set in a document.

    Raises:
        UsageError: the markers of a section are not there, each once and in order.
    """
    replace_section(path, f"study:{result['data']['name']}", markdown(result))
    replace_section(path, f"study:{EVERY}", _markdown_table(*summary(every)))


def markdown(result: Result) -> str:
    """The section of one data set; sums of EASE with text and Content by reading stay in the file of results."""
    rows = [
        {**row, "systems": [s for s in row["systems"] if not s["system"].startswith(MIXED)]}
        for row in result["shares"]
    ]
    last, parts = rows[-1], []
    if len(rows) > 1:
        parts = ["**At each share of the training users**\n", _markdown_table(*overview(rows))]
    parts += [f"**{title(last)}**\n", _markdown_table(COLUMNS, list(cells(last)))]
    parts += ["What the parts add, NDCG@10 with the paired interval:\n"]
    parts += [_markdown_table(*differences(rows)), "\n\n".join(notes(result)) + "\n"]
    return "\n".join(parts)


def title(row: Row) -> str:
    if not row["share"]:
        return "No training user"
    return f"{100 * row['share']:g} % of the training users ({row['training_users']:,})"


def cells(row: Row) -> Iterator[tuple[str, ...]]:
    """One row a system, under ``COLUMNS``."""
    for one in row["systems"]:
        ndcg = one["ndcg@10"]
        means = one["precision@10"], one["recall@10"]["mean"], one["f1@10"]
        interval = f"{ndcg['mean']:.4f} ({ndcg['low']:.4f}–{ndcg['high']:.4f})"
        yield (one["system"], *(f"{mean:.4f}" for mean in means), interval)


def overview(rows: Sequence[Row]) -> tuple[Sequence[str], list[Sequence[str]]]:
    """Columns and lines: Recall@10 and NDCG@10 of every system at every share."""
    found: dict[str, dict[float, str]] = {}
    for row in reversed(rows):  # the largest share knows the most systems
        for one in row["systems"]:
            found.setdefault(one["system"], {})[row["share"]] = _both(one)
    return _by_share("R@10 / NDCG@10", rows, found)


def differences(rows: Sequence[Row]) -> tuple[Sequence[str], list[Sequence[str]]]:
    """Columns and lines: what each question's answer is at every share."""
    found: dict[str, dict[float, str]] = {f"{ours} less {theirs}": {} for ours, theirs in QUESTIONS}
    for row in rows:
        for one in row["differences"]:
            found[f"{one['ours']} less {one['theirs']}"][row["share"]] = _difference(one)
    return _by_share("NDCG@10", rows, {name: cell for name, cell in found.items() if cell})


def summary(every: Sequence[Result]) -> tuple[Sequence[str], list[Sequence[str]]]:
    """Columns and lines: Recall@10 and NDCG@10 of what counts on each data set, with all of its training users.

    Zero-shot is the Content that validation prefers, of readings that have not learned from the data set itself.
    """
    columns = (
        *("R@10 / NDCG@10", accuracy.POPULARITY, accuracy.ITEM_KNN, accuracy.EASE, SASREC),
        *("Zero-shot", SCRATCH, TRANSFER, FUSED, "Fused less best peer, NDCG@10"),
    )
    lines: list[Sequence[str]] = []
    for result in every:
        whole = next((row for row in result["shares"] if row["share"] == 1), None)
        if not whole:
            continue
        found = {one["system"]: one for one in whole["systems"]}
        seen = result["data"]["name"] in result["source_domains"]
        content = [one for name, one in found.items() if name in (UNSEEN if seen else ZERO_SHOT)]
        best = max(content, key=lambda one: one["validation_ndcg@10"])
        shown = [_both(found[name]) if name in found else NOTHING for name in columns[1:5]]
        shown += [_both(best)]
        shown += [_both(found[name]) if name in found else NOTHING for name in columns[6:9]]
        peer = [one for one in whole["differences"] if one["ours"] == FUSED]
        against = max(peer, key=lambda one: found[one["theirs"]]["ndcg@10"]["mean"])
        lines.append((result["data"]["name"], *shown, _difference(against)))
    return columns, lines


ZERO_SHOT = {f"{CONTENT}, {reading}" for reading in (*READINGS.values(), SENTENCES_ALONE)}
UNSEEN = ZERO_SHOT - {
    f"{CONTENT}, {name}" for way, name in READINGS.items() if reads_with_adapter(way)
}


def notes(result: Result) -> list[str]:
    """What holds for all tables."""
    data, made = result["data"], result["environment"]
    lines = [
        f"{data['name']}: the same {data['users']:,} test users in every table, {data['items']:,} items, "
        f"{data['protocol']}, ranked among the whole catalogue."
    ]
    if result.get("titled"):  # studies that are older read texts alone
        lines.append("Every reading is the mean of that of the text and that of its title alone.")
    if data["name"] in result["source_domains"]:
        lines.append(
            f"The base teacher and its adapter learned from {data['name']} itself: what they add here is no transfer "
            "to an unseen domain, at no share."
        )
    return [*lines, f"`{made['command']}`, {made['date']}, {made['commit'] or 'no commit'}."]


def _both(one: Row) -> str:
    return f"{one['recall@10']['mean']:.4f} / {one['ndcg@10']['mean']:.4f}"


def _difference(one: Row) -> str:
    return signed(one["ndcg@10"])


def _by_share(
    corner: str, rows: Sequence[Row], found: dict[str, dict[float, str]]
) -> tuple[Sequence[str], list[Sequence[str]]]:
    shares = [row["share"] for row in rows]
    columns = (corner, *(f"{100 * share:g} %" for share in shares))
    return columns, [(name, *(cell.get(s, "") for s in shares)) for name, cell in found.items()]


def _draw(heading: str, columns: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    made = table(*columns, right=columns[1:], title=heading, narrow=True)
    for line in lines:
        made.add_row(*line)
    results().print(made)
    print("")


def _markdown_table(columns: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    drawn = [columns, ("---", *["---:"] * (len(columns) - 1)), *lines]
    return "".join(f"| {' | '.join(line)} |\n" for line in drawn)
