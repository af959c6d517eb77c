"""The command that times the app, on a small bundle and for a moment."""

from pathlib import Path

import pytest

from benchmarks import app
from pocketrec.errors import RunError
from pocketrec.files import read_json

pytestmark = pytest.mark.ui


def test_what_a_user_waits_for_is_measured(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "HISTORY", 2)
    given = ["--starts", "2", "--likes", "2", "--seconds", "0.7", "--out", str(tmp_path)]
    app.main([str(tiny_bundle), *given])
    found = read_json(tmp_path / "app.json")["measured"]
    assert list(found) == list(app.ROWS)
    assert found["answers"]["n"] == 4
    assert 0 < found["first_frame"]["p50"] < found["first_list"]["p50"]
    assert all(0 < row["p50"] <= row["p95"] <= row["max"] for row in found.values())


def test_an_app_that_does_not_answer_is_told(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "PATIENCE", 0.1)
    with pytest.raises(RunError, match=r"expected an app that can be used, found .* timed out"):
        app.started(tiny_bundle, [], likes=0, seconds=0.0)
