"""How a bundle answers when its catalogue grows: `python -m benchmarks.scale BUNDLE`.

Larger catalogues are made of a real one: items drawn again with a little noise on their vectors, and table entries
between them as between those that they were drawn from.
"""

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.latency import Timing, measure, one_thread
from benchmarks.memory import fresh
from benchmarks.run import cores_in_use, environment, load_warning
from benchmarks.vector_search import time_search
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
CALLS, OPENINGS = 1000, 10


def main(arguments: Sequence[str] | None = None) -> None:
    """Time opening, recommending and searching on catalogues of several sizes, made of the items of a bundle."""
    parser = argparse.ArgumentParser("python -m benchmarks.scale", description=main.__doc__)
    parser.add_argument("bundle", type=Path, metavar="BUNDLE")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--calls", type=int, default=CALLS)
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of scale.json")
    asked = parser.parse_args(arguments)
    if min(asked.sizes) <= HISTORY + K:
        parser.error(f"--sizes: expected more than {HISTORY + K} items, found {min(asked.sizes)}")
    load, rows = cores_in_use(), []
    for size in asked.sizes:
        with tempfile.TemporaryDirectory(prefix="pocketrec-") as scratch:
            say(f"{size:,} items")
            bundle = grown(asked.bundle, size, Path(scratch) / "bundle")
            rows.append(measured(bundle, asked.calls))
    path = asked.out / "scale.json"
    warning = load_warning(load)
    result = {"environment": environment(0), "load": load, "warning": warning, "sizes": rows}
    write_json(path, result)
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
    first, *later = (fresh("opening", bundle) for _ in range(1 + OPENINGS))
    recommender = Recommender.open(bundle, precision="int8")
    generator = np.random.default_rng(0)
    size = len(recommender.ids)
    chances = recommender.scores([]) + 1
    chosen = [
        generator.choice(size, HISTORY, replace=False, p=chances / chances.sum()) for _ in range(50)
    ]
    histories = [recommender.ids.names(history.tolist()) for history in chosen]

    def two_steps(history: list[str]) -> list[str]:
        return [one.item_id for one in recommender.recommend(history, K)]

    def exact(history: list[str]) -> list[str]:
        best = top_k(recommender.scores(history), K, recommender.ids.indices(history))
        return recommender.ids.names(best.tolist())

    new = [Item("new", "A title of some words")]
    with one_thread():
        timings: list[Timing] = [
            measure("bundle", "recommend", two_steps, histories, calls, HISTORY),
            measure("bundle", "exact", exact, histories, calls, HISTORY),
            measure("bundle", "add an item", recommender.with_items, [new], min(calls, 200)),
        ]
    shared = [len({*two_steps(history)} & {*exact(history)}) / K for history in histories]
    return {
        "items": size,
        "bytes": sum(path.stat().st_size for path in bundle.rglob("*") if path.is_file()),
        "first_opening_seconds": first["seconds"],
        "opening_seconds": median(one["seconds"] for one in later),
        "private_bytes": int(median(one["private_bytes"] for one in later)),
        "top20_shared": float(np.mean(shared)),
        "timings": [asdict(timing) for timing in timings],
        "search": time_search(bundle, chosen, K, calls),
    }


def show(rows: Sequence[dict[str, Any]]) -> None:
    """Print a line a size."""
    columns = ("items", "MB", "own MB", "open", "p50", "p95", "p99", "exact", "add", "top 20")
    heading = "Times in ms; own MB: private memory of opening"
    drawn = table(*columns, right=columns, title=heading, narrow=True)
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
    numbers = ("p50", "p95", "p99", "ready s", "of top 20")
    for row in rows:
        title = f"Nearest of {row['items']:,} items, ms on one thread"
        drawn = table("search", *numbers, right=numbers, title=title, narrow=True)
        for one in row["search"]:
            spent = (f"{one[part] / 1000:.3f}" for part in numbers[:3])
            found = (f"{one['seconds']:.1f}", f"{one['shared']:.2%}") if "shared" in one else ()
            drawn.add_row(one["system"], *spent, *found)
        results().print(drawn)


if __name__ == "__main__":
    try:
        main()
    except PocketRecError as error:
        sys.exit(f"scale: {error}")
