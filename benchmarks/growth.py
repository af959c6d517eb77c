"""How the cost of EASE with text grows with the catalogue: `python -m benchmarks.growth --data DIR`.

Each size is a fresh process on one thread. Its catalogue is made of copies of a real one: the users of each copy mostly
choose among its own items, some of the time among those of another, so that chains of related items, popular items
and long histories stay as they are while the catalogue grows.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from scipy import sparse

from benchmarks.child import peak_memory
from pocketrec.data import Dataset, load
from pocketrec.errors import PocketRecError, RunError
from pocketrec.files import write_json
from pocketrec.splits import Indices, interaction_counts
from teacher.evidence import Evidence
from teacher.item_models import Chosen, fit
from teacher.recipe import TeacherRecipe
from teacher.whitening import fit_whitening

T = TypeVar("T")
Vectors = npt.NDArray[np.float32]

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "benchmarks/results/growth.json"
SIZES = (5_000, 20_000, 50_000, 100_000)
AN_ITEM = 10
"""Interactions an item."""
STRAY = 0.1
"""Share of a user's choices that fall on another copy of the item."""
PERTURBED = 0.3
"""Length of what is added to the unit vectors of copies."""
USERS = 256
"""Users who are scored at once."""
SETTINGS = {"ridge": 100.0, "text_weight": 5.0, "order": 0.5}
DECAY = 0.8
COLUMNS = ("items", "form", "interactions", "fit s", "CPU s", "score s", "table s", "peak GB")
"""Short, so that a terminal of 80 columns shows the table whole."""


@dataclass(frozen=True)
class Grown:
    """A made catalogue: histories oldest first, int64 [n] each, of which the first ``unordered`` have no order."""

    sequences: list[Indices]
    unordered: Indices
    vectors: Vectors


def word_vectors(texts: list[str], dimensions: int, whitening: float, seed: int) -> Vectors:
    """Unit vectors of texts from the words they share, rare ones more; float32 [N, d].

    Each word is a random direction. That is enough for the cost: who is near whom is as uneven as with a language
    model's vectors.
    """
    words = [set(re.findall(r"\w+", text.lower())) for text in texts]
    seen = Counter(word for found in words for word in found)
    place = {word: index for index, word in enumerate(seen)}
    columns = np.array([place[word] for found in words for word in sorted(found)], dtype=np.int64)
    starts = np.cumsum([0, *map(len, words)])
    weights = np.log(len(texts) / np.array(list(seen.values())))[columns]
    counts = sparse.csr_matrix((weights, columns, starts), shape=(len(texts), len(seen)))
    directions = np.random.default_rng(seed).normal(size=(len(seen), 2 * dimensions))
    projected = (counts @ directions).astype(np.float32)
    vectors: Vectors = fit_whitening(projected, dimensions, whitening).apply(projected)
    return vectors


def grow(dataset: Dataset, vectors: Vectors, items: int, seed: int) -> Grown:
    """A catalogue of ``items`` made of copies of ``dataset``, the last one cut to its most chosen items.

    Users leave at random until ``AN_ITEM`` interactions an item are left.
    """
    generator = np.random.default_rng(seed)
    real = len(vectors)
    copies = -(-items // real)
    chosen = np.concatenate(dataset.sequences)
    rank = np.empty(real, dtype=np.int64)  # the most chosen item first
    rank[np.argsort(-np.bincount(chosen, minlength=real), kind="stable")] = np.arange(real)
    sequences, unordered = [], []
    for copy in range(copies):
        stray = generator.random(len(chosen)) < STRAY
        where = np.where(stray, generator.integers(copies, size=len(chosen)), copy)
        taken = rank[chosen] + real * where
        start = 0
        for history, first in zip(dataset.sequences, dataset.unordered, strict=True):
            one = taken[start : start + len(history)]
            start += len(history)
            unordered.append(int((one[:first] < items).sum()))
            sequences.append(one[one < items])
    order = generator.permutation(len(sequences))
    total = np.cumsum([len(sequences[user]) for user in order])
    users = order[: int(np.searchsorted(total, AN_ITEM * items)) + 1]
    spread = PERTURBED / np.sqrt(vectors.shape[1])
    grown = np.tile(vectors[np.argsort(rank)], (copies, 1))[:items]
    grown += generator.normal(scale=spread, size=grown.shape).astype(np.float32)
    grown /= np.linalg.norm(grown, axis=1, keepdims=True)
    return Grown([sequences[user] for user in users], np.array(unordered)[users], grown)


def measure(data: Path, items: int, seed: int) -> dict[str, Any]:
    """Fit, score and hand over one made catalogue in this process; seconds, and bytes of its peak."""
    recipe, dataset = TeacherRecipe(), load(data)
    vectors = word_vectors(dataset.texts, recipe.dimensions, recipe.whitening, seed)
    grown = grow(dataset, vectors, items, seed)
    evidence = Evidence.of(grown.sequences, grown.unordered, grown.vectors)
    order = SETTINGS["order"] if evidence.past.nnz else 0.0
    chosen = Chosen("EASE with text", {**SETTINGS, "order": order}, DECAY, 0.0)
    before = peak_memory()
    model, spent, worked = _timed(
        lambda: fit(chosen, evidence, recipe.exact_items, True, recipe.local_width)
    )
    fitted = peak_memory()
    histories = sorted(grown.sequences, key=len)[:: -(-len(grown.sequences) // USERS)]
    _, scored, _ = _timed(lambda: model.scores(histories))
    counts = interaction_counts(grown.sequences, items)
    table, tabled, _ = _timed(lambda: model.table(recipe.neighbours * items, counts))
    return {
        "items": items,
        "users": len(grown.sequences),
        "interactions": evidence.interactions.nnz,
        "order": order,
        "form": "local" if sparse.issparse(model.weights) else "exact",
        "table_entries": len(table),
        "fit_seconds": spent,
        "fit_cpu_seconds": worked,
        "scored_users": len(histories),
        "scores_seconds": scored,
        "table_seconds": tabled,
        "rss_before_fit": before,
        "peak_rss_fit": fitted,
        "peak_rss": peak_memory(),
    }


def in_fresh_process(data: Path, items: int, seed: int) -> dict[str, Any]:
    """``measure`` where nothing was allocated before, on one thread, with the load it found.

    That load holds the process before it, about 1.

    Raises:
        RunError: the process failed.
    """
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    arguments = ["--data", str(data.resolve()), "--items", str(items), "--seed", str(seed)]
    load_average = os.getloadavg()[0]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.growth", *arguments, "--here"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, **threads},
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["nothing on stderr"])[-1]
        raise RunError(f"{items:,} items: expected seconds and memory, found {last}")
    return {**json.loads(done.stdout), "load": load_average}


def report(data: Path, sizes: Sequence[int], out: Path, seed: int) -> None:
    """Measure every size, write ``out`` and print the table."""
    # Not at the top: a process that measures itself would carry them.
    from benchmarks.run import cores_in_use, environment, load_warning
    from pocketrec.cli.output import results, say, table
    from pocketrec.cli.progress import RichReport

    in_use = cores_in_use()
    dataset, rows = load(data), []
    with RichReport().task("Growing the catalogue", len(sizes)) as advance:
        for size in sizes:
            rows.append(in_fresh_process(data, size, seed))
            advance(len(rows))
    recipe = TeacherRecipe()
    arguments = f"--data {dataset.name} --items {' '.join(map(str, sizes))} --seed {seed}"
    result = {
        "environment": {
            **environment(seed),
            "command": f"python -m benchmarks.growth {arguments}",
        },
        "load": in_use,
        "warning": load_warning(in_use),
        "data": {"name": dataset.name, "fingerprint": dataset.fingerprint},
        "settings": {**SETTINGS, "decay": DECAY},
        "exact_items": recipe.exact_items,
        "local_width": recipe.local_width,
        "rows": rows,
    }
    write_json(out, result)
    made = table(*COLUMNS, right=[name for name in COLUMNS if name != "form"])
    for row in rows:
        made.add_row(*cells(row))
    results().print(made)
    if result["warning"]:
        say(f"warning: {result['warning']}")
    say(str(out))


def cells(row: dict[str, Any]) -> tuple[str, ...]:
    """One row of the table, under ``COLUMNS``."""
    return (
        f"{row['items']:,}",
        row["form"],
        f"{row['interactions']:,}",
        f"{row['fit_seconds']:.1f}",
        f"{row['fit_cpu_seconds']:.1f}",
        f"{row['scores_seconds']:.2f}",
        f"{row['table_seconds']:.1f}",
        f"{row['peak_rss'] / 1e9:.2f}",
    )


def _timed(work: Callable[[], T]) -> tuple[T, float, float]:
    """What ``work`` returns, its seconds, and the seconds that the processor spent on it."""
    started, worked = time.perf_counter(), time.process_time()
    found = work()
    spent, worked = time.perf_counter() - started, time.process_time() - worked
    return found, round(spent, 3), round(worked, 3)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure how seconds and memory of EASE with text grow with the catalogue."""
    parser = argparse.ArgumentParser("python -m benchmarks.growth", description=main.__doc__)
    parser.add_argument("--data", type=Path, required=True, help="data folder to make copies of")
    parser.add_argument("--items", type=int, nargs="+", default=SIZES, help="sizes to measure")
    parser.add_argument("--out", type=Path, default=RESULT, help="where the numbers go")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--here", action="store_true", help="one size, in this process")
    asked = parser.parse_args(arguments)
    if min(asked.items) < 1:
        parser.error(f"--items: expected 1 or more, found {min(asked.items)}")
    if asked.here:
        print(json.dumps(measure(asked.data, asked.items[0], asked.seed)))
    else:
        report(asked.data, asked.items, asked.out, asked.seed)


if __name__ == "__main__":
    try:
        main()
    except PocketRecError as error:
        sys.exit(f"growth: {error}")
