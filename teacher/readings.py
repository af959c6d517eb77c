"""What item texts say to each reader, and the ways to lay what they read side by side."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pocketrec.files import cache_folder
from pocketrec.run import Report, Run
from pocketrec.splits import interaction_counts
from teacher.adapted import load_adapted
from teacher.backbone import Backbone, load_backbone
from teacher.encode import EncodedItems, encode_items
from teacher.recipe import NONE, TeacherRecipe
from teacher.whitening import Whitening, first_reading, fit_readings, fit_whitening, unit_rows

Vectors = npt.NDArray[np.float32]

LANGUAGE_SHARE = 0.7
"""The language model's part of the time for reading texts; a sentence encoder, which is faster, has the rest."""

FROZEN, ADAPTED = "frozen reading", "adapted reading"
SENTENCE = " with the sentence encoder"
"""Put after the name of a reading."""

VECTORS, SENTENCES, WHITENING = "vectors.npy", "sentences.npy", "whitening.safetensors"


@dataclass(frozen=True)
class Readings:
    """Whitened vectors of the same N texts.

    Attributes:
        language: float32 [N, r * dimensions], unit rows: the language model's own reading, then the adapter's where r
            is 2.
        sentences: float32 [N, dimensions], unit rows: a sentence encoder's, or None.
        whitening: of ``language``.
        dimensions: of one reading.
    """

    language: Vectors
    sentences: Vectors | None
    whitening: Whitening
    dimensions: int

    @property
    def ways(self) -> list[str]:
        """Names of what ``vectors`` gives, ``FROZEN`` first."""
        language = [FROZEN] + ([ADAPTED] if self.language.shape[1] > self.dimensions else [])
        beside = [] if self.sentences is None else [way + SENTENCE for way in language]
        return language + beside

    def vectors(self, way: str) -> Vectors:
        """The readings of one way side by side, each weighing the same; unit rows, float32 [N, d]."""
        if way not in self.ways:
            raise KeyError(f"{way}: expected one of {self.ways}")
        adapted = reads_with_adapter(way)
        language = self.language if adapted else first_reading(self.language, self.dimensions)
        if not way.endswith(SENTENCE):
            return language
        assert self.sentences is not None
        each = np.sqrt(np.float32(language.shape[1] // self.dimensions))
        return unit_rows(np.concatenate([each * language, self.sentences], axis=1))

    def basis(self, way: str) -> Vectors:
        """Where the first columns of ``vectors(way)`` lie in the language model's space; float32 [h, d]."""
        width = self.language.shape[1] if reads_with_adapter(way) else self.dimensions
        return self.whitening.basis[:, :width]

    def save(self, folder: Path) -> None:
        np.save(folder / VECTORS, self.language)
        if self.sentences is not None:
            np.save(folder / SENTENCES, self.sentences)
        self.whitening.save(folder / WHITENING)

    @classmethod
    def load(cls, folder: Path, dimensions: int) -> "Readings":
        """Read what ``save`` wrote.

        Raises:
            RunError: the whitening is missing or damaged.
        """
        path = folder / SENTENCES
        sentences = np.load(path) if path.is_file() else None
        whitening = Whitening.load(folder / WHITENING)
        return cls(np.load(folder / VECTORS), sentences, whitening, dimensions)


def reads_with_adapter(way: str) -> bool:
    """Whether a way of ``Readings`` holds what the adapter says."""
    return way.startswith(ADAPTED)


def read_texts(
    run: Run, recipe: TeacherRecipe, adapter: Path | None, folder: Path, report: Report
) -> dict[str, Any]:
    """Read every item text of a run into ``folder``; the facts about it.

    Raises:
        UsageError: no such language model or sentence encoder, or the adapter is of another one.
        RunError: a model is not installed, or gives vectors that are not finite.
    """
    backbone = (
        load_adapted(recipe.backbone, recipe.layer, adapter)
        if adapter
        else load_backbone(recipe.backbone, recipe.layer)
    )
    # Before the texts are read, so that one that cannot be loaded is told at once.
    encoder = None if recipe.sentence_encoder == NONE else load_backbone(recipe.sentence_encoder)
    seconds = run.share("encode")
    share = LANGUAGE_SHARE if encoder else 1.0
    encoded = _read(run, recipe, backbone, seconds and seconds * share, report)
    whitening = fit_readings(
        encoded.vectors, backbone.readings, recipe.dimensions, recipe.whitening
    )
    read = {backbone.name: int(encoded.encoded.sum())}
    sentences = None
    if encoder:
        also = _read(run, recipe, encoder, seconds and seconds - encoded.seconds, report)
        whitened = fit_whitening(also.vectors, recipe.dimensions, recipe.whitening)
        sentences = whitened.apply(also.vectors)
        read[encoder.name] = int(also.encoded.sum())
    readings = Readings(whitening.apply(encoded.vectors), sentences, whitening, recipe.dimensions)
    readings.save(folder)
    items = len(encoded.vectors)
    guessed = any(count < items for count in read.values())
    rest = "; the others are guessed from their tokens: more minutes read more" if guessed else ""
    said = " and ".join(f"{count:,} by {name}" for name, count in read.items())
    widest = readings.vectors(readings.ways[-1])
    return {
        "backbone": " and ".join(read),
        "backbone_fingerprint": backbone.fingerprint,
        "encoded": read,
        "sha": _hash(widest),
        "summary": f"of {items:,} item texts read {said}{', with an adapter' if adapter else ''}, "
        f"{widest.shape[1]} dimensions{rest}",
    }


def _read(
    run: Run, recipe: TeacherRecipe, backbone: Backbone, seconds: float | None, report: Report
) -> EncodedItems:
    texts = run.dataset.texts
    counts = interaction_counts(run.dataset.sequences, len(texts))
    with report.task(
        f"Reading {len(texts):,} item texts with {backbone.name}", len(texts)
    ) as advance:
        return encode_items(
            texts,
            backbone,
            cache_folder() / "vectors.sqlite",
            seconds,
            recipe.max_tokens,
            np.argsort(-counts, kind="stable"),
            lambda done, total: advance(done),
        )


def _hash(array: Vectors) -> str:
    return hashlib.blake2b(np.ascontiguousarray(array).tobytes(), digest_size=16).hexdigest()


def load_readings(run: Run, recipe: TeacherRecipe) -> Readings:
    """The item vectors of a run whose texts have been read."""
    return Readings.load(run.folder / "teacher/vectors", recipe.dimensions)
