"""What the page draws of one report."""

import math
from collections.abc import Iterable, Mapping
from html import escape
from itertools import pairwise
from typing import Any, NamedTuple

from plotly import graph_objects as go

from benchmarks import accuracy
from benchmarks.latency import TYPICAL
from benchmarks.page_parts import OUR_COLOUR, THEIR_COLOUR

OURS = (accuracy.TEACHER, accuracy.WITHOUT_TEACHER, accuracy.FULL_PRECISION, accuracy.BUNDLE)
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


def pareto(systems: list[System], cost: str, unit: str) -> go.Figure:
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
            textposition=f"{_side(system, known)} {'right' if place < len(known) - 1 else 'left'}",
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


def _side(system: System, systems: list[System]) -> str:
    """Where a label is out of the way of the system nearest in accuracy: ``top`` or ``bottom``."""
    others = [other for other in systems if other is not system]
    nearest = min(others, key=lambda other: abs(other.ndcg - system.ndcg), default=system)
    return "top" if (system.ndcg, system.name) >= (nearest.ndcg, nearest.name) else "bottom"


def intervals(systems: list[System]) -> go.Figure:
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


def waterfall(systems: list[System], peer: str) -> go.Figure:
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


def slices(result: dict[str, Any], name: str, axis: str) -> go.Figure:
    figure, found = go.Figure(), result[name]
    for system, colour in ((result["best_peer"], THEIR_COLOUR), (accuracy.BUNDLE, OUR_COLOUR)):
        figure.add_bar(
            x=[_span(one["first"], one["last"]) for one in found],
            y=[one["ndcg@10"][system] for one in found],
            name=system,
            marker={"color": colour},
            customdata=[one["users"] for one in found],
            hovertemplate="%{x}: %{customdata:,} users<br>NDCG@10 %{y:.4f}",
        )
    figure.update_layout(showlegend=True)
    figure.update_xaxes(type="category", title=axis)
    return figure


def _span(first: int, last: int | None) -> str:
    if last is None:
        return f"{first} and more"
    return str(first) if first == last else f"{first} to {last}"


def by_history(result: dict[str, Any]) -> go.Figure:
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


def parts(result: dict[str, Any]) -> go.Figure:
    files = sorted(result["size"]["bundle"].items(), key=lambda one: one[1])
    figure = go.Figure()
    figure.add_bar(
        x=[count / 1e6 for _, count in files],
        y=[name for name, _ in files],
        orientation="h",
        marker={"color": OUR_COLOUR},
        hovertemplate="%{y}<br>%{x:.3f} MB<extra></extra>",
    )
    figure.update_xaxes(title="MB")
    return figure


def memory_of_steps(steps: Mapping[str, Mapping[str, float]]) -> go.Figure:
    """Megabytes of each step, the first on top."""
    figure, names = go.Figure(), list(steps)[::-1]
    for part, name, colour in (
        ("settled_rss", "settled", OUR_COLOUR),
        ("peak_rss", "peak", THEIR_COLOUR),
    ):
        figure.add_bar(
            x=[steps[step][part] / 1e6 for step in names],
            y=names,
            orientation="h",
            name=name,
            marker={"color": colour},
            hovertemplate="%{y}<br>%{x:.1f} MB",
        )
    figure.update_layout(showlegend=True)
    figure.update_xaxes(title="MB")
    return figure


def calibration(found: dict[str, Any]) -> go.Figure:
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


def build_cost(result: dict[str, Any]) -> go.Figure:
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
