"""The two graphs of a bundle behind plain array functions."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from pocketrec.engine import Engine
from pocketrec.errors import BundleError

Float32 = npt.NDArray[np.float32]

BATCH = 64
PADDING = 0


class TextTokenizer(Protocol):
    """What the text encoder needs of a tokenizer."""

    def encode(self, text: str) -> list[int]: ...


class TextEncoder:
    """Item text to item vectors; graph input ``tokens`` int64 [B, T], output ``vector`` float32 [B, d].

    Raises:
        BundleError: the graph has other inputs or outputs.
    """

    def __init__(self, engine: Engine, tokenizer: TextTokenizer) -> None:
        _check_names(engine, "tokens", "vector")
        self._engine = engine
        self._tokenizer = tokenizer

    def encode(self, texts: Sequence[str]) -> Float32:
        """Unit vectors of ``texts``; float32 [n, d].

        Raises:
            BundleError: the graph fails or gives a vector that is not finite.
        """
        tokens = [self._tokenizer.encode(text) for text in texts]
        # Texts of like length share a batch, so that little of it is padding.
        order = sorted(range(len(tokens)), key=lambda i: len(tokens[i]))
        # An empty call still runs once: the graph alone knows d.
        parts = [
            self._run([tokens[i] for i in order[start : start + BATCH]])
            for start in range(0, max(len(order), 1), BATCH)
        ]
        vectors = np.empty((len(tokens), parts[0].shape[1]), dtype=np.float32)
        vectors[order] = np.concatenate(parts)[: len(tokens)]
        return vectors

    def _run(self, batch: list[list[int]]) -> Float32:
        width = max((len(row) for row in batch), default=0)
        padded = np.full((max(len(batch), 1), max(width, 1)), PADDING, dtype=np.int64)
        for row, ids in zip(padded, batch, strict=False):
            row[: len(ids)] = ids
        return _checked(self._engine, self._engine.run({"tokens": padded}), len(padded))


class SequenceEncoder:
    """A history to a user vector; graph input ``items`` float32 [B, L, d], output ``user`` float32 [B, d].

    Raises:
        BundleError: the graph has other inputs or outputs.
    """

    def __init__(self, engine: Engine) -> None:
        _check_names(engine, "items", "user")
        self._engine = engine

    def encode(self, items: Float32) -> Float32:
        """User vectors, temperature included, of histories given as item vectors.

        Args:
            items: float32 [B, L, d], oldest first, without padding; L may be 0.

        Returns:
            float32 [B, d]; ``vectors @ user`` are the logits.

        Raises:
            BundleError: the graph fails or gives a vector of another width or one that is not finite.
        """
        users = _checked(self._engine, self._engine.run({"items": items}), items.shape[0])
        if users.shape[1] != items.shape[2]:
            raise BundleError(
                f"{self._engine.name}: output 'user': expected {items.shape[2]} dimensions as the "
                f"item vectors have, found {users.shape[1]}"
            )
        return users


def _check_names(engine: Engine, given: str, wanted: str) -> None:
    if engine.inputs != (given,) or engine.outputs[:1] != (wanted,):
        raise BundleError(
            f"{engine.name}: expected input {given!r} and output {wanted!r}, "
            f"found inputs {', '.join(engine.inputs)} and outputs {', '.join(engine.outputs)}"
        )


def _checked(engine: Engine, vectors: Float32, rows: int) -> Float32:
    if vectors.ndim != 2 or vectors.shape[0] != rows or vectors.dtype != np.float32:
        raise BundleError(
            f"{engine.name}: output {engine.outputs[0]!r}: expected float32 [{rows}, d], "
            f"found {vectors.dtype} {list(vectors.shape)}"
        )
    if not np.isfinite(vectors).all():
        raise BundleError(
            f"{engine.name}: output {engine.outputs[0]!r}: expected finite vectors, "
            "found NaN or infinity; export the bundle again"
        )
    return vectors
