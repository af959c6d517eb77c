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
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sqlite_utils import Database

import device_app
from device_app.events import KINDS, Change, Event, NewEvent, StoreError
from device_app.settings import Settings
from device_app.store import SHOWN_SECONDS, Store, migrations

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


# --- events of another place ------------------------------------------------------------------------


def test_imported_events_stand_at_their_own_time(path: Path) -> None:
    store = Store.open(path, "films")
    store.record("new", "like")
    change = store.add(
        [
            NewEvent("old", "like", 100),
            NewEvent("older", "save", 50),
            NewEvent("when", "seen", None),
        ]
    )
    assert kinds(store) == [("when", "seen"), ("older", "save"), ("old", "like"), ("new", "like")]
    assert [(e.item_id, e.timestamp) for e in change.added] == [
        ("old", 100),
        ("older", 50),
        ("when", None),
    ]
    store.undo(change)
    assert kinds(store) == [("new", "like")]


def test_a_time_to_come_is_now(path: Path) -> None:
    store = Store.open(path, "films")
    store.add([NewEvent("a", "like", 9_999_999_999)])
    timestamp = store.events()[0].timestamp
    assert timestamp is not None
    assert abs(timestamp - time.time()) < 60
    store.record("b", "like")
    assert kinds(store) == [("a", "like"), ("b", "like")]


def test_of_one_time_the_order_is_that_of_writing(path: Path) -> None:
    store = Store.open(path, "films")
    store.add([NewEvent(name, "like", 7) for name in "cab"])
    assert [item for item, _ in kinds(store)] == ["c", "a", "b"]


def test_what_is_there_is_left_out(path: Path) -> None:
    store = Store.open(path, "films")
    events = [NewEvent("a", "like", 10), NewEvent("a", "save", 20), NewEvent("b", "hide", None)]
    store.add(events)
    before = store.events()
    assert store.add(events) == Change()
    assert store.add([NewEvent("a", "like", 99)]) == Change()
    assert store.events() == before


@pytest.mark.parametrize(
    ("present", "imported", "wins"),
    [(10, 20, True), (20, 10, False), (10, 10, False), (None, 1, True), (1, None, False)],
)
def test_of_two_opinions_the_later_counts(
    path: Path, present: int | None, imported: int | None, wins: bool
) -> None:
    store = Store.open(path, "films")
    store.add([NewEvent("a", "like", present)])
    before = store.events()
    change = store.add([NewEvent("a", "dislike", imported)])
    assert kinds(store) == [("a", "dislike" if wins else "like")]
    assert bool(change) is wins
    store.undo(change)
    assert store.events() == before


def test_an_import_is_written_whole_or_not_at_all(path: Path) -> None:
    store = Store.open(path, "films")
    store.record("a", "like")
    before = store.events()
    wrong = NewEvent("c", "praise", 1)  # type: ignore[arg-type]
    with pytest.raises(StoreError):
        store.add([NewEvent("a", "dislike", 2_000_000_000), NewEvent("b", "like", 1), wrong])
    assert store.events() == before


def test_a_large_import_is_taken_back(path: Path) -> None:
    store = Store.open(path, "films")
    change = store.add([NewEvent(f"i{n}", "like", n) for n in range(20_000)])
    assert len(store.events()) == 20_000
    store.undo(change)
    assert store.events() == ()


# --- what was shown, what is set --------------------------------------------------------------------


def test_what_was_shown_outlives_the_store_and_then_fades(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store.open(path, "films")
    store.note_shown(["a", "b"])
    store.note_shown(["b", "c"])
    store.close()
    Store.open(path, "books").note_shown(["z"])
    store = Store.open(path, "films")
    assert list(store.shown()) == ["a", "b", "c"]
    later = time.time() + SHOWN_SECONDS + 1
    monkeypatch.setattr("device_app.store.time.time", lambda: later)
    assert store.shown() == {}
    store.note_shown(["d"])
    rows = store._db.execute("SELECT catalogue, item_id FROM impressions").fetchall()
    assert rows == [("films", "d")]
    store.forget_shown()
    assert store.shown() == {}


def test_settings_are_kept(path: Path) -> None:
    store = Store.open(path, "films")
    assert store.settings() == Settings(paused_after=None, diversity=0.0)
    store.set(Settings(paused_after=3, diversity=0.25))
    store.close()
    store = Store.open(path, "books")
    assert store.settings() == Settings(3, 0.25)
    store.set(Settings())
    assert store.settings() == Settings()


@given(
    st.builds(Settings, st.none() | st.integers(0, 2**63), st.floats(0, 1, allow_subnormal=False))
)
def test_settings_parse_as_they_were_dumped(settings: Settings) -> None:
    assert Settings.parse(settings.dump()) == settings


@given(st.dictionaries(st.sampled_from(["paused_after", "diversity", "x"]), st.text()))
@example({"paused_after": "-1", "diversity": "NaN"})
@example({"paused_after": "true", "diversity": "2"})
@example({"paused_after": "[1]", "diversity": '"0.5"'})
def test_settings_that_make_no_sense_are_the_defaults(stored: dict[str, str]) -> None:
    found = Settings.parse(stored)
    assert found.paused_after is None or found.paused_after >= 0
    assert 0 <= found.diversity <= 1


def test_a_wipe_leaves_no_byte(path: Path) -> None:
    store = Store.open(path, "books")
    store.add([NewEvent(f"secret-{n}", "like", n) for n in range(500)])
    store.close()
    store = Store.open(path, "films")
    store.record("secret-film", "like")
    store.note_shown(["secret-shown"])
    store.set(Settings(diversity=0.625))
    last = store.last_id()
    store.wipe()
    files = [file.read_bytes() for file in path.parent.iterdir()]
    assert len(files) >= 1
    assert not any(b"secret" in content or b"0.625" in content for content in files)
    assert store.events() == ()
    assert store.settings() == Settings()
    assert store.record("a", "like").added == (store.events()[0],)
    assert store.events()[0].event_id == last + 1


def test_a_wipe_that_another_program_hinders_is_said(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("device_app.store.BUSY_SECONDS", 0.05)
    store = Store.open(path, "films")
    store.record("secret", "like")
    other = sqlite3.connect(path)
    other.execute("BEGIN")
    other.execute("SELECT * FROM events").fetchall()
    with pytest.raises(StoreError, match="another program .*close it"):
        store.wipe()
    other.close()
    store.wipe()
    assert not any(b"secret" in file.read_bytes() for file in path.parent.iterdir())


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
        "m003_items_already_seen_and_events_of_unknown_time",
        "m004_impressions",
        "m005_settings",
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


def test_migrating_keeps_events_and_never_gives_an_id_again(path: Path) -> None:
    path.parent.mkdir()
    db = Database(path)
    migrations.apply(db, stop_before="m003_items_already_seen_and_events_of_unknown_time")
    rows = [
        {"catalogue": "films", "item_id": item, "kind": kind, "timestamp": 1_700_000_000}
        for item, kind in (("a", "like"), ("a", "save"), ("b", "hide"), ("c", "like"))
    ]
    db.table("events").insert_all(rows)
    db.table("events").delete_where("item_id = 'c'")
    db.close()
    store = Store.open(path, "films")
    assert kinds(store) == [("a", "like"), ("a", "save"), ("b", "hide")]
    assert [event.event_id for event in store.events()] == [3, 2, 1]
    assert store.last_id() == 4
    assert store.record("d", "seen").added[0].event_id == 5
    with pytest.raises(sqlite3.IntegrityError):
        store._db.table("events").insert(rows[0])


@pytest.mark.parametrize("empty", [True, False])
def test_migrating_a_history_that_is_empty(path: Path, empty: bool) -> None:
    path.parent.mkdir()
    db = Database(path)
    migrations.apply(db, stop_before="m003_items_already_seen_and_events_of_unknown_time")
    if not empty:
        row = {"catalogue": "films", "item_id": "a", "kind": "like", "timestamp": 1}
        db.table("events").insert(row)
        db.table("events").delete_where()
    db.close()
    store = Store.open(path, "films")
    assert store.last_id() == (0 if empty else 1)
    assert store.record("a", "like").added[0].event_id == store.last_id() == (1 if empty else 2)


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
    """The store against a list of events, each with its time and its place in the order of writing."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self.path = Path(self._folder.name) / "history.db"
        self.store = Store.open(self.path, "films")
        self.model: list[Event] = []
        self.written = 0
        self.last: tuple[Change, list[Event]] | None = None

    items = st.sampled_from(["a", "b", "ü", "千与千寻", "x'); DROP TABLE events; --"])
    times = st.none() | st.integers(0, 3)

    def of(self, item: str, kind: str) -> Event | None:
        """The event that one of this kind would meet."""
        met = (
            e for e in self.model if e.item_id == item and (e.kind == "save") == (kind == "save")
        )
        return next(met, None)

    def write(self, item: str, kind: str, timestamp: int | None) -> None:
        self.written += 1
        met = self.of(item, kind)
        self.model = [event for event in self.model if event != met]
        self.model.append(Event(self.written, item, kind, timestamp))  # type: ignore[arg-type]

    @rule(item=items, kind=st.sampled_from(KINDS))
    def record(self, item: str, kind: str) -> None:
        before = list(self.model)
        met = self.of(item, kind)
        if met is None or met.kind != kind:
            self.write(item, kind, 10**9)  # later than all that is imported
        self.last = (self.store.record(item, kind), before)  # type: ignore[arg-type]

    @rule(events=st.lists(st.builds(NewEvent, items, st.sampled_from(KINDS), times), max_size=4))
    def add(self, events: list[NewEvent]) -> None:
        before = list(self.model)
        last = {(event.item_id, event.kind == "save"): event for event in events}
        for event in last.values():
            met = self.of(event.item_id, event.kind)
            times = [-1 if e.timestamp is None else e.timestamp for e in (met, event) if e]
            if met is None or (met.kind != event.kind and times[0] < times[1]):
                self.write(event.item_id, event.kind, event.timestamp)
        self.last = (self.store.add(events), before)

    @rule(item=items, kind=st.sampled_from(KINDS))
    def withdraw(self, item: str, kind: str) -> None:
        before = list(self.model)
        self.model = [e for e in self.model if (e.item_id, e.kind) != (item, kind)]
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
        known = [event for event in self.model if event.timestamp is not None]
        ordered = [event for event in self.model if event.timestamp is None]
        ordered.sort(key=lambda event: event.event_id)
        ordered += sorted(known, key=lambda event: (event.timestamp, event.event_id))
        assert kinds(self.store) == [(event.item_id, event.kind) for event in ordered]

    def teardown(self) -> None:
        self.store.close()
        self._folder.cleanup()


Histories.TestCase.settings = settings(max_examples=25, stateful_step_count=15, database=None)
TestHistories = Histories.TestCase


@settings(
    max_examples=50,
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
