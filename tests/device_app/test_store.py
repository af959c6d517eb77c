import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sqlite_utils import Database

import device_app
from device_app.events import KINDS, OPINIONS, Change, StoreError
from device_app.store import Store, migrations

ROOT = Path(device_app.__file__).parents[1]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "history.db"


def kinds(store: Store) -> list[tuple[str, str]]:
    """(item, kind), oldest first."""
    return [(event.item_id, event.kind) for event in reversed(store.events())]


def test_events_are_kept_in_order_and_come_back_newest_first(path: Path) -> None:
    store = Store.open(path, "films")
    store.record("a", "like")
    store.record("b", "save")
    store.close()
    events = Store.open(path, "films").events()
    assert [(event.item_id, event.kind) for event in events] == [("b", "save"), ("a", "like")]
    assert events[0].event_id > events[1].event_id
    assert abs(events[0].timestamp - time.time()) < 60


def test_an_opinion_replaces_the_earlier_one_and_leaves_the_bookmark(path: Path) -> None:
    store = Store.open(path, "films")
    store.record("a", "save")
    liked = store.record("a", "like")
    change = store.record("a", "dislike")
    assert change.removed == liked.added
    assert kinds(store) == [("a", "save"), ("a", "dislike")]


def test_the_same_event_twice_changes_nothing(path: Path) -> None:
    store = Store.open(path, "films")
    store.record("a", "like")
    assert store.record("a", "like") == Change()
    assert kinds(store) == [("a", "like")]


def test_undo_restores_ids_times_and_order(path: Path) -> None:
    store = Store.open(path, "films")
    store.record("a", "like")
    store.record("b", "like")
    before = store.events()
    change = store.record("a", "hide")
    store.undo(change)
    assert store.events() == before
    store.undo(change)
    assert store.events() == before


def test_undo_gives_way_to_what_was_said_since(path: Path) -> None:
    store = Store.open(path, "films")
    store.record("a", "like")
    removal = store.withdraw("a", "like")
    store.record("a", "dislike")
    store.undo(removal)
    assert kinds(store) == [("a", "dislike")]


def test_an_undone_id_is_not_used_again(path: Path) -> None:
    store = Store.open(path, "films")
    change = store.record("a", "like")
    store.undo(change)
    store.close()
    later = Store.open(path, "films").record("b", "like")
    assert later.added[0].event_id > change.added[0].event_id


def test_catalogues_in_one_file_do_not_see_each_other(path: Path) -> None:
    films = Store.open(path, "films")
    films.record("1", "like")
    films.close()
    books = Store.open(path, "books")
    assert books.events() == ()
    books.record("1", "dislike")
    books.close()
    assert kinds(Store.open(path, "films")) == [("1", "like")]


def test_every_commit_reaches_the_disk(path: Path) -> None:
    store = Store.open(path, "films")
    assert store._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert store._db.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL


def test_migrations_are_recorded_in_order(path: Path) -> None:
    store = Store.open(path, "films")
    assert [migration.name for migration in migrations.applied(store._db)] == [
        "m001_events",
        "m002_one_opinion_and_one_bookmark_per_item",
    ]
    assert migrations.pending(store._db) == []


def test_a_database_of_the_first_version_is_brought_up_to_date(path: Path) -> None:
    path.parent.mkdir()
    db = Database(path)
    migrations.apply(db, stop_before="m002_one_opinion_and_one_bookmark_per_item")
    row = {"catalogue": "films", "item_id": "a", "kind": "like", "timestamp": 1_700_000_000}
    db.table("events").insert(row)
    db.close()
    store = Store.open(path, "films")
    assert kinds(store) == [("a", "like")]
    assert migrations.pending(store._db) == []


def test_a_migration_that_fails_leaves_the_database_as_it_was(path: Path) -> None:
    path.parent.mkdir()
    db = Database(path)
    migrations.apply(db, stop_before="m002_one_opinion_and_one_bookmark_per_item")
    row = {"catalogue": "films", "item_id": "a", "kind": "like", "timestamp": 1}
    db.table("events").insert_all([row, row])  # two opinions: the index cannot be made
    db.close()
    with pytest.raises(StoreError):
        Store.open(path, "films")
    db = Database(path)
    assert [migration.name for migration in migrations.applied(db)] == ["m001_events"]
    assert db.table("events").count == 2


def test_a_newer_history_is_refused_and_left_alone(path: Path) -> None:
    Store.open(path, "films").close()
    db = Database(path)
    row = {"migration_set": "history", "name": "m999_later", "applied_at": "2030-01-01"}
    db.table("_sqlite_migrations").insert(row)
    db.close()
    with pytest.raises(StoreError, match="newer one .*m999_later.*update PocketRec"):
        Store.open(path, "films")


def test_a_foreign_file_is_named_and_kept(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"dear diary " * 100)
    with pytest.raises(StoreError, match=r"history\.db: .*foreign file; move it away"):
        Store.open(path, "films")
    assert path.read_bytes() == b"dear diary " * 100


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="the folder cannot be made"):
        Store.open(tmp_path / "file" / "history.db", "films")


def test_a_full_disk_is_said_and_nothing_is_lost(path: Path) -> None:
    store = Store.open(path, "films")
    store.record("a", "like")
    pages = store._db.execute("PRAGMA page_count").fetchone()[0]
    store._db.execute(f"PRAGMA max_page_count = {pages}")
    written = ["a"]
    with pytest.raises(StoreError, match="not saved, the disk is full; free some space"):
        for number in range(10_000):
            store.record(f"{number} {'long ' * 100}", "like")
            written.append(f"{number} {'long ' * 100}")
    assert [item for item, _ in kinds(store)] == written
    store._db.execute("PRAGMA max_page_count = 1073741823")
    store.record("after", "like")
    assert kinds(store)[-1] == ("after", "like")


def test_a_read_only_database_is_said(path: Path) -> None:
    store = Store.open(path, "films")
    store.record("a", "like")
    store._db.execute("PRAGMA query_only = 1")
    with pytest.raises(StoreError, match="cannot be written; make it writable"):
        store.record("b", "like")
    assert kinds(store) == [("a", "like")]


def test_a_locked_database_is_said(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("device_app.store.BUSY_SECONDS", 0.05)
    store = Store.open(path, "films")
    other = sqlite3.connect(path)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreError, match="another program is using the history"):
        store.record("a", "like")
    other.rollback()
    store.record("a", "like")
    assert kinds(store) == [("a", "like")]


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX permissions")
def test_a_read_only_folder_is_said() -> None:
    # Not tmp_path: pytest keeps its folders to their owner.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o555)
        error = _open_as_nobody(folder / "history.db")
        folder.chmod(0o755)
    assert "StoreError" in error
    assert "the folder cannot be written; make it writable" in error


def _open_as_nobody(path: Path) -> str:
    """What opening a store says to a user who may not write there; permissions do not bind root."""
    code = (
        "import os, sys; from pathlib import Path; from device_app.store import Store;"
        "os.getuid() or os.setuid(65534);"
        "Store.open(Path(sys.argv[1]), 'films')"
    )
    return subprocess.run(
        [sys.executable, "-c", code, str(path)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    ).stderr  # fmt: skip


WRITER = """
import sys
from pathlib import Path
from device_app.store import Store
store = Store.open(Path(sys.argv[1]), "films")
for number in range(100_000):
    kind = ("like", "dislike", "save", "hide")[number % 4]
    store.record(f"{sys.argv[2]}-{number}", kind)
    print("+", number, flush=True)
    if number % 3 == 0:
        store.withdraw(f"{sys.argv[2]}-{number}", kind)
        print("-", number, flush=True)
"""


def test_no_acknowledged_event_is_lost_to_kill(path: Path) -> None:
    """A dozen processes are killed while they write; each next one finds all that was answered."""
    chance = random.Random(7)
    expected: set[str] = set()
    for life in range(12):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), str(life)],
            cwd=ROOT, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert writer.stdout is not None
        answers = [writer.stdout.readline()]  # it is writing now
        time.sleep(chance.uniform(0, 0.12))
        writer.send_signal(signal.SIGKILL)
        # A line cut short by the kill was not answered.
        answers += writer.stdout.read().splitlines(keepends=True)
        writer.wait()
        writer.stdout.close()
        answered = [line.split() for line in answers if line.endswith("\n")]

        unanswered = _next_step(answered[-1])
        for sign, number in answered:
            name = f"{life}-{number}"
            expected = expected | {name} if sign == "+" else expected - {name}
        store = Store.open(path, "films")
        assert store._db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        found = {event.item_id for event in store.events()}
        store.close()
        # The step after the last answer may have happened or not.
        assert found ^ expected <= {f"{life}-{unanswered}"}
        expected = found
    assert len(expected) > 12


def _next_step(last: list[str]) -> int:
    sign, number = last[0], int(last[1])
    return number if sign == "+" and number % 3 == 0 else number + 1


class Histories(RuleBasedStateMachine):
    """The store against a dictionary: item -> kinds, each in the order of its recording."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self.path = Path(self._folder.name) / "history.db"
        self.store = Store.open(self.path, "films")
        self.model: list[tuple[str, str]] = []
        self.last: tuple[Change, list[tuple[str, str]]] | None = None

    items = st.sampled_from(["a", "b", "ü", "千与千寻", "x'); DROP TABLE events; --"])

    @rule(item=items, kind=st.sampled_from(KINDS))
    def record(self, item: str, kind: str) -> None:
        before = list(self.model)
        if (item, kind) not in self.model:
            if kind in OPINIONS:
                self.model = [e for e in self.model if e[0] != item or e[1] == "save"]
            self.model.append((item, kind))
        self.last = (self.store.record(item, kind), before)  # type: ignore[arg-type]

    @rule(item=items, kind=st.sampled_from(KINDS))
    def withdraw(self, item: str, kind: str) -> None:
        before = list(self.model)
        self.model = [event for event in self.model if event != (item, kind)]
        self.last = (self.store.withdraw(item, kind), before)  # type: ignore[arg-type]

    @precondition(lambda self: self.last is not None)
    @rule()
    def undo(self) -> None:
        assert self.last is not None
        change, self.model = self.last
        self.store.undo(change)
        self.last = None

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = Store.open(self.path, "films")

    @invariant()
    def the_store_holds_what_was_said(self) -> None:
        assert kinds(self.store) == self.model

    def teardown(self) -> None:
        self.store.close()
        self._folder.cleanup()


Histories.TestCase.settings = settings(
    max_examples=25, stateful_step_count=15, deadline=None, database=None
)
TestHistories = Histories.TestCase


@settings(
    max_examples=50,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(item_id=st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_any_id_comes_back_as_it_was(tmp_path: Path, item_id: str) -> None:
    store = Store.open(tmp_path / "any.db", "films")
    change = store.record(item_id, "like")
    assert [event.item_id for event in store.events(item_id=item_id)] == [item_id]
    store.undo(change)
    store.close()
