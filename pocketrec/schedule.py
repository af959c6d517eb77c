"""The learning-rate schedule that both trainers share; its clock is the share of the work done, in steps or in time."""

import math


def warmup_cosine(progress: float, warmup: float = 0.04, floor: float = 0.02) -> float:
    """Factor of the learning rate at ``progress`` in [0, 1]: a linear rise, then a cosine fall to ``floor``.

    Loshchilov and Hutter 2017. Under a time budget progress is the larger of the shares of epochs and seconds used, so
    that a run cut short by its budget still ends on small steps.
    """
    if progress < warmup:
        return max(progress / warmup, floor)
    fall = min(1.0, (progress - warmup) / (1 - warmup))
    return floor + (1 - floor) * (1 + math.cos(math.pi * fall)) / 2
