"""Whether the device itself is set to a dark theme. No Kivy: SDL 2 does not know."""

import shutil
import subprocess
import sys

from device_app.android import is_android

PATIENCE_SECONDS = 0.5


def prefers_dark() -> bool | None:
    """What the system says; None where it does not say."""
    if is_android():
        return _android()
    if sys.platform == "win32":
        return _windows()
    if sys.platform == "darwin":
        # The key exists in the dark theme only.
        answer = _answer("defaults", "read", "-g", "AppleInterfaceStyle")
        return answer == "Dark"
    answer = _answer("gsettings", "get", "org.gnome.desktop.interface", "color-scheme")
    return None if answer is None else answer.strip("'") == "prefer-dark"


def _answer(program: str, *arguments: str) -> str | None:
    """What a program prints; None where it is missing, fails or hangs."""
    path = shutil.which(program)
    if path is None:
        return None
    try:
        run = subprocess.run(
            [path, *arguments],
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return run.stdout.strip()


def _windows() -> bool | None:
    import winreg

    key = r"Software\Microsoft\Windows\CurrentVersion\Themes\Personalize"
    try:
        with winreg.OpenKey(winreg.HKEY_CURRENT_USER, key) as opened:
            return winreg.QueryValueEx(opened, "AppsUseLightTheme")[0] == 0
    except OSError:
        return None


def _android() -> bool | None:
    from jnius import autoclass

    activity = autoclass("org.kivy.android.PythonActivity").mActivity
    configuration = autoclass("android.content.res.Configuration")
    night = activity.getResources().getConfiguration().uiMode & configuration.UI_MODE_NIGHT_MASK
    if night == configuration.UI_MODE_NIGHT_UNDEFINED:
        return None
    return night == configuration.UI_MODE_NIGHT_YES
