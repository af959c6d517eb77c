"""Files and folders are whole or absent."""

import errno
import hashlib
import stat

import pytest

from pocketrec import files


def test_atomic_write_replaces_and_leaves_nothing_else(tmp_path):
    target = tmp_path / "new" / "a.txt"
    for text in ("first", "second"):
        with files.atomic_write(target) as temporary:
            assert (
                temporary.parent == target.parent
            )  # a rename over file systems would not be atomic
            assert temporary.suffix == ".txt"  # numpy and zipfile look at the suffix
            temporary.write_text(text)
        assert target.read_text() == text
    assert [p.name for p in target.parent.iterdir()] == ["a.txt"]
    assert stat.S_IMODE(target.stat().st_mode) & 0o444 == 0o444 & ~files._umask()


def test_atomic_write_keeps_the_old_file_when_writing_fails(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(OSError, match="full"), files.atomic_write(target) as temporary:
        temporary.write_text("half")
        raise OSError(errno.ENOSPC, "full")
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_atomic_folder_makes_and_replaces(tmp_path):
    target = tmp_path / "run" / "teacher"
    for name in ("a", "b"):
        with files.atomic_folder(target) as temporary:
            (temporary / name).write_text(name)
            assert temporary.parent == target.parent
    assert [p.name for p in target.iterdir()] == ["b"]
    assert [p.name for p in target.parent.iterdir()] == ["teacher"]


def test_atomic_folder_keeps_the_old_folder_when_making_fails(tmp_path):
    target = tmp_path / "teacher"
    target.mkdir()
    (target / "old").touch()
    with pytest.raises(KeyboardInterrupt), files.atomic_folder(target) as temporary:
        (temporary / "half").touch()
        raise KeyboardInterrupt
    assert [p.name for p in target.iterdir()] == ["old"]
    assert [p.name for p in tmp_path.iterdir()] == ["teacher"]


def test_atomic_folder_sweeps_what_a_killed_process_left(tmp_path):
    left = tmp_path / ".teacher.abc.partial"
    left.mkdir()
    (left / "half").touch()
    other = tmp_path / ".student.abc.partial"
    other.mkdir()
    with files.atomic_folder(tmp_path / "teacher"):
        pass
    assert not left.exists()
    assert other.exists()


def test_json_round_trip_in_any_script(tmp_path):
    value = {"title": "星际 🚀 [x]", "n": 1, "rows": [1.5, None]}
    files.write_json(tmp_path / "a.json", value)
    assert files.read_json(tmp_path / "a.json") == value
    assert "星际" in (tmp_path / "a.json").read_text(encoding="utf-8")


def test_json_refuses_nan_and_keeps_the_old_file(tmp_path):
    files.write_json(tmp_path / "a.json", {})
    with pytest.raises(ValueError, match="JSON compliant"):
        files.write_json(tmp_path / "a.json", {"score": float("nan")})
    assert files.read_json(tmp_path / "a.json") == {}


def test_sha256(tmp_path):
    (tmp_path / "a").write_bytes(b"abc" * 100_000)
    assert files.sha256(tmp_path / "a") == hashlib.sha256(b"abc" * 100_000).hexdigest()


def test_cache_folder_is_chosen_by_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("POCKETREC_CACHE", str(tmp_path / "mine"))
    assert files.cache_folder() == tmp_path / "mine"
    monkeypatch.delenv("POCKETREC_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert files.cache_folder() == tmp_path / "xdg" / "pocketrec"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert files.cache_folder() == tmp_path / ".cache" / "pocketrec"
