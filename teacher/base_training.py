"""A base teacher trained on source domains."""

from pathlib import Path

import numpy as np

from pocketrec.errors import DataError
from pocketrec.files import cache_folder
from pocketrec.run import Report
from pocketrec.splits import interaction_counts
from teacher.adapted import load_adapted
from teacher.backbone import Backbone, load_backbone
from teacher.base import ADAPTER, BaseTeacher
from teacher.encode import encode_items
from teacher.pretraining import Domain, pretrain
from teacher.recipe import PretrainingRecipe
from teacher.sequence import readable
from teacher.sources import Source, load_sources
from teacher.whitening import fit_readings

ENCODING_SHARE = 0.5
"""Most of the time budget that reading the texts may take."""


def train_base(
    folders: list[Path],
    out: Path,
    minutes: float,
    seed: int,
    backbone: str,
    steps: int | None,
    report: Report,
) -> None:
    """Read the source domains, train one sequence model on all of them, write the base teacher to ``out``.

    An adapter in ``out`` (``train_adapter`` writes it there) reads the texts, beside the language model as it was.

    Args:
        steps: most training steps; the recipe's when None.

    Raises:
        DataError: a folder is no data set, or nobody in it chose two items.
        UsageError: no such language model, or one domain twice.
    """
    recipe = PretrainingRecipe() if steps is None else PretrainingRecipe(steps=steps)
    sources = load_sources(folders, recipe.items)
    adapter = out / ADAPTER
    model = load_adapted(backbone, None, adapter) if adapter.is_dir() else load_backbone(backbone)
    seconds = minutes * 60
    each = seconds * ENCODING_SHARE / len(sources)
    domains = [_read_texts(source, model, recipe, each, report) for source in sources]
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
        "fingerprint": model.fingerprint,
        "domains": counts,
        "recipe": recipe.model_dump(mode="json"),
        "seed": seed,
        "minutes": minutes,
    }
    BaseTeacher.of(trained, facts).save(out)
    report.line(f"{out}: a base teacher of {len(domains)} domains")


def _read_texts(
    source: Source, backbone: Backbone, recipe: PretrainingRecipe, seconds: float, report: Report
) -> Domain:
    sequences, as_sets = readable(source.sequences, source.unordered)
    sequences = [s for s in sequences if len(s) > 1]
    if not sequences:
        raise DataError(
            f"{source.name}: expected a user with two training choices, found none; leave this domain out"
        )
    with report.task(
        f"Reading {len(source.texts):,} texts of {source.name}", len(source.texts)
    ) as advance:
        encoded = encode_items(
            source.texts,
            backbone,
            cache_folder() / "vectors.sqlite",
            seconds,
            recipe.max_tokens,
            np.argsort(-interaction_counts(sequences, len(source.texts)), kind="stable"),
            lambda done, total: advance(done),
        )
    whitening = fit_readings(
        encoded.vectors, backbone.readings, recipe.dimensions, recipe.whitening
    )
    vectors = whitening.apply(encoded.vectors) @ whitening.basis.T
    return Domain(source.name, vectors, sequences, as_sets)
