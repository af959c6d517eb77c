"""A base teacher trained on source domains."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
from scipy.linalg import block_diag

from pocketrec.errors import DataError
from pocketrec.run import Report
from pocketrec.splits import interaction_counts
from teacher.base import ADAPTER, BaseTeacher
from teacher.pretraining import Domain, pretrain
from teacher.readings import Readers
from teacher.recipe import PretrainingRecipe
from teacher.sequence import readable
from teacher.sources import Source, load_sources

ENCODING_SHARE = 0.5
"""Most of the time budget that reading the texts may take."""


def train_base(
    folders: list[Path],
    out: Path,
    minutes: float,
    seed: int,
    backbone: str,
    sentence_encoder: str,
    steps: int | None,
    report: Report,
) -> None:
    """Read the source domains, train one sequence model on all of them, write the base teacher to ``out``.

    The language model reads the texts as it was made, an adapter in ``out`` (``train_adapter`` writes it there) beside
    it, and the sentence encoder unless it is "none".

    Args:
        steps: most training steps; the recipe's when None.

    Raises:
        DataError: a folder is no data set, or nobody in it chose two items.
        UsageError: no such language model or sentence encoder, or one domain twice.
    """
    recipe = PretrainingRecipe() if steps is None else PretrainingRecipe(steps=steps)
    sources = load_sources(folders, recipe.items)
    adapter = out / ADAPTER
    readers = Readers.load(backbone, None, sentence_encoder, adapter if adapter.is_dir() else None)
    seconds = minutes * 60
    each = seconds * ENCODING_SHARE / len(sources)
    domains = [_read_texts(source, readers, recipe, each, report) for source in sources]
    with report.task(f"Learning from {len(domains)} domains", 1.0) as advance:
        trained = pretrain(domains, recipe, seed, seconds * (1 - ENCODING_SHARE), advance)
    counts = {
        domain.name: {
            "items": len(domain.vectors),
            "histories": len(domain.sequences),
            "interactions": sum(map(len, domain.sequences)),
        }
        for domain in domains
    }
    facts = {
        "fingerprints": asdict(readers.fingerprints),
        "domains": counts,
        "recipe": recipe.model_dump(mode="json"),
        "seed": seed,
        "minutes": minutes,
    }
    BaseTeacher.of(trained, facts).save(out)
    report.line(f"{out}: a base teacher of {len(domains)} domains")


def _read_texts(
    source: Source, readers: Readers, recipe: PretrainingRecipe, seconds: float, report: Report
) -> Domain:
    sequences, as_sets = readable(source.sequences, source.unordered)
    sequences = [s for s in sequences if len(s) > 1]
    if not sequences:
        raise DataError(
            f"{source.name}: expected a user with two training choices, found none; leave this domain out"
        )
    counts = interaction_counts(sequences, len(source.texts))
    readings, _ = readers.read(source.texts, None, counts, recipe, seconds, report)
    way = readings.ways[-1]
    vectors = readings.vectors(way) @ block_diag(*readings.bases(way)).T.astype(np.float32)
    return Domain(source.name, vectors, sequences, as_sets)
