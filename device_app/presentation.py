"""How items and times read on screen. No Kivy."""

import re
import zlib
from datetime import datetime
from typing import TYPE_CHECKING

from device_app.language import tr, trn

if TYPE_CHECKING:  # a window that shows its first frame needs no database
    from pocketrec.catalogue import Item

CATEGORIES_SHOWN = 3

MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
"""In English; a language that writes them otherwise may use the number."""

_INVERTED = re.compile(r"^(?P<rest>.+), (?P<article>The|A|An|Les|Le|La|L'|El|Das|Der|Die|Il)$")
_WORD = re.compile(r"[^\W_]+")
_ARTICLES = frozenset({"the", "a", "an", "of", "and", "le", "la", "les", "der", "die", "das", "el"})
_CJK = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af]")


def shown_title(item: "Item") -> str:
    """The title without its year (the facts say it) and with the article in front."""
    title = item.title.strip()
    if item.year is not None:
        title = title.removesuffix(f"({item.year})").rstrip()
    return article_first(title) or item.item_id


def article_first(title: str) -> str:
    """``Usual Suspects, The``, as lists sort it -> ``The Usual Suspects``."""
    if match := _INVERTED.match(title):
        article = match["article"]
        return f"{article}{'' if article.endswith(chr(39)) else ' '}{match['rest']}"
    return title


def short_title(title: str) -> str:
    """The title without a remark in brackets at its end, to name an item within a sentence."""
    return re.sub(r"\s*\([^()]*\)$", "", title) or title


def facts(item: "Item") -> str:
    """Year, creator and the first categories, those that are known."""
    parts = [
        str(item.year) if item.year is not None else "",
        item.creator.strip(),
        ", ".join(categories(item)[:CATEGORIES_SHOWN]),
    ]
    return "  ·  ".join(part for part in parts if part)


def categories(item: "Item") -> tuple[str, ...]:
    """The categories one by one, each once."""
    parts = (part.strip() for part in re.split(r"[,|;]", item.categories))
    return tuple(dict.fromkeys(part for part in parts if part))


def own_text(item: "Item") -> str:
    """The description, else a text that says more than title, facts and categories do."""
    if item.description.strip():
        return item.description.strip()
    return "" if item.text == item.template_text() else item.text.strip()


def initials(title: str) -> str:
    """One or two letters that stand for a poster: of the first words that carry meaning."""
    if title and _CJK.match(title):
        return title[0]
    words = _WORD.findall(title)
    telling = [word for word in words if word.lower() not in _ARTICLES] or words
    return "".join(word[0].upper() for word in telling[:2])


def tint(item_id: str, tints: int) -> int:
    """A number below `tints` that an item keeps from run to run."""
    # The low bits of short ids lie close together.
    return (zlib.crc32(item_id.encode()) >> 8) % tints


def ago(timestamp: int | None, now: int) -> str:
    """When something happened, as people say it. Unix seconds; a time to come is "just now"."""
    if timestamp is None:
        return tr("at an unknown time")
    seconds = max(0, now - timestamp)
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if not minutes:
        return tr("just now")
    if not hours:
        return trn("{} minute ago", "{} minutes ago", minutes).format(minutes)
    if not days:
        return trn("{} hour ago", "{} hours ago", hours).format(hours)
    if days < 7:
        return trn("{} day ago", "{} days ago", days).format(days)
    return date(timestamp)


def date(timestamp: int) -> str:
    """The day in the device's time zone: 5 November 2026."""
    then = datetime.fromtimestamp(timestamp)
    return tr("{day} {month} {year}").format(
        day=then.day, month=MONTHS[then.month - 1], number=then.month, year=then.year
    )
