"""Rules that people set over the model: boost, exclude and quota, read from TOML (docs/rules.md).

A file is parsed once (`Rules`), bound to a catalogue once (`BoundRules`) and costs a call nothing but array work.
"""

import html
import math
import re
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from pocketrec.catalogue import Item, fold
from pocketrec.errors import UsageError
from pocketrec.ranker import top_k

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]

MOST_BOOST = 100.0
"""Standard deviations: any larger boost only costs digits."""

_SEPARATOR = re.compile(r"[|;,>»、\n\t]|\s/\s")
_AROUND = " '\"[]\ufeff"
_WORD = re.compile(r"[^\W_]+")


def _parts(text: str) -> str:
    """The parts of a list of names, each between line breaks: a run of parts is a substring."""
    folded = fold(html.unescape(text))
    parts = (" ".join(part.strip(_AROUND).split()) for part in _SEPARATOR.split(folded))
    return "\n".join(["", *filter(None, parts), ""])


def _words(text: str) -> str:
    """The words of a text, each between spaces: a run of words is a substring."""
    return " ".join(["", *_WORD.findall(fold(html.unescape(text))), ""])


_TEXTS: dict[str, tuple[Callable[[Item], str], Callable[[str], str]]] = {
    "category": (lambda item: item.categories, _parts),
    "category_words": (lambda item: item.categories, _words),
    "creator": (lambda item: item.creator, _parts),
}
_CONDITIONS = (*_TEXTS, "item_id", "year_from", "year_to")
_AMOUNT = {"boost": ("by",), "exclude": (), "quota": ("most",)}


@dataclass(frozen=True)
class Rule:
    """Which items one rule is about, those that meet all of its conditions, and its amount.

    Attributes:
        where: what messages call it, such as ``rules.toml: [[boost]] 2``.
        category: one of the item's categories is one of these; case and accents do not matter.
        category_words: the item's categories hold the words of one of these, in a row.
        creator: one of the item's creators is one of these.
        item_id: the item is one of these.
        year_from: first year that is meant; an item without a year is not.
        year_to: last year that is meant.
        by: of a boost, in standard deviations of the scores.
        most: of a quota, places in a list.
    """

    where: str
    category: tuple[str, ...] = ()
    category_words: tuple[str, ...] = ()
    creator: tuple[str, ...] = ()
    item_id: tuple[str, ...] = ()
    year_from: int | None = None
    year_to: int | None = None
    by: float = 0.0
    most: int = 0


@dataclass(frozen=True)
class Rules:
    """The rules of a file, which name items by what a catalogue says of them."""

    boost: tuple[Rule, ...] = ()
    exclude: tuple[Rule, ...] = ()
    quota: tuple[Rule, ...] = ()

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a file of rules.

        Raises:
            UsageError: the file is missing or not TOML, or a rule is not as docs/rules.md says.
        """
        try:
            text = Path(path).read_text(encoding="utf-8-sig")  # some editors put a mark in front
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{path}: expected a file of rules in TOML, found: {error}") from error
        return cls.parse(text, str(path))

    @classmethod
    def parse(cls, text: str, source: str = "rules") -> Self:
        """Read rules from TOML text; messages call it ``source``.

        Raises:
            UsageError: as `load`.
        """
        try:
            tables = tomllib.loads(text)
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            raise UsageError(f"{source}: expected rules in TOML, found: {error}") from error
        kinds = ", ".join(f"[[{kind}]]" for kind in _AMOUNT)
        for kind, rows in tables.items():
            if kind not in _AMOUNT:
                raise UsageError(f"{source}: expected {kinds}, found {kind!r}; rename or remove it")
            if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
                raise UsageError(
                    f"{source}: expected [[{kind}]] above each rule, found {kind} = {_short(rows)}; "
                    "write two pairs of brackets"
                )
        return cls(
            **{
                kind: tuple(
                    _rule(f"{source}: [[{kind}]] {number}", kind, row)
                    for number, row in enumerate(rows, start=1)
                )
                for kind, rows in tables.items()
            }
        )

    def bind(self, items: Sequence[Item]) -> "BoundRules":
        """Look up which items of a catalogue each rule is about.

        Args:
            items: the whole catalogue, in the order of the scores.

        Raises:
            UsageError: a rule is about no item, or a category or creator that it lists is that of none.
        """
        matcher = _Matcher(items)
        boosts = np.zeros(len(items), dtype=np.float32)
        for rule in self.boost:
            boosts[matcher.matching(rule)] += np.float32(rule.by)
        excluded = np.zeros(len(items), dtype=np.bool_)
        for rule in self.exclude:
            excluded |= matcher.matching(rule)
        return BoundRules(
            boosts,
            np.flatnonzero(excluded),
            np.array([matcher.matching(rule) for rule in self.quota], dtype=np.bool_).reshape(
                len(self.quota), len(items)
            ),
            np.array([rule.most for rule in self.quota], dtype=np.int64),
        )


@dataclass(frozen=True)
class BoundRules:
    """Rules as arrays over the N items of one catalogue. Safe to use from several threads.

    Attributes:
        boosts: float32 [N], in standard deviations, the boosts of an item added up.
        excluded: int64 [E], indices of the items that are never listed, ascending.
        quotas: bool [Q, N], the items that each quota counts.
        most: int64 [Q], places that the items of each quota may take in a list.
    """

    boosts: Float32
    excluded: Int64
    quotas: Bool
    most: Int64

    def apply(self, scores: Float32) -> Float32:
        """Scores after boost and exclude; a new float32 [N], finite as ``scores`` are.

        A boost adds its standard deviations of ``scores``, which orders the items as adding it to their z-scores
        would and leaves the scores of all others as they are. (Scores that are all alike have deviation 1.) Excluded
        items are all put at one value below every other.

        Raises:
            UsageError: the scores are of another number of items than the catalogue.
        """
        if scores.shape != self.boosts.shape:
            raise UsageError(
                f"rules: expected the scores of {len(self.boosts):,} items, found an array {list(scores.shape)}; "
                "bind the rules to the catalogue that is scored"
            )
        ruled: Float32 = scores + self.boosts * np.float32(_spread(scores))
        ruled[self.excluded] = _below(ruled, 1)
        return ruled

    def take(self, scores: Float32, k: int, out: Int64) -> Int64:
        """The ``k`` best items within the quotas, best first, ties in catalogue order; int64.

        The list is filled from the top; an item that a full quota counts is passed over. Fewer than ``k`` where the
        quotas and the catalogue leave no more.

        Args:
            scores: what `apply` returned, float32 [N].
            k: how many, at least 1.
            out: int64 [n], further items that must not be listed, such as the history.
        """
        out = np.concatenate((out, self.excluded))
        wanted = k
        while True:
            best = top_k(scores, wanted, out)
            kept = best[~self._passed_over(best)]
            if len(kept) >= k or len(best) < wanted:
                return kept[:k]
            wanted *= 4

    def rank(self, scores: Float32, history: Int64) -> Float32:
        """The whole ranking that the rules give, as scores; a new float32 [N], finite as ``scores`` are.

        `apply`, and the items that a list would pass over for a full quota are put below all others, in their order
        and above the excluded ones. History items take no place of a quota, for they are never listed.
        """
        ruled = self.apply(scores)
        counted = np.flatnonzero(self.quotas.any(axis=0))
        candidates = np.setdiff1d(counted, history)  # excluded ones come last and take no place
        best_first = candidates[np.argsort(-ruled[candidates], kind="stable")]
        passed_over = best_first[self._passed_over(best_first)]
        steps = _below(ruled, len(passed_over) + 1)
        ruled[passed_over] = steps[:-1]
        ruled[self.excluded] = steps[-1]
        return ruled

    def _passed_over(self, best_first: Int64) -> Bool:
        """Which of a ranking's items find a quota full when a list is filled from its top; bool [n]."""
        counted = self.quotas[:, best_first]
        passed_over = np.zeros(len(best_first), dtype=np.bool_)
        # A quota that is full stays full, so each closes once, at its last place.
        waiting = np.full(len(self.most), len(best_first) > 0)
        while waiting.any():
            reached = np.cumsum(counted & ~passed_over, axis=1) >= self.most[:, None]
            reached &= waiting[:, None]
            if not reached.any():
                break
            place = int(reached.any(axis=0).argmax())
            quota = int(reached[:, place].argmax())
            passed_over[place + 1 :] |= counted[quota, place + 1 :]
            waiting[quota] = False
        return passed_over


class _Matcher:
    """Finds the items of a catalogue that rules are about."""

    def __init__(self, items: Sequence[Item]) -> None:
        self._items = items
        self._of_texts: dict[str, list[str]] = {}

    @cached_property
    def _years(self) -> npt.NDArray[np.float64]:
        return np.array([math.nan if i.year is None else i.year for i in self._items])

    def matching(self, rule: Rule) -> Bool:
        """The items that meet all conditions of a rule, at least one; bool [N].

        Raises:
            UsageError: there is none.
        """
        found = np.ones(len(self._items), dtype=np.bool_)
        for name in _TEXTS:
            if values := getattr(rule, name):
                found &= np.any([self._holding(rule, name, value) for value in values], axis=0)
        if ids := frozenset(rule.item_id):
            found &= np.array([item.item_id in ids for item in self._items], dtype=np.bool_)
        if rule.year_from is not None:
            found &= self._years >= rule.year_from
        if rule.year_to is not None:
            found &= self._years <= rule.year_to
        if not found.any():
            raise UsageError(
                f"{rule.where}: expected conditions that an item meets, found none of {len(found):,} items that "
                "meets all of them; correct or remove the rule"
            )
        return found

    def _holding(self, rule: Rule, name: str, value: str) -> Bool:
        key = _TEXTS[name][1](value)
        found = np.array([key in text for text in self._texts(name)], dtype=np.bool_)
        if not found.any():
            raise UsageError(
                f"{rule.where}: {name} {_short(value)}: expected what an item of the catalogue has, found it at none "
                f"of {len(found):,} items; {self._advice(name, value)}"
            )
        return found

    def _texts(self, name: str) -> list[str]:
        """A field of every item in the form that values are looked for in."""
        if name not in self._of_texts:
            field, key = _TEXTS[name]
            texts = [field(item) for item in self._items]
            keys = {text: key(text) for text in set(texts)}  # most stand many times
            self._of_texts[name] = [keys[text] for text in texts]
        return self._of_texts[name]

    def _advice(self, name: str, value: str) -> str:
        if name == "category":
            words = _words(value)
            held = sum(words in text for text in self._texts("category_words"))
            if words.strip() and held:
                return f"{held:,} hold it inside of a category: write category_words for that"
        split = str.split if name == "category_words" else str.splitlines
        known = {part for text in self._texts(name) for part in split(text) if part}
        if not known:
            return f"none has any {name.partition('_')[0]}: remove the rule"
        if near := get_close_matches(value.lower(), known, n=1):
            return f"did you mean {near[0]!r}?"
        return "correct or remove it"


def _rule(where: str, kind: str, row: dict[str, Any]) -> Rule:
    allowed = (*_CONDITIONS, *_AMOUNT[kind])
    for key in row:
        if key not in allowed:
            raise UsageError(
                f"{where}: expected the keys {', '.join(allowed)}, found {key!r}; rename or remove it"
            )
    for key in _AMOUNT[kind]:
        if key not in row:
            raise UsageError(f"{where}: expected the key {key!r}, found none; add it")
    if not any(key in row for key in _CONDITIONS):
        raise UsageError(
            f"{where}: expected a condition ({', '.join(_CONDITIONS)}), found none; say which items are meant"
        )
    rule = Rule(where, **{key: _checked(where, key, value) for key, value in row.items()})
    first, last = rule.year_from, rule.year_to
    if first is not None and last is not None and first > last:
        raise UsageError(
            f"{where}: expected year_from up to year_to, found {first} and {last}; swap them"
        )
    return rule


def _checked(where: str, key: str, value: Any) -> Any:
    """``value`` if ``key`` can have it, texts as a tuple."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    if key in ("year_from", "year_to"):
        expected, fits = "a year such as 1999", whole
    elif key == "most":
        expected = "a whole number of at least 1 (to list none, write [[exclude]])"
        fits = whole and value >= 1
    elif key == "by":
        expected = f"a number from {-MOST_BOOST:g} to {MOST_BOOST:g}"
        fits = (whole or isinstance(value, float)) and -MOST_BOOST <= value <= MOST_BOOST
    else:
        texts = value if isinstance(value, list) and value else [value]
        return tuple(_text(where, key, text) for text in texts)
    if not fits:
        raise UsageError(f"{where}: {key}: expected {expected}, found {_short(value)}")
    return value


def _text(where: str, key: str, value: object) -> str:
    if key == "item_id" and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    form = str if key == "item_id" else _TEXTS[key][1]
    if not isinstance(value, str) or not form(value).strip():
        raise UsageError(
            f"{where}: {key}: expected a text or a list of texts, found {_short(value)}"
        )
    return value


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:79]}…"


def _spread(scores: Float32) -> float:
    """The standard deviation, or 1 where all scores are one value."""
    deviation = float(scores.std(dtype=np.float64))
    # Equal values differ from their mean by rounding alone.
    return deviation if deviation > 1e-6 * abs(float(scores.mean())) else 1.0


def _below(scores: Float32, count: int) -> Float32:
    """``count`` different values below all of ``scores``, falling; float32 [count]."""
    floor = float(scores.min())
    # Far from 0, neighbouring floats lie more than 1 apart.
    gap = max(1.0, 4 * float(np.spacing(np.float32(abs(floor)))))
    return np.asarray(floor - gap * np.arange(1, count + 1), dtype=np.float32)
