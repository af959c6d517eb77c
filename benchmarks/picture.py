"""The picture of the README: accuracy against time and against memory, drawn from a report."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from benchmarks.accuracy import TEACHER
from benchmarks.page_figures import COSTS, OURS, System, systems_of
from benchmarks.page_parts import OUR_COLOUR, THEIR_COLOUR

PICTURE = Path("docs/images/benchmark.svg")
"""Where the README has it, from its own folder."""
PANELS = ("milliseconds", "memory")
STYLE = {
    "svg.fonttype": "none",  # letters stay letters, so that no machine's fonts get into the file
    "svg.hashsalt": "pocketrec",
    "font.family": "sans-serif",
    "font.size": 10,
}


def picture(result: dict[str, Any]) -> bytes:
    """An SVG that reads on light and on dark ground; the same report gives the same bytes."""
    systems = systems_of(result)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9, 3.4), layout="constrained")
        for axes, cost in zip(figure.subplots(1, len(PANELS), sharey=True), PANELS, strict=True):
            _panel(axes, systems, cost)
        figure.axes[0].set_ylabel("NDCG@10", color=THEIR_COLOUR)
        written = io.BytesIO()
        figure.savefig(written, format="svg", transparent=True, metadata={"Date": None})
    return written.getvalue()


def _panel(axes: Axes, systems: Sequence[System], cost: str) -> None:
    """Points where the cost was measured; lines for the teacher and the best of others, which run on no device."""
    title, unit = COSTS[cost]
    axes.set_xscale("log")
    measured = [system for system in systems if getattr(system, cost) is not None]
    for system in measured:
        colour = OUR_COLOUR if system.name in OURS else THEIR_COLOUR
        spent, reach = getattr(system, cost), [system.ndcg - system.low, system.high - system.ndcg]
        axes.errorbar(spent, system.ndcg, [[part] for part in reach], color=colour, fmt="o")
        said = f"{system.name}\n{spent:.3g} {unit}"
        place = {"xytext": (7, 0), "textcoords": "offset points", "va": "center"}
        axes.annotate(said, (spent, system.ndcg), color=colour, **place)
    rest = [s for s in systems if s not in measured and s.name not in OURS]
    lines = [s for s in systems if s.name == TEACHER], [max(rest, key=lambda one: one.ndcg)]
    for colour, some in zip((OUR_COLOUR, THEIR_COLOUR), lines, strict=True):
        for system in some:
            axes.axhline(system.ndcg, color=colour, linewidth=0.8, linestyle=":", zorder=1)
            place = {"xytext": (3, 0), "textcoords": "offset points", "va": "center"}
            end = {"xycoords": ("axes fraction", "data"), "fontsize": 8}
            axes.annotate(system.name, (1, system.ndcg), color=colour, **place, **end)
    axes.set_title(title, color=THEIR_COLOUR, fontsize=10)
    axes.set_xlabel(f"{unit}, less is better", color=THEIR_COLOUR)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.tick_params(colors=THEIR_COLOUR)
    axes.spines[:].set_color(THEIR_COLOUR)
    axes.spines[["top", "right"]].set_visible(False)
    spent = [getattr(system, cost) for system in measured]
    axes.set_xlim(min(spent) / 2, max(spent) * 6)  # room for the names
    axes.set_ylim(bottom=0)
