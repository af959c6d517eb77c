"""What is remembered of a bundle that was checked, and what makes it new again."""

import os
import shutil

import pytest

from pocketrec.bundle import LAYOUT, open_bundle
from pocketrec.checked import remember, was_checked
from pocketrec.errors import BundleError
from pocketrec.recommender import Recommender


@pytest.fixture
def settled(tiny_bundle_copy):
    """A bundle that nobody has written to for a while."""
    for name in LAYOUT.names:
        os.utime(tiny_bundle_copy / name, (1_700_000_000, 1_700_000_000))
    return tiny_bundle_copy


def alter(path, times=None):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    if times:
        os.utime(path, times)


def test_a_bundle_is_checked_once(settled):
    assert open_bundle(settled).is_new
    Recommender.open(settled)
    assert not open_bundle(settled).is_new
    assert open_bundle(settled, verify=True).is_new
    assert not open_bundle(settled, verify=False).is_new


@pytest.mark.parametrize("name", LAYOUT.sealed)
def test_a_file_that_was_written_to_is_checked_again(settled, name):
    Recommender.open(settled)
    alter(settled / name)
    with pytest.raises(BundleError, match=rf"{name}: expected sha256"):
        Recommender.open(settled)


def test_a_change_that_hides_its_time_is_found_by_verifying(settled):
    Recommender.open(settled)
    alter(settled / LAYOUT.model_card, (1_700_000_000, 1_700_000_000))
    Recommender.open(settled)
    with pytest.raises(BundleError, match=r"MODEL_CARD\.md: expected sha256"):
        Recommender.open(settled, verify=True)


def test_another_folder_is_new(settled, tmp_path):
    Recommender.open(settled)
    shutil.copytree(settled, tmp_path / "moved")
    assert open_bundle(tmp_path / "moved").is_new


def test_a_bundle_that_fails_is_not_remembered(settled):
    alter(settled / LAYOUT.scorer, (1_700_000_000, 1_700_000_000))
    for _ in range(2):
        with pytest.raises(BundleError, match="sha256"):
            Recommender.open(settled)


def test_files_that_were_just_written_are_not_remembered(tiny_bundle_copy):
    (tiny_bundle_copy / LAYOUT.tokenizer).touch()
    remember(tiny_bundle_copy, LAYOUT.names)
    assert not was_checked(tiny_bundle_copy, LAYOUT.names)


@pytest.mark.parametrize("content", ["", "[]", '{"manifest.json": 3}', "{"])
def test_a_damaged_note_is_no_note(settled, content, monkeypatch, tmp_path):
    monkeypatch.setenv("POCKETREC_CACHE", str(tmp_path / "cache"))
    Recommender.open(settled)
    (note,) = (tmp_path / "cache/checked").iterdir()
    note.write_text(content)
    assert open_bundle(settled).is_new


def test_a_cache_that_cannot_be_written(settled, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("POCKETREC_CACHE", str(tmp_path / "file"))
    Recommender.open(settled)
    assert open_bundle(settled).is_new
