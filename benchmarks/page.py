"""Reports as one page that needs no network: `python -m benchmarks.page REPORT.json... --out PAGE.html`."""

import argparse
import sys
import tomllib
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from plotly.offline import get_plotlyjs

from benchmarks import page_figures as figures
from benchmarks import page_scale, report
from benchmarks.compare import read
from benchmarks.page_figures import COSTS, OURS, System, systems_of
from benchmarks.page_parts import (
    bullets,
    grid,
    plot,
    section,
    table,
    written,
)
from pocketrec.cli.output import say
from pocketrec.errors import PocketRecError
from pocketrec.files import atomic_write, read_json

TEMPLATE = Path(__file__).with_name("page.html")
PUBLISHED = Path(__file__).with_name("published.toml")
EVERY_SET = "Every data set"
TOGETHER = "Each measured in one run with its peers, on the same test users."
COLUMNS = {
    "System": ("name", ""),
    "Recall@10": ("recall", ".4f"),
    "NDCG@10": ("ndcg", ".4f"),
    "p50 ms": ("milliseconds", ".2f"),
    "peak MB": ("memory", ".0f"),
    "size MB": ("size", ".2f"),
}
"""Of the table: which part of a `System`, and how it is written."""


def page(
    reports: Sequence[dict[str, Any]],
    scale: dict[str, Any] | None = None,
    growth: dict[str, Any] | None = None,
) -> str:
    """The page of reports of `pocketrec bench`, one a data set, as HTML.

    Args:
        scale: what `benchmarks.scale` wrote, for a view of its own.
        growth: what `benchmarks.growth` wrote, for the same view.
    """
    names = [result["data"]["name"] for result in reports]
    one = len(reports) == 1
    views = {result["data"]["name"]: _data_set(result, not one) for result in reports}
    if not one:
        views[EVERY_SET] = _overview(reports)
    if larger := page_scale.view(scale, growth):
        views[page_scale.TITLE] = larger
    body = _tabs(views) if len(views) > 1 else ""
    body += "\n".join(
        f'<article id="set-{number}" data-set="{number}">{drawn}</article>'
        for number, drawn in enumerate(views.values())
    )
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=escape(f"PocketRec on {names[0] if one else f'{len(names)} data sets'}"),
        subtitle=escape(_measured(reports[0]) if one else TOGETHER),
        plotly=get_plotlyjs(),
        body=body,
    )


def published(name: str) -> list[dict[str, Any]]:
    """What papers give for a data set: system, recall, ndcg and source."""
    found: list[dict[str, Any]] = tomllib.loads(PUBLISHED.read_text(encoding="utf-8")).get(name, [])
    return found


def _measured(result: dict[str, Any]) -> str:
    """On whom and where a report was measured: not all of a page need come from one machine."""
    data, environment = result["data"], result["environment"]
    size = f"{data['users']:,} test users, {data['items']:,} items, {data['protocol']}"
    made = f"{environment['date']}, {environment['commit'] or 'no commit'}"
    return f"{size} · one thread of {environment['cpu']} · {made}"


def _overview(reports: Sequence[dict[str, Any]]) -> str:
    """NDCG@10 of every system on every data set, and what papers give."""
    names = [result["data"]["name"] for result in reports]
    values: dict[str, dict[str, float]] = {}
    theirs: dict[str, dict[str, float]] = {}
    for name, result in zip(names, reports, strict=True):
        for system in systems_of(result):
            values.setdefault(system.name, {})[name] = system.ndcg
        for row in published(name):
            theirs.setdefault(f"{row['system']}, published", {})[name] = row["ndcg"]
    rows = [
        (
            system in OURS,
            [
                (system, system),
                *((found.get(name), written(found.get(name), ".4f")) for name in names),
            ],
        )
        for system, found in {**values, **theirs}.items()
    ]
    note = (
        "NDCG@10 on the same test users of each data set. Published figures were not measured here."
    )
    sections = [
        section("How accurate every system is", table(["System", *names], rows), note),
        section("What the builds cost", _costs(reports), "CPU minutes of each stage, both cores."),
    ]
    return grid("grid full", sections)


def _costs(reports: Sequence[dict[str, Any]]) -> str:
    """CPU minutes of each stage, a row a data set."""
    rows = []
    for result in sorted(reports, key=lambda one: int(one["data"]["items"])):
        data, name = result["data"], result["data"]["name"]
        counts = [(data[part], f"{data[part]:,}") for part in ("items", "interactions")]
        spent = [cost["cpu_seconds"] / 60 for cost in result["cost"].values()]
        minutes = [(value, f"{value:.1f}") for value in (*spent, sum(spent))]
        rows.append((False, [(name, name), *counts, *minutes]))
    return table(["Data set", "Items", "Interactions", *reports[0]["cost"], "Together"], rows)


def _tabs(names: Iterable[str]) -> str:
    buttons = "".join(
        f'<button type="button" data-shows="{number}">{escape(name)}</button>'
        for number, name in enumerate(names)
    )
    return f'<nav aria-label="Views">{buttons}</nav>'


def _data_set(result: dict[str, Any], named: bool) -> str:
    systems = systems_of(result)
    pareto = (
        section(f"NDCG@10 × {title}", plot(figures.pareto(systems, cost, unit)))
        for cost, (title, unit) in COSTS.items()
    )
    notes = [*report.notes(result), *report.on_lists(result)]
    if rows := published(result["data"]["name"]):
        given = "; ".join(
            f"{row['system']} {row['recall']:.4f} / {row['ndcg']:.4f} ({row['source']})"
            for row in rows
        )
        notes.append(f"Published for this data and split, R@10 / NDCG@10: {given}.")
    parts = [
        grid("grid", pareto),
        grid("grid", [section("Every system", _table(systems), "Press a heading to sort.")]),
        grid(
            "grid wide",
            [
                section("NDCG@10 with its 95 % interval", plot(figures.intervals(systems), 380)),
                section(
                    "Where accuracy goes",
                    plot(figures.waterfall(systems, result["best_peer"]), 380),
                    "From the best peer over the teacher to what runs on the device.",
                ),
                section(
                    "NDCG@10 by length of the history",
                    plot(figures.slices(result, "by_history_length", "items in the history"), 340),
                ),
                section(
                    "NDCG@10 by popularity of the item",
                    plot(figures.slices(result, "by_popularity", "people who chose the item"), 340),
                ),
                section("p50 by length of the history", plot(figures.by_history(result), 340)),
                section("What the bundle is made of", plot(figures.parts(result), 340)),
                section(
                    "Do the scores say how likely a choice is?",
                    plot(figures.calibration(result["calibration"]), 340),
                    f"Expected calibration error {result['calibration']['error']:.4f}. On the dotted line they do.",
                ),
                section("What the build cost", plot(figures.build_cost(result), 340)),
                *_memory(result),
                section("How to read this", bullets(notes)),
            ],
        ),
    ]
    if named:
        parts.insert(
            0,
            f'<h2>{escape(result["data"]["name"])}</h2><p class="muted">{escape(_measured(result))}</p>',
        )
    return "\n".join(parts)


def _memory(result: dict[str, Any]) -> list[str]:
    """A section, where the report has measured the steps."""
    if "steps" not in result:
        return []
    drawn = plot(figures.memory_of_steps(result["steps"]), 340)
    note = "Resident memory of a fresh process that opens the bundle and does this one thing."
    return [section("What each step holds in memory", drawn, note)]


def _table(systems: list[System]) -> str:
    rows = []
    for system in systems:
        values = ((getattr(system, part), form) for part, form in COLUMNS.values())
        rows.append(
            (system.name in OURS, [(value, written(value, form)) for value, form in values])
        )
    return table(list(COLUMNS), rows)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write reports of pocketrec bench, one a data set, as one page of HTML."""
    parser = argparse.ArgumentParser("python -m benchmarks.page", description=main.__doc__)
    parser.add_argument(
        "reports", type=Path, nargs="+", metavar="REPORT", help="a report of pocketrec bench"
    )
    for name in ("scale", "growth"):
        parser.add_argument(
            f"--{name}", type=Path, metavar="FILE", help=f"what benchmarks.{name} wrote"
        )
    parser.add_argument("--out", type=Path, required=True, metavar="PAGE", help="the HTML file")
    asked = parser.parse_args(arguments)
    larger = (path and read_json(path) for path in (asked.scale, asked.growth))
    made = page([read(one) for one in asked.reports], *larger)
    with atomic_write(asked.out) as temporary:
        temporary.write_text(made, encoding="utf-8")
    say(str(asked.out))


if __name__ == "__main__":
    try:
        main()
    except PocketRecError as error:
        sys.exit(f"page: {error}")
