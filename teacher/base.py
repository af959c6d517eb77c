"""The base teacher: what training on the source domains left, for any catalogue that the same language model reads."""

import hashlib
import json
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch.nn import functional

from pocketrec.errors import UsageError
from pocketrec.files import atomic_write, read_json
from teacher.adapter import FACTS, adapter_sha
from teacher.backbone import SMOLLM2
from teacher.recipe import NONE, SequenceRecipe, TeacherRecipe
from teacher.sequence import SequenceModel

FILE = "base.safetensors"
ADAPTER = "adapter"
RELEASED = Path(__file__).parent / "weights"
AUTO = "auto"
SHAPE = ("dimensions", "layers", "heads")
CATALOGUE = {"vectors", "residual.weight"}
"""Parts of a sequence model with a row for each item."""


@dataclass(frozen=True)
class BaseTeacher:
    """Weights of a sequence model that was pre-trained on many domains.

    Attributes:
        state: the model's weights; ``project.weight`` float32 [d, h] reads the language model's own space.
        facts: what made it: backbone fingerprint, domains, recipe, seed, minutes.
    """

    state: dict[str, torch.Tensor]
    facts: dict[str, Any]

    @classmethod
    def of(cls, model: SequenceModel, facts: dict[str, Any]) -> "BaseTeacher":
        """From a pre-trained model; its catalogue stays behind."""
        state = model.state_dict()
        return cls({name: state[name] for name in state.keys() - CATALOGUE}, facts)

    @cached_property
    def sha(self) -> str:
        """Hash of the weights."""
        digest = hashlib.blake2b(digest_size=16)
        for name, value in sorted(self.state.items()):
            digest.update(name.encode())
            digest.update(value.numpy().tobytes())
        return digest.hexdigest()

    def check(self, fingerprint: str, recipe: SequenceRecipe) -> None:
        """Raises UsageError: it was trained on vectors of another backbone, or for a model of another shape."""
        found = {"language model": self.facts["fingerprint"], **self._shape()}
        expected = {"language model": fingerprint} | {n: getattr(recipe, n) for n in SHAPE}
        for name in expected:
            if expected[name] != found[name]:
                raise UsageError(
                    f"recipe, table [teacher]: base: expected a base teacher with {name} {expected[name]}, "
                    f'found {found[name]}; train one for it or set base = "none"'
                )

    def fits(self, recipe: SequenceRecipe) -> bool:
        """Whether a model of this recipe has the same shape."""
        return all(getattr(recipe, name) == value for name, value in self._shape().items())

    def _shape(self) -> dict[str, Any]:
        made = self.facts["recipe"]["sequence"]
        return {name: made[name] for name in SHAPE}

    def start(self, model: SequenceModel, basis: npt.NDArray[np.float32]) -> None:
        """Give ``model`` these weights.

        Args:
            basis: float32 [h, v], where the first v dimensions of the model's item vectors lie in the language model's
                space (``Readings.basis``). The rotation goes into the projection, so the model stays as small as any
                other. Further dimensions are those of another encoder: the model starts without them.
        """
        wide, narrow = basis.shape
        # Models read unit vectors at unit variance, that is, times the root of their width.
        scale = math.sqrt(wide / narrow)
        # Where histories are longer than in any source, a later place is read like the last that was learned.
        places = torch.arange(model.length + 1).clamp(max=len(self.state["position"]) - 1)
        projection = self.state["project.weight"] @ torch.from_numpy(basis) * scale
        further = model.vectors.shape[1] - narrow
        state = {
            **model.state_dict(),
            **self.state,
            "project.weight": functional.pad(projection, (0, further)),
            "position": self.state["position"][places],
        }
        model.load_state_dict(state)

    def save(self, folder: Path) -> None:
        """Write ``base.safetensors`` into ``folder``, the facts inside."""
        tensors = {name: value.contiguous() for name, value in self.state.items()}
        with atomic_write(folder / FILE) as temporary:
            save_file(tensors, temporary, metadata={"facts": json.dumps(self.facts)})

    @classmethod
    def load(cls, folder: Path) -> "BaseTeacher":
        """Read what ``save`` wrote.

        Raises:
            UsageError: the file is missing, damaged, or holds something else.
        """
        try:
            with safe_open(folder / FILE, "pt") as file:
                facts = json.loads(file.metadata()["facts"])
                return cls({name: file.get_tensor(name) for name in file.keys()}, facts)  # noqa: SIM118
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise UsageError(
                f"{folder / FILE}: expected a base teacher, found: {error}; "
                "train one with `pocketrec pretrain` or name another folder"
            ) from error


@dataclass(frozen=True)
class Base:
    """What a recipe's ``base`` names: an adapter, a sequence model, both or neither."""

    adapter: Path | None = None
    sequence: BaseTeacher | None = None

    @property
    def domains(self) -> list[str]:
        """The source domains, sorted."""
        found = set(read_json(self.adapter / FACTS)["sources"]) if self.adapter else set()
        return sorted(found | set(self.sequence.facts["domains"] if self.sequence else ()))


def open_base(recipe: TeacherRecipe) -> Base:
    """Find what a recipe's ``base`` names.

    Raises:
        UsageError: a folder that holds nothing, or something damaged.
    """
    if recipe.base == NONE:
        return Base()
    if recipe.base != AUTO:
        return _open(Path(recipe.base))
    if recipe.backbone != SMOLLM2 or recipe.layer is not None or not RELEASED.is_dir():
        return Base()
    base = _open(RELEASED)
    fits = base.sequence is not None and base.sequence.fits(recipe.sequence)
    return base if fits else Base(base.adapter)


def _open(folder: Path) -> Base:
    adapter = folder / ADAPTER if (folder / ADAPTER).is_dir() else None
    if adapter:
        adapter_sha(adapter)  # all of its files are there
    alone = adapter is not None and not (folder / FILE).is_file()
    return Base(adapter, None if alone else BaseTeacher.load(folder))
