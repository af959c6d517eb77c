"""The rules of the window: every .kv file, in the order in which they use each other."""

from pathlib import Path

from kivy.lang import Builder
from kivy.uix.recycleview import views

from device_app.screens import (
    adding,
    detail,
    files,
    for_you,
    history,
    importing,
    knowledge,
    page,
    saved,
    search,
    settings,
    wall,
)
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
SCREENS = (
    *(page, for_you, search, saved, history, settings, detail, knowledge, files, adding, wall),
    importing,
)
FILES = [str(Path(part.__file__).with_suffix(".kv")) for part in (*WIDGETS, *SCREENS)]
FILES.append(str(Path(__file__).with_name("shell.kv")))


def load() -> None:
    for file in FILES:
        Builder.load_file(file)


def unload() -> None:
    """Else they would pile up for the next window of the same process."""
    forget_rows()
    for file in FILES:
        Builder.unload_file(file)


def forget_rows() -> None:
    """Kivy keeps the rows of a list for the next one, whatever theme or text they were made for."""
    views._cached_views.clear()
    views._cache_count = 0
