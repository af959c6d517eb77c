"""The pure-Python tokenizer gives the ids of the tokenizers library."""

import json
import os
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import models, normalizers, pre_tokenizers, trainers

from pocketrec.errors import BundleError
from pocketrec.tokenizer import Tokenizer

COUNT = 50_000
SCRIPTS = {
    "latin": "az",
    "capitals": "AZ",
    "accents": "\u00c0\u024f",
    "vietnamese": "\u1ea0\u1ef9",
    "combining": "\u0300\u036f",
    "greek": "\u0386\u03ce",
    "cyrillic": "\u0400\u045f",
    "hebrew": "\u05b0\u05ea",
    "arabic": "\u0610\u066c",
    "devanagari": "\u0900\u0970",
    "thai": "\u0e01\u0e5b",
    "hangul": "\uac00\uac7f",
    "kana": "\u3041\u30ff",
    "chinese": "\u4e00\u4eff",
    "punctuation": "!@",
    "typography": "\u2000\u206f",
    "symbols": "\u20a0\u214f",
    "emoji": "\U0001f300\U0001f6ff",
    "controls": "\x00\x1f",
}


def generated_titles() -> list[str]:
    choose = random.Random(0)
    ranges = [(ord(first), ord(last)) for first, last in SCRIPTS.values()]

    def word() -> str:
        first, last = choose.choice(ranges)
        return "".join(chr(choose.randint(first, last)) for _ in range(choose.randint(1, 8)))

    lexicon = [word() for _ in range(20_000)]
    separators = [" ", " ", " ", "", "-", ": ", "\t"]
    return [
        "".join(
            choose.choice(lexicon) + choose.choice(separators) for _ in range(choose.randint(0, 9))
        )
        for _ in range(COUNT)
    ]


def real_titles(folder: Path) -> list[str]:
    """Titles and descriptions of every data set in turn, so that each is met."""
    import polars as pl

    texts = []
    for path in sorted(folder.glob("*/items.parquet")):
        items = pl.read_parquet(path, columns=["title", "description"])
        for column in ("title", "description"):
            texts += items[column].drop_nulls().to_list()
    random.Random(0).shuffle(texts)
    return texts[:COUNT]


@pytest.fixture(scope="module")
def titles() -> list[str]:
    folder = os.environ.get("POCKETREC_DATA")
    found = real_titles(Path(folder)) if folder else generated_titles()
    assert len(found) == COUNT
    return found


Pair = tuple[Tokenizer, tokenizers.Tokenizer]


@pytest.fixture(scope="module")
def saved(titles: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small WordPiece as the student's is trained."""
    library = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    library.normalizer = normalizers.BertNormalizer()
    library.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(
        vocab_size=4000, special_tokens=["[PAD]", "[UNK]"], show_progress=False
    )
    library.train_from_iterator(titles[:10_000], trainer)
    path = tmp_path_factory.mktemp("trained") / "tokenizer.json"
    library.save(str(path))
    return path


@pytest.fixture(scope="module")
def trained(saved: Path) -> Pair:
    return Tokenizer.load(saved), tokenizers.Tokenizer.from_file(str(saved))


OPTIONS = {
    "default": {},
    "accents kept": {"strip_accents": False},
    "cased": {"lowercase": False},
    "cased, accents stripped": {"lowercase": False, "strip_accents": True},
    "as it is": {"lowercase": False, "clean_text": False, "handle_chinese_chars": False},
}


# Wherever characters are not alike; Hangul syllables and the middle of Chinese are.
KEPT = [*range(0x3500), *range(0x4DF0, 0x4E10), *range(0x9FF0, 0xAC10), *range(0xD7B0, 0xD800)]
KEPT += [*range(0xE000, 0xE010), *range(0xF8F0, 0x12000), *range(0x12FF0, 0x13500)]
KEPT += [*range(0x16000, 0x17000), *range(0x1B000, 0x1BD00), *range(0x1CF00, 0x1FC00)]
KEPT += [*range(0x1FFF0, 0x20010), *range(0x2A6D0, 0x2A710), *range(0x2B730, 0x2B930)]
KEPT += [*range(0x2CEA0, 0x2CEC0), *range(0x2F7F0, 0x2FA30), *range(0xE0000, 0xE0200)]


@pytest.fixture(scope="module")
def by_character(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Pair]:
    """Tokenizers that give every character an id, so that no difference hides behind [UNK]."""
    pieces = [prefix + chr(code) for code in KEPT for prefix in ("", "##")]
    vocabulary = {piece: index for index, piece in enumerate(["[PAD]", "[UNK]", *pieces])}
    folder = tmp_path_factory.mktemp("characters")

    def make(**options: Any) -> Pair:
        library = tokenizers.Tokenizer(
            models.WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=40)
        )
        library.normalizer = normalizers.BertNormalizer(**options)
        library.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        library.save(str(folder / "tokenizer.json"))
        return Tokenizer.load(folder / "tokenizer.json"), library

    return make


@pytest.fixture(scope="module", params=OPTIONS.values(), ids=OPTIONS.keys())
def characters(request: pytest.FixtureRequest, by_character: Callable[..., Pair]) -> Pair:
    return by_character(**request.param)


def test_same_ids_as_the_library_on_50000_titles(trained: Pair, titles: list[str]) -> None:
    ours, library = trained
    expected = [encoding.ids for encoding in library.encode_batch(titles)]
    assert sum(map(len, expected)) > 5 * COUNT
    different = [
        (title, ids)
        for title, ids in zip(titles, expected, strict=True)
        if ours.encode(title, sys.maxsize) != ids
    ]
    assert different == []


def test_first_tokens_only(trained: Pair, titles: list[str]) -> None:
    ours, library = trained
    for title in titles[:500]:
        ids = library.encode(title).ids
        for count in (0, 1, 2, 5, 64):
            assert ours.encode(title, count) == ids[:count]
    long = " ".join(titles)[:100_000]
    assert ours.encode(long) == library.encode(long).ids[:64]
    assert ours.encode(long, -1) == []


def test_every_character(characters: Pair) -> None:
    ours, library = characters
    codes = [*KEPT]
    codes += [code for code in range(0x3500, sys.maxunicode, 97) if code >> 11 != 0x1B]
    # Between letters, where it can part, join or vanish; Greek shows that lower case is per letter.
    texts = [
        "".join(f"a{chr(code)}\u0301b\u03a3 " for code in codes[start : start + 512])
        for start in range(0, len(codes), 512)
    ]
    expected = [encoding.ids for encoding in library.encode_batch(texts)]
    different = [
        hex(codes[512 * index])
        for index, (text, ids) in enumerate(zip(texts, expected, strict=True))
        if ours.encode(text, sys.maxsize) != ids
    ]
    assert different == []


# Marks of many combining classes, whose order matters, beside whatever else there is.
MARKS = (
    "\u0301\u0316\u0334\u0345\u05b0\u0903\u302e\u302f\u1b44\U0001d165\U0001d16d\u08d4\u1dfa\u1dfb"
)
TEXTS = st.text(
    st.characters(exclude_categories=["Cs"])
    | st.sampled_from(
        "aA1 \t\n\x0b\x1c\x85\x00\u200d\ufffd\u3000-[]#\u03a3\u0130\u1e9b\u1112\uac01"
    )
    | st.sampled_from(MARKS)
)


@given(text=TEXTS)
@example("\u302e\u0903\U0001d165")
@example("a\u0345\u0301\u0334\U0001d165\u302e")
@example("\u0391\u03a3 \u1e9b\u0323 \ufb01 [UNK][PAD]x")
def test_same_ids_as_the_library_on_any_text(characters: Pair, text: str) -> None:
    ours, library = characters
    assert ours.encode(text, sys.maxsize) == library.encode(text).ids


@given(
    parts=st.lists(TEXTS, min_size=1, max_size=4),
    lengths=st.lists(st.integers(0, 1500), min_size=4, max_size=4),
)
def test_same_ids_as_the_library_on_long_text(
    trained: Pair, parts: list[str], lengths: list[int]
) -> None:
    ours, library = trained
    text = "".join(part * length for part, length in zip(parts, lengths, strict=False))
    ids = library.encode(text).ids
    assert ours.encode(text, sys.maxsize) == ids
    assert ours.encode(text) == ids[:64]


def test_special_tokens_in_a_text(trained: Pair) -> None:
    ours, _ = trained
    assert ours.encode("[PAD][UNK] [pad]", 2) == [0, 1]
    assert 0 not in ours.encode("[pad]")


@pytest.mark.parametrize(
    "text", ["", " ", "\n\t", "\x00\u200b", "\u0301", "\ud800", "\udfff \ud800"]
)
def test_nothing_to_see(trained: Pair, text: str) -> None:
    ours, _ = trained
    assert ours.encode(text) == []


def test_lone_surrogates_are_left_out(trained: Pair) -> None:
    ours, _ = trained
    assert ours.encode("wo\ud800rd \udc80 word") == ours.encode("word word") != []


def tiny(**changes: Any) -> dict[str, Any]:
    vocabulary = ["[PAD]", "[UNK]", "star", "##s", "##t", "wars", "s", "!"]
    description: dict[str, Any] = {
        "added_tokens": [{"id": 0, "content": "[PAD]"}, {"id": 1, "content": "[UNK]"}],
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": None,
            "lowercase": True,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 6,
            "vocab": {word: index for index, word in enumerate(vocabulary)},
        },
    }
    for keys, value in changes.items():
        *parents, last = keys.split("__")
        target = description
        for parent in parents:
            target = target[parent]
        target[last] = value
    return description


def test_pieces_by_hand() -> None:
    tokenizer = Tokenizer(tiny())
    assert len(tokenizer) == 8
    assert tokenizer.encode("Star Wars!") == [2, 5, 7]
    assert tokenizer.encode("STÁRST") == [2, 3, 4]  # star ##s ##t
    assert tokenizer.encode("starx") == [1]  # one unknown word, not "star" and a rest
    assert tokenizer.encode("starsts") == [1]  # seven characters where six are allowed
    assert Tokenizer(tiny(added_tokens=[])).encode("[UNK]") == [1, 1, 1]


def test_words_that_cannot_be_spelt_fall_into_characters_and_buckets() -> None:
    words = ["[PAD]", "[UNK]", "[BUCKET0]", "[BUCKET1]", "star", "##s", "##t", "s"]
    tokenizer = Tokenizer(
        tiny(model__vocab={word: n for n, word in enumerate(words)}, added_tokens=[])
    )
    assert tokenizer.encode("stars") == [4, 5]
    # s and ##t have pieces, x (120) and y (121) have none; t begins a word but has a piece within one.
    assert tokenizer.encode("stxy") == [7, 6, 2, 3]
    assert tokenizer.encode("tx") == [6, 2]
    assert tokenizer.encode("starsss") == [7, 6, 2 + ord("a") % 2, 2 + ord("r") % 2, 5, 5]
    assert tokenizer.encode("星") == [2 + ord("星") % 2]


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"normalizer": None}, "normalizer.type null"),
        ({"normalizer__type": "Lowercase"}, 'normalizer.type "Lowercase" instead of'),
        ({"normalizer__lowercase": 1}, "normalizer.lowercase 1 instead of true or false"),
        ({"pre_tokenizer__type": "Whitespace"}, "pre_tokenizer.type"),
        ({"post_processor": {"type": "TemplateProcessing"}}, "post_processor"),
        ({"truncation": {"max_length": 8}}, "truncation"),
        ({"padding": {"length": 8}}, "padding"),
        ({"model__type": "BPE"}, 'model.type "BPE"'),
        ({"model__unk_token": "<unk>"}, "model.unk_token"),
        ({"model__vocab": {"[UNK]": 0, "[PAD]": 1}}, r"model.vocab.\[PAD\] 1 instead of 0"),
        ({"model__vocab": {"[PAD]": 0, "[UNK]": 1, "a": 3}}, "ids in model.vocab"),
        ({"model__vocab": {"[PAD]": 0, "[UNK]": 1, "a": [2]}}, "ids in model.vocab"),
        ({"model__max_input_chars_per_word": "6"}, "max_input_chars_per_word without"),
        ({"model__continuing_subword_prefix": None}, "continuing_subword_prefix without"),
        ({"added_tokens": None}, "added_tokens without"),
        ({"added_tokens": [7]}, "added token null"),
        ({"added_tokens": [{"id": 9, "content": "[CLS]"}]}, "added token .*not in model.vocab"),
        ({"added_tokens": [{"id": 7, "content": "!", "lstrip": True}]}, "matching rule"),
    ],
)
def test_unsupported_files_are_refused(tmp_path: Path, changes: dict[str, Any], found: str) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(tiny(**changes)), encoding="utf-8")
    with pytest.raises(BundleError, match=f"tokenizer.json: expected .*found .*{found}"):
        Tokenizer.load(path)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b"[" * 100_000])
def test_damaged_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_bytes(content)
    with pytest.raises(BundleError, match=r"tokenizer\.json: expected"):
        Tokenizer.load(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="No such file"):
        Tokenizer.load(tmp_path / "tokenizer.json")
