"""What other programs of the device say. No Kivy."""

import shutil
import subprocess

PATIENCE_SECONDS = 0.5


def answer(program: str, *arguments: str) -> str | None:
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
