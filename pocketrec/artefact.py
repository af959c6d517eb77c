"""What the teacher hands to the student: a folder of arrays, so that distillation needs no teacher code."""

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pocketrec.errors import RunError


@dataclass(frozen=True)
class NeighbourTable:
    """Per scored item the history items that speak most for it.

    Attributes:
        neighbours: int32 [N, K], -1 where there is none.
        weights: float32 [N, K], what each adds to the item's score.
    """

    neighbours: npt.NDArray[np.int32]
    weights: npt.NDArray[np.float32]

    @classmethod
    def from_matrix(cls, weights: npt.NDArray[np.float32], k: int) -> "NeighbourTable":
        """The ``k`` largest entries of each column of an item-item matrix [N, N] (row = history item)."""
        items = len(weights)
        k = min(k, items - 1)
        if k < 1:
            return cls(
                np.full((items, 1), -1, dtype=np.int32), np.zeros((items, 1), dtype=np.float32)
            )
        top = np.empty((items, k), dtype=np.int32)
        kept = np.empty((items, k), dtype=np.float32)
        for start in range(0, items, 1024):
            rows = np.ascontiguousarray(weights[:, start : start + 1024].T)
            chosen = np.argpartition(rows, items - k, axis=1)[:, items - k :]
            values = np.take_along_axis(rows, chosen, axis=1)
            order = np.argsort(-values, axis=1, kind="stable")
            top[start : start + 1024] = np.take_along_axis(chosen, order, axis=1)
            kept[start : start + 1024] = np.take_along_axis(values, order, axis=1)
        top[kept <= 0] = -1
        kept[kept <= 0] = 0.0
        return cls(top, kept)

    def head(self, k: int) -> "NeighbourTable":
        return NeighbourTable(self.neighbours[:, :k], self.weights[:, :k])


@dataclass(frozen=True)
class TeacherArtefact:
    """Everything a student learns from.

    Attributes:
        item_vectors: float32 [N, v], whitened language-model vectors of the item texts, unit rows.
        projected: float32 [N, d], the sequence model's item space, unit rows.
        windows: int32 [W, L], the training histories as the sequence model read them, right-padded with -1.
        states: float16 [P, d], for each filled place of ``windows`` in row-major order the user vector that had read
            the items before it; ``states @ projected.T`` are the teacher's logits for that place.
        neighbours, weights: the teacher's item-item model as a ``NeighbourTable``.
        peer_neighbours, peer_weights: the same of EASE without text, for the student that learns from no teacher.
    """

    item_vectors: npt.NDArray[np.float32]
    projected: npt.NDArray[np.float32]
    windows: npt.NDArray[np.int32]
    states: npt.NDArray[np.float16]
    neighbours: npt.NDArray[np.int32]
    weights: npt.NDArray[np.float32]
    peer_neighbours: npt.NDArray[np.int32]
    peer_weights: npt.NDArray[np.float32]

    @property
    def table(self) -> NeighbourTable:
        return NeighbourTable(self.neighbours, self.weights)

    @property
    def peer_table(self) -> NeighbourTable:
        return NeighbourTable(self.peer_neighbours, self.peer_weights)

    def save(self, folder: Path) -> None:
        for array in fields(self):
            np.save(folder / f"{array.name}.npy", getattr(self, array.name))

    @classmethod
    def load(cls, folder: Path) -> "TeacherArtefact":
        """Raises RunError: a file of the artefact is missing or damaged."""
        arrays = {}
        for array in fields(cls):
            path = folder / f"{array.name}.npy"
            try:
                arrays[array.name] = np.load(path)
            except (OSError, EOFError, ValueError) as error:
                raise RunError(
                    f"{path}: expected an array of the teacher, found {error}; remove {folder}"
                ) from error
        return cls(**arrays)
