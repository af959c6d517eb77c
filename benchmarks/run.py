"""One command measures a finished run and writes one report."""

import platform
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import psutil
from scipy import sparse

from benchmarks import accuracy, latency, memory, minilm, report
from benchmarks import peers as further
from benchmarks.calibration import calibration
from benchmarks.child import STEPS as BUNDLE_STEPS
from benchmarks.picture import PICTURE, picture
from pocketrec import __version__
from pocketrec.bundle import Manifest
from pocketrec.cli.output import results, say
from pocketrec.cli.progress import RichReport
from pocketrec.errors import RunError
from pocketrec.files import atomic_write, write_json
from pocketrec.ledger import Ledger
from pocketrec.recommender import Recommender
from pocketrec.run import Report, Run
from pocketrec.splits import Indices, interaction_counts
from teacher.scorers import ItemItem

T = TypeVar("T")

STAGES = (
    *("teacher/vectors", "teacher/holdout", "teacher/final"),
    *("student/holdout", "student/control", "student/final"),
    *("holdout", "bundle"),
)
"""What a build makes, in groups of teacher, student and export."""
PACKAGES = ("numpy", "onnxruntime", "scipy", "torch", "polars")
BUSY = 0.5
"""Cores that others use, from which on times are not to be trusted."""
WATCHED = 3.0
"""Seconds for which they are watched."""


@dataclass(frozen=True)
class Effort:
    """How often things are timed: calls of an operation, calls of a slow one, fresh processes; and the least seconds that
    SASRec is trained for."""

    calls: int = 1000
    slow_calls: int = 200
    starts: int = 10
    training: float = 120


FULL = Effort()


def main(
    data: Path,
    run: Path,
    out: Path,
    *,
    markdown: bool = False,
    readme: Path | None = None,
    effort: Effort = FULL,
) -> None:
    """Measure the run folder ``run`` on the data folder ``data`` and print the table.

    Writes ``out/COMMIT.json`` and the same as ``out/latest.json``; with ``readme`` its table and picture are renewed too.

    Raises:
        RunError: a stage of the run is missing, or the data is not what the run was made from.
        DataError: the data cannot be read.
    """
    load = cores_in_use()
    opened = Run.open(run)
    opened = Run(run, replace(opened.settings, data=str(data)))
    for name in STAGES:
        opened.facts(name)
    warning = load_warning(load)
    result = {
        "environment": environment(opened.settings.seed),
        "load": load,
        "warning": warning,
        **measure(opened, effort, RichReport()),
    }
    name = result["environment"]["commit"] or "no-commit"
    for file in (f"{name}.json", "latest.json"):
        write_json(out / file, result)
    if readme:
        report.replace_section(readme, report.SECTION, report.markdown(result))
        with atomic_write(readme.parent / PICTURE) as temporary:
            temporary.write_bytes(picture(result))
    if markdown:
        print(report.markdown(result), end="")
    else:
        for table in report.tables(result):
            results().print(table)
        print(*report.notes(result), sep="\n")
    say(f"{out / f'{name}.json'}")


def cores_in_use() -> float:
    """By everything that runs, on average over ``WATCHED`` seconds: to be asked before anything is timed."""
    return psutil.cpu_percent(WATCHED) / 100 * (psutil.cpu_count() or 1)


def load_warning(load: float) -> str | None:
    """What is to be said of times taken while others used ``load`` cores, said on stderr too; None where it is little."""
    if load <= BUSY:
        return None
    warning = f"load {load:.1f} when it began, so times may be too long"
    say(f"warning: {warning}; measure again when nothing else runs")
    return warning


def measure(run: Run, effort: Effort, progress: Report) -> dict[str, Any]:
    """Everything but the surroundings; what is timed comes first, on a process that has done nothing yet."""
    ledger, bundle = _ledger(run), run.folder / "bundle"
    ids = run.dataset.ids.ids
    histories = latency.histories_to_time(run.dataset.sequences, run.settings.seed)
    named = {n: [[ids[item] for item in h] for h in given] for n, given in histories.items()}
    first = histories.get(latency.TYPICAL) or histories[max(histories)]
    calls, texts = effort.calls, run.dataset.texts[:1000]
    timed = latency.time_bundle(bundle, named, texts, calls, effort.slow_calls)
    timings = _collect("Timing the bundle", timed, len(histories) + 5, progress)
    asked = [ids[item] for item in first[0]]
    steps = {
        step: memory.start_up(step, bundle, asked, effort.starts)
        for step in ("empty", *BUNDLE_STEPS)
    }
    start_up = {"empty Python": steps.pop("empty"), accuracy.BUNDLE: steps["recommend"]}
    with progress.task("Fitting the peers", len(accuracy.PEERS)) as advance:
        peers = {}
        for kind in accuracy.PEERS:
            peers[kind] = accuracy.refit(run, kind)
            advance(len(peers))
    tuned = further.fitted(run, further.training_seconds(run, effort.training), progress)
    others = _collect("Tuning further peers", tuned, len(further.NAMES), progress)
    ease = peers[accuracy.EASE]
    timed = latency.time_peers(bundle, ease, histories, calls)
    timings += _collect("Timing the peers", timed, 2 * len(histories), progress)
    start_up[accuracy.EASE] = _start_matrix(run, ease, first[0], effort.starts)
    sizes = _sizes(run, ease)
    with progress.task(minilm.NAME, 1):
        shipped, vectors = minilm.kept(run, progress)
        peer = further.zero_shot(run, vectors)
        others.append((minilm.NAME, peer))
        timings += latency.time_minilm(shipped, vectors, peer.settings, histories, texts, calls)
        start_up[minilm.NAME] = memory.start_up("vectors", shipped, first[0], effort.starts)
        sizes["systems"][minilm.NAME] = sum(memory.sizes(shipped).values())
    return {
        "data": {
            **data_record(run),
            "interactions": sum(map(len, run.dataset.sequences)),
        },
        **_accuracy(run, ledger, peers, dict(others), progress),
        "latency": [asdict(timing) for timing in timings],
        "start_up": start_up,
        "steps": steps,
        "size": sizes,
        "cost": {name: _cost(run.facts(name)) for name in STAGES},
    }


def _cost(facts: dict[str, Any]) -> dict[str, float]:
    return {name: facts[name] for name in ("seconds", "cpu_seconds")}


def _accuracy(
    run: Run,
    ledger: Ledger,
    peers: dict[str, ItemItem],
    others: dict[str, further.Peer],
    progress: Report,
) -> dict[str, Any]:
    seed, split = run.settings.seed, run.split
    judged = {kind: further.validation(run, model) for kind, model in peers.items()}
    judged |= {name: other.validation for name, other in others.items()}
    peer = max(judged, key=lambda name: judged[name])
    pairs = [
        (accuracy.BUNDLE, peer),
        (accuracy.BUNDLE, accuracy.TEACHER),
        (accuracy.FULL_PRECISION, accuracy.WITHOUT_TEACHER),
    ]
    with progress.task("Ranking and comparing", 3) as advance:
        known = accuracy.all_ranks(run, ledger, peers)
        theirs = {name: other.ranks for name, other in others.items()}
        first = (accuracy.POPULARITY, *accuracy.PEERS)
        # Peers first, then ours.
        ranks = {**{name: known.pop(name) for name in first}, **theirs, **known}
        advance(1)
        systems = accuracy.summarize(ranks, seed)
        differences = accuracy.differences(ranks, pairs, seed)
        advance(2)
        recommender, ids = Recommender.open(run.folder / "holdout/bundle"), run.dataset.ids.ids
        calibrated = calibration(recommender, ids, split.validation, split.test, seed)
        lists = accuracy.lists(
            recommender,
            ids,
            np.load(run.folder / "teacher/holdout/item_vectors.npy"),
            split.test.sample(accuracy.LIST_USERS, seed),
        )
    facts, exported = run.facts("teacher/holdout"), run.facts("holdout")
    chosen = {kind: facts["item_models"][kind]["settings"] for kind in accuracy.PEERS}
    chosen |= {name: other.settings for name, other in others.items()}
    lengths = np.array([len(history) for history in split.test.histories])
    chosen_often = interaction_counts(split.train, len(run.dataset.ids))[split.test.targets]
    return {
        "systems": systems,
        "best_peer": peer,
        "peer_settings": chosen,
        "peer_validation": judged,
        "peer_items": facts["exact_items"],
        "peer_local": facts["local_width"] is not None,
        "teacher": facts["names"]["teacher"],
        "precision": exported["precision"],
        "parity": exported["parity"],
        "differences": differences,
        "by_history_length": accuracy.slices(ranks, lengths, accuracy.HISTORY_LENGTHS),
        "by_popularity": accuracy.slices(ranks, chosen_often, accuracy.CHOSEN),
        "lists": lists,
        "calibration": calibrated,
    }


def _ledger(run: Run) -> Ledger:
    ledger = Ledger.load(run.folder)
    for stage in (*accuracy.STAGES.values(), "best_peer"):
        if stage not in ledger.ranks:
            raise RunError(
                f"{run.folder / 'ledger.json'}: expected stage {stage!r}, found none; run `pocketrec build` again"
            )
    made = Manifest.read(run.folder / "holdout/bundle/manifest.json").data
    if made.fingerprint != run.dataset.fingerprint:
        raise RunError(
            f"{run.settings.data}: expected the data of {run.folder} ({made.name}, {made.fingerprint}), "
            f"found {run.dataset.name}, {run.dataset.fingerprint}; give the data that the run was built on"
        )
    return ledger


def _collect(title: str, made: Iterable[T], total: int, progress: Report) -> list[T]:
    found = []
    with progress.task(title, total) as advance:
        for one in made:
            found.append(one)
            advance(len(found))
    return found


def _start_matrix(run: Run, ease: ItemItem, history: Indices, starts: int) -> dict[str, Any]:
    """A process that loads EASE's matrix and scores one history; the file stands in the run for that time alone."""
    known = np.flatnonzero(np.isin(ease.head, history)).tolist()
    with tempfile.TemporaryDirectory(prefix=".benchmark-", dir=run.folder) as folder:
        path = Path(folder) / "ease.npy"
        whole = ease.weights.toarray() if sparse.issparse(ease.weights) else ease.weights
        np.save(path, whole)
        return memory.start_up("matrix", path, known, starts)


def _sizes(run: Run, ease: ItemItem) -> dict[str, Any]:
    bundle = memory.sizes(run.folder / "bundle")
    student = memory.sizes(run.folder / "student/holdout")
    student.pop("ranks.npz", None)  # what was measured, not part of the student
    return {
        "bundle": bundle,
        "systems": {
            accuracy.EASE: _bytes(ease),
            accuracy.FULL_PRECISION: sum(student.values()),
            accuracy.BUNDLE: sum(bundle.values()),
        },
    }


def _bytes(ease: ItemItem) -> int:
    weights = ease.weights
    if isinstance(weights, np.ndarray):
        return int(weights.nbytes)
    return int(weights.data.nbytes + weights.indices.nbytes + weights.indptr.nbytes)


def data_record(run: Run) -> dict[str, Any]:
    """On what the numbers were measured."""
    return {
        "name": run.dataset.name,
        "fingerprint": run.dataset.fingerprint,
        "protocol": run.split.protocol,
        "users": len(run.split.test),
        "items": len(run.dataset.ids),
    }


def environment(seed: int) -> dict[str, Any]:
    """Where and how the numbers came about; names no machine, user or folder."""
    status = _git("status", "--porcelain", "--untracked-files=no")
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "commit": _git("rev-parse", "--short=12", "HEAD"),
        "changed": bool(status),
        "command": _command(),
        "seed": seed,
        "cpu": _cpu(),
        "cores": psutil.cpu_count(logical=False),
        "logical_cores": psutil.cpu_count(),
        "threads": 1,
        "memory_bytes": psutil.virtual_memory().total,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {"pocketrec": __version__, **{name: _version(name) for name in PACKAGES}},
    }


def _command() -> str:
    """The command that runs, its absolute paths cut to their names."""
    script = Path(sys.argv[0])
    if script.parent.name == "benchmarks":
        program = ["python", "-m", f"benchmarks.{script.stem}"]
    else:
        program = ["pocketrec" if script.name == "__main__.py" else script.name]
    given = (Path(a).name if Path(a).is_absolute() else a for a in sys.argv[1:])
    return shlex.join([*program, *given])


def _git(*arguments: str) -> str | None:
    command = ["git", "-C", str(memory.ROOT), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None  # installed without its repository, or a machine without git
    return done.stdout.strip()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())
