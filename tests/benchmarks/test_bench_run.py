"""The whole command on a run of 40 films whose models are made up and whose bundle is real."""

import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from tiny_bundle import tiny_items
from tiny_data import unit_rows

from benchmarks import accuracy, minilm
from benchmarks import peers as further
from benchmarks import run as bench
from benchmarks.child import STEPS as BUNDLE_STEPS
from pocketrec.errors import RunError
from pocketrec.files import read_json
from pocketrec.ledger import STAGES, Ledger
from pocketrec.recommender import Recommender

QUICK = bench.Effort(calls=3, slow_calls=1, starts=1, training=2)


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    """The sentence encoder on the films, written once."""
    folder = tmp_path_factory.mktemp("minilm")
    minilm.write(folder, [item.title for item in tiny_items()])
    return folder


@pytest.fixture
def run(data, make_run, tmp_path, monkeypatch, shipped):
    def write(folder, texts):
        shutil.copytree(shipped, folder, dirs_exist_ok=True)

    monkeypatch.setattr(minilm, "write", write)
    made = make_run(tmp_path / "run", data)
    rng = np.random.default_rng(0)
    (made.folder / "student/holdout").mkdir(parents=True)
    np.save(made.folder / "student/holdout/item_vectors.npy", unit_rows((40, 8), seed=1))
    (made.folder / "student/holdout/ranks.npz").write_bytes(b"no part of the student")
    ledger = Ledger(made.dataset.name, made.split.protocol, 0)
    for stage in STAGES:
        ledger.add(stage, rng.integers(1, 31, len(made.split.test)).astype(np.float64))
    ledger.save(made.folder)
    sentences = unit_rows((40, 8))
    monkeypatch.setattr(further, "load_readings", lambda *_: SimpleNamespace(sentences=sentences))
    return made


def test_the_report(run, data, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(bench.psutil, "cpu_percent", lambda _: 150.0)
    monkeypatch.setattr(bench.psutil, "cpu_count", lambda logical=True: 2)
    out, readme = tmp_path / "results", tmp_path / "README.md"
    readme.write_text("<!-- benchmark:begin -->\n<!-- benchmark:end -->\n", encoding="utf-8")
    bench.main(data, run.folder, out, markdown=True, readme=readme, effort=QUICK)
    result = read_json(out / "latest.json")
    name = result["environment"]["commit"] or "no-commit"
    assert sorted(path.name for path in out.iterdir()) == sorted([f"{name}.json", "latest.json"])
    assert list(result["cost"]) == list(bench.STAGES)
    assert result["cost"]["student/final"] == {"seconds": 1.0, "cpu_seconds": 2.0}
    peers, ours = accuracy.SYSTEMS[:3], accuracy.SYSTEMS[3:]
    assert [row["system"] for row in result["systems"]] == [
        *peers,
        *further.NAMES,
        minilm.NAME,
        *ours,
    ]
    judged = result["peer_validation"]
    assert set(judged) == {*accuracy.PEERS, *further.NAMES, minilm.NAME}
    assert judged[result["best_peer"]] == max(judged.values())
    assert result["differences"][0]["theirs"] == result["best_peer"]
    assert result["load"] == 3.0
    assert result["data"]["users"] == 60
    assert result["size"]["systems"]["EASE"] == 40 * 40 * 4
    assert set(result["start_up"]) == {"empty Python", "EASE", minilm.NAME, accuracy.BUNDLE}
    assert all(start["peak_rss"] > 0 for start in result["start_up"].values())
    assert list(result["steps"]) == list(BUNDLE_STEPS)
    student = (run.folder / "student/holdout/item_vectors.npy").stat().st_size
    assert result["size"]["systems"]["Student fp32"] == student
    captured = capsys.readouterr()
    assert captured.out.startswith("|  | R@10 |")
    assert captured.out in readme.read_text(encoding="utf-8")
    assert "warning: load 3.0 when it began" in captured.err
    assert str(tmp_path) not in json.dumps({**result, "environment": None})
    assert not list(run.folder.glob(".benchmark-*"))


def test_what_was_tuned_is_not_tuned_again(run, data, tmp_path, monkeypatch):
    def refused(*_, **__):
        raise AssertionError("tuned again")

    bench.main(data, run.folder, tmp_path / "first", effort=QUICK)
    with monkeypatch.context() as patched:
        patched.setattr(minilm, "write", refused)
        patched.setattr(further, "_fit", refused)
        patched.setattr(further, "train", refused)
        bench.main(data, run.folder, tmp_path / "second", effort=QUICK)
        first, second = (read_json(tmp_path / f"{n}/latest.json") for n in ("first", "second"))
        for part in ("systems", "best_peer", "peer_settings", "peer_validation", "differences"):
            assert first[part] == second[part]
        longer = replace(QUICK, training=1000)
        with pytest.raises(AssertionError, match="tuned again"):
            bench.main(data, run.folder, tmp_path / "third", effort=longer)


def test_sasrec_trains_for_as_long_as_the_teachers_models(run, data, tmp_path, monkeypatch):
    def recorded(_model, _sequences, _validation, _recipe, _seed, seconds, *_, **__):
        raise RunError(f"{seconds} s")

    monkeypatch.setattr(further, "train", recorded)
    with pytest.raises(RunError, match=r"^2\.5 s$"):
        bench.main(data, run.folder, tmp_path, effort=replace(QUICK, training=0.01))


def test_peers_are_those_of_the_ledger(run):
    ledger = Ledger.load(run.folder)
    assert accuracy.best_peer(run) == "EASE"
    peers = {kind: accuracy.refit(run, kind) for kind in accuracy.PEERS}
    ranks = accuracy.all_ranks(run, ledger, peers)
    assert tuple(ranks) == accuracy.SYSTEMS
    assert ranks["EASE"] is ledger.ranks["best_peer"]
    assert ranks[accuracy.BUNDLE] is ledger.ranks["bundle"]
    assert ranks["ItemKNN"].shape == ledger.ranks["teacher"].shape


def test_a_run_of_other_data_is_refused(run, data, tmp_path):
    lines = (data / "interactions.csv").read_text(encoding="utf-8").splitlines()
    (data / "interactions.csv").write_text("\n".join(lines[:-1]), encoding="utf-8")
    with pytest.raises(RunError, match="expected the data of .*give the data"):
        bench.main(data, run.folder, tmp_path / "out", effort=QUICK)
    assert not (tmp_path / "out").exists()


def test_an_unfinished_run_is_refused(run, data, tmp_path):
    ledger = Ledger.load(run.folder)
    del ledger.ranks["bundle"]
    ledger.save(run.folder)
    with pytest.raises(RunError, match="expected stage 'bundle', found none"):
        bench.main(data, run.folder, tmp_path / "out", effort=QUICK)
    (run.folder / "records/bundle.json").unlink()
    with pytest.raises(RunError, match="expected a finished artefact, found none"):
        bench.main(data, run.folder, tmp_path / "out", effort=QUICK)


def test_the_tables_of_a_terminal(run, data, tmp_path, capsys):
    bench.main(data, run.folder, tmp_path / "out", effort=QUICK)
    out = capsys.readouterr().out
    for text in (*accuracy.SYSTEMS, "encode a text", "items", "ranked among the whole"):
        assert text in out
    assert Recommender.open(run.folder / "bundle")  # untouched


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (["/a/b/pocketrec", "bench", "runs/demo"], "pocketrec bench runs/demo"),
        (["/a/pocketrec/cli/__main__.py", "bench", "runs/demo"], "pocketrec bench runs/demo"),
        (
            ["/a/benchmarks/cold.py", "--data", "/home/somebody/books", "--out", "runs/cold"],
            "python -m benchmarks.cold --data books --out runs/cold",
        ),
    ],
)
def test_the_command_that_is_noted_names_no_folder_of_the_machine(
    monkeypatch: pytest.MonkeyPatch, given: list[str], named: str
) -> None:
    monkeypatch.setattr("sys.argv", given)
    assert bench.environment(0)["command"] == named
