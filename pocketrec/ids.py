"""External ids (what the user's data calls an item) and internal indices (rows of the model) kept apart."""

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt


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
