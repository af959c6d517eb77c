"""What the teacher makes of the item texts of many domains, for a text encoder that is to know more than one."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from pocketrec.run import Report
from teacher.base import open_base
from teacher.readings import Readers
from teacher.recipe import TeacherRecipe
from teacher.sources import load_sources

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
    readers = Readers.load(
        recipe.backbone, None, recipe.sentence_encoder, open_base(recipe).adapter
    )
    readings, _ = readers.read(
        texts, None, np.zeros(len(texts), dtype=np.int64), recipe, None, report
    )
    return texts, readings.vectors(readings.ways[-1])
