"""When two titles name the same thing, and when they may."""

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from device_app.presentation import article_first, short_title
from pocketrec.catalogue import fold
from pocketrec.titles import split_title

MOST_ALIKE: Final = 100
"""Items looked at for one form of a title: more share only a first word like "Untitled"."""

_TYPOGRAPHY = str.maketrans("‘’‚“”„–—", "'''\"\"\"--")
_WORD = re.compile(r"[^\W_]+")
_ARTICLE = re.compile("^(the|an?) ")
_ALSO_KNOWN = re.compile(r"^a\.?k\.?a\.?:? ", re.IGNORECASE)


class Closeness(IntEnum):
    """How much of two titles is the same; lower is closer."""

    EXACT = 0
    """All but case, accents and typography."""
    WHOLE = 1
    """The letters: all but punctuation, a leading article and a remark in brackets at the end."""
    PART = 2
    """One is the other's beginning up to a colon, or its remark in brackets."""


class Fit(IntEnum):
    """How two years go together; lower is better."""

    SAME = 0
    NEXT = 1
    UNKNOWN = 2
    FAR = 3


@dataclass(frozen=True)
class Name:
    """A title in the forms that it is compared by.

    Attributes:
        exact: the folded title, its article in front and its year taken off.
        whole: letters and digits alone, with and without the remark at the end.
        parts: letters and digits of what may stand for the whole.
        year: None where unknown.
    """

    exact: str
    whole: frozenset[str]
    parts: frozenset[str]
    year: int | None

    @classmethod
    def of(cls, title: str, year: int | None) -> "Name":
        """A year in brackets at the end of ``title`` counts where ``year`` is None."""
        title = title.translate(_TYPOGRAPHY).strip()
        name, written = split_title(title)
        if not name or (None not in (year, written) and written != year):
            name = title  # what looks like a year is part of it
        full = article_first(name)
        short = short_title(full)
        remark = article_first(full[len(short) :].strip(" ()"))
        whole = {_letters(full), _letters(short)} - {""}
        parts = {_letters(short.partition(":")[0]), _letters(_ALSO_KNOWN.sub("", remark, count=1))}
        return cls(
            exact=" ".join(fold(full).split()),
            whole=frozenset(whole),
            parts=frozenset(parts - whole - {""}),
            year=written if year is None else year,
        )

    def closeness(self, other: "Name") -> Closeness | None:
        """None where the titles share nothing that counts."""
        if self.exact == other.exact:
            return Closeness.EXACT
        if self.whole & other.whole:
            return Closeness.WHOLE
        if self.whole & other.parts or self.parts & other.whole:
            return Closeness.PART
        return None

    def fit(self, other: "Name") -> Fit:
        if self.year is None or other.year is None:
            return Fit.UNKNOWN
        return {0: Fit.SAME, 1: Fit.NEXT}.get(abs(self.year - other.year), Fit.FAR)


@dataclass(frozen=True)
class Candidate:
    """An item, by its place in the catalogue, that a title may mean."""

    place: int
    closeness: Closeness
    fit: Fit


class Titles:
    """The names of a catalogue's items, found by any of their forms."""

    def __init__(self, names: Iterable[Name]) -> None:
        self._names = list(names)
        self._exact: defaultdict[str, list[int]] = defaultdict(list)
        self._whole: defaultdict[str, list[int]] = defaultdict(list)
        self._parts: defaultdict[str, list[int]] = defaultdict(list)
        for place, name in enumerate(self._names):
            self._exact[name.exact].append(place)
            for form in name.whole:
                self._whole[form].append(place)
            for form in name.parts:
                self._parts[form].append(place)

    def __getitem__(self, place: int) -> Name:
        return self._names[place]

    def candidates(self, name: Name) -> list[Candidate]:
        """What ``name`` may mean, the likeliest first.

        Another year, by more than one, leaves only items of exactly this title, as the last.
        """
        places = set(self._exact.get(name.exact, ()))
        for form in name.whole:
            places.update(self._whole.get(form, ())[:MOST_ALIKE])
            places.update(self._parts.get(form, ())[:MOST_ALIKE])
        for form in name.parts:
            places.update(self._whole.get(form, ())[:MOST_ALIKE])
        found = []
        for place in places:
            closeness, fit = name.closeness(self[place]), name.fit(self[place])
            if closeness is not None and (fit is not Fit.FAR or closeness is Closeness.EXACT):
                found.append(Candidate(place, closeness, fit))

        def rank(candidate: Candidate) -> tuple[int, ...]:
            length = abs(len(self[candidate.place].exact) - len(name.exact))
            far = candidate.fit is Fit.FAR
            return far, candidate.closeness, candidate.fit, length, candidate.place

        return sorted(found, key=rank)


def _letters(title: str) -> str:
    """``title`` as one word of letters and digits: Spider-Man, Spider Man and Spiderman are the same."""
    words = " ".join(_WORD.findall(fold(title).replace("&", " and ")))
    return _ARTICLE.sub("", words, count=1).replace(" ", "")
