"""Builds without a part of the data, which their bundle is then asked for."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from pocketrec import metrics
from pocketrec.cli.progress import RichReport
from pocketrec.cli.stages import run_stages
from pocketrec.data import Dataset, tables
from pocketrec.files import atomic_folder
from pocketrec.recommender import Recommender
from pocketrec.run import STAGES, Run
from pocketrec.splits import Cases

RESULTS = Path(__file__).parent / "results"


def build_without(data: Path, out: Path, left_out: pl.DataFrame, minutes: float, seed: int) -> Run:
    """A finished run ``out`` on a copy of ``data`` without what has the ids in ``left_out``.

    Args:
        left_out: items by ``item_id``, with all that was done with them, or interactions by ``user_id`` and ``item_id``.

    Raises:
        DataError: the data cannot be read.
        RunError: a stage of the build could not do its work.
    """
    known = out / data.resolve().name
    if not known.is_dir():
        write_without(data, known, left_out)
    run = Run.open(out, known, minutes=minutes, seed=seed)
    run_stages(run, STAGES, RichReport())
    return run


def write_without(data: Path, out: Path, left_out: pl.DataFrame) -> None:
    """The data folder ``out``: that of `build_without`."""
    items, interactions, _ = tables(data)
    with atomic_folder(out) as folder:
        for stem, frame in (("items", items), ("interactions", interactions)):
            if set(left_out.columns) <= set(frame.columns):
                frame = frame.join(left_out, on=left_out.columns, how="anti", maintain_order="left")
            frame.write_parquet(folder / f"{stem}.parquet")


def ranks(recommender: Recommender, dataset: Dataset, cases: Cases) -> npt.NDArray[np.float64]:
    """The place of each target among all items of ``recommender`` but the history; float64 [C]."""
    external, found = dataset.ids.ids, []
    for history, target in zip(cases.histories, cases.targets, strict=True):
        ids = [external[item] for item in history]
        at = recommender.ids.indices([external[target]])
        known = recommender.ids.indices(ids)
        found.append(metrics.ranks(recommender.scores(ids)[None], at, [known])[0])
    return np.array(found)


def ask(name: str, description: str, arguments: Sequence[str] | None) -> argparse.Namespace:
    """What the command line of ``python -m benchmarks.NAME`` says."""
    parser = argparse.ArgumentParser(f"python -m benchmarks.{name}", description=description)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="a data folder")
    parser.add_argument("--out", type=Path, required=True, metavar="RUN", help="folder of the run")
    parser.add_argument("--minutes", type=float, default=60.0, help="of the build")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path, default=RESULTS, help=f"folder of {name}-NAME.json")
    asked = parser.parse_args(arguments)
    if not asked.minutes > 0:
        parser.error(f"--minutes: expected more than 0, found {asked.minutes:g}")
    return asked
