"""Peers that no build fits: iALS, BPR, SASRec and the sentence encoder alone; chosen on validation, test read once."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from implicit.als import AlternatingLeastSquares
from implicit.bpr import BayesianPersonalizedRanking
from threadpoolctl import threadpool_limits

from benchmarks.sasrec import SASREC, on_ids
from pocketrec import metrics
from pocketrec.evaluation import rank_targets
from pocketrec.ledger import Ranks
from pocketrec.run import Run
from pocketrec.splits import Cases, Indices, Split
from teacher.content import sharpened
from teacher.readings import load_readings
from teacher.recipe import TeacherRecipe
from teacher.scorers import ItemItem, history_matrix
from teacher.sequence import SequenceScorer, readable, train

IALS, BPR = "iALS", "BPR"
SENTENCES = "MiniLM, zero-shot"
NAMES = (IALS, BPR, SASREC, SENTENCES)

GRIDS: dict[str, dict[str, Sequence[float]]] = {
    IALS: {
        "factors": (32, 64, 128, 256),
        "regularization": (1.0, 10.0, 50.0, 200.0),
        "alpha": (2.0, 10.0, 50.0, 200.0),
    },
    BPR: {
        "factors": (32, 64, 128),
        "regularization": (0.0001, 0.001, 0.01, 0.05),
        "learning_rate": (0.005, 0.02, 0.1),
    },
    SENTENCES: {"sharpness": (0.0, 2.0), "decay": (0.5, 0.7, 0.85, 1.0)},
}
"""What is tried. The first two are the arguments of the library's models; alpha is the weight of a choice against 1 of an
item that was not chosen (Hu, Koren and Volinsky 2008; Rendle et al. 2009, arXiv:1205.2618)."""
ITERATIONS = {IALS: 15, BPR: 100}
USERS = 5000
"""Validation users that settings are compared on."""
BATCH = 256

Scores = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Peer:
    """What was chosen, its validation NDCG@10, and the rank of each user's test item; float64 [U]."""

    settings: dict[str, float]
    validation: float
    ranks: Ranks


def fitted(run: Run, seconds: float) -> Iterator[tuple[str, Peer]]:
    """Each peer by its name; the sentence encoder only where the run has read the texts with one.

    Args:
        seconds: that SASRec trains for with each rate of its IDs.
    """
    split, seed = run.split, run.settings.seed
    cases, items = _cases(run), len(run.dataset.ids)
    for kind in (IALS, BPR):
        with threadpool_limits(1):  # the library has threads of its own
            peer = _factorised(kind, split, cases, items, seed)
        yield kind, peer
    recipe = run.recipe("teacher", TeacherRecipe)
    yield SASREC, _sasrec(run, recipe, cases, seconds)
    sentences = load_readings(run, recipe).sentences
    if sentences is not None:
        yield SENTENCES, zero_shot(run, sentences)


def validation(run: Run, scorer: ItemItem) -> float:
    """NDCG@10 on the users that these peers are compared on."""
    return float(metrics.ndcg_at(rank_targets(scorer.scores, _cases(run)), 10).mean())


def _cases(run: Run) -> Cases:
    return run.split.validation.sample(USERS, run.settings.seed)


def _factorised(kind: str, split: Split, cases: Cases, items: int, seed: int) -> Peer:
    def judged(settings: dict[str, float]) -> float:
        model = _fit(kind, settings, split.train, items, seed)
        return float(metrics.ndcg_at(_ranks(kind, model, cases, items), 10).mean())

    settings, validation = _best(kind, judged)
    known = list(split.train)
    if kind == BPR:
        # It knows people by their numbers alone, so it is fitted on all that stands before the test item.
        for user, history in zip(split.test.users, split.test.histories, strict=True):
            known[user] = history
    model = _fit(kind, settings, known, items, seed)
    return Peer(settings, validation, _ranks(kind, model, split.test, items))


def _sasrec(run: Run, recipe: TeacherRecipe, cases: Cases, seconds: float) -> Peer:
    split, seed = run.split, run.settings.seed
    items, length = len(run.dataset.ids), run.facts("teacher/holdout")["length"]
    sequences, as_sets = readable(split.train, split.unordered)
    tried = []
    for rate in recipe.sequence.id_rates:
        model = on_ids(items, length, recipe.sequence, rate, seed)
        train(model, sequences, split.validation, recipe.sequence, seed, seconds, shuffle=as_sets)
        scorer = SequenceScorer(model)
        reached = float(metrics.ndcg_at(rank_targets(scorer.scores, cases), 10).mean())
        tried.append((reached, rate, scorer))
    reached, rate, scorer = max(tried, key=lambda one: one[0])
    return Peer({"id_rate": rate}, reached, rank_targets(scorer.scores, split.test))


def zero_shot(run: Run, vectors: Scores) -> Peer:
    """Sums of the similarities of texts, by unit vectors float32 [N, d]."""
    split, cases = run.split, _cases(run)
    similar = {s: sharpened(vectors, s) for s in GRIDS[SENTENCES]["sharpness"]}
    everything = np.arange(len(vectors))

    def scorer(settings: dict[str, float]) -> ItemItem:
        matrix = similar[settings["sharpness"]]
        return ItemItem(SENTENCES, matrix, everything, len(everything), settings["decay"])

    def judged(settings: dict[str, float]) -> float:
        return float(metrics.ndcg_at(rank_targets(scorer(settings).scores, cases), 10).mean())

    settings, validation = _best(SENTENCES, judged)
    return Peer(settings, validation, rank_targets(scorer(settings).scores, split.test))


def _best(kind: str, judged: Callable[[dict[str, float]], float]) -> tuple[dict[str, float], float]:
    """Settings that no other value of any one of them is better than, and what they reach."""
    found: dict[tuple[float, ...], float] = {}

    def look(settings: dict[str, float]) -> float:
        key = tuple(settings.values())
        if key not in found:
            found[key] = judged(settings)
        return found[key]

    best, before = {name: values[len(values) // 2] for name, values in GRIDS[kind].items()}, None
    while best != before:
        before = dict(best)
        for name, values in GRIDS[kind].items():
            best[name] = max(values, key=lambda value: look({**best, name: value}))
    return best, look(best)


def _fit(
    kind: str, settings: dict[str, float], histories: list[Indices], items: int, seed: int
) -> Any:
    make = {IALS: AlternatingLeastSquares, BPR: BayesianPersonalizedRanking}[kind]
    # Threads of BPR write into each other's numbers: with one the seed decides.
    threads = {IALS: 0, BPR: 1}[kind]
    settings = {**settings, "factors": int(settings["factors"])}
    model = make(**settings, iterations=ITERATIONS[kind], random_state=seed, num_threads=threads)
    model.fit(history_matrix(histories, items), show_progress=False)
    return model


def _ranks(kind: str, model: Any, cases: Cases, items: int) -> Ranks:
    """Of iALS a person is the factors that their history solves for, of BPR those that were learned."""
    found = []
    for start in range(0, len(cases), BATCH):
        part = cases[np.arange(start, min(start + BATCH, len(cases)))]
        if kind == IALS:
            read = history_matrix(part.histories, items)
            users = model.recalculate_user(np.arange(len(part)), read)
        else:
            users = model.user_factors[part.users]
        scores = users @ model.item_factors.T
        found.append(metrics.ranks(scores, part.targets, part.histories))
    return np.concatenate(found)
