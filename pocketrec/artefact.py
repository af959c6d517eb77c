"""What the teacher hands to the student: a folder of arrays, so that distillation needs no teacher code."""

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pocketrec.errors import RunError
from pocketrec.neighbour_table import NeighbourTable


@dataclass(frozen=True)
class TeacherArtefact:
    """Everything a student learns from.

    Attributes:
        item_vectors: float32 [N, v], whitened language-model vectors of the item texts, unit rows.
        factors: float32 [N, f], what people's choices say of each item, zeros where nobody chose it; f is 0 where the
            teacher uses none.
        projected: float32 [N, d], the sequence model's item space, unit rows.
        windows: int32 [W, L], the training histories as the sequence model read them, right-padded with -1.
        states: float16 [P, d], for each filled place of ``windows`` in row-major order the user vector that had read
            the items before it; ``states @ projected.T`` are the teacher's logits for that place.
        sources, targets, weights: the teacher's item-item model as a ``NeighbourTable``.
        peer_sources, peer_targets, peer_weights: the same of EASE without text, for the student that learns from no
            teacher and is never shipped; None in the final teacher.
    """

    item_vectors: npt.NDArray[np.float32]
    factors: npt.NDArray[np.float32]
    projected: npt.NDArray[np.float32]
    windows: npt.NDArray[np.int32]
    states: npt.NDArray[np.float16]
    sources: npt.NDArray[np.int64]
    targets: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float32]
    peer_sources: npt.NDArray[np.int64] | None = None
    peer_targets: npt.NDArray[np.int64] | None = None
    peer_weights: npt.NDArray[np.float32] | None = None

    @property
    def features(self) -> npt.NDArray[np.float32]:
        """What a sequence model reads of each item; see `side_by_side`."""
        return side_by_side(self.item_vectors, self.factors)

    @property
    def table(self) -> NeighbourTable:
        return NeighbourTable(len(self.item_vectors), self.sources, self.targets, self.weights)

    @property
    def peer_table(self) -> NeighbourTable | None:
        sources, targets, weights = self.peer_sources, self.peer_targets, self.peer_weights
        if sources is None or targets is None or weights is None:
            return None
        return NeighbourTable(len(self.item_vectors), sources, targets, weights)

    def save(self, folder: Path) -> None:
        for array in fields(self):
            if (values := getattr(self, array.name)) is not None:
                np.save(folder / f"{array.name}.npy", values)

    @classmethod
    def load(cls, folder: Path) -> "TeacherArtefact":
        """Raises RunError: a file of the artefact is missing or damaged."""
        arrays = {}
        for array in fields(cls):
            path = folder / f"{array.name}.npy"
            if array.default is None and not path.exists():
                continue
            try:
                arrays[array.name] = np.load(path)
            except (OSError, EOFError, ValueError) as error:
                raise RunError(
                    f"{path}: expected an array of the teacher, found {error}; remove {folder}"
                ) from error
        return cls(**arrays)


def side_by_side(
    vectors: npt.NDArray[np.float32], factors: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Unit text vectors [N, v] and factors [N, f] side by side, as if numbers of both were equally large; float32 [N, v + f].

    So rows stay of about unit length, and no number becomes smaller by what stands beside it.
    """
    widths = vectors.shape[1], factors.shape[1]
    parts = zip((vectors, factors), widths, strict=True)
    return np.concatenate(
        [part * np.float32((width / sum(widths)) ** 0.5) for part, width in parts], axis=1
    )
