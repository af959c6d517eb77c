"""Titles as MovieLens writes them, and many lists after it: article last, year in brackets."""

import re

_ARTICLE_LAST = re.compile(r"^([^(]+), (The|A|An)(?= \(|$)")
_YEAR_LAST = re.compile(r"^(.*?)\s*\((\d{4})\)\s*$")


def split_title(title: str) -> tuple[str, int | None]:
    """``Deer Hunter, The (1978)`` as MovieLens writes it -> ``The Deer Hunter`` and 1978 (None where it has no year)."""
    found = _YEAR_LAST.match(title)
    name, year = (found[1], int(found[2])) if found else (title.strip(), None)
    return _ARTICLE_LAST.sub(r"\2 \1", name), year
