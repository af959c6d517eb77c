"""How a bundle answers when its catalogue grows: `python -m benchmarks.scale BUNDLE`.

Larger catalogues are made of a real one: items drawn again with a little noise on their vectors, and table entries
between them as between those that they were drawn from.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.latency import Timing, measure, one_thread
from benchmarks.memory import ROOT
from benchmarks.run import environment
from pocketrec.bundle import LAYOUT, seal
from pocketrec.catalogue import Catalogue, Item
from pocketrec.cli.output import results, say, table
from pocketrec.errors import PocketRecError
from pocketrec.files import write_json
from pocketrec.item_table import ItemTable
from pocketrec.manifest import Manifest
from pocketrec.neighbour_table import NeighbourTable
from pocketrec.ranker import top_k
from pocketrec.recommender import Recommender

RESULTS = Path(__file__).parent / "results"
SIZES = (1_000, 10_000, 100_000, 1_000_000)
ENTRIES = 20
"""Most table entries an item."""
HISTORY, K = 50, 20
NOISE = 0.05
CALLS, OPENINGS, COMPARED = 1000, 10, 200

_OPEN = """
import sys, time
import psutil
from pocketrec import Recommender
import numpy, onnxruntime, sqlite3
process = psutil.Process()
before = process.memory_full_info().uss
started = time.perf_counter()
recommender = Recommender.open(sys.argv[1])
seconds = time.perf_counter() - started
print(seconds, process.memory_full_info().uss - before)
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Time opening and recommending on catalogues of several sizes, made of the items of a bundle."""
    parser = argparse.ArgumentParser("python -m benchmarks.scale", description=main.__doc__)
    parser.add_argument("bundle", type=Path, metavar="BUNDLE")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--calls", type=int, default=CALLS)
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of scale.json")
    asked = parser.parse_args(arguments)
    if min(asked.sizes) <= HISTORY + K:
        parser.error(f"--sizes: expected more than {HISTORY + K} items, found {min(asked.sizes)}")
    load, rows = os.getloadavg()[0], []
    for size in asked.sizes:
        with tempfile.TemporaryDirectory(prefix="pocketrec-") as scratch:
            say(f"{size:,} items")
            bundle = grown(asked.bundle, size, Path(scratch) / "bundle")
            rows.append(measured(bundle, asked.calls))
    path = asked.out / "scale.json"
    write_json(path, {"environment": environment(0), "load": load, "sizes": rows})
    show(rows)
    say(str(path))


def grown(bundle: Path, size: int, out: Path, seed: int = 0) -> Path:
    """A bundle of ``size`` items drawn from those of ``bundle``; returns ``out``."""
    generator = np.random.default_rng(seed)
    base = ItemTable.read(bundle / LAYOUT.items)
    drawn = np.sort(generator.integers(len(base), size=size))
    vectors = base.unit_vectors()[drawn]
    vectors += generator.normal(0, NOISE / base.dimensions**0.5, vectors.shape).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    out.mkdir()
    ItemTable.quantized(
        vectors, _entries(base, drawn, generator), np.asarray(base.popularity)[drawn]
    ).write(out / LAYOUT.items)
    titles = Catalogue.open(bundle / LAYOUT.catalogue)
    known = titles.get_many(titles.ids())
    Catalogue.write(
        out / LAYOUT.catalogue,
        (Item(f"{number:07}", known[item].title) for number, item in enumerate(drawn)),
    )
    manifest = Manifest.read(bundle / LAYOUT.manifest)
    for name in manifest.files:
        if name != LAYOUT.catalogue and "/" not in name:
            shutil.copyfile(bundle / name, out / name)
    seal(out, manifest)
    return out


def _entries(
    base: ItemTable, drawn: npt.NDArray[np.int64], generator: np.random.Generator
) -> NeighbourTable:
    """The strongest entries of each drawn item, to one of those drawn from each of its neighbours."""
    known = base.neighbours()
    strongest = np.lexsort((-np.abs(known.weights), known.sources))
    place = np.arange(len(known)) - np.asarray(base.starts)[known.sources[strongest]]
    kept = np.sort(strongest[place < ENTRIES])
    sources, targets, weights = known.sources[kept], known.targets[kept], known.weights[kept]
    counts = np.bincount(sources, minlength=len(base))
    starts = np.cumsum(counts) - counts
    taken = np.concatenate([np.arange(starts[i], starts[i] + counts[i]) for i in drawn])
    new_sources = np.repeat(np.arange(len(drawn)), counts[drawn])
    # ``drawn`` is sorted: the copies of an item stand side by side.
    copies = np.bincount(drawn, minlength=len(base))
    first = np.cumsum(copies) - copies
    wanted = targets[taken]
    there = copies[wanted] > 0
    offset = (generator.random(len(wanted)) * copies[wanted]).astype(np.int64)
    new_targets = first[wanted] + offset
    return NeighbourTable.from_entries(
        len(drawn), new_sources[there], new_targets[there], weights[taken][there]
    )


def measured(bundle: Path, calls: int) -> dict[str, Any]:
    """Times, private memory and the agreement of two steps with one, of the bundle at ``bundle``."""
    for path in bundle.rglob("*"):
        os.utime(path, (1, 1))  # else it would be checked at each opening, as one just copied
    first = _opened(bundle)
    later = np.array([_opened(bundle) for _ in range(OPENINGS)])
    recommender = Recommender.open(bundle)
    generator = np.random.default_rng(0)
    size = len(recommender.ids)
    weights = np.asarray(recommender._table.popularity) + 1
    histories = [
        generator.choice(size, HISTORY, replace=False, p=weights / weights.sum()) for _ in range(50)
    ]
    ids = recommender.ids
    named = [ids.names(history.tolist()) for history in histories]
    ranker = recommender._ranker

    def exact(history: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        return top_k(ranker.scores(history), K, history)

    with one_thread():
        timings: list[Timing] = [
            measure("bundle", "recommend", lambda h: recommender.recommend(h, K), named, calls),
            measure("bundle", "exact", exact, histories, calls),
        ]
        one = [Item("new", "A title of some words")]
        timings.append(
            measure("bundle", "add an item", recommender.with_items, [one], min(calls, 200))
        )
    best = [ranker.best(history, K, history)[0] for history in (*histories,)]
    shared = [
        len(np.intersect1d(found, exact(history))) / K
        for found, history in zip(best, histories, strict=True)
    ]
    return {
        "items": size,
        "bytes": sum(path.stat().st_size for path in bundle.rglob("*") if path.is_file()),
        "first_opening_seconds": first[0],
        "opening_seconds": float(np.median(later[:, 0])),
        "private_bytes": int(np.median(later[:, 1])),
        "top20_shared": float(np.mean(shared)),
        "timings": [asdict(timing) for timing in timings],
    }


def _opened(bundle: Path) -> tuple[float, int]:
    """Seconds and private bytes that opening takes in a fresh process."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, "-c", _OPEN, str(bundle)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths)},
    )
    seconds, private = done.stdout.split()
    return float(seconds), int(private)


def show(rows: Sequence[dict[str, Any]]) -> None:
    """Print a line a size."""
    columns = ("items", "MB", "own MB", "open", "p50", "p95", "p99", "exact", "add", "top 20")
    drawn = table(*columns, right=columns, title="Times in ms; own MB: private memory of opening")
    drawn.padding, drawn.show_edge = (0, 1, 0, 0), False  # else it would not fit in 80 columns
    for row in rows:
        recommend, exact, add = row["timings"]
        spent = [*(recommend[part] for part in ("p50", "p95", "p99")), exact["p50"], add["p50"]]
        drawn.add_row(
            f"{row['items']:,}",
            f"{row['bytes'] / 1e6:.1f}",
            f"{row['private_bytes'] / 1e6:.1f}",
            f"{row['opening_seconds'] * 1000:.0f}",
            *(f"{one / 1000:.2f}" for one in spent),
            f"{row['top20_shared']:.2%}",
        )
    results().print(drawn)


if __name__ == "__main__":
    try:
        main()
    except PocketRecError as error:
        sys.exit(f"scale: {error}")
