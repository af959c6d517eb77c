"""The sequence models of a run: from texts alone or with factors, from scratch or from the base teacher, and the guard."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from pocketrec.artefact import side_by_side
from pocketrec.run import Report, Run
from pocketrec.splits import Cases, Split
from teacher.base import BaseTeacher
from teacher.recipe import SequenceRecipe
from teacher.sequence import (
    SequenceModel,
    SequenceScorer,
    Trained,
    for_density,
    readable,
    train,
)
from teacher.transfer import Verdict, guard
from training.sequences import window_length

Vectors = npt.NDArray[np.float32]

SCRATCH, TRANSFER, BOTH = "scratch", "transfer", "both starts"
NO_FACTORS, FACTORS = "no factors", "factors beside texts"
HELD_OUT = "the held-out one"


@dataclass(frozen=True)
class Starts:
    """Trained sequence models, by what they started from, and which are used.

    Attributes:
        fitted: each with how its training went, those that learn IDs at the chosen rate.
        length: most history items that they read.
        id_rate: how many times as fast as the rest they learn IDs.
        id_rates: validation NDCG@10 from scratch with each rate that was tried.
        factors: what they read of items beside their texts; float32 [N, f], f is 0 for nothing.
        beside: the guard's verdict of these, None where there was nothing to try.
        verdict: the guard's, of starts or both together.
        scorer: of what is used.
    """

    fitted: dict[str, tuple[SequenceModel, Trained]]
    length: int
    id_rate: float
    id_rates: dict[float, float]
    factors: Vectors
    beside: Verdict | None
    verdict: Verdict
    scorer: SequenceScorer

    def facts(self) -> dict[str, Any]:
        """What ``go_on`` reads, as JSON."""
        trained = {start: done for start, (_, done) in self.fitted.items()}
        return {
            "length": self.length,
            "epochs": {start: done.epochs for start, done in trained.items()},
            "training_seconds": {start: round(done.seconds, 1) for start, done in trained.items()},
            "id_rate": self.id_rate,
            "id_rates": {f"{rate:g}": ndcg for rate, ndcg in self.id_rates.items()},
            "transfer": self.verdict.as_dict(),
        }

    def save(self, folder: Path) -> None:
        """Write the weights of what is used."""
        for start in _used(self.verdict.used):
            self.fitted[start][0].save(folder / _weights(start))


def choose_starts(
    run: Run,
    recipe: SequenceRecipe,
    base: BaseTeacher | None,
    vectors: Vectors,
    factors: Vectors,
    bases: list[Vectors],
    tuning: Cases,
    report: Report,
) -> Starts:
    """Train from scratch at each rate that IDs may learn at, with factors and from ``base`` at the better; the guard judges.

    Args:
        vectors: what items are read from, float32 [N, v].
        factors: what is tried beside them, float32 [N, f], f is 0 for nothing.
        bases: where texts lie among the vectors, see ``BaseTeacher.start``.
        tuning: validation cases for the guard.
    """
    split, seed = run.split, run.settings.seed
    sequences, _ = readable(split.train, split.unordered)
    length = window_length(sequences, recipe.longest)
    thinned = for_density(recipe, sequences)
    seconds = run.share("teacher")
    tries = len(thinned.tried_rates) + bool(factors.shape[1]) + (base is not None)
    each = seconds and seconds / tries

    def trained(start: str, id_rate: float, factors: Vectors) -> tuple[SequenceModel, Trained]:
        model = _model(run, thinned, side_by_side(vectors, factors), length, id_rate)
        if start == TRANSFER and base:
            base.start(model, *bases)
        return model, _train(run, thinned, split, model, start, each, None, report)

    none, beside = factors[:, :0], None
    from_scratch = {rate: trained(SCRATCH, rate, none) for rate in thinned.tried_rates}
    reached = {rate: done.validation for rate, (_, done) in from_scratch.items()}
    id_rate = max(reached, key=lambda rate: reached[rate])
    fitted = {SCRATCH: from_scratch[id_rate]}
    if factors.shape[1]:
        both = {NO_FACTORS: fitted[SCRATCH], FACTORS: trained(SCRATCH, id_rate, factors)}
        ways = {name: SequenceScorer(model).logits for name, (model, _) in both.items()}
        beside = guard(ways, NO_FACTORS, tuning, seed)
        fitted[SCRATCH] = both[beside.used]
        factors = factors if beside.used == FACTORS else none
    if base:
        fitted[TRANSFER] = trained(TRANSFER, id_rate, factors)
    scorers = {start: SequenceScorer(model) for start, (model, _) in fitted.items()}
    if len(fitted) > 1:
        scorers[BOTH] = SequenceScorer(*(model for model, _ in fitted.values()))
    verdict = guard({n: scorer.logits for n, scorer in scorers.items()}, SCRATCH, tuning, seed)
    scorer = scorers[verdict.used]
    return Starts(fitted, length, id_rate, reached, factors, beside, verdict, scorer)


def go_on(
    run: Run,
    recipe: SequenceRecipe,
    facts: dict[str, Any],
    features: Vectors,
    split: Split,
    report: Report,
) -> tuple[SequenceScorer, list[int]]:
    """The models that ``facts`` say are used, trained further on ``split`` in small steps, and for how many epochs each.

    There is little that they have not seen, and a time budget that ends them early costs nothing of what was measured.
    """
    starts = _used(facts["transfer"]["used"])
    seconds = run.share("final_teacher")
    each = seconds and seconds / len(starts)
    sequences, _ = readable(split.train, split.unordered)
    gentle = for_density(recipe, sequences).model_copy(
        update={"learning_rate": recipe.learning_rate * recipe.refit_rate}
    )
    models, made = [], []
    for start in starts:
        model = _model(run, gentle, features, facts["length"], facts["id_rate"])
        model.load(run.folder / "teacher/holdout" / _weights(start))
        epochs = math.ceil(gentle.refit_epochs * facts["epochs"][start])
        made.append(_train(run, gentle, split, model, HELD_OUT, each, epochs, report).epochs)
        models.append(model)
    return SequenceScorer(*models), made


def _model(
    run: Run, recipe: SequenceRecipe, features: Vectors, length: int, id_rate: float
) -> SequenceModel:
    """With random weights."""
    torch.manual_seed(run.settings.seed)
    return SequenceModel(features, length, recipe, id_rate)


def _train(
    run: Run,
    recipe: SequenceRecipe,
    split: Split,
    model: SequenceModel,
    start: str,
    seconds: float | None,
    epochs: int | None,
    report: Report,
) -> Trained:
    """Train on the training part of ``split``."""
    sequences, as_sets = readable(split.train, split.unordered)
    title = f"Training the sequence model from {start}, IDs at rate {model.id_rate:g}"
    with report.task(title, 1.0) as advance:
        return train(
            model,
            sequences,
            split.validation,
            recipe,
            run.settings.seed,
            seconds,
            epochs,
            shuffle=as_sets,
            pretrained=start == TRANSFER,
            progress=advance,
        )


def _used(verdict: str) -> list[str]:
    """The starts of the models that are used."""
    return [SCRATCH, TRANSFER] if verdict == BOTH else [verdict]


def _weights(start: str) -> str:
    return f"sequence-{start}.safetensors"
