"""The base text encoder: what training leaves, how a catalogue starts from it, what is refused."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from tiny_data import Recorder, tiny_texts
from torch.nn import functional

from distill import base_text as module
from distill.base_text import FILE, BaseText, BaseTextRecipe, open_base_text, train_base_text
from distill.recipe import StudentRecipe
from distill.student import TextEncoder
from distill.text import tokenize, train_text_encoder, train_tokenizer
from pocketrec.errors import UsageError
from pocketrec.text import item_text
from pocketrec.tokenizer import Tokenizer

TEXTS = [item_text(title, description, genre) for title, description, genre in tiny_texts()]
WIDE, TOKENS = 24, 32
RECIPE = BaseTextRecipe(vocabulary=300, dimensions=16, epochs=60, batch=16, learning_rate=0.02)


def read(texts: list[str], seed: int = 0) -> npt.NDArray[np.float32]:
    """A teacher that reads words: each has a random direction, a text the sum of its words'."""
    words = sorted({word for text in TEXTS for word in text.lower().split()})
    directions = dict(
        zip(words, np.random.default_rng(seed).normal(size=(len(words), WIDE)), strict=True)
    )
    summed = np.array([sum(directions[w] for w in t.lower().split()) for t in texts])
    return (summed / np.linalg.norm(summed, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("base") / "text"
    report = Recorder()
    train_base_text(TEXTS, read(TEXTS), ["films"], RECIPE, 0, out, report)
    assert "a base text encoder of 1 domains" in report.lines[0]
    return out


@pytest.fixture(scope="module")
def base(folder: Path) -> BaseText:
    return BaseText.load(folder)


def catalogue(
    base: BaseText, texts: list[str], path: Path
) -> tuple[Tokenizer, npt.NDArray[np.int64]]:
    tokenizer = train_tokenizer(texts, 300, path, base.pieces_for(texts))
    return tokenizer, tokenize(tokenizer, texts, TOKENS)


def test_its_rows_are_those_of_its_pieces(base: BaseText) -> None:
    assert base.embedding.shape == (len(base.tokenizer), 16)
    assert base.importance.shape == (len(base.tokenizer),)
    assert base.facts["domains"] == ["films"]
    assert base.facts["texts"] == len(TEXTS)


def test_it_is_small(folder: Path, base: BaseText) -> None:
    assert (folder / FILE).stat().st_size < len(base.tokenizer) * (16 + 4) + 2000


def test_the_same_texts_give_the_same_encoder(folder: Path, tmp_path: Path) -> None:
    train_base_text(TEXTS, read(TEXTS), ["films"], RECIPE, 0, tmp_path, Recorder())
    assert BaseText.load(tmp_path).sha == BaseText.load(folder).sha


def test_a_catalogue_takes_over_common_pieces_and_those_it_uses(
    base: BaseText, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "COMMON", 40)
    pieces, taken = base.tokenizer.pieces, base.pieces_for(TEXTS[:3])
    used = {n for text in TEXTS[:3] for n in base.tokenizer.encode(text)}
    assert taken == [piece for n, piece in enumerate(pieces) if n < 40 or n in used]
    assert 40 < len(taken) < len(pieces)


def test_a_catalogue_starts_at_the_regression(base: BaseText, tmp_path: Path) -> None:
    texts = [*TEXTS[:20], "Zyzzyva: the quokka returns"]
    tokenizer, tokens = catalogue(base, texts, tmp_path / "tokenizer.json")
    assert len(tokenizer) > len(base.tokenizer)
    known = {piece: number for number, piece in enumerate(base.tokenizer.pieces)}
    target = torch.from_numpy(read(TEXTS[:21])[:, :8].copy())
    encoder = base.encoder(tokenizer, tokens, functional.normalize(target, dim=-1))
    with torch.no_grad():
        encoder.contract.weight.zero_()
        found = encoder(torch.from_numpy(tokens))
    assert encoder.embedding.weight.shape == (len(tokenizer), 8)
    # By hand: weighted means of base rows, then the ridge regression in its normal equations.
    rows = []
    for text in texts:
        spelt = [
            [known[piece]] if piece in known else base.tokenizer.encode(piece.removeprefix("##"))
            for piece in (tokenizer.pieces[n] for n in tokenizer.encode(text, TOKENS))
        ]
        weights = np.array([base.importance[s].mean().exp().item() for s in spelt])
        vectors = np.array([base.embedding[s].mean(dim=0).numpy() for s in spelt])
        rows.append(weights @ vectors / weights.sum())
    x, y = np.array(rows), functional.normalize(target, dim=-1).numpy()
    centred = x - x.mean(axis=0)
    inner = centred.T @ centred
    inner += 0.3 * np.diag(inner).mean() * np.eye(16)
    expected = centred @ np.linalg.solve(inner, centred.T @ (y - y.mean(axis=0))) + y.mean(axis=0)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-3)


def test_from_few_texts_it_knows_more_than_one_trained_on_them_alone(
    base: BaseText, tmp_path: Path
) -> None:
    """Another space of the same words; a quarter of the texts is known."""
    target = functional.normalize(torch.from_numpy(read(TEXTS)[:, :8].copy()), dim=-1)
    few = len(TEXTS) // 4
    tokenizer, tokens = catalogue(base, TEXTS, tmp_path / "tokenizer.json")
    torch.manual_seed(0)
    started = base.encoder(tokenizer, tokens[:few], target[:few])
    alone = TextEncoder(len(tokenizer), 8)
    cosines = []
    for encoder in (started, alone):
        recipe = StudentRecipe(dimensions=8, text_epochs=30)
        train_text_encoder(encoder, tokens[:few], target[:few].numpy(), recipe, seed=0)
        with torch.no_grad():
            unseen = encoder(torch.from_numpy(tokens[few:]))
        cosines.append(float((unseen * target[few:]).sum(dim=-1).mean()))
    assert cosines[0] > cosines[1] + 0.05


def test_what_a_recipe_names(folder: Path) -> None:
    assert open_base_text(StudentRecipe(text_base="none")) is None
    named = open_base_text(StudentRecipe(text_base=str(folder)))
    assert named is not None
    assert named.facts["domains"] == ["films"]


def test_the_released_one_is_small_and_whole() -> None:
    released = open_base_text(StudentRecipe())
    assert released is not None
    assert len(released.facts["domains"]) >= 10
    assert not {"amazon-scientific", "movielens-small"} & set(released.facts["domains"])
    assert (released.folder / FILE).stat().st_size < 2_000_000


@pytest.mark.parametrize("content", [None, b"", b"no weights"])
def test_none_or_a_damaged_one(folder: Path, tmp_path: Path, content: bytes | None) -> None:
    (tmp_path / "tokenizer.json").write_bytes((folder / "tokenizer.json").read_bytes())
    if content is not None:
        (tmp_path / FILE).write_bytes(content)
    with pytest.raises(UsageError, match="expected a base text encoder"):
        BaseText.load(tmp_path)


def test_the_tokenizer_of_another_one(folder: Path, tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes((folder / FILE).read_bytes())
    train_tokenizer(TEXTS, 90, tmp_path / "tokenizer.json")
    with pytest.raises(UsageError, match="expected as many rows"):
        BaseText.load(tmp_path)
