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

from pocketrec.errors import UsageError
from pocketrec.files import atomic_write, read_json
from teacher.adapter import FACTS, adapter_sha
from teacher.pretrained import MINILM, SMOLLM2
from teacher.readings import Fingerprints
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
        state: the model's weights; ``project.weight`` float32 [d, h + s] reads the language model's own space, and that of
            the sentence encoder beside it.
        facts: what made it: fingerprints of those, domains, recipe, seed, minutes.
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

    def check(self, readers: Fingerprints, recipe: SequenceRecipe) -> None:
        """Raises UsageError: it was trained on what other models read, or for a model of another shape."""
        made = Fingerprints(**self.facts["fingerprints"])
        found = {"language model": made.language, **self._shape()}
        expected = {"language model": readers.language} | {n: getattr(recipe, n) for n in SHAPE}
        if made.sentences and readers.sentences:
            found["sentence encoder"] = made.sentences
            expected["sentence encoder"] = readers.sentences
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

    def start(
        self,
        model: SequenceModel,
        language: npt.NDArray[np.float32],
        sentences: npt.NDArray[np.float32] | None = None,
    ) -> None:
        """Give ``model`` these weights.

        The rotation from the catalogue's own dimensions goes into the projection, so the model stays as small as any
        other. What a sentence encoder says starts without weight where the base has learned without one. Long training
        has made the projected texts several times as long as a new model's: they are made as short as those, which
        changes no cosine, for the ID residual learns by steps of one size, and beside long ones it would be nothing.
        What the model reads beside texts is the catalogue's own and starts without weight.

        Args:
            language: float32 [h, v], where the first v dimensions of the model's item vectors lie in the language
                model's space, and
            sentences: float32 [s, w], where the others lie in the sentence encoder's, if any (``Readings.bases``).
        """
        learned = self.state["project.weight"]
        split, wide = len(language), learned.shape[1]
        parts = [learned[:, :split] @ torch.from_numpy(language)]
        known = language.shape[1]
        if sentences is not None and wide > split:
            parts.append(learned[:, split:] @ torch.from_numpy(sentences))
            known += sentences.shape[1]
        elif sentences is not None:
            parts.append(learned.new_zeros(len(learned), sentences.shape[1]))
        texts = sum(part.shape[1] for part in parts)
        parts.append(torch.zeros_like(model.project.weight[:, texts:]))
        # Where histories are longer than in any source, a later place is read like the last that was learned.
        places = torch.arange(model.length + 1).clamp(max=len(self.state["position"]) - 1)
        new_length = model.text_length()
        state = {
            **model.state_dict(),
            **self.state,
            # Models read unit vectors at unit variance, that is, times the root of their width.
            "project.weight": torch.cat(parts, dim=1) * math.sqrt(wide / known),
            "position": self.state["position"][places],
        }
        model.load_state_dict(state)
        shorter = new_length / model.text_length()
        for parameter in model.project.parameters():
            parameter.data *= shorter

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
    fits = (
        base.sequence is not None
        and base.sequence.fits(recipe.sequence)
        and recipe.sentence_encoder in (MINILM, NONE)
    )
    return base if fits else Base(base.adapter)


def _open(folder: Path) -> Base:
    adapter = folder / ADAPTER if (folder / ADAPTER).is_dir() else None
    if adapter:
        adapter_sha(adapter)  # all of its files are there
    alone = adapter is not None and not (folder / FILE).is_file()
    return Base(adapter, None if alone else BaseTeacher.load(folder))
