"""The learning-rate schedule that the trainers share, and how long they train."""

import math
import time


def warmup_cosine(progress: float, warmup: float = 0.04, floor: float = 0.02) -> float:
    """Factor of the learning rate at ``progress`` in [0, 1]: a linear rise, then a cosine fall to ``floor``.

    Loshchilov and Hutter 2017. Under a time budget progress is the larger of the shares of epochs and seconds used, so
    that a run cut short by its budget still ends on small steps.
    """
    if progress < warmup:
        return max(progress / warmup, floor)
    fall = min(1.0, (progress - warmup) / (1 - warmup))
    return floor + (1 - floor) * (1 + math.cos(math.pi * fall)) / 2


class Course:
    """How long to train, how large the steps are, and which epoch was the best.

    ``warmup_cosine`` over ``epochs`` or ``seconds``, whichever ends first. Where validation has not been better for
    ``patience`` epochs, steps were still large when the best weights came, and weights that come on small steps are
    better: training starts over once, over a quarter more epochs than the best ones took.

    Args:
        seconds: most of them; None for no limit.
        every: epochs from one validation to the next; None for training that validates nothing and runs to its end.

    Attributes:
        epoch: whole epochs that made the present weights.
        best: the best validation so far, -1 before the first.
        best_epochs: how many made the weights that it was measured on.
    """

    def __init__(
        self, epochs: int, seconds: float | None, every: int | None, patience: int
    ) -> None:
        self.epoch, self.best, self.best_epochs = 0, -1.0, 0
        self._epochs, self._every, self._patience = epochs, every, patience
        self._began = self._from = time.monotonic()
        self._deadline = math.inf if seconds is None else self._began + seconds
        self._ended, self._last = self._began, math.inf
        self._again = False

    @property
    def running(self) -> bool:
        return self.epoch < self._epochs and not self.late

    @property
    def late(self) -> bool:
        """Whether the seconds are used up."""
        return time.monotonic() >= self._deadline

    @property
    def affordable(self) -> float:
        """Epochs that all the seconds are enough for, as long as the last one took; 0 before the first has ended."""
        if self._deadline == math.inf:
            return math.inf
        return (self._deadline - self._began) / self._last

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self._began

    def share(self, part: float) -> float:
        """The share of the work that is done at ``part`` of the present epoch; 0 again when training starts over."""
        spent = (time.monotonic() - self._from) / (self._deadline - self._from)
        return max((self.epoch + part) / self._epochs, spent)

    def rate(self, part: float) -> float:
        """Factor of the learning rate at ``part`` of the present epoch."""
        return warmup_cosine(self.share(part))

    def end_epoch(self) -> bool:
        """Count an epoch; whether the weights are to be validated."""
        self.epoch += 1
        now = time.monotonic()
        self._last, self._ended = now - self._ended, now
        if self._every is None:
            return False
        return self._again or not self.running or self.epoch % self._every == 0

    def better(self, validation: float) -> bool:
        """Whether it is the best so far, which is remembered."""
        if validation <= self.best:
            return False
        self.best, self.best_epochs = validation, self.epoch
        return True

    def start_over(self) -> bool:
        """Whether to take the first weights again; ``running`` ends where there is no point in going on."""
        if self._again or self.epoch - self.best_epochs < self._patience:
            return False
        self._again, self._from = True, time.monotonic()
        self._epochs = math.ceil(1.25 * self.best_epochs)
        self.epoch = 0
        return self._epochs > 0
