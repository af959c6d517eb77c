"""Train once with a language model across domains; ship a few megabytes; recommend offline.

>>> from pocketrec import Recommender
>>> recommender = Recommender.open("bundle")  # doctest: +SKIP
>>> recommender.recommend(["item-1", "item-2"], k=10)  # doctest: +SKIP
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pocketrec.catalogue import Item
    from pocketrec.errors import PocketRecError
    from pocketrec.recommender import Recommender

__version__ = "0.1.0"

__all__ = ["Item", "PocketRecError", "Recommender", "__version__"]

_HOME = {
    "Item": "pocketrec.catalogue",
    "PocketRecError": "pocketrec.errors",
    "Recommender": "pocketrec.recommender",
}


def __getattr__(name: str) -> Any:
    # Loaded on first use: `pocketrec --help` needs neither numpy nor an engine.
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'pocketrec' has no attribute {name!r}")
