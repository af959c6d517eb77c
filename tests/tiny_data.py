"""A small data set with structure, a tiny language model that can read it, and a student, for tests of the stages.

120 items in six genres; 150 users who mostly walk through one genre in its order, so that text, co-choices and order
all say something about what comes next.
"""

import csv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from distill.checkpoint import Student

GENRES = {
    "Mystery": "Cold Silent Hollow Crooked Last / Witness Alibi Verdict Inspector",
    "Cooking": "Rustic Simple Golden Spicy Slow / Kitchen Oven Harvest Supper",
    "Sailing": "Stormy Distant Northern Broken Salted / Harbour Anchor Voyage Lighthouse",
    "Astronomy": "Falling Dark Burning Outer Frozen / Comet Galaxy Eclipse Telescope",
    "Gardening": "Hidden Walled Summer Wild Secret / Orchard Meadow Greenhouse Rose",
    "Chess": "Royal Quiet Poisoned Castled Final / Gambit Endgame Bishop Sacrifice",
}
ITEMS = 120
USERS = 150
PER_GENRE = ITEMS // len(GENRES)


def tiny_texts() -> list[tuple[str, str, str]]:
    """Title, description and category of each item, genre by genre."""
    items = []
    for genre, words in GENRES.items():
        adjectives, nouns = (part.split() for part in words.split(" / "))
        items += [
            (f"The {a} {n}", f"A {genre.lower()} story of a {a.lower()} {n.lower()}", genre)
            for n in nouns
            for a in adjectives
        ]
    return items


def tiny_histories(seed: int = 0) -> list[list[int]]:
    """Item indices of each user, oldest first, 6 to 16 different ones."""
    generator = np.random.default_rng(seed)
    histories = []
    for user in range(USERS):
        first = user % len(GENRES) * PER_GENRE
        place = int(generator.integers(PER_GENRE))
        history: list[int] = []
        while len(history) < 6 + user % 11:
            place = (place + int(generator.integers(1, 3))) % PER_GENRE
            item = first + place
            if generator.random() < 0.15:
                item = int(generator.integers(ITEMS))
            while item in history:
                item = first + int(generator.integers(PER_GENRE))
            history.append(item)
        histories.append(history)
    return histories


def write_tiny_data(folder: Path, seed: int = 0) -> Path:
    """The data folder, as CSV; returns ``folder``."""
    folder.mkdir(parents=True)
    with (folder / "items.csv").open("w", newline="", encoding="utf-8") as stream:
        rows = csv.writer(stream)
        rows.writerow(["item_id", "title", "description", "categories", "creator", "year"])
        for index, text in enumerate(tiny_texts()):
            rows.writerow([f"b{index:03}", *text, f"Author {index % 9}", 1990 + index % 30])
    with (folder / "interactions.csv").open("w", newline="", encoding="utf-8") as stream:
        rows = csv.writer(stream)
        rows.writerow(["user_id", "item_id", "timestamp"])
        for user, history in enumerate(tiny_histories(seed)):
            rows.writerows((f"u{user:03}", f"b{i:03}", 1000 + n) for n, i in enumerate(history))
    return folder


def save_tiny_backbone(folder: Path, seed: int = 0) -> Path:
    """A random Llama of two layers, width 32, that knows every word of the tiny items; returns ``folder``."""
    import torch
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = sorted({w for text in tiny_texts() for w in " ".join(text).split()})
    vocabulary = {word: index for index, word in enumerate(["<s>", "</s>", "<unk>", *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    torch.manual_seed(seed)
    model = transformers.LlamaModel(
        transformers.LlamaConfig(
            vocab_size=len(vocabulary),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=128,
            bos_token_id=0,
            eos_token_id=1,
        )
    )
    with torch.no_grad():
        model.embed_tokens.weight.normal_()  # as its few training tokens would: words apart
    model.save_pretrained(folder)
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=128,
    ).save_pretrained(folder)
    return folder


class Recorder:
    """`pocketrec.run.Report` that remembers: the lines, the titles of the tasks and how far each got."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.tasks: list[str] = []
        self.totals: list[float | None] = []
        self.done: list[list[float]] = []

    @contextmanager
    def task(
        self, description: str, total: float | None = None
    ) -> Iterator[Callable[[float], None]]:
        self.tasks.append(description)
        self.totals.append(total)
        self.done.append([])
        yield self.done[-1].append

    def line(self, text: str) -> None:
        self.lines.append(text)


def unit_rows(shape: tuple[int, int], seed: int = 0) -> npt.NDArray[np.float32]:
    """Random float32 [N, d] of unit rows."""
    rows = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def random_histories(
    count: int, items: int, longest: int, seed: int = 0
) -> list[npt.NDArray[np.int64]]:
    """``count`` histories of 1 to ``longest`` different items."""
    generator = np.random.default_rng(seed)
    return [
        generator.permutation(items)[: generator.integers(1, longest + 1)] for _ in range(count)
    ]


def tiny_student(folder: Path, items: int = 40) -> "Student":
    """A student with random weights over the first ``items`` tiny items, its tokenizer in ``folder``.

    Three history items speak for each item; the popularity of the last two is 0.
    """
    import torch

    from distill.checkpoint import Student
    from distill.recipe import StudentRecipe
    from distill.student import SequenceEncoder, TextEncoder
    from distill.text import train_tokenizer
    from pocketrec.neighbour_table import NeighbourTable
    from pocketrec.ranker import RankerSettings

    recipe = StudentRecipe(dimensions=16, layers=1, tokens=12)
    texts = [" ".join(text) for text in tiny_texts()[:items]]
    vocabulary = len(train_tokenizer(texts, 200, folder / "tokenizer.json"))
    torch.manual_seed(0)
    text, sequence = TextEncoder(vocabulary, 16), SequenceEncoder(9, recipe)
    with torch.no_grad():
        for parameter in [*text.parameters(), *sequence.parameters()]:
            if parameter.ndim > 1:
                parameter.normal_(std=0.3)  # far enough from nothing for errors to show
    generator = np.random.default_rng(0)
    others = [generator.permutation(np.delete(np.arange(items), i))[:3] for i in range(items)]
    table = NeighbourTable.from_entries(
        items,
        np.concatenate(others),
        np.repeat(np.arange(items), 3),
        generator.uniform(-0.3, 1, 3 * items).astype(np.float32),
    )
    popularity = np.arange(items, 0, -1, dtype=np.float32)
    popularity[-2:] = 0
    return Student(
        recipe,
        text.eval(),
        sequence.eval(),
        {"residual.weight": torch.randn(items, 16)},
        unit_rows((items, 16)),
        table,
        popularity,
        RankerSettings(
            9,
            sequence_weight=0.6,
            neighbour_weight=0.4,
            decay=0.8,
            popularity_weight=0.1,
            cold_support=0.5,
        ),
        folder / "tokenizer.json",
    )
