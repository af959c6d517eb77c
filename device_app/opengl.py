"""Whether this machine can open a window, asked before Kivy, whose own answer is a page of log."""

import ctypes
import os
import sys

from device_app.android import is_android
from pocketrec.errors import PocketRecError

LIBRARIES = ("libGL.so.1", "libEGL.so.1")
INSTALL = "apt install libgl1 libegl1 libgl1-mesa-dri"


class WindowError(PocketRecError):
    """No window can be opened here."""


def require_opengl() -> None:
    """Raises: WindowError where Linux lacks an OpenGL library or a display."""
    if not sys.platform.startswith("linux") or is_android():
        return
    for library in LIBRARIES:
        try:
            ctypes.CDLL(library)
        except OSError as error:
            raise WindowError(
                f"the app needs OpenGL, found no {library} here; install it: {INSTALL}"
            ) from error
    displays = ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER")
    if not any(os.environ.get(name) for name in displays):
        raise WindowError(
            "the app needs a display, found neither DISPLAY nor WAYLAND_DISPLAY set; "
            "start it from a desktop session"
        )
