"""Every system of the study on a share of the target's training users: chosen on validation, read once on test."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from benchmarks import accuracy
from benchmarks.sasrec import SASREC, on_ids
from pocketrec import metrics
from pocketrec.artefact import side_by_side
from pocketrec.evaluation import rank_targets
from pocketrec.ledger import Ranks
from pocketrec.run import Report, Run
from pocketrec.splits import Cases, Split, interaction_counts
from teacher.base import open_base
from teacher.blend import blended, choose_blend
from teacher.closed_forms import TEXT_MODEL
from teacher.content import sharpened
from teacher.evidence import Evidence
from teacher.factors import fit_factors
from teacher.fusion import Fused, choose_weight, fusion_cases, validation_ndcg, with_popularity
from teacher.item_models import Chosen, Tuner, fit, settle, without_text
from teacher.lift import choose_lift, lifted
from teacher.readings import ADAPTED, FROZEN, SENTENCE, TITLED, Fingerprints, load_readings
from teacher.recipe import SequenceRecipe, TeacherRecipe
from teacher.scorers import ItemItem, Popularity, Scorer, history_matrix
from teacher.sequence import SequenceModel, SequenceScorer, for_density, readable, train

Grid = dict[str, tuple[float, ...]]

READINGS = {
    FROZEN: "frozen",
    ADAPTED: "both",
    FROZEN + SENTENCE: "frozen, sentences",
    ADAPTED + SENTENCE: "both, sentences",
}
"""What the tables call the ways of reading: the language model's own, that with the adapter's beside it, and each with
those of a sentence encoder."""
SENTENCES_ALONE = "sentences alone"
CONTENT = "Content"
ZERO_SHOT = "Base teacher, not fine-tuned"
SCRATCH = "Sequence from scratch"
TRANSFER = "Sequence from the base teacher"
TOGETHER = "Both sequence models"
FUSED = "Fused"
QUESTIONS = (
    (f"{CONTENT}, both", f"{CONTENT}, frozen"),
    (f"{CONTENT}, both, sentences", f"{CONTENT}, both"),
    (f"{TEXT_MODEL}, both", f"{TEXT_MODEL}, frozen"),
    (f"{TEXT_MODEL}, both, sentences", f"{TEXT_MODEL}, both"),
    (TRANSFER, SCRATCH),
    (FUSED, accuracy.ITEM_KNN),
    (FUSED, accuracy.EASE),
    (FUSED, SASREC),
)
"""Whose difference answers a question: ours, theirs."""

SHARPNESSES = (0.0, 2.0)
CONTENT_DECAYS = (0.5, 0.7, 0.85, 1.0)
EASE_RIDGES = (1.0, 5.0, 20.0, 50.0, 100.0, 400.0)
RIDGES = (5.0, 20.0, 50.0, 100.0, 400.0)
TEXT_WEIGHTS = (2.0, 5.0, 10.0, 20.0, 80.0)
ORDERS = (0.0, 0.5)
SETTLING_SHARE = 0.25
"""Most time to settle an item-item model in the whole catalogue, of what a sequence model trains for."""


@dataclass(frozen=True)
class Fitted:
    """A system: its scores, what validation chose of it, and its validation NDCG@10."""

    scorer: Scorer
    settings: str
    validation: float


class Target:
    """A finished run as the study reads it.

    Attributes:
        readings: item vectors by way of reading, unit rows; float32 [N, d] each.
        vectors: those that the run chose; Content chose them, so they hold for every share.

    Raises:
        RunError: the teacher of the run is not finished.
        UsageError: the base teacher is of another language model than the run.
    """

    def __init__(self, run: Run) -> None:
        self.run, self.recipe = run, run.recipe("teacher", TeacherRecipe)
        self.facts: dict[str, Any] = run.facts("teacher/holdout")
        self.base = open_base(self.recipe)
        if self.base.sequence:
            readers = Fingerprints(**run.facts("teacher/vectors")["fingerprints"])
            self.base.sequence.check(readers, self.recipe.sequence)
        texts, used = load_readings(run, self.recipe), self.facts["reading"]["used"]
        self.titled = used.endswith(TITLED)
        # The ways that are compared read titles twice if the run does.
        titled = texts.titled if self.titled else None
        self.texts = titled or replace(texts, titled=None)
        self.readings = {way: self.texts.vectors(way) for way in self.texts.ways}
        self.way = used.removesuffix(TITLED)
        self.vectors = self.readings[self.way]

    def features(self, split: Split, seed: int) -> npt.NDArray[np.float32]:
        """What a sequence model reads of items: their texts and, where the run uses them, factors of the training part."""
        chosen = history_matrix(split.train, len(self.vectors))
        return side_by_side(self.vectors, fit_factors(chosen, self.facts["factors"]["width"], seed))

    def from_scratch(
        self,
        recipe: SequenceRecipe,
        features: npt.NDArray[np.float32],
        seed: int,
        id_rate: float,
    ) -> SequenceModel:
        torch.manual_seed(seed)  # of the first weights; train() seeds its own draws
        return SequenceModel(features, self.facts["length"], recipe, id_rate)

    def transferred(
        self,
        recipe: SequenceRecipe,
        features: npt.NDArray[np.float32],
        seed: int,
        id_rate: float,
    ) -> SequenceModel:
        assert self.base.sequence is not None
        model = self.from_scratch(recipe, features, seed, id_rate)
        self.base.sequence.start(model, *self.texts.bases(self.way))
        return model

    def on_ids(self, recipe: SequenceRecipe, seed: int, id_rate: float) -> SequenceModel:
        return on_ids(len(self.vectors), self.facts["length"], recipe, id_rate, seed)


def part(split: Split, share: float, seed: int) -> Split:
    """``split`` with the training histories of a random share of its users, the others' emptied; all cases stay.

    Larger shares hold the users of smaller ones. A share above 0 holds a user at least.
    """
    users = np.flatnonzero([len(history) > 0 for history in split.train])
    count = max(1, round(share * len(users))) if share else 0
    kept = np.zeros(len(split.train), dtype=bool)
    kept[np.random.default_rng(seed).permutation(users)[:count]] = True
    train = [h if keep else h[:0] for h, keep in zip(split.train, kept, strict=True)]
    return replace(split, train=train, unordered=np.where(kept, split.unordered, 0))


def schedule(recipe: SequenceRecipe, share: float) -> SequenceRecipe:
    """As many steps on a share as on everything, whose epochs are that much longer."""
    times = round(1 / share)
    changed = {
        "epochs": times * recipe.epochs,
        "evaluate_every": max(times, recipe.evaluate_every),
        "patience": times * recipe.patience,
    }
    return recipe.model_copy(update=changed)


@dataclass(frozen=True)
class FewShot:
    """``share`` of the training users of ``target``; each sequence model trains for ``seconds``."""

    target: Target
    share: float
    seconds: float
    seed: int
    report: Report

    @cached_property
    def split(self) -> Split:
        return part(self.target.run.split, self.share, self.seed)

    @cached_property
    def tuning(self) -> Cases:
        users, items = self.target.recipe.fusion_users, len(self.target.run.dataset.texts)
        return fusion_cases(self.split.validation, users, items, self.seed)

    def measure(self) -> dict[str, Any]:
        """Fit and choose every system, then rank the test items of all users once."""
        systems = {**self.item_systems(), **self.sequence_systems()}
        systems |= self.fused(systems)
        ranks = {}
        with self.report.task("Ranking the test items", len(systems)) as advance:
            for name, one in systems.items():
                ranks[name] = rank_targets(one.scorer.scores, self.split.test)
                advance(len(ranks))
        pairs = [pair for pair in QUESTIONS if set(pair) <= set(ranks)]
        rows = summarize(ranks, self.seed)
        for row, one in zip(rows, systems.values(), strict=True):
            row |= {"settings": one.settings, "validation_ndcg@10": one.validation}
        return {
            "share": self.share,
            "training_users": sum(len(history) > 0 for history in self.split.train),
            "systems": rows,
            "differences": accuracy.differences(ranks, pairs, self.seed),
        }

    def item_systems(self) -> dict[str, Fitted]:
        """The peers where there is something to count, then by reading Content and EASE with text."""
        recipe, train, readings = self.target.recipe, self.split.train, self.target.readings
        evidence = Evidence.of(train, self.split.unordered, readings[FROZEN])
        peers: dict[str, Grid] = {
            accuracy.ITEM_KNN: {"neighbours": recipe.knn_neighbours, "shrink": recipe.knn_shrinks},
            accuracy.EASE: {"ridge": EASE_RIDGES},
        }
        orders = ORDERS if evidence.past.nnz else (0.0,)
        grid: Grid = {"ridge": RIDGES, "text_weight": TEXT_WEIGHTS, "order": orders}
        found: dict[str, Fitted] = {}
        sentences = self.target.texts.sentences
        if sentences is not None:
            found[f"{CONTENT}, {SENTENCES_ALONE}"] = self._content(sentences, SENTENCES_ALONE)
        with self.report.task("Choosing item-item models", len(peers) + len(readings)) as advance:
            chosen: dict[str, Chosen] = {}
            if self.share:
                counts = interaction_counts(train, len(evidence.vectors))
                found[accuracy.POPULARITY] = self._judge(Popularity(counts))
                for done, (kind, settings) in enumerate(peers.items(), 1):
                    chosen[kind], found[kind] = self._choose(kind, settings, evidence)
                    advance(done)
            for done, (reading, vectors) in enumerate(readings.items(), 1 + len(peers)):
                label = READINGS[reading]
                content = self._content(vectors, label)
                also_text = replace(evidence, vectors=vectors)
                _, text = self._choose(TEXT_MODEL, grid, also_text, chosen.get(accuracy.EASE))
                text = replace(text, settings=f"{text.settings}, {label}")
                found |= {f"{CONTENT}, {label}": content, f"{TEXT_MODEL}, {label}": text}
                if self.share < 1:
                    found[f"{TEXT_MODEL} + {CONTENT}, {label}"] = self._mix(content, text)
                advance(done)
        return found

    def _content(self, vectors: npt.NDArray[np.float32], label: str) -> Fitted:
        """The best of all ways to add up similarities of texts."""
        items, found = np.arange(len(vectors)), []
        for sharpness in SHARPNESSES:
            similar = sharpened(vectors, sharpness)
            for decay in CONTENT_DECAYS:
                name = f"{CONTENT} (sharpness {sharpness:g}, decay {decay:g}), {label}"
                found.append(self._judge(ItemItem(name, similar, items, len(items), decay)))
            found = [max(found, key=lambda way: way.validation)]
        return found[0]

    def _choose(
        self, kind: str, grid: Grid, evidence: Evidence, ease: Chosen | None = None
    ) -> tuple[Chosen, Fitted]:
        """As a build does; ``ease`` is what was chosen for the model without text, if anything."""
        recipe, facts = self.target.recipe, self.target.facts

        def whole(chosen: Chosen) -> ItemItem:
            text = kind == TEXT_MODEL
            return fit(chosen, evidence, facts["exact_items"], text, facts["local_width"])

        if self.share == 1 and kind != TEXT_MODEL:
            chosen = Chosen(**facts["item_models"][kind])  # chosen with this care
            return chosen, self._judge(whole(chosen))
        tuner = Tuner(evidence, self.split.validation, recipe, self.seed, None)
        starts = [tuner.choose(kind, grid, recipe.decays, ease)]
        if ease:
            starts.append(without_text(ease))
        chosen, model = settle(starts, whole, self.tuning, SETTLING_SHARE * self.seconds)
        return chosen, self._judge(model)

    def sequence_systems(self) -> dict[str, Fitted]:
        """The base teacher as it is, and the models trained on the share."""
        target, base, seed = self.target, self.target.base.sequence, self.seed
        features, found = target.features(self.split, seed), {}
        recipe = target.recipe.sequence
        if base:
            untrained = target.transferred(recipe, features, seed, 1.0)
            found[ZERO_SHOT] = self._judge(SequenceScorer(untrained), ZERO_SHOT)
        if not self.share:
            return found
        sequences, _ = readable(self.split.train, self.split.unordered)
        rates, recipe = recipe.id_rates, for_density(recipe, sequences)
        on_ids = partial(target.on_ids, recipe)
        _, found[SASREC], _ = self._trained(SASREC, recipe, on_ids, rates)
        from_scratch = partial(target.from_scratch, recipe, features)
        rate, found[SCRATCH], scratch = self._trained(
            SCRATCH, recipe, from_scratch, recipe.tried_rates
        )
        if base:
            transferred = partial(target.transferred, recipe, features)
            _, found[TRANSFER], after = self._trained(TRANSFER, recipe, transferred, (rate,))
            found[TOGETHER] = self._judge(SequenceScorer(scratch, after), TOGETHER)
        return found

    def _trained(
        self,
        name: str,
        recipe: SequenceRecipe,
        make: Callable[[int, float], SequenceModel],
        rates: Sequence[float],
    ) -> tuple[float, Fitted, SequenceModel]:
        """The model of the ID rate that validation prefers, each trained for as long."""
        sequences, as_sets = readable(self.split.train, self.split.unordered)
        tried = []
        for rate in rates:
            model = make(self.seed, rate)
            with self.report.task(f"Training: {name}, IDs at rate {rate:g}", 1.0) as advance:
                trained = train(
                    model,
                    sequences,
                    self.split.validation,
                    schedule(recipe, self.share),
                    self.seed,
                    self.seconds,
                    shuffle=as_sets,
                    pretrained=name == TRANSFER,
                    progress=advance,
                )
            settings = f"{name} ({trained.epochs} epochs, IDs at rate {rate:g})"
            tried.append((rate, self._judge(SequenceScorer(model), settings), model))
        return max(tried, key=lambda one: one[1].validation)

    def fused(self, systems: dict[str, Fitted]) -> dict[str, Fitted]:
        """The best sequence model with the best EASE with text, with what helps of ItemKNN, a lift, Content and popularity."""
        kinds = [
            (ZERO_SHOT, SCRATCH, TRANSFER, TOGETHER),
            *(
                [f"{kind}, {label}" for label in READINGS.values()]
                for kind in (TEXT_MODEL, CONTENT)
            ),
        ]
        known = [[systems[name] for name in names if name in systems] for names in kinds]
        if not all(known):
            return {}
        sequence, text, content = (max(k, key=lambda one: one.validation) for k in known)
        if knn := systems.get(accuracy.ITEM_KNN):
            text = self._blend(text, knn)
        text = self._lift(text)
        two = self._mix(sequence, text)
        best = max(two, self._mix(content, two), key=lambda one: one.validation)
        counts = interaction_counts(self.split.train, len(self.target.vectors))
        scorer, verdict = with_popularity(best.scorer, counts, self.tuning, self.seed)
        settings = f"{best.settings}, {verdict.used}"
        return {FUSED: Fitted(scorer, settings, verdict.ndcg[verdict.used])}

    def _blend(self, text: Fitted, knn: Fitted) -> Fitted:
        assert isinstance(text.scorer, ItemItem)
        assert isinstance(knn.scorer, ItemItem)
        share, scale, _ = choose_blend(text.scorer, knn.scorer, self.tuning, self.seed)
        if not share:
            return text
        both = blended(text.scorer, knn.scorer, share, scale)
        return self._judge(both, f"{text.settings} and {share:g} {knn.settings}")

    def _lift(self, text: Fitted) -> Fitted:
        assert isinstance(text.scorer, ItemItem)
        counts = interaction_counts(self.split.train, len(self.target.vectors))
        power, verdict = choose_lift(text.scorer, counts, self.tuning, self.seed)
        scorer = lifted(text.scorer, counts, power)
        return Fitted(scorer, f"{text.settings}, {verdict.used}", verdict.ndcg[verdict.used])

    def _mix(self, first: Fitted, second: Fitted) -> Fitted:
        weight, validation = choose_weight(first.scorer, second.scorer, self.tuning)
        settings = f"{weight:.1f} [{first.settings}] + {1 - weight:.1f} [{second.settings}]"
        return Fitted(Fused(first.scorer, second.scorer, weight), settings, validation)

    def _judge(self, scorer: Scorer, settings: str | None = None) -> Fitted:
        return Fitted(scorer, settings or scorer.name, validation_ndcg(scorer, self.tuning))


def summarize(ranks: dict[str, Ranks], seed: int) -> list[dict[str, Any]]:
    """As ``accuracy.summarize``, with the means of precision@10 and F1@10."""
    rows: list[dict[str, Any]] = accuracy.summarize(ranks, seed)
    for row, rank in zip(rows, ranks.values(), strict=True):
        row["precision@10"] = float(metrics.precision_at(rank, 10).mean())
        row["f1@10"] = float(metrics.f1_at(rank, 10).mean())
    return rows
