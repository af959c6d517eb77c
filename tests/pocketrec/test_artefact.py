from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pocketrec.artefact import NeighbourTable, TeacherArtefact
from pocketrec.errors import RunError

FIELDS = (
    "item_vectors",
    "projected",
    "windows",
    "states",
    "neighbours",
    "weights",
    "peer_neighbours",
    "peer_weights",
)


def square(items: int) -> st.SearchStrategy[npt.NDArray[np.float32]]:
    # Few different values, so that ties are common.
    values = st.sampled_from([-2.0, -0.5, 0.0, 0.25, 0.5, 1.0, 3.0])
    return arrays.arrays(np.float32, (items, items), elements=values)


@given(st.integers(1, 8).flatmap(square), st.integers(1, 12))
def test_a_table_holds_the_largest_positive_entries_of_each_column(
    matrix: npt.NDArray[np.float32], k: int
) -> None:
    np.fill_diagonal(matrix, 0)
    table = NeighbourTable.from_matrix(matrix, k)
    width = max(1, min(k, len(matrix) - 1))
    assert table.neighbours.shape == table.weights.shape == (len(matrix), width)
    assert (table.neighbours.dtype, table.weights.dtype) == (np.int32, np.float32)
    for item, column in enumerate(matrix.T):
        neighbours, weights = table.neighbours[item], table.weights[item]
        expected = np.sort(column[column > 0])[::-1][:width]
        assert weights[: len(expected)].tolist() == expected.tolist()
        assert column[neighbours[: len(expected)]].tolist() == expected.tolist()
        assert len(set(neighbours[: len(expected)].tolist())) == len(expected)
        assert (neighbours[len(expected) :] == -1).all()
        assert not weights[len(expected) :].any()


def test_a_table_over_more_items_than_are_sorted_at_once() -> None:
    matrix = np.zeros((1100, 1100), dtype=np.float32)
    targets = np.arange(1100)
    matrix[(targets + 1) % 1100, targets] = 2
    matrix[(targets + 2) % 1100, targets] = 1
    table = NeighbourTable.from_matrix(matrix, 3)
    assert table.neighbours[1050].tolist() == [1051, 1052, -1]
    assert table.weights[1099].tolist() == [2, 1, 0]
    assert table.neighbours[1099].tolist() == [0, 1, -1]


def test_head() -> None:
    table = NeighbourTable(np.array([[3, 1]], np.int32), np.array([[2.0, 1.0]], np.float32))
    assert table.head(1).neighbours.tolist() == [[3]]
    assert table.head(1).weights.tolist() == [[2.0]]
    assert table.head(9).neighbours.tolist() == [[3, 1]]


def artefact() -> TeacherArtefact:
    rng = np.random.default_rng(0)
    return TeacherArtefact(
        item_vectors=rng.normal(size=(5, 4)).astype(np.float32),
        projected=rng.normal(size=(5, 3)).astype(np.float32),
        windows=np.array([[0, 1], [4, -1]], dtype=np.int32),
        states=rng.normal(size=(3, 3)).astype(np.float16),
        neighbours=np.array([[1, -1]] * 5, dtype=np.int32),
        weights=np.array([[0.5, 0]] * 5, dtype=np.float32),
        peer_neighbours=np.array([[2, -1]] * 5, dtype=np.int32),
        peer_weights=np.array([[0.25, 0]] * 5, dtype=np.float32),
    )


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    saved = artefact()
    saved.save(tmp_path)
    loaded = TeacherArtefact.load(tmp_path)
    for name in FIELDS:
        expected, found = getattr(saved, name), getattr(loaded, name)
        assert found.dtype == expected.dtype
        assert np.array_equal(found, expected)
    assert loaded.table.neighbours[0].tolist() == [1, -1]
    assert loaded.peer_table.weights[0].tolist() == [0.25, 0]


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
