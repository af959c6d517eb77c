"""Item-item models fitted with settings that validation chose."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from pocketrec.neighbour_table import NeighbourTable
from pocketrec.ranker import impute
from pocketrec.splits import Cases, Indices
from teacher.evidence import Evidence
from teacher.fusion import validation_ndcg
from teacher.neighbours import Weights, ease, ease_with_text, item_knn
from teacher.recipe import TeacherRecipe
from teacher.scorers import ItemItem


@dataclass(frozen=True)
class Chosen:
    """Settings of an item-item model and the validation NDCG@10 they reached among the tuning items."""

    kind: str
    settings: dict[str, float]
    decay: float
    validation: float

    def describe(self) -> str:
        shown = ", ".join(f"{name} {value:g}" for name, value in self.settings.items())
        return f"{self.kind} ({shown}{f', decay {self.decay:g}' if self.decay < 1 else ''})"


FITS: dict[str, Callable[..., Weights]] = {
    "ItemKNN": lambda e, neighbours, shrink: item_knn(e.interactions, int(neighbours), shrink),
    "EASE": lambda e, ridge: ease(e.interactions, ridge),
    "EASE with text": ease_with_text,
}

TUNING_FITS = 60
"""Closed forms that tuning fits with the default grids, a directed one counted as three; scoring them takes about as
long again."""


def most_chosen(evidence: Evidence, limit: int) -> Indices:
    """The ``limit`` items with most training interactions, in catalogue order; int64 [H]."""
    counts = np.asarray(evidence.interactions.sum(axis=0)).ravel()
    return np.sort(np.argsort(-counts, kind="stable")[:limit])


def affordable_items(seconds: float | None, fits: int, limit: int) -> int:
    """Most items whose closed form can be fitted ``fits`` times in ``seconds``; the cost grows with their cube."""
    if seconds is None:
        return limit
    size = 1500
    started = time.monotonic()
    ease(sparse.identity(size, dtype=np.float32, format="csr"), 1.0)
    one = time.monotonic() - started
    return int(np.clip(size * (seconds / fits / one) ** (1 / 3), 1000, limit))


class Tuner:
    """Chooses settings on validation cases among the most chosen items, one coordinate at a time."""

    def __init__(
        self,
        evidence: Evidence,
        validation: Cases,
        recipe: TeacherRecipe,
        seed: int,
        seconds: float | None,
    ) -> None:
        limit = affordable_items(seconds, fits=2 * TUNING_FITS, limit=recipe.tune_items)
        self.head = most_chosen(evidence, limit)
        place = np.full(len(evidence.vectors), -1, dtype=np.int64)
        place[self.head] = np.arange(len(self.head))
        self.evidence = evidence[self.head]
        rows = np.flatnonzero(place[validation.targets] >= 0)
        histories = [place[validation.histories[row]] for row in rows]
        self.cases = Cases(
            validation.users[rows], [h[h >= 0] for h in histories], place[validation.targets[rows]]
        ).sample(recipe.tune_users, seed)

    def choose(
        self, kind: str, grid: dict[str, Sequence[float]], decays: Sequence[float]
    ) -> Chosen:
        """The best of each coordinate in turn, the decay last, starting from the middle of every other one."""
        middle = {name: values[len(values) // 2] for name, values in grid.items()}
        decay = decays[len(decays) // 2]
        best: Chosen | None = None
        for name, values in grid.items():
            start = best.settings if best else middle
            tried = [self._try(kind, {**start, name: value}, [decay]) for value in values]
            best = max([*tried, *([best] if best else [])], key=lambda found: found.validation)
        assert best is not None
        return max(best, self._try(kind, best.settings, decays), key=lambda found: found.validation)

    def _try(self, kind: str, settings: dict[str, float], decays: Sequence[float]) -> Chosen:
        """These settings with the best of ``decays``."""
        items = np.arange(len(self.head))
        weights = FITS[kind](self.evidence, **settings)
        found = [
            Chosen(
                kind,
                settings,
                decay,
                validation_ndcg(ItemItem(kind, weights, items, len(items), decay), self.cases),
            )
            for decay in decays
        ]
        return max(found, key=lambda chosen: chosen.validation)


def fit(chosen: Chosen, evidence: Evidence, limit: int, through_text: bool = False) -> ItemItem:
    """The chosen model on the ``limit`` most chosen items; ``through_text`` scores the others too.

    An item outside the head gets a column over its nearest head items (``pocketrec.ranker.impute``).
    """
    items = len(evidence.vectors)
    head = most_chosen(evidence, limit)
    known = evidence[head]
    weights = FITS[chosen.kind](known, **chosen.settings)
    model = ItemItem(chosen.describe(), weights, head, items, chosen.decay)
    if len(head) == items or not through_text:
        return model
    tail = np.setdiff1d(np.arange(items), head)
    support = float(NeighbourTable.from_matrix(weights, 20 * len(head)).support().mean())
    sources, targets, imputed = impute(evidence.vectors[tail], known.vectors, support)
    matrix = sparse.csr_matrix((imputed, (sources, tail[targets])), shape=(len(head), items))
    return replace(model, tail=matrix)
