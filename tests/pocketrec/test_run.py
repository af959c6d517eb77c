"""A run folder: what is reused, what is made again, what a kill leaves, and who gets how much time."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict
from tiny_data import Recorder, write_tiny_data

from pocketrec import run as module
from pocketrec.errors import RunError, UsageError
from pocketrec.run import BUDGET, LEAST_SHARE, Run, read_recipe


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_data(tmp_path_factory.mktemp("data") / "books")


@pytest.fixture
def run(data: Path, tmp_path: Path) -> Run:
    return Run.open(tmp_path / "run", data)


def writes(text: str, calls: list[str] | None = None) -> Callable[[Path], dict[str, Any]]:
    """A make that writes one file and remembers that it was called."""

    def make(folder: Path) -> dict[str, Any]:
        if calls is not None:
            calls.append(text)
        (folder / "file.txt").write_text(text)
        return {"text": text, "summary": f"wrote {text}"}

    return make


def recipe_file(folder: Path, text: str) -> Path:
    path = folder / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    return path


class TestArtefact:
    def test_made_once_and_then_reused(self, run: Run) -> None:
        calls: list[str] = []
        report = Recorder()
        made = run.artefact("teacher/first", {"a": 1}, writes("one", calls), report)
        again = run.artefact("teacher/first", {"a": 1}, writes("two", calls), report)
        assert made == again == {"text": "one", "summary": "wrote one"}
        assert calls == ["one"]
        assert (run.folder / "teacher/first/file.txt").read_text() == "one"
        assert report.lines[0].startswith("teacher/first: wrote one (")
        assert report.lines[1] == "teacher/first: reused. wrote one"

    def test_reused_by_a_later_run_of_the_same_settings(self, run: Run, data: Path) -> None:
        calls: list[str] = []
        run.artefact("first", {"a": 1}, writes("one", calls), Recorder())
        for later in (Run.open(run.folder), Run.open(run.folder, data, minutes=3)):
            later.artefact("first", {"a": 1}, writes("two", calls), Recorder())
        assert calls == ["one"]

    @pytest.mark.parametrize("inputs", [{"a": 2}, {"a": 1, "b": 1}, {}, {"a": "1"}])
    def test_other_inputs_make_it_again(self, run: Run, inputs: dict[str, Any]) -> None:
        run.artefact("first", {"a": 1}, writes("one"), Recorder())
        made = run.artefact("first", inputs, writes("two"), Recorder())
        assert made["text"] == "two"
        assert (run.folder / "first/file.txt").read_text() == "two"
        assert run.facts("first")["text"] == "two"

    def test_other_data_make_it_again(self, tmp_path: Path) -> None:
        folder = write_tiny_data(tmp_path / "books")
        Run.open(tmp_path / "run", folder).artefact("first", {}, writes("one"), Recorder())
        with (folder / "interactions.csv").open("a") as stream:
            stream.write("u000,b119,9999\n")
        made = Run.open(tmp_path / "run").artefact("first", {}, writes("two"), Recorder())
        assert made["text"] == "two"

    @pytest.mark.parametrize("lost", ["first", "records/first.json"])
    def test_made_again_when_a_part_of_it_is_gone(self, run: Run, lost: str) -> None:
        run.artefact("first", {}, writes("one"), Recorder())
        (run.folder / lost).rename(run.folder / "elsewhere")
        assert run.artefact("first", {}, writes("two"), Recorder())["text"] == "two"
        assert (run.folder / "first/file.txt").read_text() == "two"

    def test_a_failure_leaves_neither_folder_nor_record(self, run: Run) -> None:
        def fail(folder: Path) -> dict[str, Any]:
            (folder / "half.txt").write_text("half")
            raise RunError("no more")

        report = Recorder()
        with pytest.raises(RunError, match="no more"):
            run.artefact("teacher/first", {}, fail, report)
        assert list((run.folder / "teacher").iterdir()) == []
        assert list((run.folder / "records").glob("*")) == []
        assert report.lines == []
        assert run.artefact("teacher/first", {}, writes("one"), Recorder())["text"] == "one"

    def test_a_failure_with_other_inputs_leaves_no_record_of_the_old_folder(self, run: Run) -> None:
        def fail(folder: Path) -> dict[str, Any]:
            raise RunError("no more")

        run.artefact("first", {"a": 1}, writes("one"), Recorder())
        with pytest.raises(RunError, match="no more"):
            run.artefact("first", {"a": 2}, fail, Recorder())
        with pytest.raises(RunError, match="expected a finished artefact"):
            run.facts("first")
        assert run.artefact("first", {"a": 2}, writes("two"), Recorder())["text"] == "two"

    def test_facts_of_what_was_not_made(self, run: Run) -> None:
        with pytest.raises(RunError, match=r"run/student/holdout: expected a finished artefact"):
            run.facts("student/holdout")

    def test_facts_come_with_fingerprint_and_seconds(self, run: Run) -> None:
        run.artefact("first", {"a": 1}, writes("one"), Recorder())
        run.artefact("second", {"a": 2}, writes("one"), Recorder())
        facts = run.facts("first")
        assert facts["text"] == "one"
        assert facts["seconds"] >= 0
        assert facts["cpu_seconds"] >= 0
        assert len(facts["fingerprint"]) == 32
        assert facts["fingerprint"] != run.facts("second")["fingerprint"]


KILLED = textwrap.dedent("""
    import os, signal, sys
    from pathlib import Path
    from pocketrec.run import Run
    from tiny_data import Recorder

    run = Run.open(Path(sys.argv[1]), Path(sys.argv[2]))

    def finish(folder):
        (folder / "file.txt").write_text("first")
        return {"summary": "whole"}

    def die(folder):
        (folder / "file.txt").write_text("half")
        os.kill(os.getpid(), signal.SIGKILL)

    run.artefact("teacher/first", {}, finish, Recorder())
    run.artefact("teacher/second", {}, die, Recorder())
""")


def test_a_run_goes_on_after_a_kill(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    tests = Path(__file__).parents[1]
    paths = os.pathsep.join([str(tests), str(tests.parent)])
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, folder, data],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not (folder / "teacher/second").exists()
    assert len(list((folder / "teacher").glob(".second.*.partial"))) == 1  # what the kill left

    run = Run.open(folder)
    calls: list[str] = []
    run.artefact("teacher/first", {}, writes("again", calls), Recorder())
    run.artefact("teacher/second", {}, writes("second", calls), Recorder())
    assert calls == ["second"]
    assert (folder / "teacher/second/file.txt").read_text() == "second"
    assert sorted(p.name for p in (folder / "teacher").iterdir()) == ["first", "second"]


class TestOpen:
    def test_settings_are_stored(self, data: Path, tmp_path: Path) -> None:
        recipe = recipe_file(tmp_path, "[teacher]\nneighbours = 7\n[teacher.sequence]\nlayers = 1")
        opened = Run.open(tmp_path / "run", data, minutes=2.5, seed=4, recipe=recipe)
        assert Run.open(tmp_path / "run").settings == opened.settings
        assert opened.settings.data == str(data.resolve())
        assert (opened.settings.seed, opened.settings.minutes) == (4, 2.5)
        assert opened.table("teacher") == {"neighbours": 7, "sequence": {"layers": 1}}
        assert opened.table("student") == {}

    def test_a_table_may_be_changed_without_changing_the_run(self, run: Run) -> None:
        run.table("teacher")["neighbours"] = 9
        assert run.table("teacher") == {}

    def test_the_data_may_be_named_in_another_way(
        self, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        Run.open(tmp_path / "run", data)
        monkeypatch.chdir(data.parent)
        Run.open(tmp_path / "run", Path("books"))

    def test_more_minutes_may_be_given(self, run: Run, data: Path) -> None:
        assert Run.open(run.folder, data, minutes=9).settings.minutes == 9
        assert Run.open(run.folder).settings.minutes == 9

    def test_other_data_are_refused(self, run: Run, tmp_path: Path) -> None:
        other = write_tiny_data(tmp_path / "other")
        with pytest.raises(UsageError, match=r"holds a run with data '.*books', found '.*other'"):
            Run.open(run.folder, other)

    def test_another_seed_is_refused(self, run: Run, data: Path) -> None:
        with pytest.raises(UsageError, match=r"with seed 0, found 1; choose another --out"):
            Run.open(run.folder, data, seed=1)

    def test_a_table_becomes_the_settings_of_a_stage(self, data: Path, tmp_path: Path) -> None:
        class Wanted(BaseModel):
            model_config = ConfigDict(extra="forbid")
            layers: int = 2

        def opened(text: str) -> Run:
            name = str(len(list(tmp_path.iterdir())))
            recipe = recipe_file(tmp_path, text)
            return Run.open(tmp_path / name, data, recipe=recipe)

        assert opened("[student]\nlayers = 1").recipe("student", Wanted) == Wanted(layers=1)
        assert opened("[student]\nlayers = 1").recipe("export", Wanted) == Wanted()
        for text, expected in (
            ("layers = 'x'", r"recipe, table \[student\]: layers: .*integer.*, found 'x'"),
            ("layer = 1", r"recipe, table \[student\]: layer: .*, found 1"),
        ):
            with pytest.raises(UsageError, match=expected):
                opened(f"[student]\n{text}").recipe("student", Wanted)

    def test_another_recipe_is_refused(self, run: Run, data: Path, tmp_path: Path) -> None:
        recipe = recipe_file(tmp_path, "[student]\nlayers = 1\n")
        with pytest.raises(UsageError, match="holds a run with recipe {}, found {'student'"):
            Run.open(run.folder, data, recipe=recipe)

    def test_refusal_changes_nothing(self, run: Run, data: Path) -> None:
        before = (run.folder / "run.json").read_bytes()
        with pytest.raises(UsageError):
            Run.open(run.folder, data, seed=1, minutes=4)
        assert (run.folder / "run.json").read_bytes() == before

    def test_no_run(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"expected a run \(run\.json\), found none"):
            Run.open(tmp_path)

    @pytest.mark.parametrize("content", [b"{", b"[]", b"{}", b'{"data": 1, "x": 2}', b"\xff\xfe"])
    def test_a_damaged_run(self, run: Run, content: bytes) -> None:
        (run.folder / "run.json").write_bytes(content)
        with pytest.raises(UsageError, match="expected the settings of a run"):
            Run.open(run.folder)


class TestRecipe:
    def test_an_unknown_table(self, tmp_path: Path) -> None:
        path = recipe_file(tmp_path, "[teacher]\n[studnt]\n")
        with pytest.raises(
            UsageError, match="expected tables teacher, student, export, found 'studnt'"
        ):
            read_recipe(path)

    @pytest.mark.parametrize("text", ["teacher = 3", "[[teacher]]\nlayer = 1"])
    def test_something_else_than_a_table(self, tmp_path: Path, text: str) -> None:
        path = recipe_file(tmp_path, text)
        with pytest.raises(UsageError, match=r"'teacher': expected a table \[teacher\]"):
            read_recipe(path)

    @pytest.mark.parametrize("text", ["[teacher", "[teacher]\na = ", "a = 1\na = 2"])
    def test_not_toml(self, tmp_path: Path, text: str) -> None:
        with pytest.raises(UsageError, match="expected a recipe in TOML"):
            read_recipe(recipe_file(tmp_path, text))

    @pytest.mark.parametrize("value", ["nan", "inf", "1979-05-27", "[1, 2, 07:32:00]"])
    def test_a_value_that_no_setting_has(self, tmp_path: Path, value: str) -> None:
        path = recipe_file(tmp_path, f"[teacher]\nlayer = {value}\n")
        with pytest.raises(UsageError, match="expected a recipe"):
            read_recipe(path)

    def test_no_file_and_not_text(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="expected a recipe in TOML"):
            read_recipe(tmp_path / "absent.toml")
        (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
        with pytest.raises(UsageError, match="expected a recipe in TOML"):
            read_recipe(tmp_path / "binary.toml")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(
        module, "time", SimpleNamespace(monotonic=clock.monotonic, process_time=clock.monotonic)
    )
    return clock


class TestBudget:
    def test_without_a_budget_every_step_takes_what_it_needs(self, run: Run) -> None:
        assert run.share("encode") is None

    @pytest.mark.usefixtures("clock")
    def test_the_first_step_gets_its_part_of_the_whole(self, data: Path, tmp_path: Path) -> None:
        run = Run.open(tmp_path / "run", data, minutes=10)
        total = sum(BUDGET.values())
        assert run.share("encode") == pytest.approx(600 * BUDGET["encode"] / total)

    def test_the_last_step_gets_all_that_is_left(
        self, clock: Clock, data: Path, tmp_path: Path
    ) -> None:
        run = Run.open(tmp_path / "run", data, minutes=10)
        clock.now += 480
        assert run.share("final_text") == pytest.approx(120)

    def test_a_step_that_needed_less_leaves_more_to_those_after_it(
        self, clock: Clock, data: Path, tmp_path: Path
    ) -> None:
        run = Run.open(tmp_path / "run", data, minutes=10)
        after = sum(seconds for step, seconds in BUDGET.items() if step != "encode")
        clock.now += 60
        assert run.share("tuning") == pytest.approx(540 * BUDGET["tuning"] / after)

    def test_shares_taken_in_full_add_up_to_the_budget(
        self, clock: Clock, data: Path, tmp_path: Path
    ) -> None:
        run = Run.open(tmp_path / "run", data, minutes=10)
        taken = []
        for step in BUDGET:
            share = run.share(step)
            assert share is not None
            taken.append(share)
            clock.now += share
        parts = [seconds * 600 / sum(BUDGET.values()) for seconds in BUDGET.values()]
        for share, part in zip(taken, parts, strict=True):
            assert share == pytest.approx(part, rel=0.1) or share == 600 * LEAST_SHARE
        assert sum(taken) == pytest.approx(600, rel=0.02)

    @pytest.mark.usefixtures("clock")
    @pytest.mark.parametrize("slowness", [0.5, 2.0])
    def test_what_choosing_and_ranking_will_take_is_kept_back(
        self, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slowness: float
    ) -> None:
        run = Run.open(tmp_path / "run", data, minutes=600)
        users, items = len(run.split.test), len(run.dataset.texts)
        # A second a user, and a third of 9000 seconds.
        monkeypatch.setattr(module, "UNTIMED", {"tuning": (1000, 0), "final_text": (0, 9000)})
        monkeypatch.setattr(module, "UNTIMED_ITEMS", items)
        monkeypatch.setattr(module, "SAMPLE", 3 * users * items)
        monkeypatch.setattr(module, "_pace", lambda: slowness * module.USUAL_PACE)
        assert run.share("final_text") == pytest.approx(36_000 - slowness * 3000)
        part = BUDGET["tuning"] / sum(n for step, n in BUDGET.items() if step != "encode")
        assert run.share("tuning") == pytest.approx(part * (36_000 - slowness * (3000 + users)))

    def test_a_late_step_still_gets_a_little(
        self, clock: Clock, data: Path, tmp_path: Path
    ) -> None:
        run = Run.open(tmp_path / "run", data, minutes=1)
        clock.now += 61
        assert run.share("final_text") == 60 * LEAST_SHARE

    def test_what_is_reused_of_an_interrupted_run_is_spent(
        self, clock: Clock, data: Path, tmp_path: Path
    ) -> None:
        run = Run.open(tmp_path / "run", data, minutes=10)

        def slow(folder: Path) -> dict[str, Any]:
            clock.now += 200
            return {"summary": "slow"}

        run.artefact("first", {}, slow, Recorder())
        run.artefact("second", {"recipe": "old"}, slow, Recorder())
        assert run.share("final_text") == pytest.approx(200)
        clock.now += 5000  # between two processes
        again = Run.open(run.folder)
        assert again.share("final_text") == pytest.approx(600)
        again.artefact("first", {}, slow, Recorder())
        assert again.share("final_text") == pytest.approx(400)
        again.artefact("second", {"recipe": "new"}, slow, Recorder())
        assert again.share("final_text") == pytest.approx(200)

    @pytest.mark.usefixtures("clock")
    def test_an_unknown_step(self, data: Path, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="lunch"):
            Run.open(tmp_path / "run", data, minutes=1).share("lunch")


def test_run_json_is_readable(run: Run) -> None:
    stored = json.loads((run.folder / "run.json").read_text())
    assert set(stored) == {"data", "seed", "minutes", "recipe"}
