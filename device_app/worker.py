"""One thread that owns the model and the database, so that the window never waits for either."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from pocketrec.errors import PocketRecError

T = TypeVar("T")

Deliver = Callable[[Callable[[], None]], None]


class Worker:
    """Runs work in order, one at a time, and hands the results to the window's thread.

    Args:
        deliver: runs a function of no arguments on the window's thread, soon.
    """

    def __init__(self, deliver: Deliver) -> None:
        self._deliver = deliver
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="pocketrec")

    def submit(
        self,
        work: Callable[[], T],
        done: Callable[[T], None],
        failed: Callable[[PocketRecError], None],
    ) -> None:
        """Run `work` off the window's thread, then `done` with its result, or `failed`, on it.

        Any error but a PocketRecError is a bug: it is raised on the window's thread.
        """

        def finish(future: Future[T]) -> None:
            try:
                result = future.result()
            except PocketRecError as error:
                failed(error)
            else:
                done(result)

        future = self._executor.submit(work)
        future.add_done_callback(lambda future: self._deliver(lambda: finish(future)))

    def close(self, last: Callable[[], None]) -> None:
        """Finish all work that was handed in, then `last`, on the worker's thread; waits."""
        future = self._executor.submit(last)
        self._executor.shutdown(wait=True)
        future.result()
