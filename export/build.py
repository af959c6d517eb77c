"""A bundle from a student: graphs that passed the gate, item table, catalogue, card and manifest."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from distill.checkpoint import Student
from export.graphs import (
    MINIMUM_RUNTIME,
    SEQUENCE,
    TEXT,
    export_fp32,
    quantize_int8,
    quantize_text_int4,
)
from export.parity import (
    FP32_TOLERANCE,
    LEAST_COSINE,
    Parity,
    check_graph,
    compare,
    text_cosine,
)
from export.recipe import ExportRecipe
from export.scorer import write_scorer
from pocketrec.bundle import LAYOUT, seal
from pocketrec.catalogue import Catalogue, Item
from pocketrec.columns import CATEGORIES, CREATOR, DESCRIPTION, ITEM_ID, TITLE, YEAR
from pocketrec.data import Dataset
from pocketrec.encoders import SequenceEncoder
from pocketrec.engine import OnnxEngine
from pocketrec.errors import UsageError
from pocketrec.item_table import ItemTable, table_ranker
from pocketrec.item_vectors import FloatVectors
from pocketrec.manifest import DataRecord, Manifest
from pocketrec.neighbour_table import NeighbourIndex
from pocketrec.ranker import Ranker
from pocketrec.splits import Cases

LARGEST_FULL_PRECISION = 1_000_000
"""Bytes of a sequence encoder in full precision that is still shipped beside the int8 one."""
DEFAULT = ExportRecipe()
BUILT_WITH = ("pocketrec", "torch", "transformers", "onnx", "onnxruntime", "optimum", "numpy")


@dataclass(frozen=True)
class Teacher:
    """Who taught: one line of words, and the domains it knew before it saw this one."""

    described: str
    source_domains: tuple[str, ...] = ()


@dataclass(frozen=True)
class Exported:
    """The graphs of a student and how they stood at the gate.

    Attributes:
        folder: where the graphs that ship stand.
        full: where the graphs in full precision stand.
        fp32: the ranker on the full-precision graph and item table.
        int8: the ranker on what ships.
        parity: of ``int8`` against ``fp32``.
        text_cosine: of the int8 text graph to the student's, on average over texts of the catalogue.
        precision: graph file -> "int8", or "fp32" where int8 missed the gate.
        differences: largest difference of each graph to the PyTorch module.
    """

    folder: Path
    full: Path
    fp32: Ranker
    int8: Ranker
    parity: Parity
    text_cosine: float
    precision: dict[str, str]
    differences: dict[str, float]


def export_student(
    student: Student,
    cases: Cases,
    texts: Sequence[str],
    scratch: Path,
    recipe: ExportRecipe = DEFAULT,
) -> Exported:
    """Export, quantize and compare; the graphs that ship are left in ``scratch/graphs``.

    Args:
        cases: whose rankings in int8 are held against those in full precision.
        texts: whose vectors are.

    Raises:
        RunError: a full-precision graph is not what the student computes.
    """
    full, shipped = scratch / "fp32", scratch / "graphs"
    full.mkdir()
    shipped.mkdir()
    export_fp32(student, full)
    differences = {
        f"{graph.file} fp32": check_graph(student, full / graph.file, graph, FP32_TOLERANCE)
        for graph in (TEXT, SEQUENCE)
    }
    quantize_int8(full, shipped, SEQUENCE, recipe.target)
    precision = {SEQUENCE.file: "int8"}
    precision[TEXT.file], cosine = _small_text(student, texts, full, shipped, recipe)
    for graph in (TEXT, SEQUENCE):
        found = check_graph(student, shipped / graph.file, graph, None)
        differences[f"{graph.file} {precision[graph.file]}"] = found
    write_scorer(shipped / LAYOUT.scorer)
    fp32 = Ranker(
        FloatVectors(student.vectors),
        SequenceEncoder(OnnxEngine(full / SEQUENCE.file)),
        [NeighbourIndex.of(student.table)],
        student.popularity,
        student.settings,
    )
    items = item_table(student)
    # Over the same items: what int8 does to these is not the encoder's fault, and no other encoder would undo it.
    whole, small = (_small_ranker(student, items, graphs, shipped) for graphs in (full, shipped))
    if compare(whole, small, cases).passed:
        int8 = small
    else:
        # The encoder is small in either precision: what misses the gate is not shipped.
        shutil.copyfile(full / SEQUENCE.file, shipped / SEQUENCE.file)
        precision[SEQUENCE.file], int8 = "fp32", whole
    parity = compare(fp32, int8, cases)
    return Exported(shipped, full, fp32, int8, parity, cosine, precision, differences)


def _small_text(
    student: Student, texts: Sequence[str], full: Path, shipped: Path, recipe: ExportRecipe
) -> tuple[str, float]:
    """Leave the smallest text graph that passes the gate in ``shipped``; its precision and its cosine."""
    if recipe.embedding_bits == 4 and student.recipe.dimensions % 2 == 0:
        quantize_text_int4(student, shipped, recipe.target)
        if (cosine := text_cosine(student, shipped / TEXT.file, texts)) >= LEAST_COSINE:
            return "int4", cosine
    quantize_int8(full, shipped, TEXT, recipe.target)
    if (cosine := text_cosine(student, shipped / TEXT.file, texts)) >= LEAST_COSINE:
        return "int8", cosine
    shutil.copyfile(full / TEXT.file, shipped / TEXT.file)
    return "fp32", cosine


def _small_ranker(student: Student, items: ItemTable, graphs: Path, shipped: Path) -> Ranker:
    """With the sequence encoder of ``graphs``, and the scorer that ships."""
    encoder, scorer = OnnxEngine(graphs / SEQUENCE.file), OnnxEngine(shipped / LAYOUT.scorer)
    return table_ranker(items, encoder, scorer, student.settings)


def item_table(student: Student) -> ItemTable:
    return ItemTable.quantized(student.vectors, student.table, student.popularity)


def write_bundle(
    folder: Path,
    exported: Exported,
    student: Student,
    dataset: Dataset,
    teacher: Teacher,
    trained_on: str,
    ledger: list[dict[str, Any]],
) -> None:
    """Fill ``folder`` with a sealed bundle."""
    for name in (LAYOUT.text_encoder, LAYOUT.sequence_encoder, LAYOUT.scorer):
        shutil.copyfile(exported.folder / name, folder / name)
    full = exported.full / LAYOUT.sequence_encoder
    # Beside a graph that missed the gate in int8 it would be the same file twice.
    if (
        exported.precision[SEQUENCE.file] == "int8"
        and full.stat().st_size <= LARGEST_FULL_PRECISION
    ):
        shutil.copyfile(full, folder / LAYOUT.full_precision)
    shutil.copyfile(student.tokenizer, folder / LAYOUT.tokenizer)
    item_table(student).write(folder / LAYOUT.items)
    Catalogue.write(folder / LAYOUT.catalogue, catalogue_items(dataset))
    manifest = Manifest(
        name=dataset.name,
        created=_today().isoformat(),
        source_domains=teacher.source_domains,
        teacher=teacher.described,
        trained_on=trained_on,
        data=DataRecord(dataset.name, dataset.fingerprint),
        ranker=student.settings,
        ledger=tuple(ledger),
        versions={name: version(name) for name in BUILT_WITH},
        minimum_runtime=MINIMUM_RUNTIME,
    )
    (folder / LAYOUT.model_card).write_text(_model_card(manifest, exported), encoding="utf-8")
    seal(folder, manifest)


def _today() -> date:
    """SOURCE_DATE_EPOCH where it is set, so that a build can be repeated byte for byte.

    Raises:
        UsageError: it is no number of seconds.
    """
    given = os.environ.get("SOURCE_DATE_EPOCH")
    try:
        return datetime.fromtimestamp(int(given), UTC).date() if given else date.today()
    except (ValueError, OverflowError, OSError) as error:
        raise UsageError(
            f"SOURCE_DATE_EPOCH: expected seconds since 1970, found {given!r}; correct or unset it"
        ) from error


def catalogue_items(dataset: Dataset) -> list[Item]:
    columns = dataset.items.select(ITEM_ID, TITLE, DESCRIPTION, CATEGORIES, CREATOR, YEAR)
    return [
        Item(item_id=i, title=t, description=d, categories=g, creator=c, year=y)
        for i, t, d, g, c, y in columns.iter_rows()
    ]


def _model_card(manifest: Manifest, exported: Exported) -> str:
    trained = {
        "all": "every interaction of the data; the figures are of its twin that was trained without the test items",
        "train": "the training part of the data, test items held out",
    }[manifest.trained_on]
    rows = "\n".join(
        f"| {row['stage']} | {row['name']} | {row['recall@10']:.4f} | {row['ndcg@10']:.4f} "
        f"| {row['ndcg@10_ci'][0]:.4f} to {row['ndcg@10_ci'][1]:.4f} |"
        for row in manifest.ledger
    )
    precision = ", ".join(f"{file} {kind}" for file, kind in exported.precision.items())
    change = exported.parity.ndcg_change
    return f"""# {manifest.name}

A PocketRec bundle: recommendations on the device, offline.

- Teacher: {manifest.teacher}.
- Other domains it learned from: {", ".join(manifest.source_domains) or "none"}.
- Trained on {trained}.
- Graphs: {precision}; item vectors and neighbour table int8.
- Parity: {exported.parity.top20_overlap:.1%} of the full-precision top 20 kept; NDCG@10 on validation changes by
  {change[0]:+.4f} ({change[1]:+.4f} to {change[2]:+.4f}); vectors of texts at cosine {exported.text_cosine:.4f}.
- Terms: those of the data it was trained on.

| stage | system | Recall@10 | NDCG@10 | 95 % interval |
|---|---|---|---|---|
{rows}

Full ranking over the catalogue, history left out, the same test users in every row.

What it does not know: items without text or interactions; tastes that no history shows. Popular items are favoured
where the history says little.
"""
