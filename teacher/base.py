"""The base teacher: what training on the source domains left, for any catalogue that the same language model reads."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from pocketrec.errors import RunError
from pocketrec.files import atomic_write, read_json, write_json
from teacher.recipe import SequenceRecipe
from teacher.sequence import SequenceModel

FACTS, SEQUENCE = "base.json", "sequence.safetensors"


@dataclass(frozen=True)
class BaseTeacher:
    """Weights of a sequence model that was pre-trained on many domains.

    Attributes:
        state: the model's weights; ``project.weight`` float32 [d, h] reads the language model's own space.
        facts: what made it: backbone fingerprint, domains, recipe, seed, figures.
    """

    state: dict[str, torch.Tensor]
    facts: dict[str, Any]

    @classmethod
    def of(cls, model: SequenceModel, facts: dict[str, Any]) -> "BaseTeacher":
        """From a pre-trained model; its catalogue stays behind."""
        state = {name: value for name, value in model.state_dict().items() if name != "vectors"}
        return cls(state, facts)

    def fits(self, fingerprint: str, recipe: SequenceRecipe) -> bool:
        """Whether it was trained on vectors of this backbone for a model of this shape."""
        shape = self.facts["recipe"]["sequence"]
        return self.facts["fingerprint"] == fingerprint and all(
            shape[name] == getattr(recipe, name) for name in ("dimensions", "layers", "heads")
        )

    def start(self, model: SequenceModel, basis: npt.NDArray[np.float32]) -> None:
        """Give ``model`` these weights.

        Args:
            basis: float32 [h, v], where the v dimensions of the model's item vectors lie in the language model's space
                (``Whitening.basis``). The rotation goes into the projection, so the model stays as small as any other.
        """
        state = dict(self.state)
        wide, narrow = basis.shape
        # Models read unit vectors at unit variance, that is, times the root of their width.
        scale = math.sqrt(wide / narrow)
        state["project.weight"] = state["project.weight"] @ torch.from_numpy(basis) * scale
        state["position"] = state["position"][: model.length + 1]
        own = model.state_dict()
        model.load_state_dict({name: state.get(name, value) for name, value in own.items()})

    def save(self, folder: Path) -> None:
        """Write ``sequence.safetensors`` and ``base.json`` into ``folder``."""
        with atomic_write(folder / SEQUENCE) as temporary:
            save_file({name: value.contiguous() for name, value in self.state.items()}, temporary)
        write_json(folder / FACTS, self.facts)

    @classmethod
    def load(cls, folder: Path) -> "BaseTeacher":
        """Read what ``save`` wrote.

        Raises:
            RunError: a file is missing or damaged.
        """
        try:
            return cls(load_file(folder / SEQUENCE), read_json(folder / FACTS))
        except (OSError, ValueError, SafetensorError) as error:
            raise RunError(
                f"{folder}: expected a base teacher ({SEQUENCE}, {FACTS}), found: {error}; "
                "train it again or name another folder"
            ) from error
