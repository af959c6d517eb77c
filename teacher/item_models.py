"""Item-item models fitted with settings that validation chose."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from scipy import sparse

from pocketrec.cold_items import impute
from pocketrec.neighbour_table import NeighbourTable
from pocketrec.splits import Cases, Indices
from teacher.evidence import Evidence
from teacher.fusion import validation_ndcg
from teacher.local import local_ease, local_ease_with_text
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
    "ItemKNN": lambda e, neighbours, shrink: item_knn(e.together, int(neighbours), shrink),
    "EASE": lambda e, ridge: ease(e.together, ridge),
    "EASE with text": ease_with_text,
}

LOCAL_FITS: dict[str, Callable[..., sparse.csr_matrix]] = {
    "EASE": lambda e, ridge, width, columns=None: local_ease(e.together, ridge, width, columns),
    "EASE with text": local_ease_with_text,
}
"""The same for catalogues of any size: each column over the ``width`` items most related to it."""

LEAST_ITEMS = 1000
"""Of the most chosen ones, that settings are tried on in however little time."""
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
    size = 3000
    started = time.monotonic()
    ease(sparse.identity(size, dtype=np.float32, format="csr"), 1.0)
    one = time.monotonic() - started
    return int(np.clip(size * (seconds / fits / one) ** (1 / 3), LEAST_ITEMS, limit))


LEAST_SHARE = 0.2
"""Of the items that an item shares people with, each counted once a person. Narrower columns say less than a closed
form of the head does in the same time; where histories are long there are thousands of such items."""
MOST_PAIRS = 300_000_000
"""Pairs of items in all histories and pasts, each of which may be an entry of a sparse Gram matrix: about 5 GB."""
TIMED_COLUMNS = 200
"""Columns that are solved to learn what all of them would take."""


def affordable_width(
    chosen: Chosen, evidence: Evidence, seconds: float | None, fits: int, width: int
) -> int | None:
    """Entries that the columns of the local form can have; None where a closed form of the head serves better.

    ``width``, halved until ``chosen`` can be fitted ``fits`` times in ``seconds``. None where that needs columns too
    narrow, or where histories are so long that the Gram matrix would fill the memory.
    """
    pairs = _pairs(evidence.interactions)
    if pairs + _pairs(evidence.past) > MOST_PAIRS:
        return None
    if seconds is None:
        return width
    items = len(evidence.vectors)
    least = max(1, min(width, LEAST_SHARE * pairs / items))
    some = np.linspace(0, items - 1, min(items, TIMED_COLUMNS)).astype(np.int64)
    local = partial(LOCAL_FITS[chosen.kind], evidence, **chosen.settings)
    local(width=width, columns=some[:1])  # the products of histories are made here, and kept
    first = _seconds(local, width, some[:1])
    while width >= least:
        each = max(_seconds(local, width, some) - first, 0) / max(len(some) - 1, 1)
        if fits * (first + each * (items - 1)) <= seconds:
            return width
        width //= 2
    return None


def _seconds(local: Callable[..., sparse.csr_matrix], width: int, columns: Indices) -> float:
    started = time.monotonic()
    local(width=width, columns=columns)
    return time.monotonic() - started


def _pairs(rows: sparse.csr_matrix) -> float:
    """Pairs of entries that share a row, each twice and each entry with itself."""
    return float(np.square(np.diff(rows.indptr), dtype=np.float64).sum())


def _among(
    limit: int, evidence: Evidence, validation: Cases, users: int, seed: int
) -> tuple[Indices, Evidence, Cases]:
    """The most chosen items, and evidence and at most ``users`` validation cases among these alone."""
    head = most_chosen(evidence, limit)
    place = np.full(len(evidence.vectors), -1, dtype=np.int64)
    place[head] = np.arange(len(head))
    rows = np.flatnonzero(place[validation.targets] >= 0)
    histories = [place[validation.histories[row]] for row in rows]
    cases = Cases(
        validation.users[rows], [h[h >= 0] for h in histories], place[validation.targets[rows]]
    )
    return head, evidence[head], cases.sample(users, seed)


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
        users = recipe.tune_users
        self.head, self.evidence, self.cases = _among(limit, evidence, validation, users, seed)
        if seconds is None:
            return
        needed = TUNING_FITS * self._trial()
        if needed > seconds:  # histories are long: scoring them takes longer than solving
            limit = max(LEAST_ITEMS, int(len(self.head) * (seconds / needed) ** 0.5))
            self.head, self.evidence, self.cases = _among(limit, evidence, validation, users, seed)

    def _trial(self) -> float:
        """Seconds to fit and score one setting, once the products of histories are there."""
        _ = self.evidence.together
        started = time.monotonic()
        self._try("EASE", {"ridge": 100.0}, [1.0])
        return time.monotonic() - started

    def choose(
        self,
        kind: str,
        grid: dict[str, Sequence[float]],
        decays: Sequence[float],
        simpler: Chosen | None = None,
    ) -> Chosen:
        """The best of each coordinate in turn, the decay last; the others start from what served a ``simpler`` model.

        Where that has no such setting, or there is none, from the middle.
        """
        middle = {name: values[len(values) // 2] for name, values in grid.items()}
        decay = decays[len(decays) // 2]
        if simpler:
            middle |= {n: value for n, value in simpler.settings.items() if n in grid}
            decay = simpler.decay
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


def fit(
    chosen: Chosen,
    evidence: Evidence,
    limit: int,
    through_text: bool = False,
    width: int | None = None,
) -> ItemItem:
    """The chosen model: exact on a catalogue of up to ``limit`` items, local on a larger one.

    Local is over the ``width`` items most related to each (`teacher.local`). Where ``width`` is None, or the model has
    no local form, a larger catalogue gets the exact model of its ``limit`` most chosen items; ``through_text`` scores
    the others too: each gets a column over its nearest head items (``pocketrec.cold_items.impute``).
    """
    items = len(evidence.vectors)
    if limit < items and width and chosen.kind in LOCAL_FITS:
        local = LOCAL_FITS[chosen.kind](evidence, **chosen.settings, width=width)
        return ItemItem(chosen.describe(), local, np.arange(items), items, chosen.decay)
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


def without_text(ease: Chosen) -> Chosen:
    """EASE, as an EASE with text that reads neither texts nor order: where these mislead, nothing is better."""
    settings = {**ease.settings, "text_weight": 0.0, "order": 0.0}
    return replace(ease, kind="EASE with text", settings=settings)


SETTLED = ("ridge", "text_weight")


def settle(
    starts: Sequence[Chosen],
    whole: Callable[[Chosen], ItemItem],
    cases: Cases,
    seconds: float | None,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[Chosen, ItemItem]:
    """The best start with the ridge and the text weight that serve best in the whole catalogue.

    The tuner sees the most chosen items alone; among the others, of which little is known, more caution pays. Each of
    the two in turn is doubled while validation gains, or else halved.

    Args:
        starts: what to begin with, the likeliest first.
        whole: fits settings to the whole catalogue.
        cases: validation cases of the whole catalogue.
        seconds: None for as long as it takes, else nothing is tried that would end later; the first fit always is made.
    """
    started = clock()
    best, model = starts[0], whole(starts[0])
    ndcg = validation_ndcg(model, cases)
    each = clock() - started

    def better(chosen: Chosen) -> bool:
        """Keep these settings if they are the best so far."""
        nonlocal best, model, ndcg
        tried = whole(chosen)
        if (found := validation_ndcg(tried, cases)) <= ndcg:
            return False
        best, model, ndcg = chosen, tried, found
        return True

    def time_left() -> bool:
        return seconds is None or clock() - started + each <= seconds

    for start in starts[1:]:
        if time_left():
            better(start)
    for name in SETTLED:
        before = best.settings.get(name, 0)
        for factor in (2.0, 0.5):
            while before and time_left():
                settings = {**best.settings, name: factor * best.settings[name]}
                if not better(replace(best, settings=settings)):
                    break
            if best.settings.get(name, 0) > before:
                break
    return best, model
