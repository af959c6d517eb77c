"""The distill stage: the student, and the same student without a teacher, trained on what the teacher left."""

import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from distill.base_text import BaseText, open_base_text
from distill.checkpoint import Student
from distill.fusion import StudentRanker, choose_cold_support, choose_table
from distill.recipe import StudentRecipe
from distill.student import ItemTable, SequenceEncoder, TextEncoder
from distill.text import tfidf_vectors, tokenize, train_text_encoder, train_tokenizer
from distill.train import Teacher, Trained, train_sequence_encoder
from pocketrec import metrics
from pocketrec.artefact import TeacherArtefact
from pocketrec.errors import RunError
from pocketrec.evaluation import rank_targets
from pocketrec.ledger import Ledger
from pocketrec.run import Report, Run
from pocketrec.splits import Cases, Indices, interaction_counts
from pocketrec.tokenizer import Tokenizer
from training.dropout import dropout_share

Vectors = npt.NDArray[np.float32]

COLD_USERS, COLD_SCORES = 4000, 40_000_000
"""Most validation users, and most scores for each choice, on whom the support of new items is chosen: it costs the others
about a hundredth, which a few users would not tell from chance."""
TEXTS = 4096
"""Texts that are encoded at once."""
TOKENIZER = "tokenizer.json"
NEAR_TEACHER, ANEW = "from the teacher's item space", "anew"


def run(run: Run, report: Report) -> None:
    """Make ``RUN/student``: ``control`` (no teacher), ``holdout`` (measured) and ``final`` (from the final teacher).

    Raises:
        UsageError: the recipe has an unknown key or an impossible value, or names no base text encoder.
        RunError: the teacher's artefact is missing or damaged.
    """
    recipe = student_recipe(run)
    base = open_base_text(recipe)
    inputs = {
        "recipe": recipe.model_dump(),
        "text_base": base.sha if base else None,
        "teacher": run.facts("teacher/holdout")["fingerprint"],
    }
    holdout = run.artefact(
        "student/holdout", inputs, lambda f: _distill(run, recipe, base, f, report), report
    )
    run.artefact("student/control", inputs, lambda f: _control(run, recipe, f, report), report)
    ledger = Ledger.load(run.folder)
    for stage, name in (("student_no_kd", "control"), ("student_fp32", "holdout")):
        with np.load(run.folder / "student" / name / "ranks.npz") as ranks:
            ledger.add(stage, ranks["test"], run.facts(f"student/{name}")["name"])
    ledger.save(run.folder)
    final = {
        "recipe": recipe.model_dump(),
        "teacher": run.facts("teacher/final")["fingerprint"],
        "chosen": holdout,
    }
    run.artefact("student/final", final, lambda f: _refit(run, recipe, f, report), report)


def student_recipe(run: Run) -> StudentRecipe:
    """The run's settings of the student, for data of that density, with the teacher's ID rate where they give none."""
    recipe = run.recipe("student", StudentRecipe)
    found = recipe.id_rate or run.facts("teacher/holdout")["id_rate"]
    share = dropout_share(run.split.train)
    return recipe.for_share(share).model_copy(update={"id_rate": found})


def _distill(
    run: Run, recipe: StudentRecipe, base: BaseText | None, folder: Path, report: Report
) -> dict[str, Any]:
    """The student of the held-out teacher; everything is chosen on validation, test is read once."""
    artefact = TeacherArtefact.load(run.folder / "teacher/holdout")
    split, seed = run.split, run.settings.seed
    popularity = interaction_counts(split.train, len(artefact.item_vectors))
    seconds = run.share("student")
    (items, encoder, trained), begun = _train_from_the_better(
        run, recipe, artefact, popularity, seconds, report
    )
    vectors = _vectors(items)
    length = artefact.windows.shape[1]
    table, settings = choose_table(
        vectors,
        encoder,
        artefact.table,
        popularity,
        length,
        split.validation,
        recipe,
        seed,
    )
    pieces = base.pieces_for(run.dataset.texts) if base else ()
    train_tokenizer(run.dataset.texts, recipe.vocabulary, folder / TOKENIZER, pieces)
    text, from_text, cosine = _distill_text(run, recipe, items, folder, "text", base, report)
    support = choose_cold_support(
        vectors,
        from_text,
        encoder,
        table,
        popularity,
        settings,
        split.validation.sample(min(COLD_USERS, COLD_SCORES // len(vectors)), seed),
        seed,
    )
    settings = replace(settings, cold_support=support)
    Student(
        recipe,
        text,
        encoder,
        items.learned(),
        vectors,
        table,
        popularity,
        settings,
        folder / TOKENIZER,
    ).save(folder)
    scorer = StudentRanker.of(vectors, encoder, table, popularity, settings)
    ndcg = _rank_test(scorer, split.test, folder, report)
    return {
        "name": f"student, {recipe.dimensions} dimensions, {recipe.layers} layers",
        "begun": begun,
        "epochs": trained.epochs,
        "seconds": round(trained.seconds, 1),
        "share": seconds,
        "settings": asdict(settings),
        "table_entries": len(table),
        "text_cosine": cosine,
        "summary": f"NDCG@10 {ndcg:.4f} after {trained.epochs} epochs {begun}; unseen texts land at cosine {cosine:.2f}",
    }


def _control(run: Run, recipe: StudentRecipe, folder: Path, report: Report) -> dict[str, Any]:
    """The same student with nothing of the teacher: its own text statistics, cross-entropy, EASE without text.

    It may train for as long as the student might, late or not: else the two could not be compared.
    """
    artefact = TeacherArtefact.load(run.folder / "teacher/holdout")
    split, seed = run.split, run.settings.seed
    if artefact.peer_table is None:
        held = run.folder / "teacher/holdout"
        raise RunError(f"{held}: expected the table of EASE, found none; remove {held}")
    tokenizer = Tokenizer.load(run.folder / "student/holdout" / TOKENIZER)
    tokens = tokenize(tokenizer, run.dataset.texts, recipe.tokens)
    features = tfidf_vectors(tokens, len(tokenizer), artefact.item_vectors.shape[1], seed)
    popularity = interaction_counts(split.train, len(features))
    seconds = run.facts("student/holdout")["share"]
    items, encoder, trained = _train(
        run, recipe, artefact, features, popularity, None, seconds, None, report
    )
    vectors = _vectors(items)
    table, settings = choose_table(
        vectors,
        encoder,
        artefact.peer_table,
        popularity,
        artefact.windows.shape[1],
        split.validation,
        recipe,
        seed,
    )
    scorer = StudentRanker.of(vectors, encoder, table, popularity, settings)
    ndcg = _rank_test(scorer, split.test, folder, report)
    return {
        "name": "the same student without a teacher",
        "epochs": trained.epochs,
        "settings": asdict(settings),
        "summary": f"without a teacher NDCG@10 {ndcg:.4f} after {trained.epochs} epochs",
    }


def _refit(run: Run, recipe: StudentRecipe, folder: Path, report: Report) -> dict[str, Any]:
    """The student of the final teacher, from the held-out one and with the settings that it chose.

    Like that teacher it goes on from what was measured, but for as many epochs again: what came last teaches it most.
    """
    artefact = TeacherArtefact.load(run.folder / "teacher/final")
    before = Student.load(run.folder / "student/holdout")
    shutil.copyfile(before.tokenizer, folder / TOKENIZER)
    popularity = interaction_counts(run.dataset.sequences, len(artefact.item_vectors))
    items, encoder, trained = _train(
        run,
        recipe,
        artefact,
        artefact.features,
        popularity,
        Teacher(artefact),
        run.share("final_student"),
        run.facts("student/holdout")["epochs"],
        report,
        before,
    )
    text, *_ = _distill_text(run, recipe, items, folder, "final_text", before.text, report)
    Student(
        recipe,
        text,
        encoder,
        items.learned(),
        _vectors(items),
        artefact.table.pruned(len(before.table), popularity),
        popularity,
        before.settings,
        folder / TOKENIZER,
    ).save(folder)
    return {
        "epochs": trained.epochs,
        "summary": f"the same from the final teacher, {trained.epochs} further epochs",
    }


def _train_from_the_better(
    run: Run,
    recipe: StudentRecipe,
    artefact: TeacherArtefact,
    popularity: Vectors,
    seconds: float | None,
    report: Report,
) -> tuple[tuple[ItemTable, SequenceEncoder, Trained], str]:
    """Train from the teacher's item space and, where that leaves as much time again, anew; the better, and which it is.

    On amazon-sports validation ended the first after one epoch, behind what began anew (docs/transfer.md).
    """
    given = artefact.features, popularity, Teacher(artefact)
    near = _train(run, recipe, artefact, *given, seconds, None, report)
    left = None if seconds is None else seconds - near[-1].seconds
    if left is not None and left < near[-1].seconds:
        return near, NEAR_TEACHER
    anew = _train(run, recipe, artefact, *given, left, None, report, anew=True)
    return (anew, ANEW) if anew[-1].validation > near[-1].validation else (near, NEAR_TEACHER)


def _train(
    run: Run,
    recipe: StudentRecipe,
    artefact: TeacherArtefact,
    features: Vectors,
    popularity: Vectors,
    teacher: Teacher | None,
    seconds: float | None,
    epochs: int | None,
    report: Report,
    start: Student | None = None,
    anew: bool = False,
) -> tuple[ItemTable, SequenceEncoder, Trained]:
    """Train item table and sequence encoder for at most ``seconds``; ``epochs`` fixes their number.

    Args:
        start: whose weights training begins with; else items begin where the teacher has them, if there is one.
        anew: whether they begin anywhere all the same.
    """
    torch.manual_seed(run.settings.seed)
    items = ItemTable(features, popularity > 0, recipe)
    encoder = SequenceEncoder(artefact.windows.shape[1], recipe)
    if start:
        items.load_state_dict(start.space, strict=False)
        encoder.load_state_dict(start.sequence.state_dict())
    elif teacher and not anew:
        items.start_from(teacher.items, torch.from_numpy(popularity))
    what = "the sequence encoder" if teacher else "the same student without a teacher"
    what += ", anew" if anew else ""
    with report.task(f"Training {what}", 1.0) as advance:
        trained = train_sequence_encoder(
            items,
            encoder,
            artefact.windows,
            teacher,
            run.split.validation,
            recipe,
            run.settings.seed,
            seconds,
            epochs,
            advance,
        )
    return items, encoder, trained


def _distill_text(
    run: Run,
    recipe: StudentRecipe,
    items: ItemTable,
    folder: Path,
    step: str,
    start: TextEncoder | BaseText | None,
    report: Report,
) -> tuple[TextEncoder, Vectors, float]:
    """A text encoder for the item space, from ``start`` or anew, its vectors of the items, and its cosine on held-out ones."""
    tokenizer = Tokenizer.load(folder / TOKENIZER)
    tokens = tokenize(tokenizer, run.dataset.texts, recipe.tokens)
    torch.manual_seed(run.settings.seed)
    with torch.no_grad():
        target = items.from_features()
    if isinstance(start, BaseText):
        text = start.encoder(tokenizer, tokens, target)
    else:
        text = start or TextEncoder(len(tokenizer), recipe.dimensions)
    with report.task("Distilling the text encoder", 1.0) as advance:
        cosine = train_text_encoder(
            text, tokens, target.numpy(), recipe, run.settings.seed, run.share(step), advance
        )
    with torch.no_grad():
        batches = torch.from_numpy(tokens).split(TEXTS)
        found = np.concatenate([text(batch).numpy() for batch in batches])
    return text, found, cosine


def _vectors(items: ItemTable) -> Vectors:
    with torch.no_grad():
        return items.eval()().numpy()


def _rank_test(scorer: StudentRanker, cases: Cases, folder: Path, report: Report) -> float:
    """Rank the test targets as the device would, keep the ranks, and return NDCG@10."""
    with report.task("Ranking the test items", len(cases)) as advance:
        done = 0

        def score(histories: list[Indices]) -> Vectors:
            nonlocal done
            done += len(histories)
            advance(done)
            return scorer.scores(histories)

        ranks = rank_targets(score, cases)
    np.savez_compressed(folder / "ranks.npz", test=ranks)
    return float(metrics.ndcg_at(ranks, 10).mean())
