"""Pieces of the page: figures, sections and tables to sort, as HTML."""

import re
from collections.abc import Iterable, Sequence
from html import escape

from plotly import graph_objects as go

from benchmarks.report import NOTHING

OUR_COLOUR, THEIR_COLOUR = "#14a08e", "#8b9097"
"""Both read on the light and on the dark ground."""


def plot(figure: go.Figure, height: int = 320) -> str:
    """A figure as it stands on the page, which colours its axes."""
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


def written(value: float | str | None, form: str) -> str:
    return NOTHING if value is None else format(value, form)


def table(
    headings: Sequence[str], rows: Iterable[tuple[bool, Sequence[tuple[object, str]]]]
) -> str:
    """A table to sort; of each row whether it is one of ours, and each cell's value and what is shown for it."""
    head = "".join(
        f'<th scope="col"><button type="button">{escape(name).replace("/", "/<wbr>")}</button></th>'
        for name in headings
    )
    body = []
    for ours, cells in rows:
        drawn = "".join(
            f'<td data-value="{"" if value is None else escape(str(value))}">{escape(shown)}</td>'
            for value, shown in cells
        )
        kind = ' class="ours"' if ours else ""
        body.append(f"<tr{kind}>{drawn}</tr>")
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(body)}</tbody></table></div>'


def section(title: str, content: str, note: str = "") -> str:
    said = f'<p class="muted">{escape(note)}</p>' if note else ""
    return f"<section><h2>{escape(title)}</h2>{said}{content}</section>"


def grid(kind: str, sections: Iterable[str]) -> str:
    return f'<div class="{kind}">{"".join(sections)}</div>'


def bullets(lines: Iterable[str]) -> str:
    """A list; what stands between backticks is code."""
    items = (re.sub("`([^`]+)`", r"<code>\1</code>", escape(line)) for line in lines)
    return f"<ul>{''.join(f'<li>{item}</li>' for item in items)}</ul>"
