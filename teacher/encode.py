"""Item texts to language-model vectors: cached, in batches of equal length, and within a time budget."""

import hashlib
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt
import torch

from pocketrec.errors import RunError, UsageError
from teacher.backbone import Backbone

log = logging.getLogger(__name__)

Floats = npt.NDArray[np.float32]

_BATCH_TOKENS = 2048
_CHUNK = 512
_FIRST_CHUNK = 4
_CUTS = (64, 48, 32, 24, 16)
# What stays of the budget for predicting the rest and for a last batch that is slower than the ones before.
_MARGIN = 0.08
# From fewer encoded texts the regression keeps less of who is near whom than the input embeddings do.
_ENOUGH = 200
_HALF_MAX = float(np.finfo(np.float16).max)


@dataclass(frozen=True)
class EncodedItems:
    """The vectors of a catalogue.

    Attributes:
        vectors: float32 [N, h]; values have half precision, so that a cached vector equals a fresh one.
        encoded: bool [N]; False where the time budget ended first and the vector is a prediction.
        tokens: tokens that the language model read in this call (cached vectors cost none).
        seconds: time that the call took.
    """

    vectors: Floats
    encoded: npt.NDArray[np.bool_]
    tokens: int
    seconds: float


class VectorCache:
    """Vectors by hash in one SQLite file; a kill loses at most the batch being written.

    A damaged file is renamed to ``NAME.damaged`` with a warning, and an empty one takes its place.

    Raises:
        RunError: the file cannot be opened or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._connection = self._connect()
        except sqlite3.OperationalError as error:
            raise self._failure(error) from error
        except sqlite3.DatabaseError as error:
            aside = path.with_name(f"{path.name}.damaged")
            path.replace(aside)
            path.with_name(f"{path.name}-journal").unlink(missing_ok=True)
            log.warning(
                "%s is damaged (%s): put aside as %s, vectors are computed again",
                path,
                error,
                aside.name,
            )
            self._connection = self._connect()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=60)
        try:
            found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if found != "ok":
                raise sqlite3.DatabaseError(found)
            with connection:
                connection.execute(
                    "CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB NOT NULL)"
                )
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def get(self, keys: Sequence[bytes]) -> dict[bytes, Floats]:
        """The vectors that are known, float32 [h] each."""
        found: dict[bytes, Floats] = {}
        for start in range(0, len(keys), 500):
            part = keys[start : start + 500]
            marks = ",".join("?" * len(part))
            rows = self._connection.execute(
                f"SELECT key, vector FROM vectors WHERE key IN ({marks})", part
            )
            found |= {
                key: np.frombuffer(blob, dtype=np.float16).astype(np.float32) for key, blob in rows
            }
        return found

    def put(self, keys: Sequence[bytes], vectors: Floats) -> None:
        rows = [(k, v.tobytes()) for k, v in zip(keys, vectors.astype(np.float16), strict=True)]
        try:
            with self._connection:
                self._connection.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?)", rows)
        except sqlite3.OperationalError as error:
            raise self._failure(error) from error

    def _failure(self, error: sqlite3.Error) -> RunError:
        return RunError(
            f"{self.path}: expected a writable vector cache, found: {error}; free space or choose another"
        )

    def __enter__(self) -> "VectorCache":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection.close()


def encode_items(
    texts: Sequence[str],
    backbone: Backbone,
    cache: Path,
    deadline_seconds: float | None = None,
    max_tokens: int = 96,
    order: npt.NDArray[np.int64] | None = None,
    progress: Callable[[int, int], None] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> EncodedItems:
    """Encode every text, the first of ``order`` first; texts that read alike are encoded once.

    Under a deadline the throughput is measured as the work goes, and the longest cut of 96, 64, 48, 32, 24 or 16
    tokens is taken at which everything that is left fits. What still does not fit is predicted by ridge regression
    from the mean of the model's input embeddings, fitted on what was encoded; predictions are not cached. If less
    than half of the texts and fewer than 200 could be encoded, the mean input embeddings are the vectors of all, and
    none counts as encoded. A text without a token gets the mean vector, which centring turns into "nothing known".

    Args:
        cache: SQLite file, keyed by a hash of the backbone's fingerprint and the token ids after the cut.
        deadline_seconds: time for the whole call, or None for as long as it takes.
        max_tokens: longest cut, special tokens included, at least 16.
        order: item indices, most popular first; int64 [N].
        progress: called with (items done, N) after every batch.
        clock: seconds, monotonic.

    Raises:
        UsageError: ``max_tokens`` below 16, or ``order`` is not a permutation.
        RunError: the cache cannot be written, or the model gives vectors that are not finite.
    """
    start = clock()
    if max_tokens < _CUTS[-1]:
        raise UsageError(f"max_tokens: expected at least {_CUTS[-1]}, found {max_tokens}")
    visit = np.arange(len(texts)) if order is None else np.asarray(order)
    if not np.array_equal(np.sort(visit), np.arange(len(texts))):
        raise UsageError(
            f"order: expected each of 0..{len(texts) - 1} once, found {len(visit)} other indices"
        )
    end = None if deadline_seconds is None else start + deadline_seconds * (1 - _MARGIN)
    with _all_cores(), VectorCache(cache) as store:
        job = _Job(backbone, store, backbone.tokenize(texts, max_tokens), visit, progress, clock)
        job.run(max_tokens, end)
        vectors = job.finish()
    return EncodedItems(
        vectors=vectors[job.text_of],
        encoded=job.done[job.text_of],
        tokens=job.tokens,
        seconds=clock() - start,
    )


class _Job:
    """One call of ``encode_items``: the distinct texts in the order of work, and what is known of each."""

    def __init__(
        self,
        backbone: Backbone,
        store: VectorCache,
        ids: list[list[int]],
        visit: npt.NDArray[np.int64],
        progress: Callable[[int, int], None] | None,
        clock: Callable[[], float],
    ) -> None:
        self.backbone, self.store, self.progress, self.clock = backbone, store, progress, clock
        first: dict[tuple[int, ...], int] = {}
        self.text_of = np.zeros(len(ids), dtype=np.int64)  # item -> distinct text
        for item in visit:
            self.text_of[item] = first.setdefault(tuple(ids[item]), len(first))
        self.ids = [list(key) for key in first]
        self.items_of = np.bincount(self.text_of, minlength=len(self.ids))
        self.vectors = np.zeros((len(self.ids), backbone.width), dtype=np.float32)
        nothing = backbone.tokenize([""], _CUTS[0])[0]
        self.empty = np.array([i == nothing for i in self.ids], dtype=bool)
        self.done = self.empty.copy()
        self.tokens = 0

    def run(self, max_tokens: int, end: float | None) -> None:
        """Encode until everything is done or the clock reaches ``end``."""
        self._recall(range(len(self.ids)), max_tokens)
        lengths = np.array([len(i) for i in self.ids], dtype=np.int64)
        size, rate = _FIRST_CHUNK, 0.0
        while len(left := np.flatnonzero(~self.done)):
            cut, chunk = max_tokens, left[:size]
            if end is not None and rate > 0:
                affordable = (end - self.clock()) * rate
                cut = choose_cut(lengths[left], max_tokens, affordable)
                chunk = chunk[np.cumsum(np.minimum(lengths[chunk], cut)) <= affordable]
                if not len(chunk):
                    return
            if cut < max_tokens:
                self._recall(chunk, cut)
            before, began = self.tokens, self.clock()
            for batch in self._batches(chunk[~self.done[chunk]], cut):
                if end is not None and self.clock() >= end:
                    return
                self._encode(batch, cut)
            if self.tokens > before:
                rate = (self.tokens - before) / max(self.clock() - began, 1e-9)
            size = min(_CHUNK, size * 4)

    def finish(self) -> Floats:
        """All vectors, those that were not reached predicted; float32 [distinct texts, h]."""
        full = self.done & ~self.empty
        rest = ~self.done
        if rest.any():
            features = self._embeddings()
            if full.sum() >= min(_ENOUGH, (full | rest).sum() / 2):
                self.vectors[rest] = predict(features[full], self.vectors[full], features[rest])
            else:
                self.done = self.empty.copy()
                self.vectors[:, : features.shape[1]] = features
        if self.empty.any() and not self.empty.all():
            self.vectors[self.empty] = self.vectors[~self.empty].mean(0)
        return self.vectors

    def _key(self, text: int, cut: int) -> bytes:
        digest = hashlib.blake2b(self.backbone.fingerprint.encode(), digest_size=16)
        digest.update(np.array(self.backbone.cut(self.ids[text], cut), dtype=np.int32).tobytes())
        return digest.digest()

    def _recall(self, texts: Sequence[int] | npt.NDArray[np.int64], cut: int) -> None:
        keys = {self._key(text, cut): text for text in texts if not self.done[text]}
        for key, vector in self.store.get(list(keys)).items():
            self.vectors[keys[key]] = vector
            self.done[keys[key]] = True
        self._report()

    def _batches(self, texts: npt.NDArray[np.int64], cut: int) -> Iterator[list[int]]:
        """Texts of like length together, at most ``_BATCH_TOKENS`` tokens with padding."""
        batch: list[int] = []
        for text in sorted(texts.tolist(), key=lambda t: len(self.ids[t])):
            if (len(batch) + 1) * min(len(self.ids[text]), cut) > _BATCH_TOKENS and batch:
                yield batch
                batch = []
            batch.append(text)
        if batch:
            yield batch

    def _encode(self, batch: list[int], cut: int) -> None:
        rows = [self.backbone.cut(self.ids[text], cut) for text in batch]
        vectors = self.backbone.encode(rows).numpy()
        if not np.isfinite(vectors).all():
            raise RunError(
                f"{self.backbone.name}: expected finite item vectors, found NaN or infinity; try float32"
            )
        half = vectors.clip(-_HALF_MAX, _HALF_MAX).astype(np.float16).astype(np.float32)
        self.store.put([self._key(text, cut) for text in batch], half)
        self.vectors[batch] = half
        self.done[batch] = True
        self.tokens += sum(map(len, rows))
        self._report()

    def _embeddings(self) -> Floats:
        parts = [
            self.backbone.embed(self.ids[start : start + _CHUNK]).numpy()
            for start in range(0, len(self.ids), _CHUNK)
        ]
        return np.concatenate(parts)

    def _report(self) -> None:
        if self.progress:
            self.progress(int(self.items_of[self.done].sum()), len(self.text_of))


def choose_cut(lengths: npt.NDArray[np.int64], max_tokens: int, affordable: float) -> int:
    """The longest cut at which texts of ``lengths`` tokens cost no more than ``affordable`` tokens, else the shortest."""
    cuts = [max_tokens, *(cut for cut in _CUTS if cut < max_tokens)]
    return next((cut for cut in cuts if np.minimum(lengths, cut).sum() <= affordable), cuts[-1])


def predict(known: Floats, vectors: Floats, wanted: Floats) -> Floats:
    """Ridge regression from features to vectors; its strength by generalised cross-validation (Golub et al. 1979).

    Args:
        known: features of the encoded texts, [n, f].
        vectors: their vectors, [n, h].
        wanted: features of the others, [m, f].

    Returns:
        float32 [m, h]; with one encoded text its vector for all.
    """
    centre, mean = known.mean(0, dtype=np.float64), vectors.mean(0, dtype=np.float64)
    # A few huge coordinates would otherwise choose the strength alone.
    spread = vectors.std(0, dtype=np.float64)
    spread[spread == 0] = 1
    x, y = known - centre, (vectors - mean) / spread
    values, directions = np.linalg.eigh(x.T @ x)
    values = values.clip(0)
    if values[-1] == 0:
        return np.tile(mean.astype(np.float32), (len(wanted), 1))
    rotated = directions.T @ (x.T @ y)
    power, total = (rotated**2).sum(1), (y**2).sum()

    def error(strength: float) -> float:
        shrunk = values + strength
        residual = total - (power * (values + 2 * strength) / shrunk**2).sum()
        return residual / max(len(x) - 1 - (values / shrunk).sum(), 1e-9) ** 2

    strength = min(values.mean() * np.logspace(-3, 3, 13), key=error)
    weights = directions @ (rotated / (values + strength)[:, None])
    return ((wanted - centre) @ weights * spread + mean).astype(np.float32)


@contextmanager
def _all_cores() -> Iterator[None]:
    before = torch.get_num_threads()
    if "OMP_NUM_THREADS" not in os.environ:  # torch follows it already
        affinity = getattr(os, "sched_getaffinity", None)  # not on every system
        torch.set_num_threads(len(affinity(0)) if affinity else os.cpu_count() or 1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
