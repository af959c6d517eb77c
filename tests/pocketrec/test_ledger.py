from pathlib import Path

import numpy as np
import pytest

from pocketrec import metrics
from pocketrec.errors import RunError
from pocketrec.files import read_json
from pocketrec.ledger import STAGES, Ledger

RANKS = np.array([1.0, 3.0, 12.0, 40.0])


def ledger() -> Ledger:
    made = Ledger("films", "leave-one-out", 7)
    made.add("teacher", RANKS, "0.6 Sequence + 0.4 EASE")
    made.add("popularity", RANKS[::-1] + 1)
    return made


def test_a_row_by_hand() -> None:
    row = ledger().rows[1]
    assert row["stage"] == "teacher"
    assert row["name"] == "0.6 Sequence + 0.4 EASE"
    assert row["recall@10"] == 2 / 4
    assert row["recall@20"] == 3 / 4
    assert row["ndcg@10"] == (1 + 1 / 2) / 4  # log2(1 + 1) = 1, log2(1 + 3) = 2
    assert row["mrr"] == pytest.approx((1 + 1 / 3 + 1 / 12 + 1 / 40) / 4)
    low, high = row["ndcg@10_ci"]
    assert 0 <= low < row["ndcg@10"] < high <= 1


def test_rows_stand_in_the_order_of_the_stages_whatever_was_added_first() -> None:
    assert [row["stage"] for row in ledger().rows] == ["popularity", "teacher"]
    assert ledger().rows[0]["name"] == "popularity"  # where no name is given


def test_a_stage_that_is_added_again_replaces_itself() -> None:
    made = ledger()
    made.add("teacher", np.ones(4), "another")
    assert made.rows[1]["ndcg@10"] == 1.0
    assert made.rows[1]["name"] == "another"


def test_every_stage_has_the_same_users() -> None:
    with pytest.raises(RunError, match="bundle has 3 users where teacher has 4"):
        ledger().add("bundle", RANKS[:3])


def test_an_unknown_stage() -> None:
    with pytest.raises(RunError, match="found 'guess'"):
        ledger().add("guess", RANKS)


def test_difference_of_two_stages_is_paired() -> None:
    made = ledger()
    ours, theirs = (metrics.ndcg_at(made.ranks[s], 10) for s in ("teacher", "popularity"))
    assert made.difference("teacher", "popularity") == metrics.paired_bootstrap(ours, theirs, 7)
    assert made.difference("teacher", "teacher") == (0.0, 0.0, 0.0)
    assert made.difference("teacher", "popularity", k=1)[0] == pytest.approx(1 / 4)


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    made = ledger()
    made.save(tmp_path)
    loaded = Ledger.load(tmp_path)
    assert loaded.as_dict() == made.as_dict()
    assert np.array_equal(loaded.ranks["teacher"], RANKS)
    loaded.add("bundle", RANKS)  # and goes on
    loaded.save(tmp_path)
    assert [row["stage"] for row in Ledger.load(tmp_path).rows] == [
        "popularity",
        "teacher",
        "bundle",
    ]


def test_the_file_says_what_it_is_about(tmp_path: Path) -> None:
    ledger().save(tmp_path)
    stored = read_json(tmp_path / "ledger.json")
    assert {name: stored[name] for name in ("data", "protocol", "users", "seed")} == {
        "data": "films",
        "protocol": "leave-one-out",
        "users": 4,
        "seed": 7,
    }
    assert len(stored["rows"]) == 2


def test_an_empty_ledger(tmp_path: Path) -> None:
    Ledger("films", "leave-one-out", 0).save(tmp_path)
    assert Ledger.load(tmp_path).as_dict()["users"] == 0
    assert Ledger.load(tmp_path).rows == []


@pytest.mark.parametrize("written", ["ranks.npz", "ledger.json"])
def test_a_kill_between_its_two_files(tmp_path: Path, written: str) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    ledger().save(before)
    grown = ledger()
    grown.add("bundle", RANKS)
    grown.save(after)
    (after / written).replace(before / written)
    assert [row["stage"] for row in Ledger.load(before).rows] == ["popularity", "teacher"]


def test_no_ledger(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="expected the ledger of a run"):
        Ledger.load(tmp_path)


@pytest.mark.parametrize(
    ("name", "content"),
    [("ledger.json", b"{"), ("ledger.json", b"[]"), ("ranks.npz", b""), ("ranks.npz", b"PK\x03")],
)
def test_a_damaged_ledger(tmp_path: Path, name: str, content: bytes) -> None:
    ledger().save(tmp_path)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(RunError, match="expected the ledger of a run"):
        Ledger.load(tmp_path)


def test_the_stages_of_the_path() -> None:
    assert STAGES[0] == "popularity"
    assert STAGES[-1] == "bundle"
    assert len(set(STAGES)) == len(STAGES) == 8
