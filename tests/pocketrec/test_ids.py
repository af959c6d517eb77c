"""Ids and indices, held and looked up."""

import pytest
from tiny_bundle import tiny_items

from pocketrec.catalogue import Catalogue
from pocketrec.ids import IdMap, LazyIdMap

IDS = [item.item_id for item in tiny_items()]


class Counting:
    """A catalogue that notes what it is asked for."""

    def __init__(self, catalogue):
        self._catalogue = catalogue
        self.asked = []

    def __len__(self):
        return len(self._catalogue)

    def ids(self):
        return self._catalogue.ids()

    def positions(self, ids):
        self.asked += ids
        return self._catalogue.positions(ids)

    def ids_at(self, positions):
        self.asked += positions
        return self._catalogue.ids_at(positions)


@pytest.fixture
def catalogue(tmp_path):
    Catalogue.write(tmp_path / "catalogue.sqlite", tiny_items())
    return Counting(Catalogue.open(tmp_path / "catalogue.sqlite"))


def test_a_lazy_map_answers_as_a_held_one(catalogue):
    lazy, held = LazyIdMap(catalogue), IdMap(IDS)
    assert len(lazy) == len(held)
    assert lazy.ids == held.ids
    asked = ["m40", "none", "m01", "m40", "m17", "\ud800"]
    assert lazy.indices(asked).tolist() == held.indices(asked).tolist() == [39, 0, 39, 16]
    for external in asked:
        assert lazy.index_of(external) == held.index_of(external)
        assert (external in lazy) == (external in held)
    assert lazy.names([39, 0, 39]) == ["m40", "m01", "m40"]
    assert lazy.indices([]).dtype == lazy.indices(["none"]).dtype == held.indices([]).dtype


def test_each_id_is_looked_up_once(catalogue):
    lazy = LazyIdMap(catalogue)
    for _ in range(3):
        lazy.indices(["m01", "none"])
        assert "m02" in lazy
        lazy.names([4, 5])
    assert catalogue.asked == ["m01", "none", "m02", 4, 5]


def test_more_ids_than_one_statement_takes(tmp_path):
    from pocketrec.catalogue import Item

    Catalogue.write(tmp_path / "many.sqlite", [Item(f"i{n}", "A title") for n in range(2000)])
    lazy = LazyIdMap(Catalogue.open(tmp_path / "many.sqlite"))
    wanted = [f"i{n}" for n in range(1999, -1, -1)]
    assert lazy.indices(wanted).tolist() == list(range(1999, -1, -1))
    assert lazy.names(range(2000)) == wanted[::-1]


def test_ids_that_stand_twice_are_refused():
    with pytest.raises(ValueError, match="not unique"):
        IdMap(["a", "b", "a"])
