"""bench and app: the commands that open what stands outside the core."""

from pathlib import Path
from typing import Annotated

import typer

from pocketrec.cli.options import RunFolder


def bench(
    run: RunFolder,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where the report goes; RUN/benchmark unless told."),
    ] = None,
    readme: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A Markdown file whose benchmark table is renewed."),
    ] = None,
) -> None:
    """Measure accuracy, latency and memory of a run."""
    from pocketrec.run import Run

    settings = Run.open(run).settings

    from benchmarks.run import main

    main(Path(settings.data), run, out or run / "benchmark", readme=readme)


def open_app(
    bundle: Annotated[
        Path | None,
        typer.Argument(metavar="[BUNDLE]", help="A bundle; your own or the demo's unless told."),
    ] = None,
    database: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where your own history is kept.")
    ] = None,
) -> None:
    """Open the app on a bundle."""
    from device_app.main import main

    main(bundle, database)
