"""Peers that no build fits: iALS, BPR, SASRec and the sentence encoder alone; chosen on validation, test read once."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
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
from pocketrec.run import Report, Run
from pocketrec.splits import Cases, Indices, Split
from teacher.content import sharpened
from teacher.readings import load_readings
from teacher.recipe import SequenceRecipe, TeacherRecipe
from teacher.scorers import ItemItem, history_matrix
from teacher.sequence import SequenceScorer, for_density, readable, train

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
RANKS = "ranks.npz"

Scores = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Peer:
    """What was chosen, its validation NDCG@10, and the rank of each user's test item; float64 [U]."""

    settings: dict[str, float]
    validation: float
    ranks: Ranks


def training_seconds(run: Run, least: float) -> float:
    """As long as a sequence model of the teacher trained, but at least ``least`` seconds."""
    return max(least, *run.facts("teacher/holdout")["training_seconds"].values())


def fitted(
    run: Run, seconds: float, report: Report, names: Sequence[str] = NAMES
) -> Iterator[tuple[str, Peer]]:
    """Each peer of ``names`` by its name; the sentence encoder only where the run has read the texts with one.

    Args:
        seconds: that SASRec trains for with each rate of its IDs.
    """
    for kind in (IALS, BPR):
        if kind in names:
            given: dict[str, Any] = {"iterations": ITERATIONS[kind]}
            yield kind, kept(run, kind, given, partial(_factorised, run, kind), report)
    recipe, read = run.recipe("teacher", TeacherRecipe), run.facts("teacher/vectors")["fingerprint"]
    given = {"seconds": seconds, "recipe": recipe.sequence.model_dump()}
    if SASREC in names:
        fit = partial(_sasrec, run, recipe.sequence, seconds)
        yield SASREC, kept(run, SASREC, given, fit, report)
    sentences = load_readings(run, recipe).sentences if SENTENCES in names else None
    if sentences is not None:
        given = {"texts": read}
        yield SENTENCES, kept(run, SENTENCES, given, partial(zero_shot, run, sentences), report)


def kept(
    run: Run, name: str, given: dict[str, Any], fit: Callable[[], Peer], report: Report
) -> Peer:
    """What ``fit`` makes, or what the run has of it from before: tuning takes most of the time of a benchmark.

    Args:
        given: what decides it beside data, seed and grid, as JSON.
    """
    folder = f"peers/{re.sub('[^a-z0-9]+', '-', name.lower())}"

    def make(made: Path) -> dict[str, Any]:
        peer = fit()
        np.savez_compressed(made / RANKS, test=peer.ranks)
        summary = f"{name}, validation NDCG@10 {peer.validation:.4f}"
        return {"settings": peer.settings, "validation": peer.validation, "summary": summary}

    inputs = {"grid": GRIDS.get(name), "users": USERS, **given}
    facts = run.artefact(folder, inputs, make, report)
    with np.load(run.folder / folder / RANKS) as ranks:
        return Peer(facts["settings"], facts["validation"], ranks["test"])


def validation(run: Run, scorer: ItemItem) -> float:
    """NDCG@10 on the users that these peers are compared on."""
    return float(metrics.ndcg_at(rank_targets(scorer.scores, _cases(run)), 10).mean())


def _cases(run: Run) -> Cases:
    return run.split.validation.sample(USERS, run.settings.seed)


def _factorised(run: Run, kind: str) -> Peer:
    split, items, seed = run.split, len(run.dataset.ids), run.settings.seed

    def judged(settings: dict[str, float]) -> float:
        model = _fit(kind, settings, split.train, items, seed)
        return float(metrics.ndcg_at(_ranks(kind, model, _cases(run), items), 10).mean())

    with threadpool_limits(1):  # the library has threads of its own
        settings, validation = _best(kind, judged)
        known = list(split.train)
        if kind == BPR:
            # It knows people by their numbers alone, so it is fitted on all that stands before the test item.
            for user, history in zip(split.test.users, split.test.histories, strict=True):
                known[user] = history
        model = _fit(kind, settings, known, items, seed)
        return Peer(settings, validation, _ranks(kind, model, split.test, items))


def _sasrec(run: Run, recipe: SequenceRecipe, seconds: float) -> Peer:
    split, cases = run.split, _cases(run)
    tried = []
    for rate in recipe.id_rates:
        scorer, epochs = _on_ids(run, recipe, rate, split, seconds)
        reached = float(metrics.ndcg_at(rank_targets(scorer.scores, cases), 10).mean())
        tried.append((reached, {"id_rate": rate, "epochs": epochs}, scorer))
    reached, settings, scorer = max(tried, key=lambda one: one[0])
    return Peer(settings, reached, rank_targets(scorer.scores, split.test))


def _on_ids(
    run: Run,
    recipe: SequenceRecipe,
    id_rate: float,
    split: Split,
    seconds: float,
    epochs: int | None = None,
) -> tuple[SequenceScorer, int]:
    """SASRec trained on ``split``, and for how many epochs: those that validation likes best if they are not given."""
    seed, length = run.settings.seed, run.facts("teacher/holdout")["length"]
    sequences, as_sets = readable(split.train, split.unordered)
    thinned = for_density(recipe, sequences)
    model = on_ids(len(run.dataset.ids), length, thinned, id_rate, seed)
    given = sequences, split.validation, thinned, seed, seconds, epochs
    done = train(model, *given, shuffle=as_sets)
    return SequenceScorer(model), done.epochs


def refit(
    run: Run, name: str, settings: dict[str, float], seconds: float, split: Split, cases: Cases
) -> Ranks:
    """Rank of each target of ``cases`` by iALS or SASRec, fitted on ``split`` with the ``settings`` that were chosen.

    Args:
        seconds: SASRec had when these were chosen.
    """
    if name == SASREC:
        recipe = run.recipe("teacher", TeacherRecipe).sequence
        rate, epochs = settings["id_rate"], int(settings["epochs"])
        scorer, _ = _on_ids(run, recipe, rate, split, seconds, epochs)
        return rank_targets(scorer.scores, cases)
    items = len(run.dataset.ids)
    with threadpool_limits(1):
        model = _fit(name, settings, split.train, items, run.settings.seed)
        return _ranks(name, model, cases, items)


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
