from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pocketrec.artefact import TeacherArtefact, side_by_side
from pocketrec.errors import RunError

FIELDS = (
    "item_vectors",
    "factors",
    "projected",
    "windows",
    "states",
    "sources",
    "targets",
    "weights",
)
PEER_FIELDS = ("peer_sources", "peer_targets", "peer_weights")


def artefact() -> TeacherArtefact:
    rng = np.random.default_rng(0)
    return TeacherArtefact(
        item_vectors=rng.normal(size=(5, 4)).astype(np.float32),
        factors=rng.normal(size=(5, 2)).astype(np.float32),
        projected=rng.normal(size=(5, 3)).astype(np.float32),
        windows=np.array([[0, 1], [4, -1]], dtype=np.int32),
        states=rng.normal(size=(3, 3)).astype(np.float16),
        sources=np.array([0, 0, 3]),
        targets=np.array([1, 4, 2]),
        weights=np.array([0.5, -0.25, 1], dtype=np.float32),
        peer_sources=np.array([2]),
        peer_targets=np.array([0]),
        peer_weights=np.array([0.75], dtype=np.float32),
    )


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    saved = artefact()
    saved.save(tmp_path)
    loaded = TeacherArtefact.load(tmp_path)
    for name in (*FIELDS, *PEER_FIELDS):
        expected, found = getattr(saved, name), getattr(loaded, name)
        assert found.dtype == expected.dtype
        assert np.array_equal(found, expected)
    assert loaded.table.items == 5
    assert loaded.table.targets.tolist() == [1, 4, 2]
    assert loaded.peer_table is not None
    assert loaded.peer_table.items == 5
    assert loaded.peer_table.weights.tolist() == [0.75]


def test_texts_and_factors_side_by_side() -> None:
    """Of 3 + 1 numbers the texts are three quarters of the square."""
    texts = np.array([[0.6, 0.8, 0], [0, 0, 1]], dtype=np.float32)
    factors = np.array([[2], [0]], dtype=np.float32)
    expected = [[0.75**0.5 * 0.6, 0.75**0.5 * 0.8, 0, 1], [0, 0, 0.75**0.5, 0]]
    np.testing.assert_allclose(side_by_side(texts, factors), expected, rtol=1e-6)
    assert side_by_side(texts, factors).dtype == np.float32
    np.testing.assert_array_equal(side_by_side(texts, factors[:, :0]), texts)


def test_a_sequence_model_reads_both() -> None:
    made = artefact()
    np.testing.assert_array_equal(made.features, side_by_side(made.item_vectors, made.factors))


def test_what_ships_has_no_table_of_a_peer(tmp_path: Path) -> None:
    replace(artefact(), **dict.fromkeys(PEER_FIELDS)).save(tmp_path)
    loaded = TeacherArtefact.load(tmp_path)
    assert loaded.peer_table is None
    assert not [*tmp_path.glob("peer_*")]


@pytest.mark.parametrize("name", FIELDS)
def test_a_missing_array(tmp_path: Path, name: str) -> None:
    artefact().save(tmp_path)
    (tmp_path / f"{name}.npy").unlink()
    with pytest.raises(RunError, match=rf"{name}\.npy: expected an array of the teacher"):
        TeacherArtefact.load(tmp_path)


@pytest.mark.parametrize("kept", [0, 3, 100, -1])
def test_a_truncated_array(tmp_path: Path, kept: int) -> None:
    artefact().save(tmp_path)
    path = tmp_path / "states.npy"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(RunError, match=r"states\.npy: expected an array of the teacher"):
        TeacherArtefact.load(tmp_path)
