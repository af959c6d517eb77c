"""The command line: every expected failure becomes one line on stderr and an exit code."""

import io
import os
import sys
from collections.abc import Sequence

from pocketrec.cli.app import app
from pocketrec.cli.failures import describe

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns 0 (done), 1 (the work failed), 2 (the call was wrong) or 130 (interrupted).

    An exception that nobody expected keeps its traceback; POCKETREC_DEBUG=1 shows that of the expected ones too.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(
            stream, io.TextIOWrapper
        ):  # a terminal that cannot show a title is no reason to fail
            stream.reconfigure(errors="backslashreplace")
    try:
        code = app(arguments or ["--help"], prog_name="pocketrec", standalone_mode=False) or 0
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader has seen enough (`pocketrec ... | head`). Nothing may be flushed at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        failure = describe(error)
        if failure is None or os.environ.get("POCKETREC_DEBUG"):
            raise
        print(f"pocketrec: {failure.line}", file=sys.stderr)
        return failure.code
    if code == INTERRUPTED:
        print("pocketrec: interrupted; run the same command again to go on", file=sys.stderr)
    return int(code)
