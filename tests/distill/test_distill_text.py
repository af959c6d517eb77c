"""The text side of the student: its tokenizer on the device, vectors without a language model, and its training."""

import itertools
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import numpy.typing as npt
import pytest
import tokenizers
import torch
from tiny_data import GENRES, ITEMS, PER_GENRE, tiny_texts, unit_rows

from distill import text as module
from distill.recipe import StudentRecipe
from distill.student import TextEncoder
from distill.text import tfidf_vectors, tokenize, train_text_encoder, train_tokenizer
from pocketrec.text import item_text
from pocketrec.tokenizer import Tokenizer

TEXTS = [item_text(title, description, genre) for title, description, genre in tiny_texts()]
TOKENS = 32


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    train_tokenizer(TEXTS, 300, path)
    return path


@pytest.fixture(scope="module")
def tokens(path: Path) -> npt.NDArray[np.int64]:
    return tokenize(Tokenizer.load(path), TEXTS, TOKENS)


def test_the_library_reads_the_same_tokens(path: Path, tokens: npt.NDArray[np.int64]) -> None:
    library = tokenizers.Tokenizer.from_file(str(path))
    for text, ids in zip(TEXTS, tokens, strict=True):
        assert library.encode(text).ids[:TOKENS] == ids[ids > 0].tolist()


def test_the_vocabulary_has_its_special_pieces_and_its_size(tmp_path: Path) -> None:
    trained = train_tokenizer(TEXTS, 90, tmp_path / "tokenizer.json")
    library = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert len(trained) == library.get_vocab_size() == 90
    pieces = [library.id_to_token(number) for number in range(4)]
    assert pieces == ["[PAD]", "[UNK]", "[BUCKET0]", "[BUCKET1]"]


def test_pieces_by_hand() -> None:
    words = Counter({"aab": 5, "ab": 3, "b": 1})
    # Pairs: a ##a 5, ##a ##b 5, a ##b 3. Of equal ones the first characters come first.
    assert module._pieces(words, 4) == ["a", "b", "##a", "##b"]
    assert module._pieces(words, 5)[4:] == ["aa"]
    assert module._pieces(words, 7)[4:] == ["aa", "aab", "ab"]
    assert module._pieces(words, 1) == ["a", "b", "##a", "##b"]  # every word can still be spelt
    assert module._pieces(Counter(), 9) == []


def test_words_with_rare_characters_teach_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ALPHABET", 3)
    assert module._words(["Cab cab, bad"]) == {"cab": 2}


def test_the_same_texts_give_the_same_file_in_every_process(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from distill.text import train_tokenizer
train_tokenizer(sys.stdin.read().splitlines(), 300, Path(sys.argv[1]))
"""
    made = []
    for number in range(3):
        out = tmp_path / f"{number}.json"
        environment = os.environ | {"PYTHONHASHSEED": str(number)}
        environment["PYTHONPATH"] = os.pathsep.join(p for p in sys.path if p)
        subprocess.run(
            [sys.executable, "-c", code, str(out)],
            input="\n".join(TEXTS),
            text=True,
            check=True,
            env=environment,
        )
        made.append(out.read_bytes())
    assert made[0] == made[1] == made[2]


def test_tokens_are_cut_and_padded_on_the_right(path: Path) -> None:
    trained = Tokenizer.load(path)
    found = tokenize(trained, ["the cold witness of the silent alibi", "cold", ""], 4)
    assert found.dtype == np.int64
    assert found.shape == (3, 4)
    assert (found[0] > 0).all()
    assert (found[1] > 0).tolist() == sorted((found[1] > 0).tolist(), reverse=True)
    assert not found[2].any()
    assert tokenize(trained, [""], 4).shape == (1, 1)


@pytest.mark.parametrize(
    "script", ["星际旅行 太空", "Звёздные войны", "スターウォーズ", "สตาร์", "☃🎬"]
)
def test_a_script_that_no_text_was_written_in_keeps_texts_apart(path: Path, script: str) -> None:
    trained = Tokenizer.load(path)
    torch.manual_seed(0)
    encoder = TextEncoder(len(trained), 16).eval()
    texts = [script, script[1:], f"{script} cold", "the cold witness"]
    found = [encoder(torch.tensor([trained.encode(text)]))[0] for text in texts]
    for one, other in itertools.combinations(found, 2):
        assert one @ other < 0.999


class TestTfidf:
    def test_unit_rows(self, tokens: npt.NDArray[np.int64]) -> None:
        vectors = tfidf_vectors(tokens, 300, 24, seed=0)
        assert vectors.shape == (ITEMS, 24)
        assert vectors.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-4)

    def test_the_same_seed_gives_the_same_vectors(self, tokens: npt.NDArray[np.int64]) -> None:
        once, again = (tfidf_vectors(tokens, 300, 24, seed=3) for _ in range(2))
        np.testing.assert_array_equal(once, again)

    def test_texts_of_one_genre_are_near(self, tokens: npt.NDArray[np.int64]) -> None:
        vectors = tfidf_vectors(tokens, 300, 24, seed=0)
        genre = np.arange(ITEMS) // PER_GENRE
        assert genre[-1] == len(GENRES) - 1
        cosines = vectors @ vectors.T
        np.fill_diagonal(cosines, -1)
        assert (genre[cosines.argmax(axis=1)] == genre).mean() > 0.9

    def test_fewer_texts_than_dimensions(self) -> None:
        vectors = tfidf_vectors(np.array([[2, 3], [4, 0], [5, 6]]), 10, 64, seed=0)
        assert vectors.shape == (3, 3)
        np.testing.assert_allclose(vectors @ vectors.T, np.eye(3), atol=1e-4)  # no word in common

    def test_equal_texts_are_equal_and_word_counts_matter(self) -> None:
        rows = np.array([[2, 3, 0], [3, 2, 0], [2, 2, 3], [4, 5, 0], [5, 6, 0]])
        vectors = tfidf_vectors(rows, 10, 5, seed=0)
        assert vectors[0] @ vectors[1] == pytest.approx(1, abs=1e-4)
        assert vectors[0] @ vectors[2] < 0.999

    def test_a_text_without_tokens(self) -> None:
        vectors = tfidf_vectors(np.array([[2, 3], [0, 0], [3, 4]]), 10, 2, seed=0)
        assert np.isfinite(vectors).all()


class TestTextTraining:
    recipe = StudentRecipe(dimensions=8, text_epochs=100)

    @pytest.fixture(scope="class")
    @classmethod
    def target(cls) -> npt.NDArray[np.float32]:
        """One direction a genre and a little of each item's own."""
        rows = np.repeat(np.eye(len(GENRES), 8), PER_GENRE, axis=0) + 0.3 * unit_rows((ITEMS, 8))
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)

    def encoder(self) -> TextEncoder:
        torch.manual_seed(0)
        return TextEncoder(300, 8)

    def held_out(self) -> npt.NDArray[np.int64]:
        return np.random.default_rng(0).permutation(ITEMS)[: ITEMS // 20]

    def cosine(
        self,
        encoder: TextEncoder,
        tokens: npt.NDArray[np.int64],
        target: npt.NDArray[np.float32],
    ) -> float:
        with torch.no_grad():
            found = encoder(torch.from_numpy(tokens)).numpy()
        return float((found * target).sum(axis=1)[self.held_out()].mean())

    def test_puts_unseen_texts_where_their_items_are(
        self, tokens: npt.NDArray[np.int64], target: npt.NDArray[np.float32]
    ) -> None:
        encoder = self.encoder()
        before = self.cosine(encoder, tokens, target)
        reported = train_text_encoder(encoder, tokens, target, self.recipe, seed=0)
        assert before < 0.3
        assert reported > 0.5
        assert reported == pytest.approx(self.cosine(encoder, tokens, target), abs=1e-5)
        assert not encoder.training

    def test_keeps_the_weights_that_place_held_out_items_best(
        self, tokens: npt.NDArray[np.int64], target: npt.NDArray[np.float32]
    ) -> None:
        seen: list[float] = []
        encoder = self.encoder()
        encoder.register_forward_hook(
            lambda m, given, out: (
                None
                if m.training
                else seen.append(
                    float((out * torch.from_numpy(target[self.held_out()])).sum(-1).mean())
                )
            )
        )
        reported = train_text_encoder(encoder, tokens, target, self.recipe, seed=0)
        assert len(seen) == 100
        assert reported == pytest.approx(max(seen), abs=1e-6)

    def test_no_time_at_all_is_one_epoch(
        self, tokens: npt.NDArray[np.int64], target: npt.NDArray[np.float32]
    ) -> None:
        progress: list[float] = []
        encoder = self.encoder()
        train_text_encoder(
            encoder, tokens, target, self.recipe, seed=0, seconds=0.0, progress=progress.append
        )
        assert len(progress) == 1
        assert not encoder.training

    def test_stops_after_its_time(
        self,
        tokens: npt.NDArray[np.int64],
        target: npt.NDArray[np.float32],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        clock = itertools.count()
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: float(next(clock))))
        progress: list[float] = []
        train_text_encoder(
            self.encoder(), tokens, target, self.recipe, 0, seconds=5.0, progress=progress.append
        )
        assert len(progress) == 6  # the clock is read once an epoch

    def test_few_texts_are_taught_and_measured_alike(self) -> None:
        rows = np.array([[2, 3], [4, 5], [6, 7]])
        target = unit_rows((3, 8))
        reported = train_text_encoder(self.encoder(), rows, target, self.recipe, seed=0)
        assert reported > 0.5
