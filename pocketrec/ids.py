"""External ids (what the user's data calls an item) and internal indices (rows of the model) kept apart."""

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt


class Places(Protocol):
    """What knows the ids of a catalogue and their places; `pocketrec.catalogue.Catalogue` is one."""

    def __len__(self) -> int: ...

    def ids(self) -> list[str]: ...

    def positions(self, ids: Sequence[str]) -> dict[str, int]: ...

    def ids_at(self, positions: Sequence[int]) -> dict[int, str]: ...


class IdMap:
    """A fixed order of unique external ids; the index of an id is its row in every matrix."""

    def __init__(self, ids: Sequence[str]) -> None:
        self.ids = list(ids)
        self._index = {external: index for index, external in enumerate(self.ids)}
        if len(self._index) != len(self.ids):
            raise ValueError("ids are not unique")

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, external: str) -> bool:
        return external in self._index

    def index_of(self, external: str) -> int | None:
        return self._index.get(external)

    def indices(self, externals: Iterable[str]) -> npt.NDArray[np.int64]:
        """Indices of the known ids among ``externals``, in their order; int64 [n]."""
        get = self._index.get
        found = [index for external in externals if (index := get(external)) is not None]
        return np.array(found, dtype=np.int64)


class LazyIdMap:
    """The ids of a catalogue that may be too large to hold: each is looked up once and kept.

    May be used from several threads.
    """

    def __init__(self, places: Places) -> None:
        self._places = places
        self._index: dict[str, int | None] = {}
        self._id: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, external: str) -> bool:
        return self.index_of(external) is not None

    @cached_property
    def ids(self) -> list[str]:
        """Every id in order."""
        return self._places.ids()

    def index_of(self, external: str) -> int | None:
        if external not in self._index:
            self._look_up([external])
        return self._index[external]

    def indices(self, externals: Iterable[str]) -> npt.NDArray[np.int64]:
        """Indices of the known ids among ``externals``, in their order; int64 [n]."""
        externals = list(externals)
        if new := [external for external in externals if external not in self._index]:
            self._look_up(new)
        found = map(self._index.__getitem__, externals)
        return np.array([index for index in found if index is not None], dtype=np.int64)

    def names(self, indices: Iterable[int]) -> list[str]:
        """The ids at ``indices``, all of them places of the catalogue."""
        indices = list(indices)
        if new := [index for index in indices if index not in self._id]:
            self._id |= self._places.ids_at(new)
        return [self._id[index] for index in indices]

    def _look_up(self, externals: list[str]) -> None:
        self._index |= dict.fromkeys(externals) | self._places.positions(externals)
