"""Source domains: what of a data set is read."""

from pathlib import Path

import numpy as np
import pytest
from tiny_data import ITEMS, tiny_histories, write_tiny_data

from pocketrec.errors import DataError, UsageError
from teacher.sources import Source, load_sources


def test_nobodys_last_two_choices_are_read(tmp_path: Path) -> None:
    write_tiny_data(tmp_path / "a")
    (source,) = load_sources([tmp_path / "a"])
    train = [history[:-2] for history in tiny_histories()]
    assert [source.items[s].tolist() for s in source.sequences] == train
    assert source.items.tolist() == sorted({item for history in train for item in history})
    assert len(source.texts) == len(source.items) <= ITEMS
    assert source.texts[0].startswith("The Cold Witness (1990) by Author 0. Mystery")
    assert source.interactions == sum(map(len, train))


def test_the_most_chosen_items_alone(tmp_path: Path) -> None:
    write_tiny_data(tmp_path / "a")
    (source,) = load_sources([tmp_path / "a"], most=30)
    counts = np.bincount([i for h in tiny_histories() for i in h[:-2]], minlength=ITEMS)
    assert len(source.items) == 30
    assert counts[source.items].min() >= np.sort(counts)[-30]
    assert max(s.max() for s in source.sequences if len(s)) == 29


def test_folders_that_do_not_serve(tmp_path: Path) -> None:
    folder = write_tiny_data(tmp_path / "a")
    with pytest.raises(DataError, match="b: expected a data folder"):
        load_sources([folder, tmp_path / "b"])
    with pytest.raises(UsageError, match="expected each domain once, found 'a' again"):
        load_sources([folder, tmp_path / "b" / ".." / "a"])
    with pytest.raises(UsageError, match="expected at least one data folder"):
        load_sources([])


def test_restricted_to_some_items() -> None:
    source = Source(
        "d",
        "f",
        np.arange(4),
        [f"text {i}" for i in range(4)],
        [np.array(s) for s in ([0, 1, 2, 3], [3, 0], [1])],
        np.array([2, 0, 1]),
    )
    kept = source.restrict(np.array([0, 3, 99]))
    assert kept.items.tolist() == [0, 3]
    assert kept.texts == ["text 0", "text 3"]
    assert [s.tolist() for s in kept.sequences] == [[0, 1], [1, 0], []]
    assert kept.unordered.tolist() == [1, 0, 0]
    assert source.restrict(np.arange(4)) is source
