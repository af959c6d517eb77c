"""The command that kills processes while they write."""

from pathlib import Path

import pytest

from benchmarks import durability
from device_app.store import Store
from pocketrec.files import read_json


def test_a_few_kills_lose_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert durability.main(["--kills", "5", "--out", str(tmp_path)]) == 0
    found = read_json(tmp_path / "durability.json")
    assert (found["kills"], found["lost"], found["damaged"]) == (5, 0, 0)
    assert "5 processes killed" in capsys.readouterr().out


def test_a_lost_event_and_a_damaged_store_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "history.db"
    Store.open(path, durability.CATALOGUE).close()
    monkeypatch.setattr(durability, "_killed", lambda *_: ["never-written"])
    assert durability.kill_often(path, 1, seed=0) == durability.Found(1, 0, 1, 1, 0)
    path.write_bytes(b"no database" * 100)
    for beside in tmp_path.glob("history.db-*"):
        beside.unlink()
    assert durability.kill_often(path, 1, seed=0) == durability.Found(1, 0, 1, 0, 1)
    monkeypatch.setattr(durability, "kill_often", lambda *_: durability.Found(1, 0, 1, 1, 0))
    assert durability.main(["--out", str(tmp_path)]) == 1
