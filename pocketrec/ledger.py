"""The ledger: accuracy at every hand-over, always on the same test users."""

import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pocketrec import metrics
from pocketrec.errors import RunError
from pocketrec.files import atomic_write, read_json, write_json

STAGES = (
    "popularity",
    "best_peer",
    "teacher",
    "student_no_kd",
    "student_fp32",
    "onnx_fp32",
    "onnx_int8",
    "bundle",
)
Ranks = npt.NDArray[np.float64]


@dataclass
class Ledger:
    """Per-user ranks of each stage, kept beside the table so that any two stages can be compared pairwise.

    Attributes:
        ranks: stage -> rank of the test item of each user, float64 [U]; the users are the same in every stage.
        names: stage -> which system stands for it (the best peer, the teacher's fusion).
    """

    data: str
    protocol: str
    seed: int
    ranks: dict[str, Ranks] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)

    def add(self, stage: str, ranks: Ranks, name: str = "") -> None:
        """Raises RunError: an unknown stage, or other users than the stages before it."""
        if stage not in STAGES:
            raise RunError(f"ledger: expected a stage of {', '.join(STAGES)}, found {stage!r}")
        for other, before in self.ranks.items():
            if before.shape != ranks.shape:
                raise RunError(
                    f"ledger: {stage} has {len(ranks)} users where {other} has {len(before)}"
                )
        self.ranks[stage] = np.asarray(ranks, dtype=np.float64)
        self.names[stage] = name or stage

    @property
    def rows(self) -> list[dict[str, Any]]:
        rows = []
        for stage in STAGES:
            if stage not in self.ranks:
                continue
            rank = self.ranks[stage]
            ndcg, low, high = metrics.bootstrap(metrics.ndcg_at(rank, 10), self.seed)
            row = {
                "stage": stage,
                "name": self.names[stage],
                "recall@10": float(metrics.recall_at(rank, 10).mean()),
                "ndcg@10": ndcg,
                "ndcg@10_ci": [low, high],
                "recall@20": float(metrics.recall_at(rank, 20).mean()),
                "mrr": float(metrics.reciprocal_rank(rank).mean()),
            }
            rows.append(row)
        return rows

    def difference(self, ours: str, theirs: str, k: int = 10) -> tuple[float, float, float]:
        """NDCG@k of stage ``ours`` less that of ``theirs`` with its paired 95 % interval."""
        return metrics.paired_bootstrap(
            metrics.ndcg_at(self.ranks[ours], k), metrics.ndcg_at(self.ranks[theirs], k), self.seed
        )

    def as_dict(self) -> dict[str, Any]:
        users = len(next(iter(self.ranks.values()), ()))
        return {
            "data": self.data,
            "protocol": self.protocol,
            "users": users,
            "seed": self.seed,
            "rows": self.rows,
        }

    def save(self, folder: Path) -> None:
        """Write ``ledger.json`` and ``ranks.npz`` into ``folder``."""
        with atomic_write(folder / "ranks.npz") as temporary:
            np.savez_compressed(temporary, **self.ranks)  # type: ignore[arg-type]
        write_json(folder / "ledger.json", self.as_dict())

    def is_part_of(self, folder: Path) -> bool:
        """Whether the ledger in ``folder`` holds every stage of this one with the same ranks."""
        if not (folder / "ledger.json").is_file():
            return False
        stored = Ledger.load(folder)
        return all(
            stage in stored.ranks and np.array_equal(stored.ranks[stage], ranks)
            for stage, ranks in self.ranks.items()
        )

    @classmethod
    def load(cls, folder: Path) -> "Ledger":
        """Raises RunError: a file of the ledger is missing or damaged."""
        try:
            stored = read_json(folder / "ledger.json")
            names = {row["stage"]: row["name"] for row in stored["rows"]}
            with np.load(folder / "ranks.npz") as arrays:
                # A kill between its two files leaves one that knows more stages than the other.
                ranks = {stage: arrays[stage] for stage in names if stage in arrays}
            return cls(stored["data"], stored["protocol"], stored["seed"], ranks, names)
        except (OSError, EOFError, ValueError, TypeError, KeyError, zipfile.BadZipFile) as error:
            raise RunError(
                f"{folder}: expected the ledger of a run (ledger.json, ranks.npz), found: {error}; "
                "run the teacher stage again"
            ) from error
