"""The item-item models of a run: everything about them is chosen on validation, then fitted again on all interactions."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from pocketrec.run import Report, Run
from pocketrec.splits import Cases
from teacher.blend import blended, choose_blend
from teacher.evidence import Evidence
from teacher.fusion import validation_ndcg
from teacher.item_models import (
    Chosen,
    Tuner,
    affordable_items,
    affordable_width,
    fit,
    settle,
    without_text,
)
from teacher.lift import choose_lift, lifted
from teacher.recipe import TeacherRecipe
from teacher.scorers import ItemItem
from teacher.transfer import Verdict, guard

TEXT_MODEL = "EASE with text"
PEERS = ("ItemKNN", "EASE")
SETTLED_BY = {"ItemKNN": 0.1, "EASE": 0.3, TEXT_MODEL: 0.7}
"""Part of the time for closed forms by which a model's settings are settled; the rest is the final teacher's."""


@dataclass(frozen=True)
class ClosedForms:
    """The item-item models, fitted on the training part, and what was chosen.

    Attributes:
        models: ItemKNN, EASE and EASE with text by name, the last with what is blended in and its popularity lifted.
        settings: of each.
        best_peer: the name of the one of ``PEERS`` that validation prefers.
        exact_items: how many items, the most chosen ones, an exact form covers.
        local_width: entries a column where the local form covers all of them; None where the exact one is used.
        text: whether EASE with text is more than EASE; where it is not, it is EASE.
        share, scale: of ItemKNN in EASE with text, see ``teacher.blend``.
        power: of popularity, see ``teacher.lift``.
    """

    models: dict[str, ItemItem]
    settings: dict[str, Chosen]
    best_peer: str
    exact_items: int
    local_width: int | None
    text: Verdict
    blend: Verdict
    share: float
    scale: float
    lift: Verdict
    power: float

    @property
    def text_model(self) -> ItemItem:
        return self.models[TEXT_MODEL]

    def facts(self) -> dict[str, Any]:
        """What ``refit_closed_forms`` reads, as JSON."""
        return {
            "best_peer": self.best_peer,
            "item_models": {kind: asdict(chosen) for kind, chosen in self.settings.items()},
            "exact_items": self.exact_items,
            "local_width": self.local_width,
            "text": self.text.as_dict(),
            "blend": {**self.blend.as_dict(), "share": self.share, "scale": self.scale},
            "lift": {**self.lift.as_dict(), "power": self.power},
        }


def choose_closed_forms(
    run: Run,
    recipe: TeacherRecipe,
    evidence: Evidence,
    tuning: Cases,
    counts: npt.NDArray[np.float32],
    report: Report,
) -> ClosedForms:
    """Tune each model among the most chosen items, fit it to all that the time allows, and add them up.

    Args:
        tuning: validation cases for what is chosen in the whole catalogue.
        counts: training interactions of each item, float32 [N].
    """
    validation, seed, items = run.split.validation, run.settings.seed, len(counts)
    chosen = _tuned(run, recipe, evidence, report)
    # EASE here alone, the others in the final teacher too; a directed closed form costs three.
    fits = 2 * len(chosen) - 1 + (4 if chosen[TEXT_MODEL].settings["order"] else 0)
    seconds = run.share("closed_forms")
    limit = affordable_items(seconds, fits, min(items, recipe.exact_items))
    width = None
    if limit < items:
        width = affordable_width(chosen[TEXT_MODEL], evidence, seconds, 3, recipe.local_width)
    form = f"exact on {limit:,}" if width is None else f"local, {width} entries each, on {items:,}"
    with report.task(f"Fitting item-item models, {form} items", len(chosen)) as advance:
        models, started = {}, time.monotonic()
        for done, kind in enumerate(chosen, 1):
            whole = partial(
                fit, evidence=evidence, limit=limit, through_text=kind == TEXT_MODEL, width=width
            )
            given = seconds and SETTLED_BY[kind] * seconds - (time.monotonic() - started)
            chosen[kind], models[kind] = settle([chosen[kind]], whole, tuning, given)
            advance(done)
    # On every validation user: the tuning sample is too small to tell two close ones apart.
    ways = {kind: models[kind].scores for kind in ("EASE", TEXT_MODEL)}
    text_or_not = guard(ways, "EASE", validation, seed)
    if text_or_not.used == "EASE":
        # Its special case, of which a table of the same size leaves out less.
        text = without_text(chosen["EASE"])
        chosen[TEXT_MODEL] = text
        models[TEXT_MODEL] = replace(models["EASE"], name=text.describe())
    share, scale, blend = choose_blend(models[TEXT_MODEL], models["ItemKNN"], tuning, seed)
    if share:
        models[TEXT_MODEL] = blended(models[TEXT_MODEL], models["ItemKNN"], share, scale)
    power, lift = choose_lift(models[TEXT_MODEL], counts, tuning, seed)
    models[TEXT_MODEL] = lifted(models[TEXT_MODEL], counts, power)
    reached = {**text_or_not.ndcg, "ItemKNN": validation_ndcg(models["ItemKNN"], validation)}
    best_peer = max(PEERS, key=lambda kind: reached[kind])
    return ClosedForms(
        models, chosen, best_peer, limit, width, text_or_not, blend, share, scale, lift, power
    )


def refit_closed_forms(
    facts: dict[str, Any],
    evidence: Evidence,
    counts: npt.NDArray[np.float32],
    report: Report,
) -> dict[str, ItemItem]:
    """EASE with text as ``facts`` say, fitted on ``evidence``, and ItemKNN where that has a share in it."""
    models, blend = {}, facts["blend"]
    kinds = (TEXT_MODEL, *(["ItemKNN"] if blend["share"] else []))
    with report.task("Fitting item-item models on every interaction", len(kinds)) as advance:
        for kind in kinds:
            models[kind] = fit(
                Chosen(**facts["item_models"][kind]),
                evidence,
                facts["exact_items"],
                kind == TEXT_MODEL,
                facts["local_width"],
            )
            advance(len(models))
    if blend["share"]:
        models[TEXT_MODEL] = blended(
            models[TEXT_MODEL], models["ItemKNN"], blend["share"], blend["scale"]
        )
    models[TEXT_MODEL] = lifted(models[TEXT_MODEL], counts, facts["lift"]["power"])
    return models


def _tuned(
    run: Run, recipe: TeacherRecipe, evidence: Evidence, report: Report
) -> dict[str, Chosen]:
    """Settings of each model, by its name."""
    tuner = Tuner(evidence, run.split.validation, recipe, run.settings.seed, run.share("tuning"))
    orders = recipe.orders if evidence.past.nnz else (0.0,)
    grids: dict[str, dict[str, Sequence[float]]] = {
        "ItemKNN": {"neighbours": recipe.knn_neighbours, "shrink": recipe.knn_shrinks},
        "EASE": {"ridge": recipe.ridges},
        TEXT_MODEL: {
            "ridge": recipe.ridges,
            "text_weight": recipe.text_weights,
            "order": orders,
        },
    }
    chosen: dict[str, Chosen] = {}
    with report.task("Choosing item-item settings on validation", len(grids)) as advance:
        for kind, grid in grids.items():
            chosen[kind] = tuner.choose(kind, grid, recipe.decays, chosen.get("EASE"))
            advance(len(chosen))
    return chosen
