"""Whether the device itself is set to a dark theme. No Kivy: SDL 2 does not know."""

import sys

from device_app.android import is_android
from device_app.programs import answer


def prefers_dark() -> bool | None:
    """What the system says; None where it does not say."""
    if is_android():
        return _android()
    if sys.platform == "win32":
        return _windows()
    if sys.platform == "darwin":
        # The key exists in the dark theme only.
        return answer("defaults", "read", "-g", "AppleInterfaceStyle") == "Dark"
    said = answer("gsettings", "get", "org.gnome.desktop.interface", "color-scheme")
    return None if said is None else said.strip("'") == "prefer-dark"


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
