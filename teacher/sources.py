"""Source domains: read from data folders, and a base teacher trained on them."""

import hashlib
from pathlib import Path

import numpy as np

from pocketrec import data, splits
from pocketrec.files import cache_folder
from pocketrec.run import Report
from teacher.backbone import Backbone, load_backbone
from teacher.base import BaseTeacher
from teacher.encode import encode_items
from teacher.pretraining import Domain, pretrain
from teacher.recipe import PretrainingRecipe
from teacher.scorers import interaction_counts
from teacher.whitening import fit_whitening

ENCODING_SHARE = 0.5
"""Most of the time budget that reading the texts may take."""


def read_domain(
    folder: Path,
    backbone: Backbone,
    recipe: PretrainingRecipe,
    seed: int,
    seconds: float | None,
    report: Report,
) -> Domain:
    """The training part of a data set, its most chosen items, their texts read and whitened.

    Raises:
        DataError: the folder is no data set.
    """
    dataset = data.load(folder)
    # Nobody's last two choices are seen: what is measured on a source domain stays unseen too.
    split = splits.leave_one_out(dataset, seed)
    counts = interaction_counts(split.train, len(dataset.ids))
    kept = np.argsort(-counts, kind="stable")[: recipe.items]
    kept = np.sort(kept[counts[kept] > 0])
    with report.task(f"Reading {len(kept):,} texts of {dataset.name}", len(kept)) as advance:
        encoded = encode_items(
            [dataset.texts[item] for item in kept],
            backbone,
            cache_folder() / "vectors.sqlite",
            seconds,
            recipe.max_tokens,
            np.argsort(-counts[kept], kind="stable"),
            lambda done, total: advance(done),
        )
    whitening = fit_whitening(encoded.vectors, recipe.dimensions, recipe.whitening)
    vectors = whitening.apply(encoded.vectors) @ whitening.basis.T
    place = np.full(len(dataset.ids), -1, dtype=np.int64)
    place[kept] = np.arange(len(kept))
    ordered = [s[n:] for s, n in zip(split.train, split.unordered, strict=True)]
    as_sets = not any(map(len, ordered))
    sequences = [place[s] for s in (split.train if as_sets else ordered)]
    sequences = [s[s >= 0] for s in sequences]
    return Domain(dataset.name, vectors, [s for s in sequences if len(s) > 1], as_sets)


def train_base(
    sources: list[Path],
    out: Path,
    minutes: float,
    seed: int,
    backbone: str,
    steps: int,
    report: Report,
) -> None:
    """Read the source domains, train one sequence model on all of them, write the base teacher to ``out``.

    Raises:
        DataError: a source is no data set.
        UsageError: no such language model.
    """
    recipe = PretrainingRecipe(steps=steps)
    model = load_backbone(backbone)
    budget = minutes * 60
    each = budget * ENCODING_SHARE / len(sources)
    domains = [read_domain(source, model, recipe, seed, each, report) for source in sources]
    with report.task(f"Learning from {len(domains)} domains", 1.0) as advance:
        trained = pretrain(
            domains,
            recipe,
            seed,
            budget * (1 - ENCODING_SHARE),
            lambda done, loss: advance(done),
        )
    weights = b"".join(value.numpy().tobytes() for value in trained.state_dict().values())
    facts = {
        "trained": hashlib.blake2b(weights, digest_size=16).hexdigest(),
        "fingerprint": model.fingerprint,
        "domains": {
            domain.name: {
                "items": len(domain.vectors),
                "histories": len(domain.sequences),
                "interactions": sum(map(len, domain.sequences)),
            }
            for domain in domains
        },
        "recipe": recipe.model_dump(mode="json"),
        "seed": seed,
        "minutes": minutes,
    }
    BaseTeacher.of(trained, facts).save(out)
    report.line(f"{out}: a base teacher of {len(domains)} domains")
