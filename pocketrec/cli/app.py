"""The commands, in the order in which they are used. Nothing here loads more than typer: `--help` must be instant."""

from typing import Annotated

import typer

from pocketrec import __version__
from pocketrec.cli import build, datasets, demo, evaluate, launch, serve, sources

app = typer.Typer(
    help="Train once with a language model across domains; ship a few megabytes; recommend offline.",
    epilog="Exit codes: 0 done, 1 the work failed, 2 the call was wrong. POCKETREC_DEBUG=1 shows tracebacks.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # importing rich would double the time of --help
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"pocketrec {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Options of every command."""


app.command()(demo.demo)
app.add_typer(datasets.app, name="data")
app.command()(build.build)
app.command()(sources.pretrain)
app.command()(sources.adapt)
app.command()(sources.pretrain_text)
app.command()(build.teach)
app.command()(build.distill)
app.command()(build.export)
app.command()(serve.recommend)
app.command()(serve.similar)
app.command()(serve.explain)
app.command()(serve.encode)
app.command("add-items")(serve.add_items)
app.command()(evaluate.evaluate)
app.command()(serve.verify)
app.command()(serve.inspect)
app.command()(launch.bench)
app.command("app")(launch.open_app)
