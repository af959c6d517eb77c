"""The rules of the window: .kv files, in the order in which they use each other."""

import sys
from pathlib import Path

from kivy.lang import Builder
from kivy.uix.recycleview import views

from device_app.widgets import (
    basics,
    card,
    controls,
    field,
    focus,
    lines,
    navigation,
    notice,
    rows,
    snackbar,
    tile,
)

# Importing a module makes its classes known to kv; its rules lie beside it.
WIDGETS = (basics, controls, field, tile, card, rows, lines, navigation, notice, snackbar, focus)
FILES = [Path(part.__file__).with_suffix(".kv") for part in WIDGETS]
FILES.append(Path(__file__).with_name("shell.kv"))

_loaded: list[Path] = []


def load() -> None:
    """Those of the widgets, which every screen is made of."""
    for file in FILES:
        _load(file)


def load_for(screen: type) -> None:
    """Those of a screen, when the first of its kind is made: the first frame does not wait for screens not in view."""
    for kind in reversed(screen.__mro__):
        module = sys.modules[kind.__module__]
        if module.__name__.startswith(f"{__package__}.screens."):
            file = Path(module.__file__ or "").with_suffix(".kv")
            if file.exists():
                _load(file)


def unload() -> None:
    """Else they would pile up for the next window of the same process."""
    forget_rows()
    while _loaded:
        Builder.unload_file(str(_loaded.pop()))


def forget_rows() -> None:
    """Kivy keeps the rows of a list for the next one, whatever theme or text they were made for."""
    views._cached_views.clear()
    views._cache_count = 0


def _load(file: Path) -> None:
    if file not in _loaded:
        Builder.load_file(str(file))
        _loaded.append(file)
