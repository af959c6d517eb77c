"""A LoRA adapter on disk: what peft reads, beside what made it."""

import hashlib
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn

from pocketrec.errors import RunError, UsageError
from pocketrec.files import atomic_folder, read_json, sha256, write_json

if TYPE_CHECKING:
    from peft import LoraConfig

    from teacher.backbone import Backbone

CONFIG, WEIGHTS, FACTS = "adapter_config.json", "adapter_model.safetensors", "adapter.json"


def save_adapter(
    folder: Path, weights: Mapping[str, Tensor], config: "LoraConfig", facts: dict[str, Any]
) -> None:
    """Write an adapter that ``peft.PeftModel.from_pretrained`` reads too.

    Args:
        weights: the LoRA matrices by the names that peft gives them.
        facts: what made it; ``backbone`` is the fingerprint of the backbone that it was trained on.
    """
    with atomic_folder(folder) as temporary:
        plain = {name: value.detach().cpu().contiguous() for name, value in weights.items()}
        save_file(plain, temporary / WEIGHTS, metadata={"format": "pt"})
        config.save_pretrained(str(temporary))
        write_json(temporary / FACTS, facts)


def adapter_sha(folder: Path) -> str:
    """Hash of an adapter.

    Raises:
        UsageError: a file of it is missing.
    """
    for name in (CONFIG, WEIGHTS, FACTS):
        if not (folder / name).is_file():
            raise UsageError(f"{folder}: expected an adapter with {name}, found no such file")
    digest = hashlib.blake2b(digest_size=8)
    for name in (CONFIG, WEIGHTS):
        digest.update(sha256(folder / name).encode())
    return digest.hexdigest()


def merged_layers(backbone: "Backbone", folder: Path) -> nn.Module:
    """A copy of the model of ``backbone`` with the adapter in ``folder`` added to its weights.

    Raises:
        UsageError: an adapter of another backbone or layer.
        RunError: a file is missing or damaged.
    """
    from peft import PeftModel  # takes seconds, and most backbones have no adapter

    try:
        trained_on = read_json(folder / FACTS)["backbone"]
        if trained_on != backbone.fingerprint:
            raise UsageError(
                f"{folder}: expected an adapter of {backbone.fingerprint}, found one of {trained_on}; "
                "name the backbone and layer that it was trained on, or train another"
            )
        model = deepcopy(backbone.model)
        merged: nn.Module = PeftModel.from_pretrained(model, str(folder)).merge_and_unload()
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise RunError(
            f"{folder}: expected a readable adapter, found: {reason}; train it again"
        ) from error
    return merged.eval().requires_grad_(False)
