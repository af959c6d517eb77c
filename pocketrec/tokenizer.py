"""A BERT-style WordPiece tokenizer in pure Python, for devices that cannot install a compiled one.

It reads the ``tokenizer.json`` of the Hugging Face ``tokenizers`` library and gives that library's
ids, token for token (checked against 0.22.2 over every character of Unicode), but for words that the
vocabulary cannot spell. The library takes each for the one unknown token, and a text in a script that
the vocabulary has never met for a row of them. Here such a word falls into its characters, and each
that has no piece of its own into one of the vocabulary's buckets, so that texts stay apart.

WordPiece: Wu et al. (2016), arXiv:1609.08144; the normalization: Devlin et al. (2019),
arXiv:1810.04805; buckets: Weinberger et al. (2009), arXiv:0902.2206.
"""

import json
import re
import string
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator
from functools import lru_cache
from itertools import count, takewhile
from pathlib import Path
from typing import Any, Self

from pocketrec.errors import BundleError

PADDING_ID = 0
UNKNOWN_ID = 1

_CACHED_WORDS = 2**14


def bucket(number: int) -> str:
    """The piece that stands for every character without a piece whose code point falls into bucket ``number``."""
    return f"[BUCKET{number}]"


_SLICE = 2**10


class Tokenizer:
    """Cuts text into the ids of a WordPiece vocabulary; 0 is padding.

    1 is a word that cannot be spelt, by a vocabulary without buckets.

    One instance may be used from several threads.
    """

    def __init__(self, description: dict[str, Any]) -> None:
        """``description`` is a parsed ``tokenizer.json``; ValueError where it is unsupported."""
        _check(description)
        model = description["model"]
        self._vocabulary: dict[str, int] = model["vocab"]
        self._longest_piece = max(map(len, self._vocabulary))
        self._longest_word: int = model["max_input_chars_per_word"]
        self._prefix: str = model["continuing_subword_prefix"]
        named = takewhile(self._vocabulary.__contains__, map(bucket, count()))
        self._buckets = [self._vocabulary[piece] for piece in named]
        self._special = {token["content"]: token["id"] for token in description["added_tokens"]}
        longest_first = map(re.escape, sorted(self._special, key=len, reverse=True))
        # Without special tokens, a pattern that never matches.
        self._special_pattern = re.compile(f"({'|'.join(longest_first) or '(?!)'})")
        self._characters = _Characters(description["normalizer"])
        self._cached_pieces = lru_cache(_CACHED_WORDS)(self._pieces)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a ``tokenizer.json``: BertNormalizer, BertPreTokenizer, WordPiece, nothing after.

        Raises:
            BundleError: the file is missing, malformed or describes another kind of tokenizer.
        """
        try:
            return cls(json.loads(Path(path).read_text(encoding="utf-8")))
        except (OSError, ValueError, RecursionError) as error:  # JSON errors are ValueErrors
            raise BundleError(
                f"{path}: expected a BERT WordPiece tokenizer.json, found {error}; "
                "export the bundle again"
            ) from error

    def __len__(self) -> int:
        """The size of the vocabulary; ids are 0 ... len - 1."""
        return len(self._vocabulary)

    @property
    def pieces(self) -> list[str]:
        """The vocabulary in the order of its ids."""
        return sorted(self._vocabulary, key=self._vocabulary.__getitem__)

    def encode(self, text: str, max_tokens: int = 64) -> list[int]:
        """The ids of the first ``max_tokens`` tokens of ``text``; empty for text without words.

        No more of ``text`` is normalized than these tokens need. Lone surrogates are left out.
        """
        ids: list[int] = []
        for part in self._special_pattern.split(text):
            if part in self._special:
                ids.append(self._special[part])
                continue
            for word in self._characters.words(part):
                if len(ids) >= max_tokens:
                    return ids[:max_tokens]
                ids += self._cached_pieces(word)
        return ids[:max_tokens]

    def _pieces(self, word: str) -> tuple[int, ...]:
        """Longest match first; where a rest of the word matches nothing it is taken apart."""
        if len(word) > self._longest_word:
            return self._characters_of(word[: self._longest_word])
        ids: list[int] = []
        start, prefix = 0, ""
        while start < len(word):
            for end in range(min(len(word), start + self._longest_piece), start, -1):
                piece = self._vocabulary.get(prefix + word[start:end])
                if piece is not None:
                    break
            else:
                return self._characters_of(word)
            ids.append(piece)
            start, prefix = end, self._prefix
        return tuple(ids)

    def _characters_of(self, word: str) -> tuple[int, ...]:
        if not self._buckets:
            return (UNKNOWN_ID,)
        ids = []
        for place, character in enumerate(word):
            first, second = ("", self._prefix) if place == 0 else (self._prefix, "")
            known = self._vocabulary.get(first + character)
            if known is None:
                known = self._vocabulary.get(second + character)
            ids.append(
                self._buckets[ord(character) % len(self._buckets)] if known is None else known
            )
        return tuple(ids)


_ALLOWED: dict[str, tuple[Any, ...]] = {
    "normalizer.type": ("BertNormalizer",),
    "normalizer.clean_text": (True, False),
    "normalizer.handle_chinese_chars": (True, False),
    "normalizer.strip_accents": (None, True, False),
    "normalizer.lowercase": (True, False),
    "pre_tokenizer.type": ("BertPreTokenizer",),
    "post_processor": (None,),
    "truncation": (None,),
    "padding": (None,),
    "model.type": ("WordPiece",),
    "model.unk_token": ("[UNK]",),
    "model.vocab.[PAD]": (PADDING_ID,),
    "model.vocab.[UNK]": (UNKNOWN_ID,),
}
_TYPES = {
    "model.continuing_subword_prefix": str,
    "model.max_input_chars_per_word": int,
    "added_tokens": list,
}


def _check(description: Any) -> None:
    """ValueError unless ``description`` is a tokenizer that this module reproduces exactly."""
    for keys, allowed in _ALLOWED.items():
        found = json.dumps(_value(description, keys))
        wanted = [json.dumps(value) for value in allowed]
        if found not in wanted:
            raise ValueError(f"{keys} {found[:80]} instead of {' or '.join(wanted)}")
    for keys, kind in _TYPES.items():
        if type(_value(description, keys)) is not kind:
            raise ValueError(f"{keys} without a value of type {kind.__name__}")
    ids = description["model"]["vocab"].values()
    if any(type(index) is not int for index in ids) or set(ids) != set(range(len(ids))):
        raise ValueError("ids in model.vocab that are not 0, 1, 2, ...")
    for token in description["added_tokens"]:
        content = _value(token, "content")
        if not content or description["model"]["vocab"].get(str(content)) != token.get("id"):
            raise ValueError(f"the added token {json.dumps(content)}, not in model.vocab")
        if any(token.get(rule) for rule in ("single_word", "lstrip", "rstrip", "normalized")):
            raise ValueError(f"the added token {json.dumps(content)} with a matching rule")


def _value(description: Any, keys: str) -> Any:
    """The value at a path like ``model.type``; None where it is not there."""
    for key in keys.split("."):
        description = description.get(key) if isinstance(description, dict) else None
    return description


def _ranges(text: str) -> list[int]:
    """Starts and ends (exclusive) in turn: an odd bisection index means inside a range."""
    bounds = []
    for part in text.split():
        start, _, end = part.partition("-")
        bounds += [int(start, 16), int(end or start, 16) + 1]
    return bounds


def _inside(code: int, bounds: list[int]) -> bool:
    return bisect_right(bounds, code) % 2 == 1


# The library mixes three editions of Unicode: 8 for categories, 9 for decomposition, 17 for lower
# case. Python's edition changes with its version, so the differences are spelled out here.
_CHINESE = _ranges("3400-4dbf 4e00-9fff f900-faff 20000-2a6df 2a700-2b81f 2b920-2ceaf 2f800-2fa1f")
# Characters of later editions, which the library takes for letters that decompose into nothing.
_UNCLASSIFIED = _ranges("""
    5c8-5c9 61d 7fd 890-8e2 9fd-9fe a76 afa-aff b53-b55 c04-c3c c77 c84 d00 d3b-d3c d81 eba ece
    180f-1886 1abf-1af0 1b4e-1b4f 1b7d-1b7f 1df6-1dfb 2e43-2e63 a82c a8c5 a8ff a9bd 105c9-105e4
    10d24-10f89 11070-11074 110c2-110cd 111c9 111cf 1123e-11241 1133b 11383-11391 113bb-1145e
    11660-1166c 116b9 1182f-11fff 12ff1-1612f 16d68-16f4f 16fe2-16fe4 1cf00-1d128 1d25b-1d25c
    1e000-1e6f5 1e944-1e95f""")
_PUNCTUATION = frozenset(string.punctuation + "\u166d\U000111c9")
_MARKS = frozenset("\u1734\U0001171e")
# Characters that canonical ordering moves and that stripping accents leaves.
_ORDERED = re.compile(
    "[\u08d4-\u08e1\u1b44\u1baa\u1bf2\u1bf3\u1dfb\u302e\u302f\ua953\ua9c0\U000111c0\U00011235"
    "\U0001134d\U00011442\U00011446\U000116b6\U00011c3f\U0001d165\U0001d166\U0001d16d-\U0001d172"
    "\U0001e000-\U0001e006\U0001e008-\U0001e018\U0001e01b-\U0001e021\U0001e023\U0001e024"
    "\U0001e026-\U0001e02a\U0001e944-\U0001e94a]{2,}"
)
# Stands for a stripped mark that nothing is moved across; other lone surrogates are left out.
_BARRIER = "\ud800"
_LOWER = {
    "\u1c89": "\u1c8a",
    "\ua7cb": "\u0264",
    "\ua7cc": "\ua7cd",
    "\ua7ce": "\ua7cf",
    "\ua7d2": "\ua7d3",
    "\ua7d4": "\ua7d5",
    "\ua7da": "\ua7db",
    "\ua7dc": "\u019b",
    **{chr(code): chr(code + 0x20) for code in range(0x10D50, 0x10D66)},
    **{chr(code): chr(code + 0x1B) for code in range(0x16EA0, 0x16EB9)},
}


class _Characters(dict[int, str]):
    """A table for str.translate: each character normalized, with a space where words part.

    It fills itself with the characters that are met.
    """

    def __init__(self, normalizer: dict[str, Any]) -> None:
        super().__init__()
        strip_accents = normalizer["strip_accents"]
        self._clean: bool = normalizer["clean_text"]
        self._chinese: bool = normalizer["handle_chinese_chars"]
        self._lowercase: bool = normalizer["lowercase"]
        self._strip: bool = self._lowercase if strip_accents is None else strip_accents

    def words(self, text: str) -> Iterator[str]:
        """The normalized words and punctuation marks of ``text``, made as they are asked for."""
        finish = _in_canonical_order if self._strip else str
        start, size, rest = 0, _SLICE, ""
        while start < len(text):
            # Doubling slices: little is read for a few words, and a word of any length is linear.
            *words, rest = (rest + text[start : start + size].translate(self)).split(" ")
            yield from filter(None, map(finish, words))
            start, size = start + size, 2 * size
        if rest := finish(rest):
            yield rest

    def __missing__(self, code: int) -> str:
        found = self[code] = self._normalized(code)
        return found

    def _normalized(self, code: int) -> str:
        char = chr(code)
        if 0xD800 <= code <= 0xDFFF or (self._clean and _is_control(char)):
            return ""
        if self._strip and not _inside(code, _UNCLASSIFIED):
            char = "".join(map(_stripped, unicodedata.normalize("NFD", char)))
        if self._lowercase:
            # One by one: str.lower() of a word would choose between two forms of the Greek sigma.
            char = "".join(_LOWER.get(c) or c.lower() for c in char)
        char = "".join(map(_parted, char))
        return f" {char} " if self._chinese and _inside(code, _CHINESE) else char


def _category(char: str) -> str:
    return "Lo" if _inside(ord(char), _UNCLASSIFIED) else unicodedata.category(char)


def _is_control(char: str) -> bool:
    return char == "\ufffd" or (_category(char) in ("Cc", "Cf", "Co") and char not in "\t\n\r")


def _stripped(char: str) -> str:
    if _category(char) != "Mn" and char not in _MARKS:
        return char
    return "" if unicodedata.combining(char) else _BARRIER


def _parted(char: str) -> str:
    if char.isspace() and char not in "\x1c\x1d\x1e\x1f":
        return " "
    return f" {char} " if _category(char)[0] == "P" or char in _PUNCTUATION else char


def _in_canonical_order(word: str) -> str:
    """What decomposing a whole word does beyond decomposing its characters."""
    if word.isascii():
        return word
    word = _ORDERED.sub(lambda run: "".join(sorted(run.group(), key=unicodedata.combining)), word)
    return word.replace(_BARRIER, "")
