"""The student on disk: what export turns into a bundle."""

import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from distill.recipe import StudentRecipe
from distill.student import SequenceEncoder, TextEncoder
from pocketrec.errors import RunError
from pocketrec.files import read_json, write_json
from pocketrec.neighbour_table import NeighbourTable
from pocketrec.ranker import RankerSettings

# What reading a missing, truncated or mixed-up file raises; RuntimeError: weights of another shape.
_DAMAGED = (
    OSError,
    EOFError,
    ValueError,
    KeyError,
    TypeError,
    RuntimeError,
    SafetensorError,
    zipfile.BadZipFile,
)


@dataclass(frozen=True)
class Student:
    """A trained student.

    Attributes:
        space: what the item space has learned (`distill.student.ItemTable.learned`); vectors come from it.
        vectors: float32 [N, d] unit item vectors.
        table: its neighbour table.
        popularity: float32 [N] training interaction counts.
        settings: how its scorers are added.
        tokenizer: where ``tokenizer.json`` stands.
    """

    recipe: StudentRecipe
    text: TextEncoder
    sequence: SequenceEncoder
    space: dict[str, Tensor]
    vectors: npt.NDArray[np.float32]
    table: NeighbourTable
    popularity: npt.NDArray[np.float32]
    settings: RankerSettings
    tokenizer: Path

    def save(self, folder: Path) -> None:
        """Write everything but the tokenizer, which stands in ``folder`` from its training on."""
        save_file(self.text.state_dict(), folder / "text_encoder.safetensors")
        save_file(self.sequence.state_dict(), folder / "sequence_encoder.safetensors")
        save_file(self.space, folder / "item_space.safetensors")
        np.savez(
            folder / "items.npz",
            vectors=self.vectors,
            sources=self.table.sources,
            targets=self.table.targets,
            weights=self.table.weights,
            popularity=self.popularity,
        )
        write_json(
            folder / "student.json",
            {"recipe": self.recipe.model_dump(), "settings": asdict(self.settings)},
        )

    @classmethod
    def load(cls, folder: Path) -> "Student":
        """Raises RunError: a file is missing or damaged."""
        try:
            stored = read_json(folder / "student.json")
            recipe = StudentRecipe(**stored["recipe"])
            settings = RankerSettings(**stored["settings"])
            text_state = load_file(folder / "text_encoder.safetensors")
            sequence_state = load_file(folder / "sequence_encoder.safetensors")
            with np.load(folder / "items.npz") as arrays:
                items = {name: arrays[name] for name in arrays.files}
            text = TextEncoder(len(text_state["embedding.weight"]), recipe.dimensions)
            text.load_state_dict(text_state)
            sequence = SequenceEncoder(settings.max_length, recipe)
            sequence.load_state_dict(sequence_state)
            return cls(
                recipe,
                text.eval(),
                sequence.eval(),
                load_file(folder / "item_space.safetensors"),
                items["vectors"],
                NeighbourTable(
                    len(items["vectors"]), items["sources"], items["targets"], items["weights"]
                ),
                items["popularity"],
                settings,
                folder / "tokenizer.json",
            )
        except _DAMAGED as error:
            raise RunError(
                f"{folder}: expected a student checkpoint, found {error}; remove {folder}"
            ) from error
