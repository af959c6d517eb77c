"""Progress of long work on stderr: bars on a terminal, plain lines elsewhere."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pocketrec.cli.output import messages, say

if TYPE_CHECKING:
    from rich.progress import Progress


class RichReport:
    """`pocketrec.run.Report` as rich draws it. Tasks may stand inside each other."""

    def __init__(self) -> None:
        self._bars = _bars()
        self._open = 0

    @contextmanager
    def task(
        self, description: str, total: float | None = None
    ) -> Iterator[Callable[[float], None]]:
        if self._open == 0:
            self._bars.start()
        self._open += 1
        bar = self._bars.add_task(description, total=total)
        try:
            yield lambda done: self._bars.update(bar, completed=done)
        finally:
            self._bars.remove_task(bar)
            self._open -= 1
            if self._open == 0:
                self._bars.stop()

    def line(self, text: str) -> None:
        say(text)


def _bars() -> "Progress":
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = messages()
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        refresh_per_second=4,
        disable=not console.is_terminal,
    )
