"""A report as one page that needs no network: `python -m benchmarks.page REPORT.json --out PAGE.html`."""

import argparse
import math
import sys
from collections.abc import Iterable, Sequence
from html import escape
from itertools import pairwise
from pathlib import Path
from string import Template
from typing import Any, NamedTuple

from plotly import graph_objects as go
from plotly.offline import get_plotlyjs

from benchmarks import accuracy, report
from benchmarks.compare import read
from benchmarks.latency import TYPICAL
from pocketrec.cli.output import say
from pocketrec.errors import PocketRecError
from pocketrec.files import atomic_write

TEMPLATE = Path(__file__).with_name("page.html")
OURS = (accuracy.TEACHER, accuracy.WITHOUT_KD, accuracy.FULL_PRECISION, accuracy.BUNDLE)
OUR_COLOUR, THEIR_COLOUR = "#14a08e", "#8b9097"
"""Both read on the light and on the dark ground."""
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


def page(result: dict[str, Any]) -> str:
    """The page of a report of `pocketrec bench`, as HTML."""
    data, environment = result["data"], result["environment"]
    systems = systems_of(result)
    pareto = (
        _section(f"NDCG@10 × {title}", _figure(_pareto(systems, cost, unit)))
        for cost, (title, unit) in COSTS.items()
    )
    parts = [
        _grid("grid", pareto),
        _grid("grid", [_section("Every system", _table(systems), "Press a heading to sort.")]),
        _grid(
            "grid wide",
            [
                _section("NDCG@10 with its 95 % interval", _figure(_intervals(systems), 380)),
                _section(
                    "Where accuracy goes",
                    _figure(_waterfall(systems, result["best_peer"]), 380),
                    "From the best peer over the teacher to what runs on the device.",
                ),
                _section(
                    "NDCG@10 by length of the history",
                    _figure(_slices(result, "by_history_length", "items in the history"), 340),
                ),
                _section(
                    "NDCG@10 by popularity of the item",
                    _figure(_slices(result, "by_popularity", "people who chose the item"), 340),
                ),
                _section("p50 by length of the history", _figure(_by_history(result), 340)),
                _section("What the bundle is made of", _figure(_parts(result), 340)),
                _section("How to read this", _list(report.notes(result))),
            ],
        ),
    ]
    users, items = f"{data['users']:,} test users", f"{data['items']:,} items"
    made = f"{environment['date']}, {environment['commit'] or 'no commit'}"
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=escape(f"PocketRec on {data['name']}"),
        subtitle=escape(
            f"{users}, {items}, {data['protocol']} · one thread of {environment['cpu']} · {made}"
        ),
        plotly=get_plotlyjs(),
        body="\n".join(parts),
    )


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


def _figure(figure: go.Figure, height: int = 320) -> str:
    figure.update_layout(
        height=height,
        margin={"l": 8, "r": 16, "t": 24, "b": 8},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, sans-serif", "size": 13},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
    )
    if figure.layout.showlegend is None:
        figure.update_layout(showlegend=False)
    for axis in (figure.update_xaxes, figure.update_yaxes):
        axis(automargin=True, zeroline=False)
    options = {"displayModeBar": False, "responsive": True}
    return str(figure.to_html(full_html=False, include_plotlyjs=False, config=options))


def _table(systems: list[System]) -> str:
    head = "".join(
        f'<th scope="col"><button type="button">{escape(name)}</button></th>' for name in COLUMNS
    )
    rows = []
    for system in systems:
        cells = []
        for part, form in COLUMNS.values():
            value = getattr(system, part)
            missing = value is None
            shown = report.NOTHING if missing else format(value, form)
            cells.append(
                f'<td data-value="{"" if missing else escape(str(value))}">{escape(shown)}</td>'
            )
        kind = ' class="ours"' if system.name in OURS else ""
        rows.append(f"<tr{kind}>{''.join(cells)}</tr>")
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def _section(title: str, content: str, note: str = "") -> str:
    said = f'<p class="muted">{escape(note)}</p>' if note else ""
    return f"<section><h2>{escape(title)}</h2>{said}{content}</section>"


def _grid(kind: str, sections: Iterable[str]) -> str:
    return f'<div class="{kind}">{"".join(sections)}</div>'


def _list(lines: Iterable[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>"


def _colour(system: str) -> str:
    return OUR_COLOUR if system in OURS else THEIR_COLOUR


def main(arguments: Sequence[str] | None = None) -> None:
    """Write a report of pocketrec bench as one page of HTML."""
    parser = argparse.ArgumentParser("python -m benchmarks.page", description=main.__doc__)
    parser.add_argument("report", type=Path, metavar="REPORT", help="a report of pocketrec bench")
    parser.add_argument("--out", type=Path, required=True, metavar="PAGE", help="the HTML file")
    asked = parser.parse_args(arguments)
    with atomic_write(asked.out) as temporary:
        temporary.write_text(page(read(asked.report)), encoding="utf-8")
    say(str(asked.out))


if __name__ == "__main__":
    try:
        main()
    except PocketRecError as error:
        sys.exit(f"page: {error}")
