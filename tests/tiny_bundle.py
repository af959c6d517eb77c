"""Builds small real bundles: a WordPiece tokenizer, two ONNX graphs, an item table and a catalogue, without torch.

The graphs are simple enough to compute by hand. Text encoder: mean of word vectors, then unit length. Sequence
encoder: mean of the history's vectors, each step back in time counting DECAY times less, times TEMPERATURE.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from export.scorer import write_scorer
from pocketrec.bundle import LAYOUT, DataRecord, Manifest, seal
from pocketrec.catalogue import Catalogue, Item
from pocketrec.encoders import TextEncoder
from pocketrec.engine import OnnxEngine
from pocketrec.item_table import ItemTable
from pocketrec.neighbour_table import NeighbourTable
from pocketrec.ranker import RankerSettings
from pocketrec.text import item_text
from pocketrec.tokenizer import Tokenizer

Float32 = npt.NDArray[np.float32]

DIMENSIONS = 8
DECAY = 0.8
TEMPERATURE = 10.0
SETTINGS = RankerSettings(
    max_length=20,
    sequence_weight=0.7,
    neighbour_weight=1.0,
    decay=0.9,
    popularity_weight=0.2,
    cold_support=1.0,
)
COLD = 4
"""How many items at the end of the catalogue nobody has chosen."""

GENRES = {
    "Comedy": ("Laugh", "Party", "Wedding", "Prank", "Holiday", "Roommate", "Clown", "Banana"),
    "Horror": ("Ghost", "Scream", "Crypt", "Blood", "Shadow", "Curse", "Asylum", "Fang"),
    "Western": ("Saddle", "Outlaw", "Sheriff", "Canyon", "Duel", "Rustler", "Prairie", "Saloon"),
    "Space": ("Orbit", "Comet", "Nebula", "Rocket", "Martian", "Eclipse", "Gravity", "星际"),
    "Romance": ("Kiss", "Letter", "Paris", "Promise", "Summer", "Garden", "Waltz", "Rose"),
}


def tiny_items() -> list[Item]:
    """40 films, eight a genre, genres taking turns; ids m01 to m40."""
    items = []
    for number in range(1, 41):
        genre = list(GENRES)[(number - 1) % len(GENRES)]
        word = GENRES[genre][(number - 1) // len(GENRES)]
        fields = {
            "title": f"The {word}",
            "description": f"A {genre.lower()} film about a {word.lower()}",
            "categories": genre,
            "creator": f"Director {genre}",
            "year": 1980 + number,
        }
        items.append(Item(item_id=f"m{number:02}", text=item_text(**fields), **fields))
    return items


def build_tiny_bundle(folder: Path, items: Sequence[Item] | None = None, seed: int = 0) -> Path:
    """Write a sealed bundle of ``items`` (the 40 films by default); returns ``folder``."""
    items = tiny_items() if items is None else items
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    vocabulary = write_tokenizer(folder / LAYOUT.tokenizer, [item.text for item in items])
    tokenizer = Tokenizer.load(folder / LAYOUT.tokenizer)
    write_text_encoder(folder / LAYOUT.text_encoder, word_vectors(vocabulary, rng))
    for name in (LAYOUT.sequence_encoder, LAYOUT.full_precision):
        write_sequence_encoder(folder / name, DIMENSIONS)
    write_scorer(folder / LAYOUT.scorer)
    encoder = TextEncoder(OnnxEngine(folder / LAYOUT.text_encoder), tokenizer)
    vectors = encoder.encode([item.text for item in items])
    popularity = np.arange(len(items), 0, -1).astype(np.float32)
    popularity[-COLD:] = 0
    table = ItemTable.quantized(vectors, like_minded(vectors, rng), popularity)
    return write_bundle(folder, table, items)


def word_vectors(vocabulary: dict[str, int], rng: np.random.Generator) -> Float32:
    """Noise, and one direction for each genre that its words share; float32 [V, d]."""
    vectors = rng.normal(0, 0.3, (len(vocabulary), DIMENSIONS)).astype(np.float32)
    for direction, (genre, words) in enumerate(GENRES.items()):
        for word in (genre, *words):
            for piece in (word.lower(), *(c for c in word if not c.isascii())):
                if piece in vocabulary:
                    vectors[vocabulary[piece], direction] += 1
    return vectors


def like_minded(vectors: Float32, rng: np.random.Generator) -> NeighbourTable:
    """A neighbour table as co-choices would give it, six entries an item on average and some below 0.

    Near items speak for each other, far ones against each other, unevenly.
    """
    cosines = vectors @ vectors.T * rng.uniform(0.2, 1.0, (len(vectors), len(vectors)))
    np.fill_diagonal(cosines, 0)
    return NeighbourTable.from_matrix(cosines.astype(np.float32), 6 * len(vectors))


def write_bundle(folder: Path, table: ItemTable, items: Sequence[Item]) -> Path:
    """Add table, catalogue, card and manifest to a folder that holds tokenizer and graphs."""
    table.write(folder / LAYOUT.items)
    Catalogue.write(folder / LAYOUT.catalogue, items)
    (folder / LAYOUT.model_card).write_text("# Tiny\n\nA bundle for tests.\n", encoding="utf-8")
    seal(folder, tiny_manifest())
    return folder


def tiny_manifest() -> Manifest:
    return Manifest(
        name="tiny",
        created="2026-01-31",
        source_domains=("books",),
        teacher="none",
        trained_on="train",
        data=DataRecord(name="tiny-films", fingerprint="0123abcd"),
        ranker=SETTINGS,
        ledger=({"stage": "bundle", "ndcg@10": 0.1, "recall@10": 0.2},),
        versions={"pocketrec": "0.1.0"},
        minimum_runtime="1.20",
    )


def write_tokenizer(path: Path, texts: Sequence[str]) -> dict[str, int]:
    """A BERT WordPiece tokenizer of the words and letters of ``texts``; returns its vocabulary."""
    from tokenizers import Tokenizer as HfTokenizer
    from tokenizers import models, normalizers, pre_tokenizers

    normalizer = normalizers.BertNormalizer(lowercase=True)
    splitter = pre_tokenizers.BertPreTokenizer()
    words = {
        word
        for text in texts
        for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text))
    }
    letters = set("".join(words)) | set("abcdefghijklmnopqrstuvwxyz0123456789")
    pieces = ["[PAD]", "[UNK]", *sorted(words | letters | {f"##{letter}" for letter in letters})]
    vocabulary = {piece: i for i, piece in enumerate(pieces)}
    tokenizer = HfTokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = splitter
    tokenizer.add_special_tokens(["[PAD]", "[UNK]"])
    tokenizer.save(str(path))
    return vocabulary


def write_text_encoder(path: Path, words: Float32) -> None:
    """Mean of the rows of ``words`` (float32 [V, d]) over the tokens that are not 0, at unit length."""
    nodes = [
        helper.make_node("Gather", ["words", "tokens"], ["embedded"]),
        helper.make_node("Equal", ["tokens", "padding"], ["is_padding"]),
        helper.make_node("Not", ["is_padding"], ["is_token"]),
        helper.make_node("Cast", ["is_token"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["wide_mask"]),
        helper.make_node("Mul", ["embedded", "wide_mask"], ["masked"]),
        # The mean and the sum have the same direction.
        helper.make_node("ReduceSum", ["masked", "middle"], ["sum"], keepdims=0),
        helper.make_node("ReduceL2", ["sum", "last"], ["length"], keepdims=1),
        helper.make_node("Max", ["length", "least"], ["safe_length"]),
        helper.make_node("Div", ["sum", "safe_length"], ["vector"]),
    ]
    constants = {
        "words": words,
        "padding": np.array(0, dtype=np.int64),
        "last": np.array([-1], dtype=np.int64),
        "middle": np.array([1], dtype=np.int64),
        "least": np.array(1e-12, dtype=np.float32),
    }
    tokens = helper.make_tensor_value_info("tokens", TensorProto.INT64, ["B", "T"])
    vector = helper.make_tensor_value_info("vector", TensorProto.FLOAT, ["B", words.shape[1]])
    _save(path, nodes, constants, tokens, vector)


def write_sequence_encoder(path: Path, dimensions: int) -> None:
    """TEMPERATURE times the mean of the items, weighted by DECAY ** age; zeros for no items."""
    nodes = [
        helper.make_node("Shape", ["items"], ["count"], start=1, end=2),
        helper.make_node("Squeeze", ["count"], ["length"]),
        helper.make_node("Range", ["zero", "length", "one"], ["places"]),
        helper.make_node("Sub", ["length", "places"], ["ages_from_one"]),
        helper.make_node("Sub", ["ages_from_one", "one"], ["ages"]),
        helper.make_node("Cast", ["ages"], ["exponents"], to=TensorProto.FLOAT),
        helper.make_node("Pow", ["decay", "exponents"], ["weights"]),
        helper.make_node("Unsqueeze", ["weights", "outer"], ["wide_weights"]),
        helper.make_node("Mul", ["items", "wide_weights"], ["weighted"]),
        helper.make_node("ReduceSum", ["weighted", "middle"], ["sum"], keepdims=0),
        helper.make_node("ReduceSum", ["weights"], ["total"], keepdims=0),
        helper.make_node("Max", ["total", "least"], ["safe_total"]),
        helper.make_node("Div", ["sum", "safe_total"], ["mean"]),
        helper.make_node("Mul", ["mean", "temperature"], ["user"]),
    ]
    constants = {
        "zero": np.array(0, dtype=np.int64),
        "one": np.array(1, dtype=np.int64),
        "outer": np.array([0, 2], dtype=np.int64),
        "middle": np.array([1], dtype=np.int64),
        "decay": np.array(DECAY, dtype=np.float32),
        "least": np.array(1e-12, dtype=np.float32),
        "temperature": np.array(TEMPERATURE, dtype=np.float32),
    }
    items = helper.make_tensor_value_info("items", TensorProto.FLOAT, ["B", "L", dimensions])
    user = helper.make_tensor_value_info("user", TensorProto.FLOAT, ["B", dimensions])
    _save(path, nodes, constants, items, user)


def _save(
    path: Path,
    nodes: list[onnx.NodeProto],
    constants: dict[str, npt.NDArray[np.generic]],
    given: onnx.ValueInfoProto,
    wanted: onnx.ValueInfoProto,
) -> None:
    initializers = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, path.stem, [given], [wanted], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
