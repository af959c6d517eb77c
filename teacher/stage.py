"""The teacher stage: item vectors, models on them, their fusion, and the artefact that the student learns from."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from pocketrec import metrics
from pocketrec.artefact import TeacherArtefact, side_by_side
from pocketrec.evaluation import rank_targets
from pocketrec.ledger import Ledger
from pocketrec.run import Report, Run
from pocketrec.splits import Cases, Indices, Split, everything, interaction_counts
from teacher.adapter import adapter_sha
from teacher.base import Base, open_base
from teacher.blend import blended, choose_blend
from teacher.content import Content
from teacher.evidence import Evidence
from teacher.factors import aligned, choose_factors, fit_factors
from teacher.fusion import fusion_cases, validation_ndcg, with_popularity
from teacher.item_models import (
    Chosen,
    Tuner,
    affordable_items,
    affordable_width,
    fit,
    settle,
    without_text,
)
from teacher.learned_fusion import choose_fusion
from teacher.lift import choose_lift, lifted
from teacher.readings import (
    FROZEN,
    Fingerprints,
    Readings,
    load_readings,
    read_texts,
    reads_with_adapter,
)
from teacher.recipe import SequenceRecipe, TeacherRecipe
from teacher.scorers import ItemItem, Popularity
from teacher.sequence import (
    SequenceModel,
    SequenceScorer,
    Trained,
    for_density,
    readable,
    train,
)
from teacher.transfer import Verdict, guard
from training.sequences import PAD, window_length, windows

Vectors = npt.NDArray[np.float32]

TEXT_MODEL = "EASE with text"
PEERS = ("ItemKNN", "EASE")
SETTLED_BY = {"ItemKNN": 0.1, "EASE": 0.3, TEXT_MODEL: 0.7}
"""Part of the time for closed forms by which a model's settings are settled; the rest is the final teacher's."""
SCRATCH, TRANSFER, BOTH = "scratch", "transfer", "both starts"
HELD_OUT = "the held-out one"


def run(run: Run, report: Report) -> None:
    """Make ``RUN/teacher``: ``vectors``, ``holdout`` (measured) and ``final`` (fitted on everything).

    Raises:
        UsageError: the recipe has an unknown key or an impossible value.
        DataError: the data cannot be read or has no user to evaluate.
    """
    recipe = run.recipe("teacher", TeacherRecipe)
    settings = recipe.model_dump(mode="json")
    # A wrong folder is told before the texts are read.
    base = open_base(recipe)
    encoding = {
        name: settings[name]
        for name in (
            "backbone",
            "layer",
            "sentence_encoder",
            "max_tokens",
            "dimensions",
            "whitening",
        )
    }
    if base.adapter:
        encoding["adapter"] = adapter_sha(base.adapter)
    vectors = run.artefact(
        "teacher/vectors",
        encoding,
        lambda folder: read_texts(run, recipe, base.adapter, folder, report),
        report,
    )
    if base.sequence:
        base.sequence.check(Fingerprints(**vectors["fingerprints"]), recipe.sequence)
    sha = base.sequence.sha if base.sequence else None
    inputs = {"recipe": settings, "vectors": vectors["sha"], "base": sha}
    facts = run.artefact(
        "teacher/holdout", inputs, lambda folder: _choose(run, recipe, base, folder, report), report
    )
    ledger = Ledger(run.dataset.name, run.split.protocol, run.settings.seed)
    with np.load(run.folder / "teacher/holdout/ranks.npz") as ranks:
        for stage in ("popularity", "best_peer", "teacher"):
            ledger.add(stage, ranks[stage], facts["names"][stage])
    if not ledger.is_part_of(run.folder):  # else the rows of the later stages still hold
        ledger.save(run.folder)
    run.artefact(
        "teacher/final",
        {**inputs, "chosen": facts},
        lambda folder: _refit(run, recipe, facts, folder, report),
        report,
    )


def _choose_reading(readings: Readings, cases: Cases, seed: int) -> Verdict:
    """Which reading tells best which texts people choose together, before anything else is learned."""
    ways = {way: Content(readings.vectors(way)).scores for way in readings.ways}
    return guard(ways, FROZEN, cases, seed)


def _sequence_model(
    run: Run, recipe: SequenceRecipe, features: Vectors, length: int, id_rate: float
) -> SequenceModel:
    """A sequence model with random weights."""
    torch.manual_seed(run.settings.seed)
    return SequenceModel(features, length, recipe, id_rate)


def _train_sequence(
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


def _choose(
    run: Run, recipe: TeacherRecipe, base: Base, folder: Path, report: Report
) -> dict[str, Any]:
    """Fit on the training part, choose everything on validation, read test once."""
    split, seed = run.split, run.settings.seed
    readings = load_readings(run, recipe)
    tuning = fusion_cases(split.validation, recipe.fusion_users, len(run.dataset.texts), seed)
    reading = _choose_reading(readings, tuning, seed)
    vectors = readings.vectors(reading.used)
    items = len(vectors)
    evidence = Evidence.of(split.train, split.unordered, vectors)
    chosen = _choose_item_models(run, recipe, evidence, report)
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
    reached = {kind: validation_ndcg(model, split.validation) for kind, model in models.items()}
    peer = chosen[max(PEERS, key=lambda kind: reached[kind])]
    if reached["EASE"] > reached[TEXT_MODEL]:
        chosen[TEXT_MODEL], models[TEXT_MODEL] = _as_text_model(chosen["EASE"], models["EASE"])
    share, scale, blend = choose_blend(models[TEXT_MODEL], models["ItemKNN"], tuning, seed)
    if share:
        models[TEXT_MODEL] = blended(models[TEXT_MODEL], models["ItemKNN"], share, scale)
    counts = interaction_counts(split.train, items)
    power, lift = choose_lift(models[TEXT_MODEL], counts, tuning, seed)
    models[TEXT_MODEL] = lifted(models[TEXT_MODEL], counts, power)

    sequences, _ = readable(split.train, split.unordered)
    length = window_length(sequences, recipe.sequence.longest)
    factors, low_rank = choose_factors(
        fit_factors(evidence.interactions, recipe.factors, seed),
        models[TEXT_MODEL],
        chosen[TEXT_MODEL].decay,
        tuning,
        seed,
    )
    features = side_by_side(vectors, factors)
    thinned = for_density(recipe.sequence, sequences)
    rates = thinned.tried_rates
    seconds = run.share("teacher")
    each = seconds and seconds / (len(rates) + (base.sequence is not None))

    def trained(start: str, id_rate: float) -> tuple[SequenceModel, Trained]:
        model = _sequence_model(run, thinned, features, length, id_rate)
        if start == TRANSFER and base.sequence:
            base.sequence.start(model, *readings.bases(reading.used))
        return model, _train_sequence(run, thinned, split, model, start, each, None, report)

    from_scratch = {rate: trained(SCRATCH, rate) for rate in rates}
    id_rate = max(rates, key=lambda rate: from_scratch[rate][1].validation)
    fitted = {SCRATCH: from_scratch[id_rate]}
    if base.sequence:
        fitted[TRANSFER] = trained(TRANSFER, id_rate)
    scorers = {name: SequenceScorer(model) for name, (model, _) in fitted.items()}
    if len(fitted) > 1:
        scorers[BOTH] = SequenceScorer(*(model for model, _ in fitted.values()))
    verdict = guard({n: scorer.logits for n, scorer in scorers.items()}, SCRATCH, tuning, seed)
    sequence = scorers[verdict.used]
    fusion = choose_fusion(sequence, models[TEXT_MODEL], counts, tuning, seed)
    teacher, popular = with_popularity(fusion.scorer, counts, tuning, seed)
    judged = (reading, blend, lift, low_rank, verdict, fusion.verdict, popular)
    verdicts = [v.describe() for v in judged if v.differences]
    if len(rates) > 1:
        verdicts.append(f"IDs learn at rate {id_rate:g}")
    popularity = Popularity(counts)
    with report.task("Ranking the test items", 3) as advance:
        ranks = {}
        for stage, scorer in (
            ("popularity", popularity),
            ("best_peer", models[peer.kind]),
            ("teacher", teacher),
        ):
            ranks[stage] = rank_targets(scorer.scores, split.test)
            advance(len(ranks))
    np.savez_compressed(folder / "ranks.npz", **ranks)  # type: ignore[arg-type]
    _save(folder, vectors, factors, sequence, sequences, models, recipe.neighbours, counts)
    for start in _starts(verdict.used):
        fitted[start][0].save(folder / _weights(start))
    ndcg = {stage: float(metrics.ndcg_at(rank, 10).mean()) for stage, rank in ranks.items()}
    return {
        "names": {
            "popularity": popularity.name,
            "best_peer": peer.describe(),
            "teacher": teacher.name,
        },
        "best_peer": peer.kind,
        "described": "; ".join([run.facts("teacher/vectors")["backbone"], *verdicts]),
        "item_models": {kind: asdict(settings) for kind, settings in chosen.items()},
        "exact_items": limit,
        "local_width": width,
        "length": length,
        "epochs": {name: done.epochs for name, (_, done) in fitted.items()},
        "id_rate": id_rate,
        "id_rates": {f"{rate:g}": done.validation for rate, (_, done) in from_scratch.items()},
        "reading": reading.as_dict(),
        "transfer": verdict.as_dict(),
        "source_domains": base.domains
        if reads_with_adapter(reading.used) or verdict.used != SCRATCH
        else [],
        "blend": {**blend.as_dict(), "share": share, "scale": scale},
        "lift": {**lift.as_dict(), "power": power},
        "factors": {**low_rank.as_dict(), "width": factors.shape[1]},
        "fusion": fusion.verdict.as_dict(),
        "popularity": popular.as_dict(),
        "sequence_weight": fusion.weight,
        "validation_ndcg@10": popular.ndcg[popular.used],
        "summary": "; ".join(
            [
                f"NDCG@10 {ndcg['teacher']:.4f}",
                f"best peer {ndcg['best_peer']:.4f}, {peer.describe()}",
                *verdicts,
            ]
        ),
    }


def _as_text_model(chosen: Chosen, ease: ItemItem) -> tuple[Chosen, ItemItem]:
    """EASE in the place of EASE with text, of which it is a special case: where there was no time to settle more, the better."""
    text = without_text(chosen)
    return text, replace(ease, name=text.describe())


def _choose_item_models(
    run: Run, recipe: TeacherRecipe, evidence: Evidence, report: Report
) -> dict[str, Chosen]:
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
    chosen = {}
    with report.task("Choosing item-item settings on validation", len(grids)) as advance:
        for kind, grid in grids.items():
            simpler = chosen.get("EASE")
            chosen[kind] = tuner.choose(kind, grid, recipe.decays, simpler)
            advance(len(chosen))
    return chosen


def _starts(used: str) -> list[str]:
    """The starts of the sequence models that are used."""
    return [SCRATCH, TRANSFER] if used == BOTH else [used]


def _weights(start: str) -> str:
    return f"sequence-{start}.safetensors"


def _save(
    folder: Path,
    vectors: Vectors,
    factors: Vectors,
    sequence: SequenceScorer,
    sequences: list[Indices],
    models: Mapping[str, ItemItem],
    neighbours: int,
    counts: npt.NDArray[np.float32],
) -> None:
    cut = windows(sequences, sequence.length)
    states = []
    for start in range(0, len(cut), 256):
        batch = torch.from_numpy(cut[start : start + 256])
        states.append(sequence.states(batch[:, :-1])[batch != PAD].numpy().astype(np.float16))
    entries = neighbours * len(vectors)
    table = models[TEXT_MODEL].table(entries, counts)
    peer = models["EASE"].table(entries, counts) if "EASE" in models else None
    TeacherArtefact(
        vectors,
        factors,
        sequence.items.numpy(),
        cut.astype(np.int32),
        np.concatenate(states),
        table.sources,
        table.targets,
        table.weights,
        *((peer.sources, peer.targets, peer.weights) if peer else ()),
    ).save(folder)


def _refit(
    run: Run,
    recipe: TeacherRecipe,
    facts: dict[str, Any],
    folder: Path,
    report: Report,
) -> dict[str, Any]:
    """The chosen settings fitted on every interaction, for the bundle that ships.

    Sequence models go on from what was measured: there is little that they have not seen, and a time budget that ends
    them early costs nothing of that.
    """
    split = everything(run.dataset)
    readings, way = load_readings(run, recipe), facts["reading"]["used"]
    vectors = readings.vectors(way)
    evidence = Evidence.of(split.train, split.unordered, vectors)
    models, blend = {}, facts["blend"]
    kinds = (TEXT_MODEL, *(["ItemKNN"] if blend["share"] else []))
    with report.task("Fitting item-item models on every interaction", len(kinds)) as advance:
        for kind in kinds:
            settings = Chosen(**facts["item_models"][kind])
            models[kind] = fit(
                settings,
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
    counts = interaction_counts(split.train, len(vectors))
    models[TEXT_MODEL] = lifted(models[TEXT_MODEL], counts, facts["lift"]["power"])
    known = np.load(run.folder / "teacher/holdout/factors.npy")
    factors = aligned(fit_factors(evidence.interactions, known.shape[1], run.settings.seed), known)
    features = side_by_side(vectors, factors)
    starts = _starts(facts["transfer"]["used"])
    seconds = run.share("final_teacher")
    sequences, _ = readable(split.train, split.unordered)
    gentle = for_density(recipe.sequence, sequences).model_copy(
        update={"learning_rate": recipe.sequence.learning_rate * recipe.sequence.refit_rate}
    )
    fitted = []
    for start in starts:
        model = _sequence_model(run, gentle, features, facts["length"], facts["id_rate"])
        model.load(run.folder / "teacher/holdout" / _weights(start))
        each = seconds and seconds / len(starts)
        epochs = math.ceil(gentle.refit_epochs * facts["epochs"][start])
        trained = _train_sequence(run, gentle, split, model, HELD_OUT, each, epochs, report)
        fitted.append((model, trained))
    sequence = SequenceScorer(*(model for model, _ in fitted))
    _save(folder, vectors, factors, sequence, sequences, models, recipe.neighbours, counts)
    made = [trained.epochs for _, trained in fitted]
    return {
        "epochs": made,
        "summary": f"the same on every interaction, {' and '.join(map(str, made))} further epochs",
    }
