"""An item that the person types in: its texts and its id. Light: no recommender here."""

import re
import uuid
from typing import Final

from device_app.importers.rows import LONGEST_TITLE
from device_app.importers.values import clean
from device_app.language import mark, tr
from pocketrec.catalogue import Item
from pocketrec.errors import UsageError

LONGEST_DESCRIPTION: Final = 10_000
"""Characters; the text encoder reads the first few hundred words."""

_ID = re.compile("own:[0-9a-f]{32}")


def own_item(title: str, description: str = "", item_id: str | None = None) -> Item:
    """An item of these texts, each in one line.

    Args:
        item_id: of an item that was made before; None gives one that no other item has, by 122
            random bits.

    Raises:
        UsageError: the title is empty, a text too long, or the id is none that this function gives.
    """
    title, description = clean(title), clean(description)
    if not title:
        raise UsageError(tr("title: expected at least one character, found none; type a title"))
    for name, text, most in (
        (mark("title"), title, LONGEST_TITLE),
        (mark("description"), description, LONGEST_DESCRIPTION),
    ):
        if len(text) > most:
            said = tr("{}: expected at most {:,} characters, found {:,}; shorten it")
            raise UsageError(said.format(tr(name), most, len(text)))
    if item_id is None:
        item_id = f"own:{uuid.uuid4().hex}"
    elif not _ID.fullmatch(item_id):
        raise UsageError(f"item {item_id!r}: expected the id of an item of one's own")
    return Item(item_id, title, description=description)
