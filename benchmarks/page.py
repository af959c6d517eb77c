"""Reports as one page that needs no network: `python -m benchmarks.page REPORT.json... --out PAGE.html`."""

import argparse
import math
import sys
import tomllib
from collections.abc import Iterable, Sequence
from html import escape
from itertools import pairwise
from pathlib import Path
from string import Template
from typing import Any, NamedTuple

from plotly import graph_objects as go
from plotly.offline import get_plotlyjs

from benchmarks import accuracy, page_scale, report
from benchmarks.compare import read
from benchmarks.latency import TYPICAL
from benchmarks.page_parts import (
    OUR_COLOUR,
    THEIR_COLOUR,
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
OURS = (accuracy.TEACHER, accuracy.WITHOUT_TEACHER, accuracy.FULL_PRECISION, accuracy.BUNDLE)
EVERY_SET = "Every data set"
WATERFALL = (accuracy.TEACHER, accuracy.FULL_PRECISION, accuracy.BUNDLE)


class System(NamedTuple):
    """One row of a report: accuracy, and what it costs where that was measured."""

    name: str
    recall: float
    ndcg: float
    low: float
    high: float
    milliseconds: float | None
    memory: float | None
    size: float | None


COSTS = {
    "milliseconds": (f"p50 of ten recommendations, history of {TYPICAL}", "ms"),
    "memory": ("Peak memory of a fresh process", "MB"),
    "size": ("Size on disk", "MB"),
}


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
    environment = reports[0]["environment"]
    made = f"{environment['date']}, {environment['commit'] or 'no commit'}"
    measured = f"one thread of {environment['cpu']} · {made}"
    body = _tabs(views) if len(views) > 1 else ""
    body += "\n".join(
        f'<article id="set-{number}" data-set="{number}">{drawn}</article>'
        for number, drawn in enumerate(views.values())
    )
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=escape(f"PocketRec on {names[0] if one else f'{len(names)} data sets'}"),
        subtitle=escape(f"{_size(reports[0])} · {measured}" if one else measured),
        plotly=get_plotlyjs(),
        body=body,
    )


def published(name: str) -> list[dict[str, Any]]:
    """What papers give for a data set: system, recall, ndcg and source."""
    found: list[dict[str, Any]] = tomllib.loads(PUBLISHED.read_text(encoding="utf-8")).get(name, [])
    return found


def _size(result: dict[str, Any]) -> str:
    data = result["data"]
    return f"{data['users']:,} test users, {data['items']:,} items, {data['protocol']}"


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
        section(f"NDCG@10 × {title}", plot(_pareto(systems, cost, unit)))
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
                section("NDCG@10 with its 95 % interval", plot(_intervals(systems), 380)),
                section(
                    "Where accuracy goes",
                    plot(_waterfall(systems, result["best_peer"]), 380),
                    "From the best peer over the teacher to what runs on the device.",
                ),
                section(
                    "NDCG@10 by length of the history",
                    plot(_slices(result, "by_history_length", "items in the history"), 340),
                ),
                section(
                    "NDCG@10 by popularity of the item",
                    plot(_slices(result, "by_popularity", "people who chose the item"), 340),
                ),
                section("p50 by length of the history", plot(_by_history(result), 340)),
                section("What the bundle is made of", plot(_parts(result), 340)),
                section(
                    "Do the scores say how likely a choice is?",
                    plot(_calibration(result["calibration"]), 340),
                    f"Expected calibration error {result['calibration']['error']:.4f}. On the dotted line they do.",
                ),
                section("What the build cost", plot(_cost(result), 340)),
                *_memory_of_steps(result),
                section("How to read this", bullets(notes)),
            ],
        ),
    ]
    if named:
        parts.insert(
            0,
            f'<h2>{escape(result["data"]["name"])}</h2><p class="muted">{escape(_size(result))}</p>',
        )
    return "\n".join(parts)


def systems_of(result: dict[str, Any]) -> list[System]:
    """The systems of a report in its order."""
    spent = {
        row["system"]: row["p50"] / 1000
        for row in result["latency"]
        if (row["operation"], row["history"]) == ("recommend", TYPICAL)
    }
    memory, size = result["start_up"], result["size"]["systems"]
    found = []
    for row in result["systems"]:
        name, ndcg = row["system"], row["ndcg@10"]
        found.append(
            System(
                name,
                row["recall@10"]["mean"],
                *(ndcg[part] for part in ("mean", "low", "high")),
                spent.get(name),
                memory[name]["peak_rss"] / 1e6 if name in memory else None,
                size[name] / 1e6 if name in size else None,
            )
        )
    return found


def front(systems: Iterable[System], cost: str) -> list[System]:
    """Those that no other one is both cheaper and better than, cheapest first."""
    known = [system for system in systems if getattr(system, cost) is not None]
    best: list[System] = []
    for system in sorted(known, key=lambda one: (getattr(one, cost), -one.ndcg)):
        if not best or system.ndcg > best[-1].ndcg:
            best.append(system)
    return best


def _pareto(systems: list[System], cost: str, unit: str) -> go.Figure:
    figure, best = go.Figure(), front(systems, cost)
    line = {"color": OUR_COLOUR, "dash": "dot", "width": 1.5}
    x, y = [getattr(one, cost) for one in best], [one.ndcg for one in best]
    figure.add_scatter(
        x=x, y=y, mode="lines", line=line, line_shape="hv", hoverinfo="skip", name="Pareto front"
    )
    known = [system for system in systems if getattr(system, cost) is not None]
    for place, system in enumerate(sorted(known, key=lambda one: getattr(one, cost))):
        figure.add_scatter(
            x=[getattr(system, cost)],
            y=[system.ndcg],
            mode="markers+text",
            text=[system.name],
            textposition="top right"
            if place == 0
            else "top left"
            if place == len(known) - 1
            else "bottom right",
            cliponaxis=False,
            marker={"color": _colour(system.name), "size": 12},
            error_y={
                "type": "data",
                "array": [system.high - system.ndcg],
                "arrayminus": [system.ndcg - system.low],
                "thickness": 1,
                "color": THEIR_COLOUR,
            },
            hovertemplate=f"{escape(system.name)}<br>NDCG@10 %{{y:.4f}}<br>%{{x:.3g}} {unit}<extra></extra>",
        )
    if known:
        costs = [getattr(system, cost) for system in known]
        ends = [math.log10(min(costs)) - 0.5, math.log10(max(costs)) + 0.5]
        ticks = [step * 10.0**power for power in range(-4, 7) for step in (1, 3)]
        figure.update_xaxes(range=ends, tickvals=ticks, tickformat="~g")
    figure.update_xaxes(type="log", title=unit)
    figure.update_yaxes(rangemode="tozero")
    return figure


def _intervals(systems: list[System]) -> go.Figure:
    figure = go.Figure()
    figure.add_scatter(
        x=[system.ndcg for system in systems],
        y=[system.name for system in systems],
        mode="markers",
        marker={"color": [_colour(system.name) for system in systems], "size": 11},
        error_x={
            "type": "data",
            "array": [system.high - system.ndcg for system in systems],
            "arrayminus": [system.ndcg - system.low for system in systems],
            "thickness": 1.5,
            "color": THEIR_COLOUR,
        },
        hovertemplate="%{y}<br>NDCG@10 %{x:.4f}<extra></extra>",
    )
    figure.update_xaxes(rangemode="tozero")
    figure.update_yaxes(autorange="reversed")
    return figure


def _waterfall(systems: list[System], peer: str) -> go.Figure:
    ndcg = {system.name: system.ndcg for system in systems}
    names = [peer, *WATERFALL]
    steps = [ndcg[peer], *(ndcg[b] - ndcg[a] for a, b in pairwise(names))]
    figure = go.Figure()
    figure.add_waterfall(
        x=names,
        y=steps,
        measure=["absolute", *["relative"] * len(WATERFALL)],
        text=[f"{steps[0]:.4f}", *(f"{step:+.4f}" for step in steps[1:])],
        textposition="outside",
        increasing={"marker": {"color": OUR_COLOUR}},
        decreasing={"marker": {"color": "#d0605a"}},
        totals={"marker": {"color": THEIR_COLOUR}},
        connector={"line": {"color": THEIR_COLOUR, "width": 1}},
        cliponaxis=False,
        hovertemplate="%{x}<br>%{text}<extra></extra>",
    )
    figure.update_yaxes(rangemode="tozero")
    return figure


def _slices(result: dict[str, Any], name: str, axis: str) -> go.Figure:
    figure, slices = go.Figure(), result[name]
    for system, colour in ((result["best_peer"], THEIR_COLOUR), (accuracy.BUNDLE, OUR_COLOUR)):
        figure.add_bar(
            x=[_span(one["first"], one["last"]) for one in slices],
            y=[one["ndcg@10"][system] for one in slices],
            name=system,
            marker={"color": colour},
            customdata=[one["users"] for one in slices],
            hovertemplate="%{x}: %{customdata:,} users<br>NDCG@10 %{y:.4f}",
        )
    figure.update_layout(showlegend=True)
    figure.update_xaxes(type="category", title=axis)
    return figure


def _span(first: int, last: int | None) -> str:
    if last is None:
        return f"{first} and more"
    return str(first) if first == last else f"{first} to {last}"


def _by_history(result: dict[str, Any]) -> go.Figure:
    figure = go.Figure()
    timed = [row for row in result["latency"] if row["operation"] == "recommend"]
    dashes = iter(("solid", "dash", "dot", "dashdot"))
    for name in dict.fromkeys(row["system"] for row in timed):
        rows = [row for row in timed if row["system"] == name]
        figure.add_scatter(
            x=[row["history"] for row in rows],
            y=[row["p50"] / 1000 for row in rows],
            name=name,
            mode="lines+markers",
            line={"color": _colour(name), "dash": next(dashes, "solid")},
            hovertemplate="history of %{x}<br>%{y:.3f} ms",
        )
    figure.update_layout(showlegend=True)
    figure.update_xaxes(type="log", title="items in the history", tickvals=[1, 10, 50, 200])
    figure.update_yaxes(type="log", title="ms", dtick=1)
    return figure


def _parts(result: dict[str, Any]) -> go.Figure:
    parts = sorted(result["size"]["bundle"].items(), key=lambda one: one[1])
    figure = go.Figure()
    figure.add_bar(
        x=[count / 1e6 for _, count in parts],
        y=[name for name, _ in parts],
        orientation="h",
        marker={"color": OUR_COLOUR},
        hovertemplate="%{y}<br>%{x:.3f} MB<extra></extra>",
    )
    figure.update_xaxes(title="MB")
    return figure


def _memory_of_steps(result: dict[str, Any]) -> list[str]:
    """A section, where the report has measured the steps."""
    steps = list(result.get("steps", {}).items())[::-1]
    if not steps:
        return []
    figure = go.Figure()
    for part, name, colour in (
        ("settled_rss", "settled", OUR_COLOUR),
        ("peak_rss", "peak", THEIR_COLOUR),
    ):
        figure.add_bar(
            x=[spent[part] / 1e6 for _, spent in steps],
            y=[step for step, _ in steps],
            orientation="h",
            name=name,
            marker={"color": colour},
            hovertemplate="%{y}<br>%{x:.1f} MB",
        )
    figure.update_layout(showlegend=True)
    figure.update_xaxes(title="MB")
    note = "Resident memory of a fresh process that opens the bundle and does this one thing."
    return [section("What each step holds in memory", plot(figure, 340), note)]


def _calibration(found: dict[str, Any]) -> go.Figure:
    bins, figure = found["bins"], go.Figure()
    said, chosen = ([one[part] for one in bins] for part in ("probability", "hits"))
    ends = [0, 1.05 * max(*said, *chosen)]
    line = {"color": THEIR_COLOUR, "dash": "dot", "width": 1.5}
    figure.add_scatter(x=ends, y=ends, mode="lines", line=line, hoverinfo="skip")
    figure.add_scatter(
        x=said,
        y=chosen,
        mode="lines+markers",
        marker={"color": OUR_COLOUR, "size": 9},
        line={"color": OUR_COLOUR},
        customdata=[one["pairs"] for one in bins],
        hovertemplate="said %{x:.2%}<br>chosen %{y:.2%} of %{customdata:,}<extra></extra>",
    )
    figure.update_xaxes(title="probability that the score says", tickformat=".1%")
    figure.update_yaxes(title="chosen next", tickformat=".1%")
    return figure


def _cost(result: dict[str, Any]) -> go.Figure:
    """CPU minutes of each stage, the first on top."""
    stages = list(result["cost"].items())[::-1]
    figure = go.Figure()
    figure.add_bar(
        x=[spent["cpu_seconds"] / 60 for _, spent in stages],
        y=[name for name, _ in stages],
        orientation="h",
        marker={"color": OUR_COLOUR},
        customdata=[spent["seconds"] / 60 for _, spent in stages],
        hovertemplate="%{y}<br>%{x:.1f} CPU minutes<br>%{customdata:.1f} minutes<extra></extra>",
    )
    figure.update_xaxes(title="CPU minutes")
    return figure


def _colour(system: str) -> str:
    return OUR_COLOUR if system in OURS else THEIR_COLOUR


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
