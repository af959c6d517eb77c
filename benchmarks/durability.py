"""Whether a process killed while it writes loses what the app had answered: `python -m benchmarks.durability`."""

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.run import environment
from device_app.store import Store
from pocketrec.cli.output import say
from pocketrec.errors import PocketRecError
from pocketrec.files import write_json

RESULTS = Path(__file__).parent / "results"
CATALOGUE = "films"
LONGEST = 0.08
"""Seconds a process lives at most: short enough that some are killed while they still open the store."""


@dataclass
class Found:
    """What the kills came to.

    Attributes:
        kills: processes that were killed.
        while_opening: those that had answered nothing yet.
        answered: events that were acknowledged.
        lost: those of them that the next process did not find, or found changed.
        damaged: kills after which the store did not open, or SQLite's check of it failed.
    """

    kills: int = 0
    while_opening: int = 0
    answered: int = 0
    lost: int = 0
    damaged: int = 0


def kill_often(path: Path, kills: int, seed: int) -> Found:
    """Kill ``kills`` processes, one after the other, at random moments while they write to the store at ``path``."""
    chance, found = random.Random(seed), Found()
    kept: set[str] = set()
    for life in range(kills):
        answered = _killed(path, life, chance.uniform(0, LONGEST))
        found.kills += 1
        found.while_opening += not answered
        found.answered += len(answered)
        kept.update(answered)
        try:
            store = Store.open(path, CATALOGUE)
        except PocketRecError:
            found.damaged += 1
            continue
        sound = store._db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        found.damaged += not sound
        there = {event.item_id for event in store.events()}
        store.close()
        found.lost += len(kept - there)
        # What was written and not answered yet is as good.
        kept = there
    return found


def _killed(path: Path, life: int, seconds: float) -> list[str]:
    """The events that a process acknowledged before it was killed, ``seconds`` after it began to open the store."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.close(reading)
            store = Store.open(path, CATALOGUE)
            for number in range(100_000):
                name = f"{life}-{number}"
                store.record(name, ("like", "dislike", "save", "hide")[number % 4])
                os.write(writing, f"{name}\n".encode())
        finally:
            os._exit(1)  # whatever happens, it never goes on as its parent
    os.close(writing)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with os.fdopen(reading) as stream:
        return stream.read().splitlines()


def main(arguments: Sequence[str] | None = None) -> int:
    """Kill processes that write events, and look for every acknowledged one; 1 where any is lost."""
    parser = argparse.ArgumentParser("python -m benchmarks.durability", description=main.__doc__)
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of durability.json")
    asked = parser.parse_args(arguments)
    if asked.kills < 1:
        parser.error(f"--kills: expected at least 1, found {asked.kills}")
    with tempfile.TemporaryDirectory(prefix="pocketrec-") as folder:
        found = kill_often(Path(folder) / "history.db", asked.kills, asked.seed)
    path = asked.out / "durability.json"
    write_json(path, {"environment": environment(asked.seed), **asdict(found)})
    print(
        f"{found.kills} processes killed, {found.while_opening} before their first answer; of "
        f"{found.answered:,} acknowledged events {found.lost} lost; {found.damaged} stores damaged"
    )
    say(str(path))
    return int(bool(found.lost or found.damaged))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except PocketRecError as error:
        sys.exit(f"durability: {error}")
