"""Which font a label needs, and the code points of the icons.

Kivy has no font fallback: one label is drawn in one font. So the font follows the script of the
text: kana asks for the Japanese face, other Han characters, or some that it lacks, for the Chinese
one, which holds both, and whatever is left for Inter. No Kivy here; `register_fonts` in
device_app/theme.py tells Kivy the files.
"""

import re
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent / "fonts"

LATIN = "Inter"
CHINESE = "NotoSansSC"
JAPANESE = "NotoSansJP"
OUTLINED = "Icons"
FILLED = "IconsFilled"

ICONS = {
    "bookmark": "\ue866",
    "bookmarks": "\ue98b",
    "clear": "\ue5c9",
    "dark": "\ue51c",
    "device": "\uf686",
    "dislike": "\ue816",
    "error": "\ue000",
    "hide": "\ue8f5",
    "history": "\ue28e",
    "home": "\ue88a",
    "inbox": "\ue156",
    "light": "\ue518",
    "like": "\ue817",
    "no_bundle": "\ueb83",
    "nothing_found": "\uea76",
    "popular": "\ue8e5",
    "reason": "\ue65f",
    "refresh": "\ue5d5",
    "remove": "\ue872",
    "search": "\ue8b6",
}

_KANA = re.compile("[\u3040-\u30ff\uff66-\uff9f]")
_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff]")


@cache
def _coverage() -> dict[str, frozenset[str]]:
    lines = (FOLDER / "coverage.txt").read_text(encoding="utf-8").splitlines()
    return {face: frozenset(han) for face, han in (line.split(" ") for line in lines)}


def font_for(text: str) -> str:
    """The name of the one font that can draw `text`.

    Han characters that the Japanese face has all are taken as Japanese beside kana, and without where they are not all
    among the common Chinese ones.
    """
    han = frozenset(_HAN.findall(text))
    coverage = _coverage()
    is_japanese = han <= coverage[JAPANESE]
    if _KANA.search(text):
        return JAPANESE if is_japanese else CHINESE
    if not han:
        return LATIN
    return JAPANESE if is_japanese and not han <= coverage[CHINESE] else CHINESE
