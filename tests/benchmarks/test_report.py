"""The table from a result written by hand, and its place in the README."""

from pathlib import Path

import pytest

from benchmarks import report
from pocketrec.errors import UsageError
from pocketrec.files import read_json

ROOT = Path(__file__).parents[2]
LATEST = ROOT / "benchmarks" / "results" / "latest.json"
BUNDLE = "Student int8 bundle"


def interval(mean):
    return {"mean": mean, "low": mean - 0.01, "high": mean + 0.01}


def system(name, mean):
    return {"system": name, "recall@10": interval(2 * mean), "ndcg@10": interval(mean)}


def timing(operation, history, p50):
    times = {"calls": 9, "p50": p50, "p95": 2 * p50, "p99": 3 * p50}
    return {"system": BUNDLE, "operation": operation, "history": history, **times}


@pytest.fixture
def result():
    difference = {"ours": BUNDLE, "theirs": "EASE", "ndcg@10": interval(0.004)}
    return {
        "environment": {
            "cpu": "A processor",
            "commit": "0123456789ab",
            "changed": False,
            "command": "pocketrec bench runs/demo",
            "date": "2026-01-31",
        },
        "warning": None,
        "data": {"name": "films", "users": 1234, "items": 40, "protocol": "leave-one-out"},
        "systems": [system("EASE", 0.05), system(BUNDLE, 0.054)],
        "differences": [difference],
        "peer_items": 40,
        "peer_local": False,
        "precision": {"sequence_encoder.onnx": "int8"},
        "latency": [
            timing("recommend", 1, 100.0),
            timing("recommend", 10, 345.6),
            timing("similar", None, 1.0),
        ],
        "start_up": {"empty Python": {"peak_rss": 9e6}, BUNDLE: {"peak_rss": 61.4e6}},
        "size": {"bundle": {"items": 2000}, "systems": {BUNDLE: 3_210_000}},
    }


def test_markdown_by_hand(result):
    assert report.markdown(result).splitlines() == [
        "|  | R@10 | NDCG@10 (95 % CI) | p50 ms | peak MB | size MB |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
        "| EASE | 0.1000 | 0.0500 (0.0400–0.0600) | – | – | – |",
        f"| {BUNDLE} | 0.1080 | 0.0540 (0.0440–0.0640) | 0.35 | 61 | 3.21 |",
        "",
        "- films: 1,234 test users, 40 items, leave-one-out, ranked among the whole catalogue. "
        "R@10 is Recall@10, CI the bootstrap interval.",
        f"- NDCG@10 of {BUNDLE} less EASE: +0.0040 (-0.0060 to +0.0140).",
        "- p50 ms: median time of ten recommendations for a history of 10, on one thread of A processor. "
        "peak MB: memory of a fresh process up to its first recommendation; an empty Python takes 9 MB.",
        "- `pocketrec bench runs/demo`, 2026-01-31, 0123456789ab.",
    ]


def test_what_spoils_a_measurement_is_told(result):
    result["warning"] = "load 3.0 when it began, so times may be too long"
    result["environment"] |= {"commit": None, "changed": True}
    result["precision"] = {"sequence_encoder.onnx": "fp32"}
    result["peer_items"] = 30
    text = report.markdown(result)
    assert "- Not a clean measurement: load 3.0 when it began" in text
    assert (
        "- Kept in full precision, as int8 missed the parity gate: sequence_encoder.onnx." in text
    )
    assert "- ItemKNN and EASE are fitted on the 30 most chosen items" in text
    assert "no commit with changes" in text


def test_terminal_tables_hold_every_row(result):
    assert [table.row_count for table in report.tables(result)] == [2, 3, 1]


BEGIN, END = "<!-- films:begin -->", "<!-- films:end -->"


def test_replacing_a_section_twice_is_replacing_it_once(tmp_path):
    page = tmp_path / "README.md"
    page.write_text(f"# Films\n\n{BEGIN}\nold\n{END}\n\nEnd.\n", encoding="utf-8")
    for _ in range(2):
        report.replace_section(page, "films", "new\n")
        assert page.read_text(encoding="utf-8") == f"# Films\n\n{BEGIN}\nnew\n{END}\n\nEnd.\n"


@pytest.mark.parametrize(
    "text",
    [
        "# Films\n",
        BEGIN,
        f"{END}\n{BEGIN}\n",
        f"{BEGIN}\n{BEGIN}\n{END}\n",
        f"{BEGIN}\n{END}\n{END}\n",
    ],
)
def test_a_page_without_its_markers_stays_as_it_is(tmp_path, text):
    page = tmp_path / "README.md"
    page.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=r"expected <!-- films:begin -->"):
        report.replace_section(page, "films", "new\n")
    assert page.read_text(encoding="utf-8") == text


@pytest.mark.skipif(
    not (LATEST.is_file() and (ROOT / "README.md").is_file()), reason="no report in the repository"
)
def test_the_readme_shows_the_latest_report(tmp_path):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    copy = tmp_path / "README.md"
    copy.write_text(text, encoding="utf-8")
    report.replace_section(copy, report.SECTION, report.markdown(read_json(LATEST)))
    assert copy.read_text(encoding="utf-8") == text
