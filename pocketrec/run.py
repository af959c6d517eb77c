"""A run: one data set taken through the stages, each stage a folder that is either whole or absent."""

import hashlib
import json
import time
import tomllib
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from pocketrec import data, metrics, splits
from pocketrec.errors import RunError, UsageError
from pocketrec.files import atomic_folder, read_json, write_json

STAGES = ("teacher", "distill", "export")
BUDGET = {
    "encode": 30,
    "tuning": 8,
    "closed_forms": 28,
    "teacher": 24,
    "final_teacher": 3,
    "student": 22,
    "text": 4,
    "control": 22,  # what the student has
    "final_student": 6,
    "final_text": 2,
}
"""Parts of the time budget, in the order of the steps. A step that needs less leaves more to those after it."""
LEAST_SHARE = 0.02
UNTIMED = {
    "encode": (0, 12),
    "closed_forms": (0.3, 8),
    "teacher": (1.0, 85),
    "student": (0.2, 30),
    "text": (0.4, 10),
    "control": (0.4, 30),
    "final_text": (2.6, 12),
}
"""What choosing and ranking take between the end of a step and the next: milliseconds a user in a catalogue of
``UNTIMED_ITEMS``, and seconds for ``SAMPLE`` scores, which a sample of users has at most; on a machine that ``_pace``
takes ``USUAL_PACE`` seconds on."""
UNTIMED_ITEMS, SAMPLE = 16_000, 100_000_000
PACED, USUAL_PACE = 1000, 0.07
RECIPE_TABLES = ("teacher", "student", "export")


Recipe = TypeVar("Recipe")


class Report(Protocol):
    """Where a stage says what it is doing."""

    def task(
        self, description: str, total: float | None = None
    ) -> AbstractContextManager[Callable[[float], None]]:
        """A progress bar; call the yielded function with the work done so far, in the unit of ``total``."""

    def line(self, text: str) -> None:
        """One line of what a stage did."""


@dataclass(frozen=True)
class Settings:
    """What decides a run; stored in ``run.json``."""

    data: str
    seed: int
    minutes: float | None
    recipe: dict[str, Any]


def read_recipe(path: Path) -> dict[str, Any]:
    """The tables of a recipe file; each stage validates its own.

    Raises:
        UsageError: the file is absent, not TOML, names an unknown stage, or holds a value that no setting has.
    """
    try:
        recipe = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: expected a recipe in TOML, found {error}") from error
    if unknown := sorted(set(recipe) - set(RECIPE_TABLES)):
        raise UsageError(
            f"{path}: expected tables {', '.join(RECIPE_TABLES)}, found {unknown[0]!r}"
        )
    for name, table in recipe.items():
        if not isinstance(table, dict):
            raise UsageError(f"{path}: {name!r}: expected a table [{name}], found {table!r}")
    try:
        json.dumps(recipe, allow_nan=False)  # as run.json will hold it
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"{path}: expected a recipe of texts, finite numbers and lists, found: {error}"
        ) from error
    return recipe


class Run:
    """A run folder with its settings, data and finished artefacts.

    ``RUN/run.json`` holds the settings, ``RUN/records/`` says what made each artefact. An artefact is reused while its
    inputs are the same, so an interrupted run goes on from the last finished one.
    """

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.folder = folder
        self.settings = settings
        self._started = time.monotonic()
        self._spent_before = 0.0  # on what is reused

    @classmethod
    def open(
        cls,
        folder: Path,
        data_folder: Path | None = None,
        minutes: float | None = None,
        seed: int = 0,
        recipe: Path | None = None,
    ) -> "Run":
        """Start a run in ``folder`` or go on with the one that is there; without ``data_folder`` it must be there.

        Raises:
            UsageError: the folder holds a run of other data, seed or recipe, or no run at all; the recipe is not TOML.
        """
        stored = folder / "run.json"
        before = cls._read(stored) if stored.is_file() else None
        if data_folder is None:
            if before is None:
                raise UsageError(
                    f"{folder}: expected a run (run.json), found none; start with `pocketrec build`"
                )
            return cls(folder, before)
        settings = Settings(
            str(data_folder.resolve()), seed, minutes, read_recipe(recipe) if recipe else {}
        )
        if before is not None:
            for name in ("data", "seed", "recipe"):
                old, new = getattr(before, name), getattr(settings, name)
                if old != new:
                    raise UsageError(
                        f"{folder}: holds a run with {name} {old!r}, found {new!r}; choose another --out or remove it"
                    )
        write_json(stored, vars(settings))
        return cls(folder, settings)

    @staticmethod
    def _read(path: Path) -> Settings:
        try:
            return Settings(**read_json(path))
        except (TypeError, ValueError) as error:  # ValueError: not UTF-8 or not JSON
            raise UsageError(
                f"{path}: expected the settings of a run, found {error}; remove the folder"
            ) from error

    @cached_property
    def dataset(self) -> data.Dataset:
        return data.load(Path(self.settings.data))

    @cached_property
    def split(self) -> splits.Split:
        return splits.leave_one_out(self.dataset, self.settings.seed)

    def table(self, name: str) -> dict[str, Any]:
        """One table of the recipe, empty when the recipe does not name it."""
        return dict(self.settings.recipe.get(name, {}))

    def recipe(self, table: str, kind: type[Recipe]) -> Recipe:
        """One table of the recipe as the stage's settings, a pydantic model.

        Raises:
            UsageError: it has an unknown key or an impossible value.
        """
        try:
            return kind(**self.table(table))
        except ValueError as error:
            # pydantic's ValidationError, which the core does without.
            found = error.errors()[0]  # type: ignore[attr-defined]
            named = ".".join(map(str, found["loc"]))
            raise UsageError(
                f"recipe, table [{table}]: {named}: {found['msg']}, found {found['input']!r}"
            ) from error

    def share(self, step: str) -> float | None:
        """Seconds that a step of ``BUDGET`` may take of what is left, None without a time budget."""
        if self.settings.minutes is None:
            return None
        whole = self.settings.minutes * 60
        steps = list(BUDGET)
        open_steps = steps[steps.index(step) :]
        left = whole - self._spent_before - (time.monotonic() - self._started)
        left -= sum(self._untimed(name) for name in open_steps)
        part = left * BUDGET[step] / sum(BUDGET[name] for name in open_steps)
        # A step that slow ones before it have starved still does a little: a student without any training is of no use.
        return float(max(LEAST_SHARE * whole, part))

    def _untimed(self, step: str) -> float:
        """Seconds that choosing and ranking take after ``step``, which no share limits."""
        a_user, a_sample = UNTIMED.get(step, (0, 0))
        users, items = len(self.split.test), len(self.dataset.texts)
        # About half of what a user takes is for the history, the other half for the catalogue.
        ranking = users * a_user / 1000 * (1 + items / UNTIMED_ITEMS) / 2
        choosing = a_sample * min(1.0, users * items / SAMPLE)
        return self._slowness * (ranking + choosing)

    @cached_property
    def _slowness(self) -> float:
        """How many times as long as on the measured machine things take here."""
        return _pace() / USUAL_PACE

    def artefact(
        self,
        name: str,
        inputs: dict[str, Any],
        make: Callable[[Path], dict[str, Any]],
        report: Report,
    ) -> dict[str, Any]:
        """The facts about ``RUN/name``, made by ``make(temporary folder)`` unless it stands there already.

        ``make`` fills the folder and returns facts (JSON values) with a ``summary`` line for the report.
        """
        key = {"data": self.dataset.fingerprint, "seed": self.settings.seed, **inputs}
        fingerprint = hashlib.blake2b(
            json.dumps(key, sort_keys=True).encode(), digest_size=16
        ).hexdigest()
        record, folder = self._record(name), self.folder / name
        if record.is_file() and folder.is_dir() and read_json(record)["fingerprint"] == fingerprint:
            facts: dict[str, Any] = read_json(record)["facts"]
            self._spent_before += read_json(record)["seconds"]
            report.line(f"{name}: reused. {facts['summary']}")
            return facts
        started, cpu_before = time.monotonic(), time.process_time()
        record.unlink(missing_ok=True)  # first, so that a record never speaks of another folder
        with atomic_folder(folder) as temporary:
            facts = make(temporary)
        seconds = round(time.monotonic() - started, 1)
        cpu = round(time.process_time() - cpu_before, 1)
        made = {"fingerprint": fingerprint, "seconds": seconds, "cpu_seconds": cpu}
        write_json(record, {**made, "facts": facts})
        report.line(f"{name}: {facts['summary']} ({seconds:.0f} s)")
        return facts

    def facts(self, name: str) -> dict[str, Any]:
        """The facts of a finished artefact with its ``fingerprint``, ``seconds`` and ``cpu_seconds``, of all cores together.

        Raises:
            RunError: it has not been made.
        """
        record = self._record(name)
        if not record.is_file():
            raise RunError(
                f"{self.folder / name}: expected a finished artefact, found none; run the stages before"
            )
        stored: dict[str, Any] = read_json(record)
        facts: dict[str, Any] = stored.pop("facts")
        return {**facts, **stored}

    def _record(self, name: str) -> Path:
        return self.folder / "records" / f"{name.replace('/', '-')}.json"


def _pace() -> float:
    """Seconds that this machine takes for some scoring and ranking."""
    scores = np.random.default_rng(0).random((PACED, UNTIMED_ITEMS), dtype=np.float32)
    targets, histories = np.zeros(PACED, dtype=np.int64), [np.arange(20)] * PACED
    taken = []
    for _ in range(3):  # the first one finds nothing in any cache
        started = time.monotonic()
        metrics.ranks(np.exp(scores), targets, histories)
        taken.append(time.monotonic() - started)
    return min(taken)
