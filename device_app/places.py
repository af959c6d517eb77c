"""Where the app keeps what is the user's: one folder, POCKETREC_HOME or the platform's own."""

import os
import sys
from datetime import date
from itertools import count
from pathlib import Path

from device_app.bundles import Bundles


def home() -> Path:
    """The user's data folder; it need not exist yet."""
    if chosen := os.environ.get("POCKETREC_HOME"):
        return Path(chosen)
    if private := os.environ.get("ANDROID_PRIVATE"):
        return Path(private) / "pocketrec"
    if sys.platform == "win32":
        roaming = os.environ.get("APPDATA") or Path.home() / "AppData" / "Roaming"
        return Path(roaming) / "PocketRec"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "PocketRec"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "pocketrec"


def free_export(ending: str) -> Path:
    """A new file for the user to take away: in their folder of downloads, else in `home`."""
    downloads = Path.home() / "Downloads"
    folder = downloads if downloads.is_dir() else home()
    stem = f"pocketrec-{date.today().isoformat()}"
    names = (f"{stem}{'' if n == 1 else f'-{n}'}{ending}" for n in count(1))
    return next(folder / name for name in names if not (folder / name).exists())


def default_database() -> Path:
    return home() / "history.db"


def default_bundle(came_with: Path) -> Path:
    """The bundle opened when none is named: what was installed, else what the app came with."""
    return installed_bundles().present or came_with


def installed_bundles() -> Bundles:
    return Bundles(home() / "bundles")


def shipped_bundle() -> Path:
    """The bundle where none was installed: beside the history, else what `pocketrec demo` made."""
    kept = home() / "bundle"
    demo = Path("runs") / "demo" / "bundle"
    return demo if demo.exists() and not kept.exists() else kept
