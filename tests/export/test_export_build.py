"""From a student to a bundle that a device opens, through the gate."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import onnx
import pytest
import torch
from tiny_data import ITEMS, random_histories, tiny_student, tiny_texts, write_tiny_data

from distill.checkpoint import Student
from distill.student import SequenceEncoder, TextEncoder
from export import build as module
from export.build import Exported, Teacher, export_student, item_table, write_bundle
from export.graphs import SEQUENCE, TEXT, Graph, export_fp32
from export.parity import LEAST_COSINE
from export.recipe import ExportRecipe, Target
from pocketrec import data
from pocketrec.bundle import LAYOUT
from pocketrec.data import Dataset
from pocketrec.errors import RunError, UsageError
from pocketrec.item_table import ItemTable
from pocketrec.recommender import Recommender
from pocketrec.splits import Cases
from pocketrec.text import item_text
from pocketrec.tokenizer import Tokenizer

TEACHER = Teacher("a tiny Llama", ("films", "books"))
LEDGER = [
    {
        "stage": "bundle",
        "name": "bundle read back",
        "recall@10": 0.25,
        "ndcg@10": 0.125,
        "ndcg@10_ci": [0.1, 0.15],
        "recall@20": 0.5,
        "mrr": 0.0625,
    }
]
TEXTS = [item_text(title, description, genre) for title, description, genre in tiny_texts()]
HISTORIES = [
    *random_histories(30, ITEMS, 9),
    np.array([5]),
    np.arange(9),
    np.arange(20, 35),  # longer than the sequence encoder reads
]


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Student:
    return tiny_student(tmp_path_factory.mktemp("student"), ITEMS)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return data.load(write_tiny_data(tmp_path_factory.mktemp("data") / "books"))


@pytest.fixture(scope="module")
def cases() -> Cases:
    count = len(HISTORIES)
    targets = np.random.default_rng(0).integers(0, ITEMS, count)
    return Cases(np.arange(count), HISTORIES, targets)


@pytest.fixture(scope="module")
def exported(student: Student, cases: Cases, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return export_student(student, cases, TEXTS, tmp_path_factory.mktemp("export"))


@pytest.fixture(scope="module")
def bundle(
    exported: Exported,
    student: Student,
    dataset: Dataset,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    folder = tmp_path_factory.mktemp("bundle")
    write_bundle(folder, exported, student, dataset, TEACHER, "train", LEDGER)
    return folder


class TestExport:
    def test_int8_passes_the_gate(self, exported: Exported) -> None:
        assert exported.parity.passed
        assert exported.parity.top20_overlap > 0.9
        assert exported.precision == {TEXT.file: "int8", SEQUENCE.file: "int8"}

    def test_differences_are_measured_for_both_precisions(self, exported: Exported) -> None:
        found = exported.differences
        assert len(found) == 4
        for graph in (TEXT, SEQUENCE):
            assert found[f"{graph.file} fp32"] < 1e-4 < found[f"{graph.file} int8"]

    def test_a_full_precision_graph_that_is_not_the_student_stops_it(
        self,
        student: Student,
        cases: Cases,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def wrong(student: Student, folder: Path) -> None:
            export_fp32(replace(student, sequence=another_encoder(student)), folder)

        monkeypatch.setattr(module, "export_fp32", wrong)
        with pytest.raises(RunError, match="sequence_encoder.onnx: expected outputs within"):
            export_student(student, cases, TEXTS, tmp_path)


def another_encoder(student: Student) -> SequenceEncoder:
    """Other random weights of the same shape."""
    torch.manual_seed(99)
    encoder = SequenceEncoder(student.settings.max_length, student.recipe)
    with torch.no_grad():
        for parameter in encoder.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.3)
    return encoder.eval()


def test_where_int8_misses_the_gate_full_precision_ships(
    student: Student, cases: Cases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scrambled = tmp_path / "scrambled"
    scrambled.mkdir()
    export_fp32(replace(student, sequence=another_encoder(student)), scrambled)

    def scramble(source: Path, target: Path, graph: Graph, processor: str) -> None:
        folder = scrambled if graph is SEQUENCE else source
        shutil.copyfile(folder / graph.file, target / graph.file)

    monkeypatch.setattr(module, "quantize_int8", scramble)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    exported = export_student(student, cases, TEXTS, scratch)
    assert exported.precision[SEQUENCE.file] == "fp32"
    shipped, full = exported.folder / SEQUENCE.file, scratch / "fp32" / SEQUENCE.file
    assert shipped.read_bytes() == full.read_bytes()
    assert exported.parity.passed  # measured again, with what ships
    assert exported.parity.top20_overlap > 0.9
    history = HISTORIES[0]
    np.testing.assert_allclose(
        exported.int8.scores(history), exported.fp32.scores(history), atol=0.2
    )


def test_where_int8_texts_miss_the_gate_full_precision_ships(
    student: Student, cases: Cases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def scramble(source: Path, target: Path, graph: Graph, processor: str) -> None:
        shutil.copyfile(source / graph.file, target / graph.file)
        if graph is TEXT:
            wrong = tmp_path / "wrong"
            wrong.mkdir()
            text = TextEncoder(student.text.embedding.num_embeddings, 16).eval()
            export_fp32(replace(student, text=text), wrong)
            shutil.copyfile(wrong / graph.file, target / graph.file)

    monkeypatch.setattr(module, "quantize_int8", scramble)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    exported = export_student(student, cases, TEXTS, scratch)
    assert exported.text_cosine < LEAST_COSINE
    assert exported.precision == {TEXT.file: "fp32", SEQUENCE.file: "int8"}
    shipped, full = exported.folder / TEXT.file, scratch / "fp32" / TEXT.file
    assert shipped.read_bytes() == full.read_bytes()


@pytest.mark.parametrize("processor", get_args(Target))
def test_graphs_for_every_processor_pass_the_gate(
    student: Student, cases: Cases, tmp_path: Path, processor: Target
) -> None:
    recipe = ExportRecipe(target=processor)
    exported = export_student(student, cases, TEXTS, tmp_path, recipe)
    assert exported.precision == {TEXT.file: "int8", SEQUENCE.file: "int8"}
    assert exported.parity.passed
    assert exported.text_cosine > LEAST_COSINE


def test_word_pieces_in_four_bits_where_they_pass_the_gate(
    student: Student, cases: Cases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = ExportRecipe(embedding_bits=4)
    for name, least, shipped in (("passes", 0.9, "int4"), ("misses", LEAST_COSINE, "int8")):
        monkeypatch.setattr(module, "LEAST_COSINE", least)
        found = iter([0.95, 0.999])  # of four bits, of eight
        monkeypatch.setattr(module, "text_cosine", lambda *given, found=found: next(found))
        (tmp_path / name).mkdir()
        exported = export_student(student, cases, TEXTS, tmp_path / name, recipe)
        assert exported.precision[TEXT.file] == shipped
        graph = onnx.load(exported.folder / TEXT.file).graph
        packed = [one for one in graph.initializer if "packed" in one.name]
        assert bool(packed) == (shipped == "int4")


def test_a_table_that_int8_ruins_is_told(
    student: Student, cases: Cases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ruined(student: Student) -> ItemTable:
        return item_table(replace(student, vectors=np.roll(student.vectors, 1, axis=0)))

    monkeypatch.setattr(module, "item_table", ruined)
    exported = export_student(student, cases, TEXTS, tmp_path)
    assert not exported.parity.passed
    assert exported.precision[SEQUENCE.file] == "int8"  # which is not to blame


class TestBundle:
    def test_scores_are_those_that_were_measured(
        self, bundle: Path, exported: Exported, dataset: Dataset
    ) -> None:
        opened = Recommender.open(bundle, precision="int8")
        for history in HISTORIES:
            ids = [dataset.ids.ids[item] for item in history]
            np.testing.assert_array_equal(opened.scores(ids), exported.int8.scores(history))

    def test_an_empty_history_gets_the_popular_items(
        self, bundle: Path, student: Student, dataset: Dataset
    ) -> None:
        listed = Recommender.open(bundle).recommend([], k=3)
        assert listed.is_default
        assert [item.item_id for item in listed] == dataset.ids.ids[:3]
        assert student.popularity[0] == ITEMS

    def test_texts_are_encoded_as_the_student_does(self, bundle: Path, student: Student) -> None:
        texts = ["The Cold Witness", "a salted voyage", "", "unheard-of ☃"]
        tokenizer = Tokenizer.load(student.tokenizer)
        found = Recommender.open(bundle).encode(texts)
        for text, vector in zip(texts, found, strict=True):
            ids = tokenizer.encode(text) or [0]
            with torch.no_grad():
                expected = student.text(torch.tensor([ids]))[0].numpy()
            assert vector @ expected > 0.97

    def test_the_manifest_says_where_it_comes_from(
        self, bundle: Path, student: Student, dataset: Dataset
    ) -> None:
        manifest = Recommender.open(bundle).manifest
        assert manifest.name == manifest.data.name == "books"
        assert manifest.data.fingerprint == dataset.fingerprint
        assert manifest.teacher == "a tiny Llama"
        assert manifest.source_domains == ("films", "books")
        assert manifest.trained_on == "train"
        assert manifest.ranker == student.settings
        assert list(manifest.ledger) == LEDGER
        assert set(manifest.versions) >= {"pocketrec", "torch", "onnx", "onnxruntime"}

    def test_the_catalogue_holds_every_item(self, bundle: Path, dataset: Dataset) -> None:
        catalogue = Recommender.open(bundle).catalogue
        assert len(catalogue) == ITEMS
        found = catalogue.get("b041")
        assert found is not None
        title, description, genre = (dataset.items[n][41] for n in dataset.items.columns[1:4])
        assert (found.title, found.description, found.categories) == (title, description, genre)
        assert (found.creator, found.year) == ("Author 5", 2001)

    def test_the_card_shows_the_ledger_and_the_gate(self, bundle: Path, exported: Exported) -> None:
        card = (bundle / LAYOUT.model_card).read_text(encoding="utf-8")
        assert card.startswith("# books\n")
        assert "| bundle | bundle read back | 0.2500 | 0.1250 | 0.1000 to 0.1500 |" in card
        assert "Teacher: a tiny Llama." in card
        assert "learned from: films, books." in card
        assert f"{exported.parity.top20_overlap:.1%} of the full-precision top 20" in card
        assert "sequence_encoder.onnx int8" in card
        assert "test items held out" in card

    def test_it_holds_the_files_of_the_layout_alone(self, bundle: Path) -> None:
        found = (p.relative_to(bundle).as_posix() for p in bundle.rglob("*") if p.is_file())
        assert sorted(found) == sorted(LAYOUT.names)


def test_the_item_table_stands_for_the_student(student: Student) -> None:
    table = item_table(student)
    np.testing.assert_allclose(table.unit_vectors(), student.vectors, atol=0.005)
    np.testing.assert_allclose(table.neighbours().weights, student.table.weights, atol=0.005)
    np.testing.assert_array_equal(table.neighbours().sources, student.table.sources)
    np.testing.assert_array_equal(table.neighbours().targets, student.table.targets)
    np.testing.assert_array_equal(table.popularity, student.popularity)


def test_a_date_that_is_no_number(
    exported: Exported,
    student: Student,
    dataset: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for value in ("yesterday", "9" * 30):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", value)
        with pytest.raises(UsageError, match=f"SOURCE_DATE_EPOCH: expected seconds.*{value}"):
            write_bundle(tmp_path, exported, student, dataset, TEACHER, "train", LEDGER)
