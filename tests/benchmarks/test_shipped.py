from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tiny_data import write_tiny_data

from benchmarks.left_out import write_without
from benchmarks.shipped import last_choices, show
from pocketrec.data import load
from pocketrec.splits import leave_one_out


def test_only_each_users_last_choice_is_left_out(tmp_path: Path) -> None:
    write_tiny_data(tmp_path / "tiny")
    whole = load(tmp_path / "tiny")
    cases = leave_one_out(whole).test
    write_without(tmp_path / "tiny", tmp_path / "known", last_choices(whole, cases))
    known = load(tmp_path / "known")
    assert known.ids.ids == whole.ids.ids
    assert len(cases)
    without = dict(zip(known.user_ids, known.sequences, strict=True))
    targets = dict(zip(cases.users.tolist(), cases.targets.tolist(), strict=True))
    for user, (name, sequence) in enumerate(zip(whole.user_ids, whole.sequences, strict=True)):
        expected = sequence[:-1] if user in targets else sequence
        assert user not in targets or targets[user] == sequence[-1]
        np.testing.assert_array_equal(without[name], expected)


def test_an_item_that_is_left_out_takes_its_interactions_along(tmp_path: Path) -> None:
    write_tiny_data(tmp_path / "tiny")
    whole = load(tmp_path / "tiny")
    gone = whole.ids.ids[:5]
    write_without(tmp_path / "tiny", tmp_path / "known", pl.DataFrame({"item_id": gone}))
    known = load(tmp_path / "known")
    assert known.ids.ids == whole.ids.ids[5:]
    assert sum(map(len, known.sequences)) == sum((s >= 5).sum() for s in whole.sequences)


def test_what_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    interval = {"mean": 0.25, "low": 0.2, "high": 0.3}
    row = {"system": "EASE", "recall@10": interval, "ndcg@10": interval}
    difference = {"ours": "Bundle that ships", "theirs": "EASE", "ndcg@10": interval}
    show({"systems": [row], "differences": [difference], "data": {"name": "tiny"}, "users": 1234})
    shown = capsys.readouterr().out
    assert "0.2500 (0.2000-0.3000)" in shown
    assert "NDCG@10 of Bundle that ships less EASE: +0.2500 (+0.2000 to +0.3000)." in shown
    assert "tiny: 1,234 users." in shown
