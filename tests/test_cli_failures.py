"""What the machine does to a command: full disks, read-only folders, interruptions, missing packages, bugs."""

import errno
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import pytest
from cli_call import call

from pocketrec import Recommender
from pocketrec.cli import failures

FAILED, INTERRUPTED = 1, 130


def broken(monkeypatch, where, name, number):
    def fail(*args, **kwargs):
        raise OSError(number, os.strerror(number), "/somewhere")

    monkeypatch.setattr(where, name, fail)


def test_a_full_disk(capsys, tiny_bundle, tmp_path, monkeypatch):
    (tmp_path / "items.jsonl").write_text('{"item_id": "n", "title": "x"}')
    broken(monkeypatch, shutil, "copyfile", errno.ENOSPC)
    called = call(
        capsys, "add-items", tiny_bundle, tmp_path / "items.jsonl", "--out", tmp_path / "b"
    )
    assert called.failed(FAILED) == (
        "/somewhere: No space left on device; free some space and run the same command again"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["items.jsonl"]


def test_a_full_device(capsys, tiny_bundle, tmp_path):
    (tmp_path / "in.jsonl").write_text('{"user_id": "a", "history": []}\n')
    called = call(
        capsys, "recommend", tiny_bundle, "--histories", tmp_path / "in.jsonl", "--out", "/dev/full"
    )
    assert called.code == FAILED
    assert called.err.splitlines()[-1].startswith(
        "pocketrec: No space left on device; free some space"
    )


def test_a_full_stdout(tiny_bundle):
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = subprocess.run(
            [sys.executable, "-m", "pocketrec.cli", "similar", tiny_bundle, "m01", "--json"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == FAILED
    assert done.stderr == (
        "pocketrec: No space left on device; free some space and run the same command again\n"
    )


def test_a_read_only_folder(capsys, tiny_bundle, tmp_path, monkeypatch):
    (tmp_path / "in.jsonl").write_text('{"user_id": "a", "history": []}\n')
    broken(monkeypatch, tempfile, "mkstemp", errno.EROFS)
    called = call(
        capsys,
        "recommend",
        tiny_bundle,
        "--histories",
        tmp_path / "in.jsonl",
        "--out",
        tmp_path / "out.jsonl",
    )
    assert (
        called.failed(FAILED)
        == "/somewhere: Read-only file system; choose a place that can be written"
    )


def test_a_file_where_a_folder_should_be(capsys, tiny_bundle, tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "in.jsonl").write_text('{"user_id": "a", "history": []}\n')
    out = tmp_path / "file" / "out.jsonl"
    called = call(
        capsys, "recommend", tiny_bundle, "--histories", tmp_path / "in.jsonl", "--out", out
    )
    assert called.failed(FAILED) == (
        f"{tmp_path / 'file'}: File exists; expected a folder there; choose another place"
    )
    (tmp_path / "all.csv").write_text("user_id,item_id,title\nu,a,A\n")
    called = call(
        capsys, "data", "import", tmp_path / "all.csv", "--out", tmp_path / "file" / "new"
    )
    assert str(tmp_path / "file") in called.failed(FAILED)
    call(capsys, "data", "import", tmp_path / "all.csv", "--out", tmp_path / "data")
    called = call(capsys, "build", "--data", tmp_path / "data", "--out", tmp_path / "file")
    assert str(tmp_path / "file") in called.failed(FAILED)


def test_an_interruption(capsys, monkeypatch):
    def interrupt(path, verify):
        raise KeyboardInterrupt

    monkeypatch.setattr(Recommender, "open", interrupt)
    said = call(capsys, "verify", "b").failed(INTERRUPTED)
    assert said == "interrupted; run the same command again to go on"


@pytest.mark.parametrize(
    ("module", "said"),
    [
        ("torch", "this command needs torch: pip install 'pocketrec[train]'"),
        ("polars", "this command needs polars: pip install 'pocketrec[train]'"),
        ("kivy.app", "this command needs kivy: pip install 'pocketrec[app]'"),
    ],
)
def test_an_extra_that_is_not_installed(capsys, monkeypatch, module, said):
    def missing(path, verify):
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)

    monkeypatch.setattr(Recommender, "open", missing)
    assert call(capsys, "verify", "b").failed(FAILED) == said


def test_a_bug_keeps_its_traceback(capsys, monkeypatch):
    def bug(path, verify):
        raise RuntimeError("a bug")

    monkeypatch.setattr(Recommender, "open", bug)
    with pytest.raises(RuntimeError, match="a bug"):
        call(capsys, "verify", "b")


def test_debug_shows_the_traceback_of_an_expected_failure(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("POCKETREC_DEBUG", "1")
    with pytest.raises(Exception, match="expected a bundle"):
        call(capsys, "verify", tmp_path / "no")


def test_a_path_that_holds_line_breaks_still_gives_one_line(capsys, tmp_path):
    call(capsys, "verify", tmp_path / "a\nb\r\nc").failed(FAILED)


def test_every_extra_is_one_of_the_package():
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    assert set(failures._EXTRAS) <= set(project["optional-dependencies"])
