"""Start the app: what must hold before Kivy is imported, then the window."""

import logging
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from device_app.android import AndroidError, android_engine, is_android, java
from device_app.opengl import INSTALL, WindowError, require_opengl
from device_app.places import default_database, home
from pocketrec.errors import UsageError

if TYPE_CHECKING:
    from pocketrec.engine import Loader


def main(
    bundle: Path | None = None, database: Path | None = None, came_with: Path | None = None
) -> None:
    """Open the PocketRec window over a bundle; returns when it is closed.

    Args:
        bundle: folder or .zip; None is the installed one, else ``came_with``.
        database: where the history is kept; None is history.db in the user's data folder.
        came_with: the bundle in the same package; None is the one in the user's data folder, else runs/demo.

    Raises:
        UsageError: the bundle named does not exist.
        WindowError: there is no OpenGL or no display.
    """
    if bundle is not None and not bundle.exists():
        raise UsageError(
            f"{bundle}: expected a bundle, found nothing there; `pocketrec demo` makes one"
        )
    require_opengl()
    engine = _use_android() if is_android() else None
    leave_out_unused()
    configure_kivy()
    from kivy.core.window import Window

    if Window is None:
        raise WindowError(f"no window could be opened; check the display, or {INSTALL}")
    from device_app.app import PocketRecApp

    PocketRecApp(bundle, database or default_database(), engine, came_with).run()


def _use_android() -> "Loader | None":
    """The phone's onnxruntime; None where the package lacks it: numpy gives the same lists, only slower."""
    os.environ.setdefault("POCKETREC_CACHE", str(home() / "cache"))
    try:
        java()
    except AndroidError as error:
        logging.getLogger(__name__).warning("numpy runs the model: %s", error)
        return None
    return android_engine


def leave_out_unused() -> None:
    """What libraries import where it is installed and the app has no use for.

    sqlite-utils imports pandas, 30 MB and .2 s; asyncio, which Kivy imports, ssl, 2 MB: there is no network.
    """
    for name in ("pandas", "ssl"):
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]


def configure_kivy() -> None:
    """Kivy reads its settings from the environment, once, when it is first imported."""
    os.environ.setdefault("KIVY_NO_ARGS", "1")
    os.environ.setdefault("KIVY_NO_FILELOG", "1")
    # Kivy's log has a page on every input device that is absent; errors of ours go to stderr.
    os.environ.setdefault("KIVY_LOG_MODE", "PYTHON")
    log = logging.getLogger("kivy")
    log.addHandler(logging.NullHandler())
    log.propagate = False
    os.environ.setdefault("KCFG_KIVY_EXIT_ON_ESCAPE", "0")
    # Red dots on a right click are Kivy's multi-touch simulation.
    os.environ.setdefault("KCFG_INPUT_MOUSE", "mouse,disable_multitouch")
    # Our shapes have soft edges of their own; multisampling would cost 30 MB and every frame time.
    os.environ.setdefault("KCFG_GRAPHICS_MULTISAMPLES", "0")
    os.environ.setdefault("KCFG_GRAPHICS_WIDTH", "1180")
    os.environ.setdefault("KCFG_GRAPHICS_HEIGHT", "780")
    os.environ.setdefault("KCFG_GRAPHICS_MINIMUM_WIDTH", "360")
    os.environ.setdefault("KCFG_GRAPHICS_MINIMUM_HEIGHT", "480")
    os.environ.setdefault("KIVY_USE_DEFAULTCONFIG", "1")
    # One provider each. Kivy would try them all; with Pillow alone comes numpy, 0.15 s.
    for part in ("KIVY_IMAGE", "KIVY_TEXT", "KIVY_CLIPBOARD", "KIVY_WINDOW"):
        os.environ.setdefault(part, "sdl2")
    if "KIVY_HOME" not in os.environ:
        os.environ["KIVY_HOME"] = str(_kivy_home())


def _kivy_home() -> Path:
    """Where Kivy puts its icons; a temporary folder where ours cannot be written.

    That the history cannot be kept there either is for the window to say, so it must come up.
    """
    folder = home() / "kivy"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return Path(tempfile.mkdtemp(prefix="pocketrec-kivy-"))
    return (
        folder if os.access(folder, os.W_OK) else Path(tempfile.mkdtemp(prefix="pocketrec-kivy-"))
    )
