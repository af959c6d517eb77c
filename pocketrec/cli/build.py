"""build, teach, distill, export: data to bundle, all stages or one."""

from pathlib import Path
from typing import Annotated

import typer

from pocketrec.cli.options import Data, RunFolder, data_folder

Minutes = Annotated[
    float,
    typer.Option(
        min=0.1, metavar="N", help="Time budget for all stages; a finished stage costs nothing."
    ),
]


def build(
    data: Data,
    out: Annotated[Path, typer.Option(metavar="RUN", help="Folder of the run; made when absent.")],
    minutes: Minutes = 60,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything that is drawn.")] = 0,
    recipe: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Settings of the stages in TOML.")
    ] = None,
) -> None:
    """Teach, distill, export: data to bundle; resumes where it was.

    A finished stage is reused while its data and settings are the same.
    """
    from pocketrec import data as datasets
    from pocketrec.cli.output import print_ledger, say, size
    from pocketrec.cli.progress import RichReport
    from pocketrec.cli.stages import run_stages
    from pocketrec.ledger import Ledger
    from pocketrec.run import STAGES, Run

    folder = data_folder(data)
    notes = datasets.load(folder).notes  # a fault of the data is told before anything is written
    run = Run.open(out, folder, minutes=minutes, seed=seed, recipe=recipe)
    for note in notes:
        say(note)
    run_stages(run, STAGES, RichReport())
    print_ledger(Ledger.load(run.folder).rows)
    print(f"{run.folder / 'bundle'} ({size(run.folder / 'bundle')})")


def teach(run: RunFolder) -> None:
    """Train the teacher of a run that `build` began."""
    _one_stage(run, "teacher")


def distill(run: RunFolder) -> None:
    """Distill a run's teacher into the student."""
    _one_stage(run, "distill")


def export(run: RunFolder) -> None:
    """Convert a run's student, check it, write the bundle."""
    _one_stage(run, "export")


def _one_stage(folder: Path, name: str) -> None:
    from pocketrec.cli.progress import RichReport
    from pocketrec.cli.stages import run_stages
    from pocketrec.run import Run

    run_stages(Run.open(folder), [name], RichReport())
