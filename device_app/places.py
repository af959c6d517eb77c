"""Where the app keeps what is the user's: one folder, POCKETREC_HOME or the platform's own."""

import os
import sys
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


def default_database() -> Path:
    return home() / "history.db"


def default_bundle() -> Path:
    """The bundle opened when none is named: what was installed, else `shipped_bundle`."""
    return installed_bundles().present or shipped_bundle()


def installed_bundles() -> Bundles:
    return Bundles(home() / "bundles")


def shipped_bundle() -> Path:
    """The bundle where none was installed: beside the history, else what `pocketrec demo` made."""
    kept = home() / "bundle"
    demo = Path("runs") / "demo" / "bundle"
    return demo if demo.exists() and not kept.exists() else kept
