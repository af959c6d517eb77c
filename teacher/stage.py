"""The teacher stage: item vectors, models on them, their fusion, and the artefact that the student learns from."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from pydantic import ValidationError

from pocketrec import metrics
from pocketrec.artefact import TeacherArtefact
from pocketrec.errors import UsageError
from pocketrec.evaluation import rank_targets
from pocketrec.files import cache_folder
from pocketrec.ledger import Ledger
from pocketrec.run import Report, Run
from pocketrec.sequences import PAD, window_length, windows
from pocketrec.splits import Cases, Indices, Split, everything
from teacher.adapted import load_adapted
from teacher.adapter import adapter_sha
from teacher.backbone import load_backbone
from teacher.base import Base, BaseTeacher, open_base
from teacher.content import Content
from teacher.encode import encode_items
from teacher.evidence import Evidence
from teacher.fusion import Fused, choose_weight, validation_ndcg
from teacher.item_models import Chosen, Tuner, affordable_items, affordable_width, fit
from teacher.recipe import TeacherRecipe
from teacher.scorers import ItemItem, Popularity, interaction_counts
from teacher.sequence import SequenceModel, SequenceScorer, Trained, readable, train
from teacher.transfer import Verdict, guard
from teacher.whitening import Whitening, first_reading, fit_readings

Vectors = npt.NDArray[np.float32]

TEXT_MODEL = "EASE with text"
PEERS = ("ItemKNN", "EASE")
SCRATCH, TRANSFER, BOTH = "scratch", "transfer", "both starts"
FROZEN, ADAPTED = "frozen reading", "adapted reading"


def run(run: Run, report: Report) -> None:
    """Make ``RUN/teacher``: ``vectors``, ``holdout`` (measured) and ``final`` (fitted on everything).

    Raises:
        UsageError: the recipe has an unknown key or an impossible value.
        DataError: the data cannot be read or has no user to evaluate.
    """
    try:
        recipe = TeacherRecipe(**run.table("teacher"))
    except ValidationError as error:
        raise UsageError(f"recipe, table [teacher]: {_first(error)}") from error
    settings = recipe.model_dump(mode="json")
    # A wrong folder is told before the texts are read.
    base = open_base(recipe)
    encoding = {
        name: settings[name]
        for name in ("backbone", "layer", "max_tokens", "dimensions", "whitening")
    }
    if base.adapter:
        encoding["adapter"] = adapter_sha(base.adapter)
    vectors = run.artefact(
        "teacher/vectors",
        encoding,
        lambda folder: _encode(run, recipe, base.adapter, folder, report),
        report,
    )
    if base.sequence:
        base.sequence.check(vectors["backbone_fingerprint"], recipe.sequence)
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
        lambda folder: _refit(run, recipe, base, facts, folder, report),
        report,
    )


def _first(error: ValidationError) -> str:
    found = error.errors()[0]
    return f"{'.'.join(map(str, found['loc']))}: {found['msg']}, found {found['input']!r}"


def _encode(
    run: Run, recipe: TeacherRecipe, adapter: Path | None, folder: Path, report: Report
) -> dict[str, Any]:
    texts = run.dataset.texts
    backbone = (
        load_adapted(recipe.backbone, recipe.layer, adapter)
        if adapter
        else load_backbone(recipe.backbone, recipe.layer)
    )
    counts = interaction_counts(run.dataset.sequences, len(texts))
    with report.task(
        f"Reading {len(texts):,} item texts with {backbone.name}", len(texts)
    ) as advance:
        encoded = encode_items(
            texts,
            backbone,
            cache_folder() / "vectors.sqlite",
            run.share("encode"),
            recipe.max_tokens,
            np.argsort(-counts, kind="stable"),
            lambda done, total: advance(done),
        )
    whitening = fit_readings(
        encoded.vectors, backbone.readings, recipe.dimensions, recipe.whitening
    )
    whitening.save(folder / "whitening.safetensors")
    vectors = whitening.apply(encoded.vectors)
    np.save(folder / "vectors.npy", vectors)
    read = int(encoded.encoded.sum())
    rest = (
        ""
        if read == len(texts)
        else "; the others are guessed from their tokens: more minutes read more"
    )
    return {
        "backbone": backbone.name,
        "backbone_fingerprint": backbone.fingerprint,
        "readings": backbone.readings,
        "encoded": read,
        "sha": _hash(vectors),
        "summary": f"{read:,} of {len(texts):,} item texts read by {backbone.name}{' and an adapter' if adapter else ''}, "
        f"{vectors.shape[1]} dimensions{rest}",
    }


def _hash(array: Vectors) -> str:
    return hashlib.blake2b(np.ascontiguousarray(array).tobytes(), digest_size=16).hexdigest()


def _load_vectors(run: Run, recipe: TeacherRecipe, reading: str = ADAPTED) -> Vectors:
    """Item vectors float32 [N, d]; ``FROZEN`` leaves out what the adapter says."""
    vectors: Vectors = np.load(run.folder / "teacher/vectors/vectors.npy")
    return vectors if reading == ADAPTED else first_reading(vectors, recipe.dimensions)


def _choose_reading(run: Run, recipe: TeacherRecipe, cases: Cases) -> Verdict:
    """Whether the adapter helps to tell which texts people choose together, before anything else is learned."""
    whole = _load_vectors(run, recipe)
    ways = {FROZEN: Content(_load_vectors(run, recipe, FROZEN)).scores}
    if whole.shape[1] > recipe.dimensions:
        ways[ADAPTED] = Content(whole).scores
    return guard(ways, FROZEN, cases, run.settings.seed)


def _train_sequence(
    run: Run,
    recipe: TeacherRecipe,
    split: Split,
    vectors: Vectors,
    length: int,
    base: BaseTeacher | None,
    seconds: float | None,
    epochs: int | None,
    report: Report,
) -> tuple[SequenceModel, Trained]:
    """A sequence model on the training part of ``split``, from the weights of ``base`` or from random ones."""
    torch.manual_seed(run.settings.seed)  # of the first weights; train() seeds its own draws
    model = SequenceModel(vectors, length, recipe.sequence)
    if base:
        whitening = Whitening.load(run.folder / "teacher/vectors/whitening.safetensors")
        base.start(model, whitening.basis[:, : vectors.shape[1]])
    sequences, as_sets = readable(split.train, split.unordered)
    title = f"Training the sequence model from {'the base teacher' if base else 'scratch'}"
    with report.task(title, 1.0) as advance:
        trained = train(
            model,
            sequences,
            split.validation,
            recipe.sequence,
            run.settings.seed,
            seconds,
            epochs,
            shuffle=as_sets,
            progress=advance,
        )
    return model, trained


def _choose(
    run: Run, recipe: TeacherRecipe, base: Base, folder: Path, report: Report
) -> dict[str, Any]:
    """Fit on the training part, choose everything on validation, read test once."""
    split, seed = run.split, run.settings.seed
    tuning = split.validation.sample(recipe.fusion_users, seed)
    reading = _choose_reading(run, recipe, tuning)
    vectors = _load_vectors(run, recipe, reading.used)
    items = len(vectors)
    evidence = Evidence.of(split.train, split.unordered, vectors)
    chosen = _choose_item_models(run, recipe, evidence, report)
    # Here and in the final teacher; a directed closed form costs three.
    fits = 2 * (len(chosen) + (2 if chosen[TEXT_MODEL].settings["order"] else 0))
    seconds = run.share("closed_forms")
    limit = affordable_items(seconds, fits, min(items, recipe.exact_items))
    width = None
    if limit < items:
        width = affordable_width(chosen[TEXT_MODEL], evidence, seconds, 4, recipe.local_width)
    form = f"exact on {limit:,}" if width is None else f"local, {width} entries each, on {items:,}"
    with report.task(f"Fitting item-item models, {form} items", len(chosen)) as advance:
        models = {}
        for kind, settings in chosen.items():
            models[kind] = fit(settings, evidence, limit, kind == TEXT_MODEL, width)
            advance(len(models))
    # On every validation user: the tuning sample is too small to tell two close peers apart.
    peer = chosen[max(PEERS, key=lambda kind: validation_ndcg(models[kind], split.validation))]

    sequences, _ = readable(split.train, split.unordered)
    length = window_length(sequences, recipe.sequence.longest)
    starts = {SCRATCH: None, **({TRANSFER: base.sequence} if base.sequence else {})}
    seconds = run.share("teacher")
    each = seconds and seconds / len(starts)
    fitted = {
        name: _train_sequence(run, recipe, split, vectors, length, start, each, None, report)
        for name, start in starts.items()
    }
    scorers = {name: SequenceScorer(model) for name, (model, _) in fitted.items()}
    if len(fitted) > 1:
        scorers[BOTH] = SequenceScorer(*(model for model, _ in fitted.values()))
    verdict = guard({n: scorer.logits for n, scorer in scorers.items()}, SCRATCH, tuning, seed)
    sequence = scorers[verdict.used]
    weight, validation = choose_weight(sequence, models[TEXT_MODEL], tuning)
    fused = Fused(sequence, models[TEXT_MODEL], weight)
    popularity = Popularity(interaction_counts(split.train, items))
    with report.task("Ranking the test items", 3) as advance:
        ranks = {}
        for stage, scorer in (
            ("popularity", popularity),
            ("best_peer", models[peer.kind]),
            ("teacher", fused),
        ):
            ranks[stage] = rank_targets(scorer.scores, split.test)
            advance(len(ranks))
    np.savez_compressed(folder / "ranks.npz", **ranks)  # type: ignore[arg-type]
    _save(
        folder, vectors, sequence, sequences, models[TEXT_MODEL], models["EASE"], recipe.neighbours
    )
    ndcg = {stage: float(metrics.ndcg_at(rank, 10).mean()) for stage, rank in ranks.items()}
    return {
        "names": {
            "popularity": popularity.name,
            "best_peer": peer.describe(),
            "teacher": fused.name,
        },
        "described": "; ".join(
            [run.facts("teacher/vectors")["backbone"], *_verdicts(reading, verdict)]
        ),
        "item_models": {kind: asdict(settings) for kind, settings in chosen.items()},
        "exact_items": limit,
        "local_width": width,
        "length": length,
        "epochs": {name: trained.epochs for name, (_, trained) in fitted.items()},
        "reading": reading.as_dict(),
        "transfer": verdict.as_dict(),
        "source_domains": base.domains
        if reading.used == ADAPTED or verdict.used != SCRATCH
        else [],
        "sequence_weight": weight,
        "validation_ndcg@10": validation,
        "summary": f"NDCG@10 {ndcg['teacher']:.4f}; best peer {ndcg['best_peer']:.4f}, {peer.describe()}"
        + "".join(f"; {said}" for said in _verdicts(reading, verdict)),
    }


def _verdicts(*verdicts: Verdict) -> list[str]:
    return [verdict.describe() for verdict in verdicts if verdict.differences]


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
            chosen[kind] = tuner.choose(kind, grid, recipe.decays)
            advance(len(chosen))
    return chosen


def _save(
    folder: Path,
    vectors: Vectors,
    sequence: SequenceScorer,
    sequences: list[Indices],
    text_model: ItemItem,
    peer_model: ItemItem,
    neighbours: int,
) -> None:
    cut = windows(sequences, sequence.length)
    states = []
    for start in range(0, len(cut), 256):
        batch = torch.from_numpy(cut[start : start + 256])
        states.append(sequence.states(batch[:, :-1])[batch != PAD].numpy().astype(np.float16))
    entries = neighbours * len(vectors)
    table, peer_table = text_model.table(entries), peer_model.table(entries)
    TeacherArtefact(
        vectors,
        sequence.items.numpy(),
        cut.astype(np.int32),
        np.concatenate(states),
        table.sources,
        table.targets,
        table.weights,
        peer_table.sources,
        peer_table.targets,
        peer_table.weights,
    ).save(folder)


def _refit(
    run: Run,
    recipe: TeacherRecipe,
    base: Base,
    facts: dict[str, Any],
    folder: Path,
    report: Report,
) -> dict[str, Any]:
    """The chosen settings fitted on every interaction, for the bundle that ships."""
    split = everything(run.dataset)
    vectors = _load_vectors(run, recipe, facts["reading"]["used"])
    evidence = Evidence.of(split.train, split.unordered, vectors)
    models = {}
    with report.task("Fitting item-item models on every interaction", 2) as advance:
        for kind in (TEXT_MODEL, "EASE"):
            settings = Chosen(**facts["item_models"][kind])
            models[kind] = fit(
                settings,
                evidence,
                facts["exact_items"],
                kind == TEXT_MODEL,
                facts["local_width"],
            )
            advance(len(models))
    used = facts["transfer"]["used"]
    starts = [SCRATCH, TRANSFER] if used == BOTH else [used]
    seconds = run.share("final_teacher")
    fitted = [
        _train_sequence(
            run,
            recipe,
            split,
            vectors,
            facts["length"],
            base.sequence if start == TRANSFER else None,
            seconds and seconds / len(starts),
            facts["epochs"][start],
            report,
        )
        for start in starts
    ]
    sequences, _ = readable(split.train, split.unordered)
    _save(
        folder,
        vectors,
        SequenceScorer(*(model for model, _ in fitted)),
        sequences,
        models[TEXT_MODEL],
        models["EASE"],
        recipe.neighbours,
    )
    epochs = [trained.epochs for _, trained in fitted]
    return {
        "epochs": epochs,
        "summary": f"the same on every interaction, {' and '.join(map(str, epochs))} epochs",
    }
