"""What a packaged app starts, on Android staged as main.py: the app with the bundle that lies beside it."""

import sys
from pathlib import Path

from device_app.__main__ import run

if __name__ == "__main__":
    sys.exit(run(Path(__file__).with_name("bundle")))
