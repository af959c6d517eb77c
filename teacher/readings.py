"""What item texts say to each reader, and the ways to lay what they read side by side."""

import hashlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pocketrec.files import cache_folder
from pocketrec.run import Report, Run
from pocketrec.splits import interaction_counts
from teacher.adapted import load_adapted
from teacher.backbone import Backbone
from teacher.encode import EncodedItems, encode_items
from teacher.pretrained import load_backbone
from teacher.recipe import NONE, PretrainingRecipe, TeacherRecipe
from teacher.whitening import Whitening, first_reading, fit_readings, fit_whitening, unit_rows

Vectors = npt.NDArray[np.float32]

LANGUAGE_SHARE = 0.7
"""The language model's part of the time for reading texts; a sentence encoder, which is faster, has the rest."""

FROZEN, ADAPTED = "frozen reading", "adapted reading"
SENTENCE = " with the sentence encoder"
TITLED = ", titles twice"
"""Put after the name of a reading, in this order."""

VECTORS, SENTENCES = "vectors.npy", "sentences.npy"
WHITENING, SENTENCE_WHITENING = "whitening.safetensors", "sentence-whitening.safetensors"
TITLES = "titles"


@dataclass(frozen=True)
class Fingerprints:
    """Which models read: the language model, adapter included, and the sentence encoder or None."""

    language: str
    sentences: str | None


@dataclass(frozen=True)
class Readings:
    """Whitened vectors of the same N texts.

    Attributes:
        language: float32 [N, r * dimensions], unit rows: the language model's own reading, then the adapter's where r
            is 2.
        sentences: float32 [N, dimensions], unit rows: a sentence encoder's, or None.
        whitening: of ``language``.
        sentence_whitening: of ``sentences``, or None.
        dimensions: of one reading.
        titled: the same texts, each as the mean of what was read in it and what was read in its title alone, or None.
            A long description drowns what a title says; where the title says little, this is the worse way.
    """

    language: Vectors
    sentences: Vectors | None
    whitening: Whitening
    sentence_whitening: Whitening | None
    dimensions: int
    titled: "Readings | None" = None

    @property
    def ways(self) -> list[str]:
        """Names of what ``vectors`` gives, ``FROZEN`` first."""
        language = [FROZEN] + ([ADAPTED] if self.language.shape[1] > self.dimensions else [])
        beside = [] if self.sentences is None else [way + SENTENCE for way in language]
        titled = [way + TITLED for way in self.titled.ways] if self.titled else []
        return language + beside + titled

    def vectors(self, way: str) -> Vectors:
        """The readings of one way side by side, each weighing the same; unit rows, float32 [N, d]."""
        if way not in self.ways:
            raise KeyError(f"{way}: expected one of {self.ways}")
        if self.titled and way.endswith(TITLED):
            return self.titled.vectors(way.removesuffix(TITLED))
        adapted = reads_with_adapter(way)
        language = self.language if adapted else first_reading(self.language, self.dimensions)
        if not way.endswith(SENTENCE):
            return language
        assert self.sentences is not None
        each = np.sqrt(np.float32(language.shape[1] // self.dimensions))
        return unit_rows(np.concatenate([each * language, self.sentences], axis=1))

    def bases(self, way: str) -> list[Vectors]:
        """Where the columns of ``vectors(way)`` lie in the spaces of the models that read: float32 [h, d] of the language
        model, and [s, dimensions] of the sentence encoder where the way holds it."""
        if self.titled and way.endswith(TITLED):
            return self.titled.bases(way.removesuffix(TITLED))
        width = self.language.shape[1] if reads_with_adapter(way) else self.dimensions
        language = self.whitening.basis[:, :width]
        if not way.endswith(SENTENCE):
            return [language]
        assert self.sentence_whitening is not None
        return [language, self.sentence_whitening.basis]

    def save(self, folder: Path) -> None:
        np.save(folder / VECTORS, self.language)
        self.whitening.save(folder / WHITENING)
        if self.sentences is not None and self.sentence_whitening is not None:
            np.save(folder / SENTENCES, self.sentences)
            self.sentence_whitening.save(folder / SENTENCE_WHITENING)
        if self.titled:
            (folder / TITLES).mkdir()
            self.titled.save(folder / TITLES)

    @classmethod
    def load(cls, folder: Path, dimensions: int) -> "Readings":
        """Read what ``save`` wrote.

        Raises:
            RunError: a whitening is missing or damaged.
        """
        whitening = Whitening.load(folder / WHITENING)
        language, sentences, beside = np.load(folder / VECTORS), None, None
        if (folder / SENTENCES).is_file():
            sentences = np.load(folder / SENTENCES)
            beside = Whitening.load(folder / SENTENCE_WHITENING)
        titles = folder / TITLES
        titled = cls.load(titles, dimensions) if titles.is_dir() else None
        return cls(language, sentences, whitening, beside, dimensions, titled)


@dataclass(frozen=True)
class Readers:
    """The models that read item texts.

    Attributes:
        language: the language model, with an adapter or without.
        sentences: the sentence encoder beside it, or None.
    """

    language: Backbone
    sentences: Backbone | None

    @classmethod
    def load(
        cls, language: str, layer: int | None, sentences: str, adapter: Path | None
    ) -> "Readers":
        """Load the models that a recipe names; ``sentences`` may be "none".

        Raises:
            UsageError: no such language model or sentence encoder, or the adapter is of another one.
            RunError: a model is not installed, or the adapter is damaged.
        """
        return cls(
            load_adapted(language, layer, adapter) if adapter else load_backbone(language, layer),
            None if sentences == NONE else load_backbone(sentences),
        )

    @property
    def fingerprints(self) -> Fingerprints:
        return Fingerprints(
            self.language.fingerprint, self.sentences.fingerprint if self.sentences else None
        )

    def read(
        self,
        texts: list[str],
        titles: list[str] | None,
        counts: npt.NDArray[np.integer],
        recipe: TeacherRecipe | PretrainingRecipe,
        seconds: float | None,
        report: Report,
    ) -> tuple[Readings, dict[str, int]]:
        """Read ``texts``, and how many of them were read by each model rather than guessed.

        Args:
            titles: of the same items, to be read beside them, or None; the time for texts comes first.
            counts: interactions of each text's item, the most chosen ones are read first; int [N].
            recipe: dimensions, whitening and the longest text.
            seconds: time for all of it; None for no limit.

        Raises:
            RunError: a model gives vectors that are not finite, or the cache cannot be written.
        """
        items = len(texts)
        beside = titles if titles != texts else None
        order = np.argsort(-counts, kind="stable")
        if beside:
            order = np.concatenate([order, items + order])

        def encoded(backbone: Backbone, seconds: float | None) -> EncodedItems:
            title = f"Reading {items:,} item texts with {backbone.name}"
            with report.task(title, len(order)) as advance:
                return encode_items(
                    texts + (beside or []),
                    backbone,
                    cache_folder() / "vectors.sqlite",
                    seconds,
                    recipe.max_tokens,
                    order,
                    lambda done, total: advance(done),
                )

        share = LANGUAGE_SHARE if self.sentences else 1.0
        language = encoded(self.language, seconds and seconds * share)
        read = {self.language.name: int(language.encoded[:items].sum())}
        parts = [language.vectors]
        if self.sentences:
            sentences = encoded(self.sentences, seconds and seconds - language.seconds)
            read[self.sentences.name] = int(sentences.encoded[:items].sum())
            parts.append(sentences.vectors)
        readings = self._whitened([part[:items] for part in parts], recipe)
        if beside:
            means = [(part[:items] + part[items:]) / 2 for part in parts]
            readings = replace(readings, titled=self._whitened(means, recipe))
        return readings, read

    def _whitened(
        self, vectors: list[Vectors], recipe: TeacherRecipe | PretrainingRecipe
    ) -> Readings:
        """Of what each model read, float32 [N, h] each."""
        language, *beside = vectors
        dimensions, power = recipe.dimensions, recipe.whitening
        whitening = fit_readings(language, self.language.readings, dimensions, power)
        sentence_whitening = fit_whitening(beside[0], dimensions, power) if beside else None
        return Readings(
            whitening.apply(language),
            sentence_whitening.apply(beside[0]) if sentence_whitening else None,
            whitening,
            sentence_whitening,
            dimensions,
        )


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
    # Both before the texts are read, so that one that cannot be loaded is told at once.
    readers = Readers.load(recipe.backbone, recipe.layer, recipe.sentence_encoder, adapter)
    texts, titles = run.dataset.texts, run.dataset.titles
    counts = interaction_counts(run.dataset.sequences, len(texts))
    readings, read = readers.read(texts, titles, counts, recipe, run.share("encode"), report)
    readings.save(folder)
    guessed = any(count < len(texts) for count in read.values())
    rest = "; the others are guessed from their tokens: more minutes read more" if guessed else ""
    said = " and ".join(f"{count:,} by {name}" for name, count in read.items())
    widest = readings.vectors(readings.ways[-1])
    return {
        "backbone": " and ".join(read),
        "fingerprints": asdict(readers.fingerprints),
        "encoded": read,
        "sha": _hash(readings.vectors(way) for way in readings.ways),
        "summary": f"of {len(texts):,} item texts read {said}{', with an adapter' if adapter else ''}, "
        f"{widest.shape[1]} dimensions{rest}",
    }


def _hash(arrays: Iterable[Vectors]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for array in arrays:
        digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()


def load_readings(run: Run, recipe: TeacherRecipe) -> Readings:
    """The item vectors of a run whose texts have been read."""
    return Readings.load(run.folder / "teacher/vectors", recipe.dimensions)
