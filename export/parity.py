"""The parity gate: what was measured is what runs on the device."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from distill.checkpoint import Student
from export.graphs import SEQUENCE, TEXT, Graph, LastState
from pocketrec import metrics
from pocketrec.encoders import PADDING, TextEncoder
from pocketrec.engine import OnnxEngine
from pocketrec.errors import RunError
from pocketrec.ranker import Ranker, top_k
from pocketrec.splits import Cases
from pocketrec.tokenizer import Tokenizer

Float32 = npt.NDArray[np.float32]

FP32_TOLERANCE = 1e-3
LEAST_OVERLAP = 0.8
LARGEST_LOSS = 0.01
LEAST_COSINE = 0.99


@dataclass(frozen=True)
class Parity:
    """How one ranker stands to its reference on the same histories.

    Attributes:
        top20_overlap: mean share of the reference's 20 best that are among the 20 best here.
        ndcg: NDCG@10 here.
        ndcg_change: NDCG@10 here less the reference's, with its paired 95 % interval.
        passed: whether the gate lets it through.
    """

    top20_overlap: float
    ndcg: float
    ndcg_change: tuple[float, float, float]
    passed: bool

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def check_graph(student: Student, path: Path, graph: Graph, tolerance: float | None) -> float:
    """Names, shapes and the largest difference to the PyTorch module, at lengths 0, 1, some and the maximum.

    Args:
        tolerance: largest difference allowed in one output number; None only measures it.

    Raises:
        RunError: a name, a shape or a value is not what the module gives.
    """
    engine = OnnxEngine(path)
    if engine.inputs != (graph.input,) or engine.outputs != (graph.output,):
        raise RunError(
            f"{path}: expected {graph.input} -> {graph.output}, found {engine.inputs} -> {engine.outputs}"
        )
    module = student.text if graph is TEXT else LastState(student.sequence).eval()
    largest = 0.0
    for sample in _samples(student, graph):
        with torch.no_grad():
            expected = module(torch.from_numpy(sample)).numpy()
        found = engine.run({graph.input: sample})
        if found.shape != expected.shape or found.dtype != expected.dtype:
            raise RunError(
                f"{path}: input {list(sample.shape)}: expected {expected.dtype} {list(expected.shape)}, "
                f"found {found.dtype} {list(found.shape)}"
            )
        difference = float(np.abs(found - expected).max())
        # Not left to max() and >: for both of them NaN is no difference at all.
        if not np.isfinite(difference) or (tolerance is not None and difference > tolerance):
            allowed = "a finite distance" if tolerance is None else f"{tolerance:g}"
            raise RunError(
                f"{path}: expected outputs within {allowed} of the student's, found {difference:g}"
            )
        largest = max(largest, difference)
    return largest


def _samples(student: Student, graph: Graph) -> list[npt.NDArray[Any]]:
    generator = np.random.default_rng(0)
    if graph is SEQUENCE:
        longest = student.settings.max_length
        rows = [
            generator.integers(0, len(student.vectors), (3, n))
            for n in sorted({0, 1, min(7, longest), min(50, longest), longest})
        ]
        return [student.vectors[row] for row in rows]
    vocabulary = student.text.embedding.num_embeddings
    drawn = [generator.integers(1, vocabulary, (3, n)) for n in (1, 7, student.recipe.tokens)]
    last = np.full(
        (2, 3), vocabulary - 1
    )  # the highest id: an export that clips the table shows here
    padded = np.concatenate([drawn[1], np.zeros((3, 4), dtype=np.int64)], axis=1)
    return [*drawn, last, padded, np.zeros((1, 1), dtype=np.int64)]


def text_cosine(student: Student, path: Path, texts: Sequence[str]) -> float:
    """Mean cosine of the text graph at ``path`` to the PyTorch module over ``texts``; below ``LEAST_COSINE`` it misses the
    gate.

    Raises:
        BundleError: the graph cannot run.
    """
    encoder = TextEncoder(OnnxEngine(path), Tokenizer.load(student.tokenizer))
    return float((encoder.encode(texts) * _text_vectors(student, texts)).sum(axis=1).mean())


def _text_vectors(student: Student, texts: Sequence[str]) -> Float32:
    """Unit vectors of the PyTorch module; float32 [n, d]."""
    tokenizer = Tokenizer.load(student.tokenizer)
    with torch.no_grad():
        rows = [student.text(torch.tensor([tokenizer.encode(text) or [PADDING]])) for text in texts]
    vectors: Float32 = torch.cat(rows).numpy()
    return vectors


def compare(reference: Ranker, ranker: Ranker, cases: Cases) -> Parity:
    """Rankings of the same histories by both; see ``Parity``. Misses the gate where top-20 overlap is under
    ``LEAST_OVERLAP``, or NDCG@10 falls by more than ``LARGEST_LOSS`` of itself in all of the interval: on validation,
    where the student was chosen in full precision, it looks better than it is, and any change of it a little worse.
    """
    overlaps, before, after = [], [], []
    for history, target in zip(cases.histories, cases.targets, strict=True):
        expected, found = reference.scores(history), ranker.scores(history)
        best, ours = top_k(expected, 20, history), top_k(found, 20, history)
        overlaps.append(len(np.intersect1d(best, ours)) / len(best))
        at = np.array([target])
        before.append(metrics.ranks(expected[None], at, [history])[0])
        after.append(metrics.ranks(found[None], at, [history])[0])
    reference_ndcg, ndcg = (
        metrics.ndcg_at(np.array(before), 10),
        metrics.ndcg_at(np.array(after), 10),
    )
    change = metrics.paired_bootstrap(ndcg, reference_ndcg)
    lost = change[2] < -LARGEST_LOSS * reference_ndcg.mean()
    overlap = float(np.mean(overlaps))
    return Parity(overlap, float(ndcg.mean()), change, overlap >= LEAST_OVERLAP and not lost)
