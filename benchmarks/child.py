"""A fresh process from its first import to the end of one step; see `benchmarks.memory`.

Prints as JSON the seconds that took and its resident memory in bytes, at its peak and when it has settled; of opening a
bundle alone, onnxruntime imported before, the private memory that it added.
"""

import gc
import json
import sys
import time

STEPS = ("open", "recommend", "explain", "encode a text", "add an item")
"""What a bundle does, each after opening it."""


def main(kind: str, path: str, history: list[str]) -> None:
    """Do what ``kind`` says.

    Args:
        kind: "empty", one of ``STEPS`` or "opening" (``path`` a bundle), "matrix" (``path`` a float32 [N, N] item-item
            .npy), or "vectors" (``path`` a folder of int8 item vectors and their scales, see `benchmarks.minilm`).
    """
    if kind == "opening":
        open_alone(path)
        return
    started = time.perf_counter()
    held: object  # until its memory has been measured
    match kind:
        case "empty":
            held = None
        case "matrix":
            import numpy as np

            rows = [int(item) for item in history]
            held = np.load(path)
            scores = held[rows].sum(axis=0)
            scores[rows] = -np.inf
            np.argpartition(scores, -10)[-10:]
        case "vectors":
            from pathlib import Path

            import numpy as np

            rows = [int(item) for item in history]
            levels, scales = (np.load(Path(path) / name) for name in ("vectors.npy", "scales.npy"))
            held = levels * scales[:, None]
            scores = held @ held[rows].sum(axis=0)
            scores[rows] = -np.inf
            np.argpartition(scores, -10)[-10:]
        case _ if kind in STEPS:
            held = use_bundle(path, kind, history)
        case _:
            sys.exit(f"expected one of the kinds of benchmarks.child, found {kind!r}")
    seconds, peak = time.perf_counter() - started, peak_memory()
    gc.collect()
    print(json.dumps({"seconds": seconds, "peak_rss": peak, "settled_rss": settled_memory()}))
    del held


def use_bundle(path: str, step: str, history: list[str]) -> object:
    """What stays after one of ``STEPS``."""
    from pocketrec import Recommender
    from pocketrec.catalogue import Item

    recommender = Recommender.open(path, precision="int8")
    match step:
        case "recommend":
            recommender.recommend(history, k=10)
        case "explain":
            recommender.explain(history[:-1], history[-1])
        case "encode a text":
            recommender.encode(["A title of some words"])
        case "add an item":
            return recommender.with_items([Item("new", "A title of some words")])
    return recommender


def open_alone(path: str) -> None:
    import onnxruntime  # noqa: F401 - importing it is no part of opening
    import psutil

    from pocketrec.recommender import Recommender

    process = psutil.Process()
    before = process.memory_full_info().uss
    started = time.perf_counter()
    recommender = Recommender.open(path)
    seconds, after = time.perf_counter() - started, process.memory_full_info().uss
    print(json.dumps({"seconds": seconds, "private_bytes": after - before}))
    assert recommender.manifest  # still open when it was measured


def peak_memory() -> int:
    """Most resident memory of this process, in bytes.

    Linux hands the peak of the process that started this one over to ``ru_maxrss``; VmHWM starts anew.
    """
    if (found := _status("VmHWM")) is not None:
        return found
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def settled_memory() -> int:
    """Resident memory of this process, in bytes."""
    if (found := _status("VmRSS")) is not None:
        return found
    import psutil

    return int(psutil.Process().memory_info().rss)


def _status(name: str) -> int | None:
    """A line of what Linux says of this process, in bytes; None elsewhere."""
    try:
        with open("/proc/self/status", "rb") as status:  # noqa: PTH123 - pathlib would count as ours
            line = next(line for line in status if line.startswith(name.encode()))
    except (OSError, StopIteration):
        return None
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
