"""A backbone cut in two and put together again, and adapters merged into it."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_models import FAMILIES, save_tiny_model

from pocketrec.errors import RunError, UsageError
from teacher import pretrained as module
from teacher.adapted import load_adapted
from teacher.adapter import save_adapter
from teacher.backbone import Backbone
from teacher.layers import LowerStates, Targets, UpperLayers, open_states
from teacher.pretrained import load_backbone
from teacher.sources import Source

TEXTS = ["red cat", "blue dog red dog green", "dog", "unheard red blue cat", "green", "", "cat cat"]
TOKENS = 6


@pytest.fixture(autouse=True)
def _float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where bfloat16 is faster, its rounding would hide small errors."""
    monkeypatch.setattr(module, "fastest_dtype", lambda: torch.float32)


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    base = tmp_path_factory.mktemp("models")
    made = {name: save_tiny_model(base / name, name) for name in FAMILIES}
    return made.__getitem__


def source_of(texts: list[str]) -> Source:
    rows = np.arange(len(texts))
    return Source("words", "f" * 32, rows, texts, [rows], np.zeros(1, dtype=np.int64))


def cut(backbone: Backbone, folder: Path, first: int) -> LowerStates:
    return open_states(folder, source_of(TEXTS), backbone, first, TOKENS)[1]


def whole(backbone: Backbone) -> torch.Tensor:
    return backbone.encode(backbone.tokenize(TEXTS, TOKENS))


def upper_layers(backbone: Backbone, first: int, targets: Targets = "query-value") -> UpperLayers:
    return UpperLayers(backbone, first, rank=2, alpha=4, targets=targets)


@pytest.mark.parametrize("family", ["bert", "roberta", "gpt2", "llama"])
@pytest.mark.parametrize(("first", "layer"), [(0, 2), (1, 3), (2, 4)])
def test_kept_states_and_upper_layers_equal_the_whole_backbone(
    folder_of: Callable[[str], Path], tmp_path: Path, family: str, first: int, layer: int
) -> None:
    backbone = load_backbone(str(folder_of(family)), layer)
    expected, states = whole(backbone), cut(backbone, tmp_path, first)
    upper = upper_layers(backbone, first)
    rows = np.array([3, 0, 5, 1, 1])
    found = torch.from_numpy(upper.encode(states, rows))
    torch.testing.assert_close(found, expected[rows], atol=2e-3, rtol=2e-3)  # half precision
    upper.check(states, np.arange(7), expected, "words")


def test_layers_that_hand_more_than_states_to_each_other_are_cut_at_the_bottom_alone(
    folder_of: Callable[[str], Path], tmp_path: Path
) -> None:
    """T5 computes its position bias in the first layer."""
    for first in (0, 2):
        backbone = load_backbone(str(folder_of("t5")), 4)
        expected, states = whole(backbone), cut(backbone, tmp_path / str(first), first)
        upper = upper_layers(backbone, first)
        if first == 0:
            upper.check(states, np.arange(7), expected, "words")
        else:
            with pytest.raises(UsageError, match="words: expected kept states .* first_layer = 0"):
                upper.check(states, np.arange(7), expected, "words")


def test_states_of_another_model_are_noticed(
    folder_of: Callable[[str], Path], tmp_path: Path
) -> None:
    other = load_backbone(str(save_tiny_model(tmp_path / "other", "llama", seed=1)), 4)
    cut(other, tmp_path / "states", 2)
    backbone = load_backbone(str(folder_of("llama")), 4)
    expected, states = whole(backbone), cut(backbone, tmp_path / "states", 2)
    with pytest.raises(UsageError, match="remove them if they are of another model"):
        upper_layers(backbone, 2).check(states, np.arange(7), expected, "words")


def test_states_are_kept_until_the_texts_change(
    folder_of: Callable[[str], Path], tmp_path: Path
) -> None:
    backbone = load_backbone(str(folder_of("llama")), 4)
    calls: list[float] = []
    first = open_states(tmp_path, source_of(TEXTS), backbone, 2, TOKENS, calls.append)[1]
    assert first.states.dtype == np.float16
    assert first.lengths.tolist() == [3, 6, 2, 5, 2, 1, 3]  # <s> and words, cut at six
    backbone.model.forward = None  # type: ignore[assignment]
    again = open_states(tmp_path, source_of(TEXTS), backbone, 2, TOKENS)[1]
    np.testing.assert_array_equal(again.states, first.states)
    with pytest.raises(TypeError):  # the model is asked again
        open_states(tmp_path, source_of([*TEXTS, "red"]), backbone, 2, TOKENS)


def test_linked_states_of_some_items_restrict_the_source(
    folder_of: Callable[[str], Path], tmp_path: Path
) -> None:
    backbone = load_backbone(str(folder_of("llama")), 4)
    full = cut(backbone, tmp_path / "full", 2)
    some = np.array([1, 3, 4])
    rows, lengths = full.read(some)
    np.save(tmp_path / "words.l2.npy", rows.numpy())
    np.savez(tmp_path / "words.npz", starts=np.cumsum([0, *lengths.tolist()]), items=some)
    source, states = open_states(tmp_path, source_of(TEXTS), backbone, 2, TOKENS)
    assert source.texts == [TEXTS[1], TEXTS[3], TEXTS[4]]
    assert source.sequences[0].tolist() == [0, 1, 2]
    torch.testing.assert_close(states.read(np.array([2]))[0], full.read(np.array([4]))[0])
    shorter = open_states(tmp_path, source_of(TEXTS), backbone, 2, 4)[1]
    torch.testing.assert_close(shorter.read(np.array([0]))[0], full.read(np.array([1]))[0][:4])
    np.save(tmp_path / "words.l2.npy", rows.numpy()[:-1])
    with pytest.raises(RunError, match="remove it to compute it again"):
        open_states(tmp_path, source_of(TEXTS), backbone, 2, TOKENS)
    (tmp_path / "words.npz").write_bytes(b"no")
    with pytest.raises(RunError, match=r"words\.npz: expected starts and items"):
        open_states(tmp_path, source_of(TEXTS), backbone, 2, TOKENS)


@pytest.mark.parametrize(
    ("family", "targets", "names"),
    [
        ("llama", "query-value", {"q_proj", "v_proj"}),
        ("bert", "query-value", {"query", "value"}),
        ("gpt2", "query-value", {"c_attn"}),
        ("gpt2", "all-linear", {"c_attn", "c_proj", "c_fc"}),
    ],
)
def test_lora_is_on_the_upper_layers_alone(
    folder_of: Callable[[str], Path], family: str, targets: Targets, names: set[str]
) -> None:
    upper = upper_layers(load_backbone(str(folder_of(family)), 3), 1, targets)
    trained = [name.split(".") for name in upper.adapter]
    assert {parts[-3] for parts in trained} == names
    assert {part for parts in trained for part in parts if part.isdigit()} == {"1", "2"}
    assert {id(p) for p in upper.parameters() if p.requires_grad} == {
        id(p) for p in upper.adapter.values()
    }


@pytest.fixture(params=["llama", "gpt2"])
def trained(
    request: pytest.FixtureRequest, folder_of: Callable[[str], Path], tmp_path: Path
) -> tuple[Path, Path, torch.Tensor]:
    """A model folder, an adapter of its layers 2 and 3 with random matrices, and the vectors that it gives."""
    folder = folder_of(request.param)
    backbone = load_backbone(str(folder), 3)
    states = cut(backbone, tmp_path / "states", 1)
    fingerprint = backbone.fingerprint
    upper = upper_layers(backbone, 1)
    torch.manual_seed(0)
    with torch.no_grad():
        for matrix in upper.adapter.values():
            matrix.normal_(std=0.3)
    save_adapter(tmp_path / "adapter", upper.adapter, upper.config, {"backbone": fingerprint})
    return folder, tmp_path / "adapter", torch.from_numpy(upper.encode(states, np.arange(7)))


def test_a_loaded_adapter_gives_the_vectors_it_was_trained_to_give(
    trained: tuple[Path, Path, torch.Tensor],
) -> None:
    folder, adapter, expected = trained
    plain, adapted = load_backbone(str(folder), 3), load_adapted(str(folder), 3, adapter)
    frozen, taught = whole(adapted).chunk(2, dim=1)
    torch.testing.assert_close(taught, expected, atol=2e-3, rtol=2e-3)
    torch.testing.assert_close(frozen, whole(plain), atol=1e-5, rtol=1e-5)
    assert not torch.allclose(frozen, expected, atol=0.05)
    assert adapted.first == 1
    assert adapted.width == 2 * plain.width
    assert not any(p.requires_grad for p in adapted.upper.parameters())
    assert not any("lora" in name for name, _ in adapted.upper.named_parameters())


def test_the_fingerprint_names_the_adapter(trained: tuple[Path, Path, torch.Tensor]) -> None:
    folder, adapter, _ = trained
    plain = load_backbone(str(folder), 3).fingerprint
    first = load_adapted(str(folder), 3, adapter).fingerprint
    assert first.startswith(f"{plain}/adapter-")
    moved = shutil.copytree(adapter, adapter.parent / "moved")
    assert load_adapted(str(folder), 3, moved).fingerprint == first
    config = moved / "adapter_config.json"
    config.write_text(config.read_text().replace('"lora_alpha": 4', '"lora_alpha": 8'))
    assert load_adapted(str(folder), 3, moved).fingerprint != first


def test_what_is_no_adapter_of_this_backbone(trained: tuple[Path, Path, torch.Tensor]) -> None:
    folder, adapter, _ = trained
    with pytest.raises(UsageError, match="expected an adapter of .*layer-4.*layer-3"):
        load_adapted(str(folder), 4, adapter)
    with pytest.raises(UsageError, match=r"with adapter_config\.json, found no such file"):
        load_adapted(str(folder), 3, folder)
    (adapter / "adapter_model.safetensors").write_bytes(b"no")
    with pytest.raises(RunError, match="expected a readable adapter, found"):
        load_adapted(str(folder), 3, adapter)
