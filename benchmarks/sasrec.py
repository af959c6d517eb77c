"""SASRec on IDs alone, with cross-entropy: the teacher's sequence model where items have no text.

Kang and McAuley 2018 trained with one sampled negative; with a softmax over the catalogue the same model is a much harder
peer (Klenitskiy and Vasilev 2023, arXiv:2309.07602).
"""

import numpy as np
import torch
from torch import nn

from teacher.recipe import SequenceRecipe
from teacher.sequence import SequenceModel

SASREC = "SASRec on IDs, CE"


def on_ids(
    items: int, length: int, recipe: SequenceRecipe, id_rate: float, seed: int
) -> SequenceModel:
    """The untrained model: random vectors that are learned ``id_rate`` times as fast as the rest."""
    torch.manual_seed(seed)  # of the first weights; train() seeds its own draws
    recipe = recipe.model_copy(update={"id_embedding": True})
    model = SequenceModel(np.zeros((items, 1), dtype=np.float32), length, recipe, id_rate)
    assert model.residual is not None
    # Beside a text the residual starts at 0; alone it would start as one point for all items.
    nn.init.normal_(model.residual.weight, std=recipe.dimensions**-0.5 / id_rate)
    nn.init.zeros_(model.project.bias)
    return model
