"""The view of the page that shows what `benchmarks.scale` and `benchmarks.growth` found."""

from collections.abc import Iterable, Mapping
from typing import Any

from plotly import graph_objects as go

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

TITLE = "Larger catalogues"
OURS = "PocketRec"
"""How the names of our own searches begin."""
BOUND = "reading int8 once"
OPERATIONS = {
    "recommend": "recommend",
    "exact": "the same, every item scored",
    "add an item": "add an item",
}
DASHES = ("solid", "dash", "dot")
DISTINCT = ("#c98a1b", "#7a6fd0", "#d0605a", "#3f8fd2", "#a3689e", "#6b8e23")
"""Colours of others, told apart on the light and on the dark ground."""

COLUMNS = {
    "Items": ",",
    "Bundle MB": ".1f",
    "Opening ms": ".0f",
    "Own MB": ".1f",
    "p50 ms": ".2f",
    "p95 ms": ".2f",
    "p99 ms": ".2f",
    "Exact p50 ms": ".2f",
    "Add p50 ms": ".2f",
    "Top 20 shared": ".2%",
}


def view(scale: Mapping[str, Any] | None, growth: Mapping[str, Any] | None) -> str:
    """The sections of both, of one, or nothing."""
    sections, notes = [], []
    if scale:
        sizes = scale["sizes"]
        sections += [
            section("A call as the catalogue grows", plot(_calls(sizes), 380), "p50, one thread."),
            section(
                "Searching the nearest items",
                plot(_searches(sizes), 380),
                "The same vectors and users for all. Nothing exact is faster than reading the vectors once.",
            ),
        ]
        notes += [
            "Larger catalogues are made of a real one: its items drawn again with a little noise on their vectors. "
            "Histories hold 50 items, lists 20. Own MB: private memory of opening the bundle.",
            _made(scale),
        ]
    if growth:
        rows = growth["rows"]
        sections += [
            section(
                "What fitting the item-item model takes",
                plot(_by_form(rows, "fit_cpu_seconds", 60, "CPU minutes"), 340),
            ),
            section("What memory that takes", plot(_by_form(rows, "peak_rss", 1e9, "GB"), 340)),
        ]
        notes += [
            f"EASE with text is exact up to {growth['exact_items']:,} items, local beyond. Catalogues are made of "
            f"copies of {growth['data']['name']}, with about ten interactions an item.",
            _made(growth),
        ]
    if not sections:
        return ""
    full = [section("How to read this", bullets(notes))]
    if scale:
        full += [
            section("Every size", table(list(COLUMNS), map(_row, sizes))),
            section(
                f"Searching {sizes[-1]['items']:,} items",
                _search_table(sizes[-1]["search"]),
                "Ready: seconds to build the index. Found: of the exact best 20.",
            ),
        ]
    return grid("grid wide", sections) + "\n" + grid("grid full", full)


def _made(result: Mapping[str, Any]) -> str:
    environment = result["environment"]
    said = f"`{environment['command']}`, {environment['date']}, {environment['commit']}."
    return f"{said} Not a clean measurement: {result['warning']}." if result["warning"] else said


def _row(size: Mapping[str, Any]) -> tuple[bool, list[tuple[object, str]]]:
    recommend, exact, add = size["timings"]
    values = (
        size["items"],
        size["bytes"] / 1e6,
        size["opening_seconds"] * 1000,
        size["private_bytes"] / 1e6,
        *(recommend[part] / 1000 for part in ("p50", "p95", "p99")),
        exact["p50"] / 1000,
        add["p50"] / 1000,
        size["top20_shared"],
    )
    forms = COLUMNS.values()
    return False, [(value, written(value, form)) for value, form in zip(values, forms, strict=True)]


def _search_table(rows: Iterable[Mapping[str, Any]]) -> str:
    drawn = []
    for row in rows:
        times = [(row[part], f"{row[part] / 1000:.3f}") for part in ("p50", "p95", "p99")]
        rest = [
            (row.get(part), written(row.get(part), form))
            for part, form in (("seconds", ".1f"), ("shared", ".2%"))
        ]
        drawn.append(
            (row["system"].startswith(OURS), [(row["system"], row["system"]), *times, *rest])
        )
    return table(["Search", "p50 ms", "p95 ms", "p99 ms", "Ready s", "Found"], drawn)


def _calls(sizes: list[dict[str, Any]]) -> go.Figure:
    figure = go.Figure()
    for (operation, name), dash in zip(OPERATIONS.items(), DASHES, strict=True):
        rows = [
            (size["items"], row)
            for size in sizes
            for row in size["timings"]
            if row["operation"] == operation
        ]
        _line(figure, name, rows, OUR_COLOUR, dash)
    return _logarithmic(figure)


def _searches(sizes: list[dict[str, Any]]) -> go.Figure:
    """A line a way to search; of graphs, whose width changes with the size, one too."""
    ways: dict[str, list[tuple[int, dict[str, Any]]]] = {}
    for size in sizes:
        for row in size["search"]:
            ways.setdefault(row["system"].partition(", ef")[0], []).append((size["items"], row))
    figure, theirs = go.Figure(), iter(DISTINCT)
    for name, rows in ways.items():
        if name.startswith(OURS):
            _line(figure, name, rows, OUR_COLOUR, "dash" if "one digit" in name else "solid")
        elif name == BOUND:
            _line(figure, name, rows, THEIR_COLOUR, "dot")
        else:
            _line(figure, name, rows, next(theirs), "solid")
    return _logarithmic(figure)


def _line(
    figure: go.Figure, name: str, rows: list[tuple[int, dict[str, Any]]], colour: str, dash: str
) -> None:
    figure.add_scatter(
        x=[items for items, _ in rows],
        y=[row["p50"] / 1000 for _, row in rows],
        customdata=[[row["system"], row["p99"] / 1000] for _, row in rows],
        name=name,
        mode="lines+markers",
        line={"color": colour, "dash": dash},
        hovertemplate="%{customdata[0]}, %{x:,} items<br>p50 %{y:.3f} ms, p99 %{customdata[1]:.3f} ms<extra></extra>",
    )


def _logarithmic(figure: go.Figure) -> go.Figure:
    figure.update_layout(showlegend=True)
    figure.update_xaxes(type="log", title="items", dtick=1)
    figure.update_yaxes(type="log", title="ms", dtick=1)
    return figure


def _by_form(rows: list[dict[str, Any]], part: str, unit: float, title: str) -> go.Figure:
    """``part`` of each row in ``unit``, a line for the exact form and one for the local."""
    figure = go.Figure()
    for form, dash in (("exact", "solid"), ("local", "dash")):
        some = [row for row in rows if row["form"] == form]
        figure.add_scatter(
            x=[row["items"] for row in some],
            y=[row[part] / unit for row in some],
            customdata=[row["interactions"] for row in some],
            name=form,
            mode="lines+markers",
            line={"color": OUR_COLOUR, "dash": dash},
            hovertemplate="%{x:,} items, %{customdata:,} interactions<br>%{y:.2f}<extra></extra>",
        )
    figure.update_layout(showlegend=True)
    figure.update_xaxes(title="items", rangemode="tozero")
    figure.update_yaxes(title=title, rangemode="tozero")
    return figure
