"""build, the single stages, demo, bench and app: what they call, in which order, and what they print."""

import shutil
import sys
from types import ModuleType

import numpy as np
import pytest
from cli_call import call

from pocketrec import movielens
from pocketrec.cli.output import size
from pocketrec.cli.progress import RichReport
from pocketrec.ledger import Ledger
from pocketrec.run import Run


@pytest.fixture
def folder(tmp_path):
    """30 users with 25 choices each among the tiny bundle's items."""
    made = tmp_path / "films"
    made.mkdir()
    rows = "".join(f"m{n:02},Title {n}\n" for n in range(1, 41))
    (made / "items.csv").write_text(f"item_id,title\n{rows}")
    rows = "".join(f"u{u},m{1 + (u + i) % 40:02},{i}\n" for u in range(30) for i in range(25))
    (made / "interactions.csv").write_text(f"user_id,item_id,timestamp\n{rows}")
    return made


@pytest.fixture
def stages(monkeypatch, tiny_bundle):
    """Stand-ins for the three stages; returns the list of calls. The last one puts the tiny bundle in its place."""
    calls = []

    def stage(name):
        def run(run, report):
            calls.append((name, run.folder, run.settings))
            report.line(f"{name}: done")
            with report.task(f"{name} work", total=10) as advance, report.task("inner") as inner:
                advance(5)
                inner(1)
            ledger = Ledger(run.dataset.name, run.split.protocol, run.settings.seed)
            ledger.add("bundle", np.array([1.0, 20.0, 3.0]), "tiny")
            ledger.save(run.folder)
            if name == "export":
                shutil.copytree(tiny_bundle, run.folder / "bundle", dirs_exist_ok=True)

        module = ModuleType(f"{name}.stage")
        module.run = run
        return module

    for name in ("teacher", "distill", "export"):
        package = ModuleType(name)
        package.stage = stage(name)
        monkeypatch.setitem(sys.modules, name, package)
        monkeypatch.setitem(sys.modules, f"{name}.stage", package.stage)
    return calls


def test_build_runs_the_stages_in_order(capsys, stages, folder, tmp_path):
    run = tmp_path / "run"
    called = call(capsys, "build", "--data", folder, "--out", run, "--minutes", 3, "--seed", 7)
    assert called.code == 0
    assert [name for name, *_ in stages] == ["teacher", "distill", "export"]
    settings = stages[0][2]
    assert settings == Run.open(run).settings
    assert settings.data == str(folder)
    assert settings.minutes == 3
    assert settings.seed == 7
    assert called.err.splitlines() == ["teacher: done", "distill: done", "export: done"]
    assert "0.6667" in called.out  # two of three within the first ten
    assert str(run / "bundle") in called.out


def test_build_tells_what_was_repaired_in_the_data(capsys, stages, folder, tmp_path):
    with (folder / "interactions.csv").open("a") as stream:
        stream.write("u0,nowhere,99\n")
    called = call(capsys, "build", "--data", folder, "--out", tmp_path / "run")
    assert called.err.startswith("1 of 751 interactions name no item of the catalogue")


def test_build_with_a_recipe(capsys, stages, folder, tmp_path):
    (tmp_path / "quick.toml").write_text("[teacher]\nepochs = 1\n")
    arguments = (
        "build",
        "--data",
        folder,
        "--out",
        tmp_path / "run",
        "--recipe",
        tmp_path / "quick.toml",
    )
    assert call(capsys, *arguments).code == 0
    assert stages[0][2].recipe == {"teacher": {"epochs": 1}}
    (tmp_path / "quick.toml").write_text("[teacher\n")
    assert "expected a recipe in TOML" in call(capsys, *arguments).failed(2)


def test_build_refuses_the_folder_of_another_run(capsys, stages, folder, tmp_path):
    call(capsys, "build", "--data", folder, "--out", tmp_path / "run")
    said = call(capsys, "build", "--data", folder, "--out", tmp_path / "run", "--seed", 1).failed(2)
    assert "holds a run with seed 0, found 1; choose another --out or remove it" in said


@pytest.mark.parametrize(
    ("command", "stage"), [("teach", "teacher"), ("distill", "distill"), ("export", "export")]
)
def test_one_stage_of_a_run(capsys, stages, folder, tmp_path, command, stage):
    Run.open(tmp_path / "run", folder, seed=3)
    assert call(capsys, command, tmp_path / "run").code == 0
    assert [(name, settings.seed) for name, _, settings in stages] == [(stage, 3)]


@pytest.mark.parametrize("command", ["teach", "distill", "export", "bench"])
def test_a_folder_that_holds_no_run(capsys, tmp_path, command):
    said = call(capsys, command, tmp_path).failed(2)
    assert (
        said == f"{tmp_path}: expected a run (run.json), found none; start with `pocketrec build`"
    )


def test_demo(capsys, stages, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(movielens, "folder", lambda: folder)
    for _ in range(2):
        called = call(capsys, "demo", "--out", tmp_path / "demo", "--minutes", 2)
        assert called.code == 0
        assert "0.6667" in called.out
        assert "For user u0, who has rated 25 films, the last of them:\n  " in called.out
        assert "because of" in called.out
        bundle = tmp_path / "demo" / "bundle"
        assert f"The bundle: {bundle} ({size(bundle)})\n" in called.out
        assert called.out.endswith(f"Open the app on it: pocketrec app {bundle}\n")
        assert called.err.splitlines()[0] == "films: 30 users, 40 items"
    assert [name for name, *_ in stages] == ["teacher", "distill", "export"] * 2


def test_bench(capsys, folder, tmp_path, monkeypatch):
    calls = []
    module = ModuleType("benchmarks.run")
    module.main = lambda *arguments, readme: calls.append((*arguments, readme))
    monkeypatch.setitem(sys.modules, "benchmarks", ModuleType("benchmarks"))
    monkeypatch.setitem(sys.modules, "benchmarks.run", module)
    run = tmp_path / "run"
    Run.open(run, folder)
    call(capsys, "bench", run)
    readme = tmp_path / "README.md"
    call(capsys, "bench", run, "--out", tmp_path / "report", "--readme", readme)
    assert calls == [
        (folder, run, run / "benchmark", None),
        (folder, run, tmp_path / "report", readme),
    ]


def test_app(capsys, tmp_path, monkeypatch):
    calls = []
    module = ModuleType("device_app.main")
    module.main = lambda *arguments: calls.append(arguments)
    monkeypatch.setitem(sys.modules, "device_app.main", module)
    call(capsys, "app")
    call(capsys, "app", tmp_path / "b", "--database", tmp_path / "h.db")
    assert calls == [(None, None), (tmp_path / "b", tmp_path / "h.db")]


def test_progress_bars_stand_inside_each_other(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    report = RichReport()
    report._bars.disable = False
    with report.task("outer", total=2) as outer:
        with report.task("inner") as inner:
            inner(3)
            assert [(task.description, task.completed) for task in report._bars.tasks] == [
                ("outer", 0),
                ("inner", 3),
            ]
        outer(2)
        assert report._bars.tasks[0].finished
    assert report._bars.tasks == []


def test_a_failing_task_takes_its_bar_away():
    report = RichReport()
    with pytest.raises(ValueError, match="stop"), report.task("work"):
        raise ValueError("stop")
    assert report._bars.tasks == []
