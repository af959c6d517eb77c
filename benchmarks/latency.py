"""How long one call takes in a warm process on one thread, beside peers on the same histories."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import TypeVar

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks import minilm
from benchmarks.accuracy import BUNDLE, EASE
from pocketrec.bundle import LAYOUT
from pocketrec.catalogue import Item
from pocketrec.item_table import ItemTable
from pocketrec.ranker import top_k
from pocketrec.recommender import Recommender
from pocketrec.splits import Indices
from teacher.scorers import ItemItem

T = TypeVar("T")

K = 10
LENGTHS = (1, 10, 50, 200)
"""Items in the histories that are timed."""
TYPICAL = 10
WARM_UP = 20
DOT_PRODUCT = "Dot product, fp32"
NEW = "a new item"


@dataclass(frozen=True)
class Timing:
    """Percentiles of the time of one call in microseconds; ``history`` is None where there is none."""

    system: str
    operation: str
    history: int | None
    calls: int
    p50: float
    p95: float
    p99: float


def measure(
    system: str,
    operation: str,
    call: Callable[[T], object],
    inputs: Sequence[T],
    calls: int,
    history: int | None = None,
) -> Timing:
    """Time ``call`` on ``inputs`` in turn, ``calls`` times, after a few calls that do not count."""
    for given in islice(cycle(inputs), min(WARM_UP, calls)):
        call(given)
    spent = np.empty(calls)
    for number, given in enumerate(islice(cycle(inputs), calls)):
        started = time.perf_counter_ns()
        call(given)
        spent[number] = time.perf_counter_ns() - started
    p50, p95, p99 = np.percentile(spent / 1000, [50, 95, 99]).tolist()
    return Timing(system, operation, history, calls, p50, p95, p99)


def sample_histories(
    sequences: Sequence[Indices], length: int, count: int, seed: int
) -> list[Indices]:
    """``count`` histories of ``length`` different items each, oldest first, made of real ones.

    A user with too short a history goes on where another one ends, so that every length asks for items as people
    choose them.
    """
    generator = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        items: dict[int, None] = {}
        while len(items) < length:
            user = int(generator.integers(len(sequences)))
            items.update(dict.fromkeys(sequences[user].tolist()))
        found.append(np.array(list(items)[-length:], dtype=np.int64))
    return found


def histories_to_time(sequences: Sequence[Indices], seed: int) -> dict[int, list[Indices]]:
    """A hundred histories of each of ``LENGTHS`` for which the data has items enough."""
    different = len(np.unique(np.concatenate(sequences)))
    return {
        length: sample_histories(sequences, length, 100, seed)
        for length in LENGTHS
        if length + K <= different
    }


def time_bundle(
    path: Path,
    histories: Mapping[int, list[list[str]]],
    texts: Sequence[str],
    calls: int,
    slow: int,
) -> Iterator[Timing]:
    """Every operation of the device on the bundle at ``path``; ``histories`` hold item ids by length."""
    recommender = Recommender.open(path, precision="int8")  # as the accuracy beside it

    def recommend(history: list[str]) -> object:
        return recommender.recommend(history, K)

    with one_thread():
        for length, given in histories.items():
            yield measure(BUNDLE, "recommend", recommend, given, calls, length)
        typical = histories.get(TYPICAL) or histories[max(histories)]
        length = len(typical[0])
        asked = [
            (history, recommender.recommend(history, 1).items[0].item_id) for history in typical
        ]
        yield measure(BUNDLE, "explain", lambda a: recommender.explain(*a), asked, calls, length)
        items = [history[-1] for history in typical]
        yield measure(BUNDLE, "similar", lambda item: recommender.similar(item, K), items, calls)
        yield measure(BUNDLE, "encode a text", lambda t: recommender.encode([t]), texts, calls)
        new = [[Item(NEW, text)] for text in texts]
        yield measure(BUNDLE, "add an item", recommender.with_items, new, calls)
        yield measure(BUNDLE, "open", Recommender.open, [path], slow)


def time_peers(
    path: Path, ease: ItemItem, histories: Mapping[int, list[Indices]], calls: int
) -> Iterator[Timing]:
    """EASE as row sums of its matrix, and the plain dot product over the vectors of the bundle at ``path``.

    Both end in the same top-k as the bundle. The dot product has no encoder: its user is the mean of the history.
    """
    place = np.full(ease.items, -1, dtype=np.int64)
    place[ease.head] = np.arange(len(ease.head))
    vectors = np.ascontiguousarray(ItemTable.read(path / LAYOUT.items).unit_vectors())

    def row_sums(history: Indices) -> Indices:
        return top_k(np.asarray(ease.weights[history].sum(axis=0)).ravel(), K, history)

    def dot_products(history: Indices) -> Indices:
        return top_k(vectors @ vectors[history].mean(axis=0), K, history)

    with one_thread():
        for length, given in histories.items():
            known = [where[where >= 0] for where in (place[history] for history in given)]
            yield measure(EASE, "recommend", row_sums, known, calls, length)
        for length, given in histories.items():
            yield measure(DOT_PRODUCT, "recommend", dot_products, given, calls, length)


def time_minilm(
    folder: Path,
    vectors: minilm.Float32,
    settings: Mapping[str, float],
    histories: Mapping[int, list[Indices]],
    texts: Sequence[str],
    calls: int,
) -> Iterator[Timing]:
    """The sentence encoder that `minilm.write` wrote into ``folder``, and cosines of its ``vectors``."""
    recommend = minilm.recommend(vectors, **settings, k=K)
    encoder = minilm.encoder(folder)
    with one_thread():
        for length, given in histories.items():
            yield measure(minilm.NAME, "recommend", recommend, given, calls, length)
        yield measure(minilm.NAME, "encode a text", lambda t: encoder.encode([t]), texts, calls)


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep BLAS and OpenMP to the calling thread, as the engine of a bundle is."""
    with threadpool_limits(limits=1):
        yield
