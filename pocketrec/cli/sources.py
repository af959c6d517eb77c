"""pretrain, adapt, pretrain-text: what teacher and student can learn from other domains before they see their own."""

from pathlib import Path
from typing import Annotated

import typer

from pocketrec.cli.options import data_folder

Sources = Annotated[
    list[str], typer.Argument(metavar="DIR...", help="Data folders, one a source domain.")
]
Seed = Annotated[int, typer.Option(min=0, help="Seed of everything that is drawn.")]


def pretrain(
    sources: Sources,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where the base teacher goes.")],
    minutes: Annotated[
        float,
        typer.Option(
            min=0.1, metavar="N", help="Time: at most half to read texts, the rest to train."
        ),
    ] = 120,
    seed: Seed = 0,
    backbone: Annotated[
        str, typer.Option(metavar="MODEL", help="The language model, as in a recipe.")
    ] = "smollm2",
    sentence_encoder: Annotated[
        str, typer.Option(metavar="MODEL", help="Read beside it, as in a recipe.")
    ] = "minilm",
    steps: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Most training steps.")
    ] = None,
) -> None:
    """Train the sequence model of a base teacher on many domains, for `base` in a recipe.

    FOLDER/adapter, which `adapt` writes, reads the texts too.

    To measure transfer to a domain, leave it out.
    """
    from pocketrec.cli.progress import RichReport
    from pocketrec.cli.stages import load_training

    folders = [data_folder(source) for source in sources]
    load_training("base_training").train_base(
        folders, out, minutes, seed, backbone, sentence_encoder, steps, RichReport()
    )


def adapt(
    sources: Sources,
    out: Annotated[
        Path,
        typer.Option(metavar="FOLDER", help="Folder of the run; the adapter is FOLDER/adapter."),
    ],
    minutes: Annotated[
        float | None,
        typer.Option(
            min=0.1,
            metavar="N",
            help="Time: reading the texts is not cut short, training has at least a quarter.",
        ),
    ] = None,
    seed: Seed = 0,
    recipe: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Settings of the training in TOML.")
    ] = None,
    states: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Where states of the frozen layers are kept."),
    ] = None,
) -> None:
    """Train the adapter of a base teacher (LoRA) on many domains, for `base` in a recipe.

    A killed run goes on from its last checkpoint.
    """
    from pocketrec.cli.progress import RichReport
    from pocketrec.cli.stages import load_training

    folders = [data_folder(source) for source in sources]
    training = load_training("contrastive")
    settings = training.read_adapter_recipe(recipe)
    seconds = None if minutes is None else minutes * 60
    training.train_adapter(folders, out, settings, seed, seconds, RichReport(), states)


def pretrain_text(
    sources: Sources,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where the base text encoder goes.")],
    seed: Seed = 0,
) -> None:
    """Distil a base text encoder from the texts of many domains, for `text_base` in a recipe.

    Texts that were read before are not read again.
    """
    from pocketrec.cli.progress import RichReport
    from pocketrec.cli.stages import load_training

    folders = [data_folder(source) for source in sources]
    report = RichReport()
    texts, targets = load_training("text_targets").text_targets(folders, report)
    training = load_training("base_text")
    names = sorted(folder.resolve().name for folder in folders)
    training.train_base_text(texts, targets, names, training.BaseTextRecipe(), seed, out, report)
