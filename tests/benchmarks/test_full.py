"""Every data set in one command; the steps themselves are tested with their own commands."""

import json
from pathlib import Path

import pytest

from benchmarks import full
from benchmarks.run import environment
from pocketrec.errors import RunError, UsageError

LATEST = Path(__file__).parents[2] / "benchmarks/results/latest.json"


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """The commands that ran; measuring leaves a report of the present commit."""
    ran: list[tuple[str, ...]] = []

    def run(*arguments: str) -> None:
        ran.append(arguments)
        if arguments[0] == "bench":
            report = json.loads(LATEST.read_text())
            report["environment"]["commit"] = environment(0)["commit"]
            out = Path(arguments[arguments.index("--out") + 1])
            out.mkdir(parents=True, exist_ok=True)
            (out / "latest.json").write_text(json.dumps(report))

    monkeypatch.setattr(full, "_run", run)
    return ran


def test_what_was_measured_is_not_measured_again(tmp_path: Path, steps: list[str]) -> None:
    for name in ("yelp", "mine"):
        (tmp_path / "data" / name).mkdir(parents=True)
    given = (tmp_path / "data", ("yelp",), tmp_path / "runs", tmp_path / "out")
    assert full.full(*given) == [tmp_path / "out/yelp/latest.json"]
    assert [step[0] for step in steps] == ["build", "bench"]
    both = full.full(given[0], ("yelp", "mine"), *given[2:])
    assert [step[0] for step in steps] == ["build", "bench"] * 2
    assert steps[2][2] == str(tmp_path / "data/mine")
    assert [path.parent.name for path in both] == ["yelp", "mine"]
    stale = json.loads(both[0].read_text())
    stale["environment"]["commit"] = "of before"
    both[0].write_text(json.dumps(stale))
    full.full(*given)
    assert len(steps) == 6


def test_a_missing_folder_stops_before_anything_is_built(tmp_path: Path, steps: list[str]) -> None:
    with pytest.raises(UsageError, match="yelp: expected a data folder, found none; see --names"):
        full.full(tmp_path, ("yelp",), tmp_path / "runs", tmp_path / "out")
    assert steps == []


def test_a_failed_step_is_named(tmp_path: Path) -> None:
    (tmp_path / "yelp").mkdir()
    with pytest.raises(RunError, match="pocketrec build --data .*yelp.*: failed with status"):
        full.full(tmp_path, ("yelp",), tmp_path / "runs", tmp_path / "out")
