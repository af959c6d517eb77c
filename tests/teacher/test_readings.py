"""What several readers say of the same texts: how their vectors lie side by side, and what a run keeps of them."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_data import ITEMS, Recorder, save_tiny_backbone, tiny_texts, unit_rows, write_tiny_data

from pocketrec.errors import RunError, UsageError
from pocketrec.run import Run
from teacher import readings as module
from teacher import stage
from teacher.encode import encode_items
from teacher.pretrained import load_backbone
from teacher.readings import (
    ADAPTED,
    FROZEN,
    SENTENCE,
    TITLED,
    Readers,
    Readings,
    Vectors,
    load_readings,
    read_texts,
    reads_with_adapter,
)
from teacher.recipe import TeacherRecipe
from teacher.whitening import Whitening, fit_whitening

# Two texts to three readers, with cosines of 0.6, 0 and -1.
BY_MODEL = np.array([[1, 0], [0.6, 0.8]], dtype=np.float32)
BY_ADAPTER = np.array([[0, 1], [1, 0]], dtype=np.float32)
BY_ENCODER = np.array([[1, 0], [-1, 0]], dtype=np.float32)
WAYS = [FROZEN, ADAPTED, FROZEN + SENTENCE, ADAPTED + SENTENCE]


def side_by_side(*parts: Vectors) -> Vectors:
    return (np.concatenate(parts, axis=1) / len(parts) ** 0.5).astype(np.float32)


def made(adapter: bool = True, sentences: bool = True) -> Readings:
    language = side_by_side(BY_MODEL, BY_ADAPTER) if adapter else BY_MODEL
    whitening = Whitening(np.arange(6, dtype=np.float32), unit_rows((6, language.shape[1])))
    if not sentences:
        return Readings(language, None, whitening, None, 2)
    beside = Whitening(np.arange(5, dtype=np.float32), unit_rows((5, 2), seed=1))
    return Readings(language, BY_ENCODER, whitening, beside, 2)


@pytest.mark.parametrize(
    ("adapter", "sentences", "ways"),
    [
        (False, False, WAYS[:1]),
        (True, False, WAYS[:2]),
        (False, True, [FROZEN, FROZEN + SENTENCE]),
        (True, True, WAYS),
    ],
)
def test_the_ways_that_there_are(adapter: bool, sentences: bool, ways: list[str]) -> None:
    readings = made(adapter, sentences)
    assert readings.ways == ways
    for absent in set(WAYS) - set(ways) | {"another reading"}:
        with pytest.raises(KeyError, match=f"{absent}: expected one of "):
            readings.vectors(absent)


@pytest.mark.parametrize(
    ("way", "parts"),
    [
        (FROZEN, [BY_MODEL]),
        (ADAPTED, [BY_MODEL, BY_ADAPTER]),
        (FROZEN + SENTENCE, [BY_MODEL, BY_ENCODER]),
        (ADAPTED + SENTENCE, [BY_MODEL, BY_ADAPTER, BY_ENCODER]),
    ],
)
def test_each_reading_weighs_the_same(way: str, parts: list[Vectors]) -> None:
    vectors = made().vectors(way)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, side_by_side(*parts), atol=1e-6)


@pytest.mark.parametrize(
    ("way", "cosine"), list(zip(WAYS, [0.6, 0.6 / 2, (0.6 - 1) / 2, (0.6 - 1) / 3], strict=True))
)
def test_the_cosine_is_the_mean_of_the_readings(way: str, cosine: float) -> None:
    vectors = made().vectors(way)
    np.testing.assert_allclose(vectors @ vectors.T, [[1, cosine], [cosine, 1]], atol=1e-6)


def test_without_an_adapter_a_sentence_encoder_has_half_a_say() -> None:
    vectors = made(adapter=False).vectors(FROZEN + SENTENCE)
    np.testing.assert_allclose(vectors, side_by_side(BY_MODEL, BY_ENCODER), atol=1e-6)


@given(
    count=st.integers(1, 3),
    items=st.integers(1, 9),
    width=st.integers(1, 6),
    seed=st.integers(0, 1000),
)
def test_of_any_readings_too(count: int, items: int, width: int, seed: int) -> None:
    *language, sentences = (unit_rows((items, width), seed + n) for n in range(count + 1))
    whitening = Whitening(np.zeros(1, np.float32), np.zeros((1, count * width), np.float32))
    readings = Readings(side_by_side(*language), sentences, whitening, whitening, width)
    vectors = readings.vectors(readings.ways[-1])
    mean = np.mean([part @ part.T for part in (*language, sentences)], axis=0)
    np.testing.assert_allclose(vectors @ vectors.T, mean, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_each_model_has_its_own_basis() -> None:
    readings = made()
    assert readings.sentence_whitening is not None
    for way, width in zip(WAYS, (2, 4, 2, 4), strict=True):
        language, *beside = readings.bases(way)
        np.testing.assert_array_equal(language, readings.whitening.basis[:, :width])
        assert len(beside) == way.endswith(SENTENCE)
        for basis in beside:
            np.testing.assert_array_equal(basis, readings.sentence_whitening.basis)
        assert reads_with_adapter(way) == (width == 4)


@pytest.mark.parametrize("sentences", [True, False])
def test_saved_and_loaded(tmp_path: Path, sentences: bool) -> None:
    readings = made(sentences=sentences)
    readings.save(tmp_path)
    files = {"vectors.npy", "whitening.safetensors"}
    if sentences:
        files |= {"sentences.npy", "sentence-whitening.safetensors"}
    assert {path.name for path in tmp_path.iterdir()} == files
    again = Readings.load(tmp_path, 2)
    assert again.ways == readings.ways
    for way in again.ways:
        np.testing.assert_array_equal(again.vectors(way), readings.vectors(way))
        for one, other in zip(again.bases(way), readings.bases(way), strict=True):
            np.testing.assert_array_equal(one, other)


def test_titles_stand_beside_the_texts(tmp_path: Path) -> None:
    plain = made()
    readings = replace(plain, titled=replace(made(), language=side_by_side(BY_ADAPTER, BY_MODEL)))
    assert readings.ways == WAYS + [way + TITLED for way in WAYS]
    readings.save(tmp_path)
    again = Readings.load(tmp_path, 2)
    assert again.ways == readings.ways
    for way in WAYS:
        assert reads_with_adapter(way + TITLED) == reads_with_adapter(way)
        np.testing.assert_array_equal(again.vectors(way), plain.vectors(way))
    for way, parts in (
        (FROZEN, [BY_ADAPTER]),
        (ADAPTED + SENTENCE, [BY_ADAPTER, BY_MODEL, BY_ENCODER]),
    ):
        found = again.vectors(way + TITLED)
        np.testing.assert_allclose(found, side_by_side(*parts), atol=1e-6)


def test_a_title_counts_as_much_as_the_text_and_only_where_it_is_another(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POCKETREC_CACHE", str(tmp_path))
    name, recipe = str(folder / "model"), TeacherRecipe(dimensions=16)
    titles = [title for title, _, _ in tiny_texts()]
    texts = [f"{title}. {genre}. {said}" for title, said, genre in tiny_texts()]
    readers = Readers.load(name, None, "none", None)
    counts = np.zeros(len(texts), dtype=np.int64)
    readings, read = readers.read(texts, titles, counts, recipe, None, Recorder())
    assert read == {name: len(texts)}
    both = [
        encode_items(part, readers.language, tmp_path / "c").vectors for part in (texts, titles)
    ]
    mean = (both[0] + both[1]) / 2
    expected = fit_whitening(mean, 16).apply(mean)
    found = readings.vectors(FROZEN + TITLED)
    np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=1e-2)
    for same in (texts, None):
        readings, _ = readers.read(texts, same, counts, recipe, None, Recorder())
        assert readings.ways == [FROZEN]


def test_nothing_to_load(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="expected a saved whitening"):
        Readings.load(tmp_path, 2)


RECIPE = """
[teacher]
backbone = "{folder}/model"
sentence_encoder = "{folder}/encoder"
dimensions = 16
knn_neighbours = [20]
knn_shrinks = [10]
ridges = [10]
text_weights = [5]
decays = [0.8]
[teacher.sequence]
dimensions = 16
layers = 1
epochs = 1
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models, a data folder and a recipe that has the one read beside the other."""
    folder = tmp_path_factory.mktemp("read")
    save_tiny_backbone(folder / "model")
    save_tiny_backbone(folder / "encoder", seed=1)
    write_tiny_data(folder / "books")
    (folder / "recipe.toml").write_text(RECIPE.format(folder=folder))
    return folder


@pytest.fixture(scope="module")
def read(folder: Path) -> tuple[Run, Recorder]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POCKETREC_CACHE", str(folder / "cache"))
        run = Run.open(folder / "run", folder / "books", recipe=folder / "recipe.toml")
        report = Recorder()
        stage.run(run, report)
    return run, report


def test_a_run_reads_every_text_with_both_models(
    folder: Path, read: tuple[Run, Recorder], tmp_path: Path
) -> None:
    run, report = read
    texts = run.dataset.texts
    names = [str(folder / name) for name in ("model", "encoder")]
    assert report.tasks[:2] == [f"Reading 120 item texts with {name}" for name in names]
    for name, file in zip(names, ("vectors.npy", "sentences.npy"), strict=True):
        encoded = encode_items(texts, load_backbone(name), tmp_path / "cache").vectors
        expected = fit_whitening(encoded, 16).apply(encoded)
        vectors = np.load(run.folder / "teacher/vectors" / file)
        assert vectors.shape == (len(tiny_texts()), 16)
        np.testing.assert_allclose(vectors @ vectors.T, expected @ expected.T, atol=1e-2)


def test_a_run_says_which_models_read(folder: Path, read: tuple[Run, Recorder]) -> None:
    run, _ = read
    both = f"{folder / 'model'} and {folder / 'encoder'}"
    facts = run.facts("teacher/vectors")
    assert facts["backbone"] == both
    model, encoder = str(folder / "model"), str(folder / "encoder")
    assert facts["fingerprints"] == {
        "language": load_backbone(model).fingerprint,
        "sentences": load_backbone(encoder).fingerprint,
    }
    assert facts["encoded"] == {model: ITEMS, encoder: ITEMS}
    assert (
        facts["summary"]
        == f"of 120 item texts read 120 by {model} and 120 by {encoder}, 32 dimensions"
    )
    assert run.facts("teacher/holdout")["described"].startswith(f"{both}; ")


def test_validation_chooses_among_the_ways(read: tuple[Run, Recorder]) -> None:
    run, _ = read
    reading = run.facts("teacher/holdout")["reading"]
    ways = [FROZEN, FROZEN + SENTENCE]
    assert list(reading["ndcg"]) == ways + [way + TITLED for way in ways]
    assert list(reading["differences"]) == list(reading["ndcg"])[1:]
    readings = load_readings(run, TeacherRecipe(**run.table("teacher")))
    for name in ("holdout", "final"):
        used = np.load(run.folder / "teacher" / name / "item_vectors.npy")
        np.testing.assert_array_equal(used, readings.vectors(reading["used"]))


def test_without_time_texts_are_guessed_by_both_models(folder: Path, tmp_path: Path) -> None:
    run = Run.open(tmp_path / "run", folder / "books", minutes=1e-6, recipe=folder / "recipe.toml")
    recipe = TeacherRecipe(**run.table("teacher"))
    facts = read_texts(run, recipe, None, tmp_path, Recorder())
    assert set(facts["encoded"].values()) == {0}
    assert "guessed from their tokens" in facts["summary"]
    vectors = Readings.load(tmp_path, 16).vectors(FROZEN + SENTENCE)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)


def test_a_text_that_one_reader_knows_nothing_of_has_length_one_all_the_same() -> None:
    whitening = Whitening(np.zeros(2, np.float32), np.eye(2, dtype=np.float32))
    language, sentences = np.float32([[0, 0], [1, 0], [0, 0]]), np.float32([[1, 0], [0, 0], [0, 0]])
    vectors = Readings(language, sentences, whitening, whitening, 2).vectors(FROZEN + SENTENCE)
    np.testing.assert_array_equal(vectors, [[0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0]])


@pytest.mark.parametrize(
    ("encoder", "share", "given"),
    [
        ("encoder", 100.0, [70.0, 90.0]),  # the language model took 10 of its 70
        ("none", 100.0, [100.0]),
        ("encoder", None, [None, None]),
    ],
)
def test_the_sentence_encoder_has_the_time_that_is_left(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    encoder: str,
    share: float | None,
    given: list[float | None],
) -> None:
    seen: list[float | None] = []

    def encode(texts: list[str], backbone: object, cache: Path, seconds: float | None, *_: object):
        seen.append(seconds)
        done = np.ones(len(texts), dtype=bool)
        return SimpleNamespace(vectors=unit_rows((len(texts), 32)), encoded=done, seconds=10.0)

    monkeypatch.setattr(module, "encode_items", encode)
    run = Run.open(tmp_path / "run", folder / "books")
    monkeypatch.setattr(run, "share", lambda step: share)
    name = encoder if encoder == "none" else str(folder / encoder)
    recipe = TeacherRecipe(backbone=str(folder / "model"), sentence_encoder=name, dimensions=4)
    facts = read_texts(run, recipe, None, tmp_path, Recorder())
    assert seen == given
    assert (tmp_path / "sentences.npy").is_file() == (encoder != "none")
    assert facts["summary"].endswith(f", {4 * len(given)} dimensions")


def test_a_sentence_encoder_that_is_not_there(folder: Path, tmp_path: Path) -> None:
    run = Run.open(tmp_path / "run", folder / "books")
    recipe = TeacherRecipe(backbone=str(folder / "model"), sentence_encoder="./nowhere")
    with pytest.raises(UsageError, match=r"\./nowhere: expected a model folder or a hub id"):
        read_texts(run, recipe, None, tmp_path, Recorder())
