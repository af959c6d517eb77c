"""A fresh process from its first import to its first recommendation; started by `benchmarks.memory`.

Prints the seconds that took and the peak resident memory in bytes.
"""

import sys
import time


def main(kind: str, path: str, history: list[str]) -> None:
    """``kind`` is "empty", "bundle" (``path`` a bundle) or "matrix" (``path`` a float32 [N, N] item-item .npy)."""
    started = time.perf_counter()
    match kind:
        case "bundle":
            from pocketrec import Recommender

            Recommender.open(path).recommend(history, k=10)
        case "matrix":
            import numpy as np

            rows = [int(item) for item in history]
            scores = np.load(path)[rows].sum(axis=0)
            scores[rows] = -np.inf
            np.argpartition(scores, -10)[-10:]
    print(time.perf_counter() - started, peak_memory())


def peak_memory() -> int:
    """Most resident memory of this process, in bytes.

    Linux hands the peak of the process that started this one over to ``ru_maxrss``; VmHWM starts anew.
    """
    try:
        with open("/proc/self/status", "rb") as status:  # noqa: PTH123 - pathlib would count as ours
            line = next(line for line in status if line.startswith(b"VmHWM:"))
        return int(line.split()[1]) * 1024
    except (OSError, StopIteration):
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
