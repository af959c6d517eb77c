"""What the teacher makes of the item texts of many domains, for a text encoder that is to know more than one."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from pocketrec.files import cache_folder
from pocketrec.run import Report
from teacher.adapted import load_adapted
from teacher.backbone import Backbone, load_backbone
from teacher.base import open_base
from teacher.encode import encode_items
from teacher.recipe import TeacherRecipe
from teacher.sources import load_sources
from teacher.whitening import fit_readings, fit_whitening, unit_rows

Vectors = npt.NDArray[np.float32]

ITEMS = 10_000
"""Most items of a domain that are read, the most chosen ones."""


def text_targets(folders: list[Path], report: Report) -> tuple[list[str], Vectors]:
    """The texts of items that somebody chose, and what a build reads in them, all domains whitened as one.

    Returns:
        The texts, each once, and float32 [N, v] unit rows: the frozen and the adapted reading of the language model
        and that of the sentence encoder side by side, which weigh the same.

    Raises:
        UsageError: one domain twice.
        DataError: a folder is no data set.
        RunError: a model is not installed.
    """
    recipe = TeacherRecipe()
    texts = list(dict.fromkeys(t for source in load_sources(folders, ITEMS) for t in source.texts))
    adapter = open_base(recipe).adapter
    language = (
        load_adapted(recipe.backbone, None, adapter) if adapter else load_backbone(recipe.backbone)
    )
    read = _read(texts, language, recipe, report)
    readings = fit_readings(read, language.readings, recipe.dimensions, recipe.whitening).apply(
        read
    )
    sentences = _read(texts, load_backbone(recipe.sentence_encoder), recipe, report)
    also = fit_whitening(sentences, recipe.dimensions, recipe.whitening).apply(sentences)
    weight = np.sqrt(np.float32(language.readings))
    return texts, unit_rows(np.concatenate([weight * readings, also], axis=1))


def _read(texts: list[str], backbone: Backbone, recipe: TeacherRecipe, report: Report) -> Vectors:
    with report.task(f"Reading {len(texts):,} item texts with {backbone.name}", len(texts)) as done:
        return encode_items(
            texts,
            backbone,
            cache_folder() / "vectors.sqlite",
            max_tokens=recipe.max_tokens,
            progress=lambda count, total: done(count),
        ).vectors
