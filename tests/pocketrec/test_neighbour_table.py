import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pocketrec import neighbour_table
from pocketrec.item_table import ItemTable
from pocketrec.neighbour_table import NeighbourIndex, NeighbourTable

# Few different values, so that ties are common.
VALUES = st.sampled_from([-3.0, -2.0, -0.5, 0.0, 0.25, 0.5, 1.0, 3.0])
matrices = st.integers(1, 8).flatmap(lambda n: arrays(np.float32, (n, n), elements=VALUES))


def dense(table: NeighbourTable) -> np.ndarray:
    matrix = np.zeros((table.items, table.items), dtype=np.float32)
    matrix[table.sources, table.targets] = table.weights
    return matrix


def check_is_the_largest(table: NeighbourTable, matrix: np.ndarray, entries: int) -> None:
    """Against a sort of the whole matrix; which of equally large entries are kept is open."""
    expected = sorted(abs(value) for value in matrix.ravel().tolist() if value)[::-1][:entries]
    assert len(table) == len(expected) <= entries
    assert sorted(np.abs(table.weights).tolist(), reverse=True) == expected
    assert table.weights.tolist() == matrix[table.sources, table.targets].tolist()
    check_order(table)


def check_is_missed_most(
    table: NeighbourTable, matrix: np.ndarray, counts: np.ndarray, entries: int
) -> None:
    """Against a sort of every entry's share of the squared error."""
    missed = (matrix.astype(np.float64) ** 2) * (counts[:, None] + 1)
    expected = np.sort(missed[missed > 0])[::-1][:entries]
    found = np.sort(missed[table.sources, table.targets])[::-1]
    assert len(table) <= entries
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert table.weights.tolist() == matrix[table.sources, table.targets].tolist()
    check_order(table)


def check_order(table: NeighbourTable) -> None:
    places = list(zip(table.sources.tolist(), table.targets.tolist(), strict=True))
    assert places == sorted(set(places))
    assert (table.sources.dtype, table.targets.dtype) == (np.int64, np.int64)
    assert table.weights.dtype == np.float32


# --- from a matrix or entries ---------------------------------------------------------------------


def test_the_largest_entries_of_a_matrix_by_hand():
    matrix = np.array([[0, 5, -1], [-7, 0, 2], [0.5, -3, 0]], dtype=np.float32)
    table = NeighbourTable.from_matrix(matrix, 4)
    assert table.items == 3
    assert table.sources.tolist() == [0, 1, 1, 2]
    assert table.targets.tolist() == [1, 0, 2, 1]
    assert table.weights.tolist() == [5, -7, 2, -3]


@given(matrices, st.integers(0, 70))
def test_a_table_holds_the_largest_entries_of_both_signs(matrix, entries):
    check_is_the_largest(NeighbourTable.from_matrix(matrix, entries), matrix, entries)


@given(matrices, st.integers(0, 70))
def test_a_matrix_that_is_compared_in_blocks(matrix, entries):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neighbour_table, "COMPARED_AT_ONCE", 5)
        check_is_the_largest(NeighbourTable.from_matrix(matrix, entries), matrix, entries)


def test_what_is_chosen_often_is_missed_more_by_hand():
    matrix = np.array([[0, 2, -1], [-3, 0, 2], [1, -1, 0]], dtype=np.float32)
    counts = np.array([0, 0, 15], dtype=np.float32)  # item 2 counts four times as much
    table = NeighbourTable.from_matrix(matrix, 3, counts)
    assert table.sources.tolist() == [1, 2, 2]
    assert table.targets.tolist() == [0, 0, 1]
    assert table.weights.tolist() == [-3, 1, -1]
    assert NeighbourTable.from_matrix(matrix, 9).pruned(3, counts).weights.tolist() == [-3, 1, -1]


@given(
    matrices.flatmap(
        lambda m: st.tuples(st.just(m), arrays(np.float32, len(m), elements=st.integers(0, 99)))
    ),
    st.integers(0, 70),
)
def test_a_table_holds_what_scores_would_miss_most(both, entries):
    matrix, counts = both
    check_is_missed_most(
        NeighbourTable.from_matrix(matrix, entries, counts), matrix, counts, entries
    )
    whole = NeighbourTable.from_matrix(matrix, matrix.size)
    check_is_missed_most(whole.pruned(entries, counts), matrix, counts, entries)


def test_the_threshold_of_a_large_matrix_comes_from_a_sample(monkeypatch):
    monkeypatch.setattr(neighbour_table, "SAMPLED", 9_000)
    matrix = np.random.default_rng(0).standard_normal((300, 300)).astype(np.float32)
    table = NeighbourTable.from_matrix(matrix, 6_000)
    assert 5_400 <= len(table) <= 6_000
    assert table.weights.min() < 0 < table.weights.max()
    # Whatever the sample said, nothing left out is larger than what is kept.
    left = np.abs(matrix)
    left[table.sources, table.targets] = 0
    assert left.max() <= np.abs(table.weights).min()
    assert dense(table)[dense(table) != 0].tolist() == table.weights.tolist()
    check_order(table)


@given(matrices, st.randoms(use_true_random=False))
def test_entries_in_any_order_make_the_same_table(matrix, random):
    table = NeighbourTable.from_matrix(matrix, matrix.size)
    order = list(range(len(table)))
    random.shuffle(order)
    again = NeighbourTable.from_entries(
        len(matrix), table.sources[order], table.targets[order], table.weights[order]
    )
    check_order(again)
    assert np.array_equal(dense(again), matrix)


def test_entries_are_sorted_by_source_then_target():
    table = NeighbourTable.from_entries(
        12, np.array([2, 0, 2, 0]), np.array([1, 11, 0, 3]), np.array([1.0, -2.0, 3.0, 4.0])
    )
    assert table.sources.tolist() == [0, 0, 2, 2]
    assert table.targets.tolist() == [3, 11, 0, 1]
    assert table.weights.tolist() == [4, -2, 3, 1]
    check_order(table)


# --- what a table says ----------------------------------------------------------------------------


def test_a_pruned_table_by_hand():
    matrix = np.array([[0, 5, -1], [-7, 0, 2], [0.5, -3, 0]], dtype=np.float32)
    table = NeighbourTable.from_matrix(matrix, 9)
    assert len(table) == 6
    two = table.pruned(2)
    assert (two.items, two.sources.tolist(), two.targets.tolist()) == (3, [0, 1], [1, 0])
    assert two.weights.tolist() == [5, -7]
    assert len(table.pruned(0)) == 0
    assert table.pruned(6).weights.tolist() == table.pruned(99).weights.tolist() == [
        5, -1, -7, 2, 0.5, -3
    ]  # fmt: skip


@given(matrices, st.integers(0, 70))
def test_a_pruned_table_is_that_of_its_matrix(matrix, entries):
    table = NeighbourTable.from_matrix(matrix, matrix.size).pruned(entries)
    check_is_the_largest(table, matrix, entries)


def test_support_by_hand():
    # Columns: 1/2 for item 0 and 7 against it; 5 for item 1; 2 + 1 for item 2; nothing for item 3.
    matrix = np.array([[0, 5, 1, 0], [-7, 0, 2, -4], [0.5, -3, 0, 0], [0, 0, 0, 0]], np.float32)
    support = NeighbourTable.from_matrix(matrix, 16).support()
    assert support.tolist() == [0.5, 5, 3, 0]
    assert support.dtype == np.float32


def test_support_of_an_empty_table():
    assert NeighbourTable.from_matrix(np.zeros((2, 2), np.float32), 3).support().tolist() == [0, 0]


# --- in a file ------------------------------------------------------------------------------------


def item_table(table: NeighbourTable) -> ItemTable:
    ones = np.ones(table.items, dtype=np.float32)
    return ItemTable.quantized(ones[:, None], table, ones)


def test_places_and_levels_by_hand():
    matrix = np.array([[0, 1.27, 0], [0, 0, 0], [-2.54, 0.64, 0]], dtype=np.float32)
    stored = item_table(NeighbourTable.from_matrix(matrix, 9))
    # Scales of the columns 0.02, 0.01 and none.
    assert stored.starts.tolist() == [0, 1, 1, 3]
    assert stored.targets.tolist() == [1, 0, 1]
    assert stored.weights.tolist() == [127, -127, 64]
    assert stored.weight_scales == pytest.approx([0.02, 0.01, 0])


@given(matrices)
def test_a_table_comes_back_from_its_files(tmp_path_factory, matrix):
    folder = tmp_path_factory.mktemp("table") / "items"
    table = NeighbourTable.from_matrix(matrix, matrix.size)
    item_table(table).write(folder)
    stored = ItemTable.read(folder)
    stored.check(folder)
    again = stored.neighbours()
    check_order(again)
    assert again.items == table.items
    assert again.sources.tolist() == table.sources.tolist()
    assert again.targets.tolist() == table.targets.tolist()
    steps = np.abs(matrix).max(axis=0)[table.targets] / 127
    assert (np.abs(again.weights - table.weights) <= steps * 0.5001).all()


def test_an_empty_table_comes_back_from_its_files(tmp_path):
    item_table(NeighbourTable.from_matrix(np.zeros((3, 3), np.float32), 9)).write(tmp_path)
    stored = ItemTable.read(tmp_path)
    stored.check(tmp_path)
    assert len(stored.neighbours()) == 0


def test_weights_that_are_not_finite_are_refused():
    matrix = np.array([[0, np.inf], [1, 0]], dtype=np.float32)
    with pytest.raises(ValueError, match="finite"):
        item_table(NeighbourTable.from_matrix(matrix, 4))


@pytest.mark.parametrize(("items", "kind"), [(1 << 16, np.uint16), ((1 << 16) + 1, np.uint32)])
def test_places_take_as_few_bytes_as_the_catalogue_allows(items, kind):
    last = np.array([items - 1])
    table = NeighbourTable(items, last, last, np.ones(1, dtype=np.float32))
    stored = item_table(table)
    assert stored.targets.dtype == kind
    assert stored.targets.tolist() == last.tolist()


# --- as scoring reads it --------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["float32", "int8"])
def test_the_entries_of_history_items_by_hand(form):
    matrix = np.array([[0, 1.27, -0.63], [0, 0, 0], [-2.54, 0.64, 0]], dtype=np.float32)
    table = NeighbourTable.from_matrix(matrix, 9)
    index = NeighbourIndex.of(table) if form == "float32" else item_table(table).index()
    history = np.array([2, 1, 0])
    assert index.counts(history).tolist() == [2, 0, 2]
    targets, weights = index.entries(history)
    assert targets.tolist() == [0, 1, 1, 2]
    assert weights.dtype == np.float32
    assert weights == pytest.approx([-2.54, 0.64, 1.27, -0.63], abs=1e-6)
    assert index.around(2, 3) == pytest.approx([-2.54 - 0.63, 0.64, 0], abs=1e-6)
    assert index.around(1, 3) == pytest.approx([1.27, 0, 0.64], abs=1e-6)


@given(matrices, st.data())
def test_the_entries_are_the_rows_of_the_matrix(matrix, data):
    items = len(matrix)
    history = np.array(data.draw(st.permutations(range(items))), dtype=np.int64)
    index = NeighbourIndex.of(NeighbourTable.from_matrix(matrix, matrix.size))
    targets, weights = index.entries(history)
    rows = np.zeros((items, items), dtype=np.float32)
    rows[np.repeat(np.arange(items), index.counts(history)), targets] = weights
    assert np.array_equal(rows, matrix[history])
    for item in range(items):
        both = matrix[item] + matrix[:, item]
        assert index.around(item, items) == pytest.approx(both, rel=1e-6)
