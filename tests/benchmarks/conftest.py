"""A run of 40 films whose models are made up and whose bundles are real."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_bundle import build_tiny_bundle, tiny_items
from tiny_data import unit_rows

from pocketrec.bundle import DataRecord, Manifest, seal
from pocketrec.files import write_json
from pocketrec.run import Run

PEERS = {
    "ItemKNN": {"kind": "ItemKNN", "settings": {"neighbours": 20, "shrink": 10}, "decay": 1.0},
    "EASE": {"kind": "EASE", "settings": {"ridge": 20.0}, "decay": 1.0},
}
FACTS = {
    "teacher-holdout": {
        "names": {"teacher": "the teacher"},
        "best_peer": "EASE",
        "item_models": {
            kind: {**chosen, "validation": score}
            for (kind, chosen), score in zip(PEERS.items(), (0.2, 0.1), strict=True)
            # among the most chosen items, on which the settings were tuned
        },
        "exact_items": 40,
        "local_width": None,
        "length": 10,
        "training_seconds": {"scratch": 2.5, "transfer": 2.0},
    },
    **{name: {} for name in ("teacher-vectors", "teacher-final", "student-final")},
    **{name: {} for name in ("student-holdout", "student-control")},
    "holdout": {"precision": {"sequence_encoder.onnx": "int8"}, "parity": {"passed": True}},
    "bundle": {},
}


@pytest.fixture
def data(tmp_path):
    """60 people who choose 6 to 15 of the films."""
    folder = tmp_path / "films"
    folder.mkdir()
    titles = [f"{item.item_id},{item.title}" for item in tiny_items()]
    (folder / "items.csv").write_text("\n".join(["item_id,title", *titles]), encoding="utf-8")
    rng = np.random.default_rng(0)
    lines = ["user_id,item_id,position"]
    for user in range(60):
        chosen = rng.choice(40, rng.integers(6, 16), replace=False)
        lines += [f"u{user},m{item + 1:02},{place}" for place, item in enumerate(chosen)]
    (folder / "interactions.csv").write_text("\n".join(lines), encoding="utf-8")
    return folder


@pytest.fixture
def make_run() -> Callable[[Path, Path], Run]:
    """Makes what a build would leave in the first folder, of the films that lie in the second."""

    def make(folder: Path, data: Path) -> Run:
        made = Run.open(folder, data)
        for name, facts in FACTS.items():
            record = {"fingerprint": "f", "seconds": 1.0, "cpu_seconds": 2.0, "facts": facts}
            write_json(made.folder / "records" / f"{name}.json", record)
        for place in ("bundle", "holdout/bundle"):
            bundle = build_tiny_bundle(made.folder / place)
            manifest = Manifest.read(bundle / "manifest.json")
            record_of_data = DataRecord(made.dataset.name, made.dataset.fingerprint)
            seal(bundle, replace(manifest, data=record_of_data))
        (made.folder / "teacher/holdout").mkdir(parents=True)
        np.save(made.folder / "teacher/holdout/item_vectors.npy", unit_rows((40, 8)))
        return made

    return make
