from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tiny_data import write_tiny_data

from benchmarks import peers, shipped
from benchmarks.left_out import write_without
from benchmarks.shipped import last_choices, show
from pocketrec.bundle import Manifest, seal
from pocketrec.data import load
from pocketrec.files import read_json
from pocketrec.recommender import Recommender
from pocketrec.run import Run
from pocketrec.splits import leave_one_out


def test_bundles_and_peers_are_asked_for_what_the_build_did_not_see(
    data: Path,
    make_run: Callable[[Path, Path], Run],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def build(given: Path, out: Path, left_out: pl.DataFrame, minutes: float, seed: int) -> Run:
        assert (given, minutes, seed) == (data, 7.0, 3)
        write_without(given, out / "known", left_out)
        made = make_run(out, out / "known")
        measured = made.folder / "holdout/bundle"
        manifest = Manifest.read(measured / "manifest.json")
        seal(measured, replace(manifest, ranker=replace(manifest.ranker, neighbour_weight=0.0)))
        return made

    monkeypatch.setattr(shipped, "build_without", build)
    monkeypatch.setattr(peers, "training_seconds", lambda *_: 2.0)
    out = tmp_path / "run"
    command = f"--data {data} --out {out} --minutes 7 --seed 3 --results {tmp_path}"
    shipped.main(command.split())

    whole = load(data)
    cases = leave_one_out(whole, 3).test
    ids = whole.ids.ids
    asked = [
        ([ids[item] for item in history], ids[target])
        for history, target in zip(cases.histories, cases.targets, strict=True)
    ]
    known = load(out / "known")
    chosen = Counter(known.ids.ids[item] for sequence in known.sequences for item in sequence)

    def found(lists: list[list[str]]) -> float:
        gains = [
            1 / np.log2(items.index(target) + 2) if target in items else 0.0
            for items, (_, target) in zip(lists, asked, strict=True)
        ]
        return float(np.mean(gains))

    def of_bundle(place: str) -> float:
        recommender = Recommender.open(out / place, precision="int8")
        return found([[i.item_id for i in recommender.recommend(history)] for history, _ in asked])

    result = read_json(tmp_path / "shipped-films.json")
    ndcg = {row["system"]: row["ndcg@10"]["mean"] for row in result["systems"]}
    assert result["users"] == len(asked) == 60
    assert ndcg[shipped.SHIPPED] == pytest.approx(of_bundle("bundle"))
    assert ndcg[shipped.MEASURED] == pytest.approx(of_bundle("holdout/bundle"))
    assert ndcg[shipped.SHIPPED] != ndcg[shipped.MEASURED]
    rivals = ["ItemKNN", "EASE", peers.IALS, peers.SASREC]
    assert list(ndcg) == ["Popularity", *rivals, shipped.MEASURED, shipped.SHIPPED]
    assert list(result["peer_validation"]) == rivals
    assert result["best_peer"] == max(rivals, key=result["peer_validation"].__getitem__)
    for row, theirs in zip(result["differences"], [*rivals, shipped.MEASURED], strict=True):
        assert (row["ours"], row["theirs"]) == (shipped.SHIPPED, theirs)
        assert row["ndcg@10"]["mean"] == pytest.approx(ndcg[shipped.SHIPPED] - ndcg[theirs])
    # Ties among the choices of 60 people: popularity by hand is between their best and worst order.
    bounds = []
    for favour in (True, False):
        lists = []
        for history, target in asked:
            rest = [item for item in ids if item not in history]
            rest.sort(key=lambda item: (-chosen[item], (item != target) == favour))
            lists.append(rest[:10])
        bounds.append(found(lists))
    assert bounds[1] <= ndcg["Popularity"] <= bounds[0]
    assert "shipped-films.json" in capsys.readouterr().err


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
