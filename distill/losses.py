"""Ways to read the teacher beside its logits, which are a part of the loss of the next item (``training.next_item``).

Each loss is a mean, so that their weights compare across batch sizes. Rows are places to predict, columns items.
"""

import torch
from torch import Tensor
from torch.nn import functional


def ranking_distillation(
    student: Tensor, teacher: Tensor, items: int, decay: float = 10.0
) -> Tensor:
    """The teacher's best items against others, each by its importance (DLLM2Rec: Cui et al. 2024, arXiv:2405.00338).

    The importance of an item is the mean of three weights that each add up to 1 over the teacher's ``items`` best:
    exp(-place / ``decay``), the teacher's own confidence in it, and its being among the student's ``items`` best too.
    The loss is the negative mean, by importance, of log(sigmoid) of these, less the mean log(1 - sigmoid) of as many
    other items, drawn at random. Where no item is among both lists the third weight is left out.

    Args:
        student, teacher: logits float32 [P, M] over the same items, 2 * ``items`` <= M.
    """
    best = teacher.topk(items, dim=-1)
    place = torch.arange(items).div(-decay).softmax(dim=0)
    confidence = best.values.softmax(dim=-1)
    known = torch.zeros_like(student, dtype=torch.bool)
    known.scatter_(1, student.topk(items, dim=-1).indices, True)
    agreed = known.gather(1, best.indices).float()
    shared = agreed.sum(dim=-1, keepdim=True)
    importance = (place + confidence + agreed / shared.clamp(min=1)) / (2 + (shared > 0).float())
    drawn = torch.rand_like(student).scatter_(1, best.indices, -1.0).topk(items, dim=-1).indices
    wanted = functional.logsigmoid(student.gather(1, best.indices))
    unwanted = functional.logsigmoid(-student.gather(1, drawn))  # log(1 - sigmoid)
    return -((importance * wanted).sum(dim=-1) + unwanted.mean(dim=-1)).mean()


def embedding_distillation(student: Tensor, teacher: Tensor) -> Tensor:
    """1 - cosine, averaged over rows (FitNets: Romero et al. 2015, arXiv:1412.6550).

    Args:
        student: float32 [M, d], already brought to the teacher's dimensions.
        teacher: float32 [M, d].
    """
    return 1 - functional.cosine_similarity(student, teacher, dim=-1).mean()


def relation_distillation(student: Tensor, teacher: Tensor) -> Tensor:
    """How far the cosines between items differ, the mean square over pairs (RKD: Park et al. 2019, arXiv:1904.05068).

    Args:
        student: unit rows float32 [M, d], M at least 2.
        teacher: unit rows float32 [M, v] of the same items; v need not be d.
    """
    difference = (student @ student.T - teacher @ teacher.T).square()
    pairs = len(student) * (len(student) - 1)
    return (difference.sum() - difference.diagonal().sum()) / pairs
