"""`python -m device_app BUNDLE [--database PATH]`."""

import argparse
import sys
from pathlib import Path

from device_app.main import main
from pocketrec.errors import PocketRecError, UsageError


def run(came_with: Path | None = None) -> int:
    """Returns the exit status; see `main` for ``came_with``."""
    parser = argparse.ArgumentParser(prog="python -m device_app", description=main.__doc__)
    parser.add_argument("bundle", type=Path, nargs="?", help="bundle folder or .zip")
    parser.add_argument("--database", type=Path, help="where the history is kept")
    options = parser.parse_args()
    try:
        main(options.bundle, options.database, came_with)
    except PocketRecError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(run())
