import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_data import random_histories, tiny_student

from distill.checkpoint import Student
from distill.fusion import StudentRanker
from pocketrec.errors import RunError

FILES = (
    "item_space.safetensors",
    "items.npz",
    "sequence_encoder.safetensors",
    "student.json",
    "text_encoder.safetensors",
)


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Student:
    folder = tmp_path_factory.mktemp("student")
    made = tiny_student(folder)
    made.save(folder)
    return made


@pytest.fixture
def saved(student: Student, tmp_path: Path) -> Student:
    """The student, with a copy of its files that a test may damage."""
    shutil.copytree(student.tokenizer.parent, tmp_path, dirs_exist_ok=True)
    return student


def test_what_is_saved_ranks_as_before(saved: Student, tmp_path: Path) -> None:
    loaded = Student.load(tmp_path)
    before, after = (
        StudentRanker.of(s.vectors, s.sequence, s.table, s.popularity, s.settings).ranker
        for s in (saved, loaded)
    )
    for history in random_histories(10, 40, 12):
        np.testing.assert_array_equal(before.scores(history), after.scores(history))


def test_what_is_saved_reads_texts_as_before(saved: Student, tmp_path: Path) -> None:
    loaded = Student.load(tmp_path)
    tokens = torch.tensor([[5, 7, 0], [9, 2, 11]])
    with torch.no_grad():
        assert torch.equal(saved.text(tokens), loaded.text(tokens))
    assert not loaded.text.training
    assert not loaded.sequence.training


def test_every_field_comes_back(saved: Student, tmp_path: Path) -> None:
    loaded = Student.load(tmp_path)
    assert loaded.recipe == saved.recipe
    assert loaded.settings == saved.settings
    assert loaded.tokenizer.read_bytes() == saved.tokenizer.read_bytes()
    assert loaded.space.keys() == saved.space.keys()
    for name, learned in saved.space.items():
        assert torch.equal(loaded.space[name], learned)
    np.testing.assert_array_equal(loaded.vectors, saved.vectors)
    np.testing.assert_array_equal(loaded.popularity, saved.popularity)
    assert loaded.table.items == saved.table.items
    np.testing.assert_array_equal(loaded.table.sources, saved.table.sources)
    np.testing.assert_array_equal(loaded.table.targets, saved.table.targets)
    np.testing.assert_array_equal(loaded.table.weights, saved.table.weights)


@pytest.mark.usefixtures("saved")
@pytest.mark.parametrize("name", FILES)
def test_a_missing_file(tmp_path: Path, name: str) -> None:
    (tmp_path / name).unlink()
    with pytest.raises(RunError, match="expected a student checkpoint"):
        Student.load(tmp_path)


@pytest.mark.usefixtures("saved")
@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kept", [0, 20, -30])
def test_a_truncated_file(tmp_path: Path, name: str, kept: int) -> None:
    path = tmp_path / name
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(RunError, match="expected a student checkpoint"):
        Student.load(tmp_path)


@pytest.mark.usefixtures("saved")
def test_files_of_two_students(tmp_path: Path) -> None:
    path = tmp_path / "student.json"
    path.write_text(path.read_text().replace('"max_length": 9', '"max_length": 8'))
    with pytest.raises(RunError, match="expected a student checkpoint"):
        Student.load(tmp_path)
