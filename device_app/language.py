"""What the app says in the user's language: English in the code, a gettext catalogue for any other. No Kivy."""

import gettext
import os
import re
import sys
from pathlib import Path
from typing import Final

from device_app.android import is_android
from device_app.programs import answer

FOLDER = Path(__file__).parent / "locale"
DOMAIN = "device_app"

SYSTEM: Final = "system"
LANGUAGES: Final = {"en": "English", "zh": "中文"}
"""Each by its own name."""

_catalogue = gettext.NullTranslations()


def use(choice: str) -> None:
    """Say everything in a language from now on.

    Args:
        choice: a key of LANGUAGES, or SYSTEM for the device's own.
    """
    global _catalogue
    wanted = system_language() if choice == SYSTEM else choice
    _catalogue = gettext.translation(DOMAIN, FOLDER, [wanted], fallback=True)


def tr(text: str) -> str:
    """The text in the language in use; English where its catalogue lacks it."""
    return _catalogue.gettext(text) if text else ""  # of nothing gettext tells its own header


def trn(one: str, many: str, count: int) -> str:
    """The text that goes with a count."""
    return _catalogue.ngettext(one, many, count)


def mark(text: str) -> str:
    """The text as it is: one that `tr` is given later, for the tools that collect what is to be translated."""
    return text


def system_language() -> str:
    """The device's language where the app knows it, else English."""
    if is_android():
        named = _android()
    elif sys.platform == "win32":
        named = _windows()
    else:
        # A Mac's app that was not started from a terminal has none of the variables.
        named = _posix() or (_macos() if sys.platform == "darwin" else "")
    codes = (re.split("[-_.]", one)[0].lower() for one in named.split(":"))
    return next((code for code in codes if code in LANGUAGES), "en")


def _posix() -> str:
    """One name, or several with colons between, the dearest first.

    Not left to gettext: English has no catalogue, so that it would pass it over for what is named after it.
    """
    names = ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG")
    return next((found for name in names if (found := os.environ.get(name))), "")


def _macos() -> str:
    """As `_posix`."""
    listed = answer("defaults", "read", "-g", "AppleLanguages") or ""  # ( "zh-Hans-CN", en )
    return ":".join(re.findall(r"[\w-]+", listed))


def _windows() -> str:
    import ctypes
    import locale

    number = ctypes.windll.kernel32.GetUserDefaultUILanguage()  # type: ignore[attr-defined]
    return locale.windows_locale.get(number, "")


def _android() -> str:
    from jnius import autoclass

    return str(autoclass("java.util.Locale").getDefault().getLanguage())
