"""A fresh process from its first import to its first recommendation, or that opens a bundle; see `benchmarks.memory`.

Prints the seconds that took, and its peak resident memory in bytes or, of opening, the private memory that it added.
"""

import sys
import time


def main(kind: str, path: str, history: list[str]) -> None:
    """Do what ``kind`` says.

    Args:
        kind: "empty", "bundle" or "open" (``path`` a bundle), "matrix" (``path`` a float32 [N, N] item-item .npy), or
            "vectors" (``path`` a folder of int8 item vectors and their scales, see `benchmarks.minilm`).
    """
    if kind == "open":
        open_alone(path)
        return
    started = time.perf_counter()
    match kind:
        case "bundle":
            from pocketrec import Recommender

            Recommender.open(path, precision="int8").recommend(history, k=10)
        case "matrix":
            import numpy as np

            rows = [int(item) for item in history]
            scores = np.load(path)[rows].sum(axis=0)
            scores[rows] = -np.inf
            np.argpartition(scores, -10)[-10:]
        case "vectors":
            from pathlib import Path

            import numpy as np

            rows = [int(item) for item in history]
            levels, scales = (np.load(Path(path) / name) for name in ("vectors.npy", "scales.npy"))
            vectors = levels * scales[:, None]
            scores = vectors @ vectors[rows].sum(axis=0)
            scores[rows] = -np.inf
            np.argpartition(scores, -10)[-10:]
    print(time.perf_counter() - started, peak_memory())


def open_alone(path: str) -> None:
    import onnxruntime  # noqa: F401 - importing it is no part of opening
    import psutil

    from pocketrec.recommender import Recommender

    process = psutil.Process()
    before = process.memory_full_info().uss
    started = time.perf_counter()
    recommender = Recommender.open(path)
    print(time.perf_counter() - started, process.memory_full_info().uss - before)
    assert recommender.manifest  # still open when it was measured


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
