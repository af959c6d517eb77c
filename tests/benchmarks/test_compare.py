"""What changed between two reports."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.compare import compare, main
from benchmarks.compare import read as read_report
from pocketrec.errors import UsageError

LATEST = Path(__file__).parents[2] / "benchmarks/results/latest.json"
OURS = "Student int8 bundle"


@pytest.fixture
def report() -> dict[str, Any]:
    return read_report(LATEST)


def changed(report: dict[str, Any]) -> dict[str, Any]:
    return copy.deepcopy(report)


def row(report: dict[str, Any], system: str = OURS) -> dict[str, Any]:
    return next(one for one in report["systems"] if one["system"] == system)


def test_a_report_is_as_good_as_itself(report: dict[str, Any]) -> None:
    assert compare(report, report) == []


def test_accuracy_counts_where_each_mean_is_outside_of_the_others_interval(
    report: dict[str, Any],
) -> None:
    after = changed(report)
    ndcg = row(after)["ndcg@10"]
    width = ndcg["high"] - ndcg["low"]
    for name in ndcg:
        ndcg[name] -= 0.3 * width  # within the old interval
    assert compare(report, after) == []
    for name in ndcg:
        ndcg[name] -= width
    (found,) = compare(report, after)
    assert (found.what, found.worse) == (f"{OURS}, ndcg@10", True)
    (back,) = compare(after, report)
    assert not back.worse


def test_a_machine_that_is_three_times_as_slow_is_no_regression(report: dict[str, Any]) -> None:
    after = changed(report)
    for timing in after["latency"]:
        timing["p50"] *= 3
    assert compare(report, after) == []
    slow = next(t for t in after["latency"] if (t["system"], t["history"]) == (OURS, 10))
    slow["p50"] *= 1.5
    (found,) = compare(report, after)
    assert found.what == f"{OURS}, {slow['operation']} of 10"
    assert found.worse
    assert found.after == pytest.approx(1.5 * found.before)


def test_memory_and_size(report: dict[str, Any]) -> None:
    after = changed(report)
    after["start_up"][OURS]["peak_rss"] *= 1.2
    after["size"]["systems"][OURS] *= 0.9
    found = {(change.unit, change.worse) for change in compare(report, after)}
    assert found == {("MB of memory", True), ("MB", False)}


def test_a_system_of_one_report_alone_is_passed_over(report: dict[str, Any]) -> None:
    after = changed(report)
    row(after)["system"] = "another"
    assert compare(report, after) == []


def test_the_command_fails_on_a_regression(
    report: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    after = changed(report)
    after["size"]["systems"][OURS] *= 2
    path = tmp_path / "after.json"
    path.write_text(json.dumps(after), encoding="utf-8")
    assert main([str(LATEST), str(path)]) == 1
    assert "worse" in capsys.readouterr().out
    assert main([str(path), str(LATEST)]) == 0
    assert main([str(LATEST), str(LATEST)]) == 0
    assert "nothing changed beyond the noise" in capsys.readouterr().err


def test_what_cannot_be_compared_is_refused(report: dict[str, Any], tmp_path: Path) -> None:
    other = changed(report)
    other["data"] = {**other["data"], "fingerprint": "f", "name": "books"}
    path = tmp_path / "books.json"
    path.write_text(json.dumps(other), encoding="utf-8")
    with pytest.raises(UsageError, match=r"found one on books; compare like with like"):
        main([str(LATEST), str(path)])
    path.write_text("[]", encoding="utf-8")
    with pytest.raises(UsageError, match="expected a report of `pocketrec bench`"):
        main([str(LATEST), str(path)])
    with pytest.raises(UsageError, match="expected a report of `pocketrec bench`"):
        main([str(tmp_path / "none.json"), str(LATEST)])
