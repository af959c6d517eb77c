"""The nearest items of a user vector: the bundle's int8 product beside libraries that do nothing but search.

All of them have the same vectors and the same user vectors, one thread, and return the same number of items.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from usearch import index as usearch

from benchmarks.latency import measure, one_thread
from pocketrec.bundle import LAYOUT
from pocketrec.cli.output import say
from pocketrec.encoders import SequenceEncoder
from pocketrec.engine import engine_loader
from pocketrec.item_table import ItemTable
from pocketrec.item_vectors import Int8Vectors
from pocketrec.manifest import Manifest
from pocketrec.ranker import top_k

try:
    import hnswlib
except ImportError:
    hnswlib = None

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]
Find = Callable[[Float32], Int64]

LINKS, CANDIDATES = 16, 100
"""Of the graphs (HNSW: Malkov and Yashunin 2016, arXiv:1603.09320): links a node, candidates while they are built."""
WIDTHS = (20, 40, 80, 160, 320, 640)
"""Candidates while they are searched; the least that finds ``WANTED`` of the best is taken."""
WANTED = 0.99
READS = 20
NOTHING: Int64 = np.empty(0, dtype=np.int64)


@dataclass(frozen=True)
class Search:
    """A way to search, and the seconds that making it ready took."""

    name: str
    find: Find
    seconds: float = 0.0


def time_search(
    bundle: Path, histories: Sequence[Int64], k: int, calls: int
) -> list[dict[str, Any]]:
    """Time each way on the vectors of ``bundle`` for the user vectors of ``histories`` (item indices, oldest first).

    Returns:
        A row each: its ``Timing``, ``seconds`` to make it ready, and ``shared``, how much of the exact best ``k`` it finds.
        The last row has the time of reading the int8 vectors once, which no exact search on them can go below.
    """
    table, load = ItemTable.read(bundle / LAYOUT.items), engine_loader(None)
    length = Manifest.read(bundle / LAYOUT.manifest).ranker.max_length
    encoder = SequenceEncoder(load(bundle / LAYOUT.sequence_encoder))
    quantized = Int8Vectors(table.vectors, table.scales, table.sums, load(bundle / LAYOUT.scorer))
    users = [encoder.encode(quantized.rows(h[-length:])[None])[0] for h in histories]
    vectors = np.ascontiguousarray(table.unit_vectors())
    exact = [top_k(vectors @ user, k, NOTHING) for user in users]
    half = len(users) // 2
    rows = []
    with one_thread():
        for search in _searches(vectors, quantized, k, users[:half], exact[:half]):
            timing = measure(search.name, "search", search.find, users[half:], calls)
            rows.append(
                {
                    **asdict(timing),
                    "seconds": search.seconds,
                    "shared": _shared(search.find, users[half:], exact[half:]),
                }
            )
        bound = measure("reading int8 once", "read", _reader(table.vectors.nbytes), [None], READS)
    return [*rows, asdict(bound)]


def _searches(
    vectors: Float32, quantized: Int8Vectors, k: int, users: list[Float32], exact: list[Int64]
) -> Iterator[Search]:
    yield Search("PocketRec int8", lambda user: top_k(quantized.products(user), k, NOTHING))
    yield Search(
        "PocketRec int8, one digit", lambda u: top_k(quantized.products(u, digits=1), k, NOTHING)
    )
    yield Search("numpy fp32", lambda user: top_k(vectors @ user, k, NOTHING))
    yield Search("onnxruntime fp32", _onnx(vectors, k))
    faiss.omp_set_num_threads(1)
    flat = faiss.IndexFlatIP(vectors.shape[1])
    flat.add(vectors)
    yield Search("faiss flat fp32", lambda user: flat.search(user[None], k)[1][0])

    def scan(user: Float32) -> Int64:
        found = usearch.search(vectors, user, k, usearch.MetricKind.IP, exact=True, threads=1)
        return found.keys.astype(np.int64)

    yield Search("usearch exact fp32", scan)

    if hnswlib is None:
        say("hnswlib is not installed, as it has no wheel for this Python: left out")
    else:
        started = time.perf_counter()
        links = hnswlib.Index("ip", vectors.shape[1])
        links.init_index(len(vectors), M=LINKS, ef_construction=CANDIDATES, random_seed=0)
        links.add_items(vectors, num_threads=1)
        ready = time.perf_counter() - started

        def walk(user: Float32) -> Int64:
            return links.knn_query(user, k, num_threads=1)[0][0].astype(np.int64)

        width = _width(links.set_ef, walk, users, exact)
        yield Search(f"hnswlib fp32, ef {width}", walk, ready)

    started = time.perf_counter()
    graph = usearch.Index(
        ndim=vectors.shape[1],
        metric="ip",
        dtype="i8",
        connectivity=LINKS,
        expansion_add=CANDIDATES,
    )
    graph.add(np.arange(len(vectors)), vectors, threads=1)
    ready = time.perf_counter() - started

    def follow(user: Float32) -> Int64:
        # Its int8 holds numbers up to 1.
        return graph.search(user / np.linalg.norm(user), k, threads=1).keys.astype(np.int64)

    width = _width(lambda w: setattr(graph, "expansion_search", w), follow, users, exact)
    yield Search(f"usearch HNSW int8, ef {width}", follow, ready)


def _onnx(vectors: Float32, k: int) -> Find:
    """A graph of the product and the best ``k``; the vectors are part of it, so that onnxruntime lays them out once."""
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["user", "vectors"], ["products"]),
            helper.make_node("TopK", ["products", "k"], ["scores", "best"]),
        ],
        "search",
        [helper.make_tensor_value_info("user", TensorProto.FLOAT, [1, vectors.shape[1]])],
        [helper.make_tensor_value_info("best", TensorProto.INT64, [1, k])],
        [
            helper.make_tensor("k", TensorProto.INT64, [1], [k]),
            numpy_helper.from_array(np.ascontiguousarray(vectors.T), "vectors"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )

    def find(user: Float32) -> Int64:
        best: Int64 = session.run(["best"], {"user": user[None]})[0][0]
        return best

    return find


def _width(
    assign: Callable[[int], None], find: Find, users: list[Float32], exact: list[Int64]
) -> int:
    """The least of ``WIDTHS`` that finds what is wanted, else the largest; it is assigned."""
    for width in WIDTHS:
        assign(width)
        if _shared(find, users, exact) >= WANTED:
            break
    return width


def _shared(find: Find, users: list[Float32], exact: list[Int64]) -> float:
    """How much of the exact best is found, on average."""
    parts = [
        len(np.intersect1d(find(user), best)) / len(best)
        for user, best in zip(users, exact, strict=True)
    ]
    return float(np.mean(parts))


def _reader(count: int) -> Callable[[None], object]:
    """A read of ``count`` bytes as fast as one thread can: BLAS adds up the squares of float32 numbers."""
    # Of zeros that were never written the system keeps one page, which would be read from the cache.
    numbers = np.ones(count // 4, dtype=np.float32)
    return lambda _: numbers @ numbers
