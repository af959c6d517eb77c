"""The teacher stage: item vectors, models on them, their fusion, and the artefact that the student learns from."""

from collections.abc import Mapping
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
from pocketrec.splits import Cases, Split, everything, interaction_counts
from teacher.adapter import adapter_sha
from teacher.base import Base, open_base
from teacher.closed_forms import TEXT_MODEL, choose_closed_forms, refit_closed_forms
from teacher.content import Content
from teacher.evidence import Evidence
from teacher.factors import aligned, choose_factors, fit_factors
from teacher.fusion import fusion_cases, with_popularity
from teacher.learned_fusion import choose_fusion
from teacher.readings import (
    FROZEN,
    Fingerprints,
    Readings,
    load_readings,
    read_texts,
    reads_with_adapter,
)
from teacher.recipe import TeacherRecipe
from teacher.scorers import ItemItem, Popularity, Scorer
from teacher.sequence import SequenceScorer, readable
from teacher.starts import SCRATCH, choose_starts, go_on
from teacher.transfer import Verdict, guard
from training.sequences import PAD, windows

Vectors = npt.NDArray[np.float32]


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


def _choose(
    run: Run, recipe: TeacherRecipe, base: Base, folder: Path, report: Report
) -> dict[str, Any]:
    """Fit on the training part, choose everything on validation, read test once."""
    split, seed = run.split, run.settings.seed
    readings = load_readings(run, recipe)
    tuning = fusion_cases(split.validation, recipe.fusion_users, len(run.dataset.texts), seed)
    reading = _choose_reading(readings, tuning, seed)
    vectors = readings.vectors(reading.used)
    counts = interaction_counts(split.train, len(vectors))
    evidence = Evidence.of(split.train, split.unordered, vectors)
    closed = choose_closed_forms(run, recipe, evidence, tuning, counts, report)
    factors, low_rank = choose_factors(
        fit_factors(evidence.interactions, recipe.factors, seed),
        closed.text_model,
        closed.settings[TEXT_MODEL].decay,
        tuning,
        seed,
    )
    bases = readings.bases(reading.used)
    starts = choose_starts(
        run, recipe.sequence, base.sequence, vectors, factors, bases, tuning, report
    )
    beside = starts.beside or low_rank
    fusion = choose_fusion(starts.scorer, closed.text_model, counts, tuning, seed)
    teacher, popular = with_popularity(fusion.scorer, counts, tuning, seed)
    judged = [
        reading,
        closed.text,
        closed.blend,
        closed.lift,
        beside,
        starts.verdict,
        fusion.verdict,
        popular,
    ]
    verdicts = [v.describe() for v in judged if v.differences]
    if len(starts.id_rates) > 1:
        verdicts.append(f"IDs learn at rate {starts.id_rate:g}")
    popularity = Popularity(counts)
    ranked: dict[str, Scorer] = {
        "popularity": popularity,
        "best_peer": closed.models[closed.best_peer],
        "teacher": teacher,
    }
    with report.task("Ranking the test items", len(ranked)) as advance:
        ranks = {}
        for stage, scorer in ranked.items():
            ranks[stage] = rank_targets(scorer.scores, split.test)
            advance(len(ranks))
    np.savez_compressed(folder / "ranks.npz", **ranks)  # type: ignore[arg-type]
    _save(folder, split, vectors, starts.factors, starts.scorer, closed.models, recipe, counts)
    starts.save(folder)
    ndcg = {stage: float(metrics.ndcg_at(rank, 10).mean()) for stage, rank in ranks.items()}
    peer = closed.settings[closed.best_peer].describe()
    return {
        "names": {"popularity": popularity.name, "best_peer": peer, "teacher": teacher.name},
        "described": "; ".join([run.facts("teacher/vectors")["backbone"], *verdicts]),
        **closed.facts(),
        **starts.facts(),
        "reading": reading.as_dict(),
        "source_domains": base.domains
        if reads_with_adapter(reading.used) or starts.verdict.used != SCRATCH
        else [],
        "factors": {**beside.as_dict(), "width": starts.factors.shape[1]},
        "fusion": fusion.verdict.as_dict(),
        "popularity": popular.as_dict(),
        "sequence_weight": fusion.weight,
        "validation_ndcg@10": popular.ndcg[popular.used],
        "summary": "; ".join(
            [
                f"NDCG@10 {ndcg['teacher']:.4f}",
                f"best peer {ndcg['best_peer']:.4f}, {peer}",
                *verdicts,
            ]
        ),
    }


def _refit(
    run: Run,
    recipe: TeacherRecipe,
    facts: dict[str, Any],
    folder: Path,
    report: Report,
) -> dict[str, Any]:
    """The chosen settings fitted on every interaction, for the bundle that ships; sequence models go on."""
    split, known = everything(run.dataset), np.load(run.folder / "teacher/holdout/factors.npy")
    vectors = load_readings(run, recipe).vectors(facts["reading"]["used"])
    counts = interaction_counts(split.train, len(vectors))
    evidence = Evidence.of(split.train, split.unordered, vectors)
    models = refit_closed_forms(facts, evidence, counts, report)
    factors = aligned(fit_factors(evidence.interactions, known.shape[1], run.settings.seed), known)
    features = side_by_side(vectors, factors)
    sequence, made = go_on(run, recipe.sequence, facts, features, split, report)
    _save(folder, split, vectors, factors, sequence, models, recipe, counts)
    return {
        "epochs": made,
        "summary": f"the same on every interaction, {' and '.join(map(str, made))} further epochs",
    }


def _save(
    folder: Path,
    split: Split,
    vectors: Vectors,
    factors: Vectors,
    sequence: SequenceScorer,
    models: Mapping[str, ItemItem],
    recipe: TeacherRecipe,
    counts: npt.NDArray[np.float32],
) -> None:
    """Write what the student learns from."""
    sequences, _ = readable(split.train, split.unordered)
    cut = windows(sequences, sequence.length)
    states = []
    for start in range(0, len(cut), 256):
        batch = torch.from_numpy(cut[start : start + 256])
        states.append(sequence.states(batch[:, :-1])[batch != PAD].numpy().astype(np.float16))
    entries = max(recipe.neighbours * len(vectors), recipe.table_entries)
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
