"""The user's data as a whole: brought in, taken out, explained, kept aside, wiped."""

import csv
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlite_utils import Database

from device_app.events import KINDS, Event, NewEvent, StoreError
from device_app.importers.rows import HistoryFileError
from device_app.knowledge import sentences
from device_app.session import Session
from device_app.settings import Settings
from device_app.store import Store
from device_app.views import Found
from pocketrec.catalogue import Item
from pocketrec.errors import UsageError

Opener = Callable[..., Session]


@pytest.fixture
def open_session(tiny_bundle: Path, tmp_path: Path) -> Opener:
    return lambda name="history": Session.open(tiny_bundle, tmp_path / name / "history.db")


@pytest.fixture
def session(open_session: Opener) -> Session:
    return open_session()


def ids(session: Session) -> list[str]:
    return [card.item_id for card in session.picks().cards]


def said(session: Session) -> list[tuple[str, str, int | None]]:
    """Oldest first."""
    events = reversed(session._store.events())
    return [(event.item_id, event.kind, event.timestamp) for event in events]


# --- seen, passed over, paused ------------------------------------------------------------------------


def test_an_item_already_seen_leaves_the_list_and_moves_nothing_else(session: Session) -> None:
    session.mark("m07", "like")
    before = ids(session)
    session.mark(before[0], "seen")
    assert ids(session)[:22] == before[1:23]
    card = next(c for c in session.search(session.title(before[0])).cards if c.item_id == before[0])
    assert card.opinion == "seen"


def test_what_was_passed_over_stays_away_after_a_new_start(open_session: Opener) -> None:
    first = open_session()
    passed = ids(first)
    second = [card.item_id for card in first.other_picks().cards]
    first.close()
    again = open_session()
    assert ids(again) == second
    assert not set(passed) & set(ids(again))
    assert [card.item_id for card in again.other_picks().cards] == passed


def test_what_was_passed_over_comes_back_after_a_day(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = ids(session)
    session.other_picks()
    later = time.time() + 90_000
    monkeypatch.setattr("device_app.store.time.time", lambda: later)
    assert ids(session) == before


def test_a_paused_list_rests_on_what_was_said_before(open_session: Opener) -> None:
    session = open_session()
    session.mark("m07", "like")
    session.pause()
    session.pause()  # no second beginning
    before = session.picks()
    order = [card.item_id for card in before.cards]
    session.mark(order[0], "like")
    session.mark(order[1], "dislike")
    session.pause()
    session.close()
    session = open_session()
    assert session.settings().is_paused
    assert session.picks().history == ("m07",)
    assert ids(session)[:22] == order[2:24]
    session.resume()
    assert session.picks().history == ("m07", order[0])
    assert [entry.kind for entry in session.history()] == ["dislike", "like", "like"]


def test_what_is_passed_over_while_paused_is_not_kept(open_session: Opener) -> None:
    session = open_session()
    session.pause()
    first = ids(session)
    second = [card.item_id for card in session.other_picks().cards]
    assert not set(first) & set(second)
    assert session._store.shown() == {}
    session.close()
    assert ids(open_session()) == first


# --- diversity, wall, details -----------------------------------------------------------------------


def test_diversity_brings_other_regions_to_the_top(session: Session) -> None:
    for item_id in ("m01", "m06", "m11"):
        session.mark(item_id, "like")
    plain = session.picks()
    session.set_diversity(0.7)
    mixed = session.picks()
    assert mixed.cards[0] == plain.cards[0]
    assert len(mixed.cards) == len(plain.cards)

    def regions(cards: tuple) -> int:
        return len({card.facts.rpartition("  ·  ")[2] for card in cards[:5]})

    assert regions(mixed.cards) > regions(plain.cards)
    session.set_diversity(0)
    assert session.picks() == plain


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_diversity_is_a_share(session: Session, share: float) -> None:
    with pytest.raises(UsageError, match="from 0 to 1"):
        session.set_diversity(share)


def test_the_taste_wall_shows_cards_with_what_was_said(session: Session) -> None:
    wall = session.taste_wall()
    assert len(wall) == 18
    session.mark(wall[3].item_id, "like")
    again = session.taste_wall()
    assert [card.item_id for card in again] == [card.item_id for card in wall]
    assert again[3].opinion == "like"
    assert not {c.item_id for c in wall} & {c.item_id for c in session.taste_wall(1)}
    assert session.taste_wall(2) == ()


def test_the_reasons_of_an_item_are_shares_of_the_strongest(session: Session) -> None:
    for item_id in ("m02", "m07", "m12", "m01"):
        session.mark(item_id, "like")
    details = session.details("m17")  # a horror film, as three of the likes
    assert details is not None
    assert details.description.startswith("A horror film about")
    shares = [reason.share for reason in details.reasons]
    assert 1 <= len(shares) <= 3
    assert shares[0] == 1
    assert shares == sorted(shares, reverse=True)
    assert session.strongest(["m17"]) == {"m17": details.reasons[0].card.title}


# --- export and import --------------------------------------------------------------------------------


def test_an_import_is_one_change(session: Session, tmp_path: Path) -> None:
    path = tmp_path / "ratings.csv"
    path.write_text("Title,Rating,Date\nThe Laugh,5,2020-01-02\nThe Ghost,1,2020-01-03\nNone,5,\n")
    session.mark("m01", "save")
    before = said(session)
    preview = session.preview(path)
    assert len(preview.unmatched) == 1
    change = session.import_history(preview)
    assert [(e.item_id, e.kind) for e in change.added] == [("m01", "like"), ("m02", "dislike")]
    assert [entry.when for entry in session.history("like")] == ["2 January 2020"]
    assert not session.import_history(preview)
    session.undo(change)
    assert said(session) == before


EVENTS = st.lists(
    st.builds(
        NewEvent,
        st.integers(1, 40).map("m{:02}".format),
        st.sampled_from(KINDS),
        st.none() | st.integers(0, 1_700_000_000),
    ),
    max_size=12,
)


@settings(
    max_examples=20,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(events=EVENTS)
def test_an_export_can_be_imported_again(
    open_session: Opener, tmp_path: Path, events: list[NewEvent]
) -> None:
    session, other = open_session(), open_session("other")
    session.wipe()
    other.wipe()
    session._store.add(events)
    session.add_item("A Zebra Comedy", "of stripes")
    own = session.own_items()[0]
    session.mark(own.item_id, "like")
    session.export_json(tmp_path / "export.json")
    change = other.import_history(other.preview(tmp_path / "export.json"))
    assert said(other) == said(session)
    assert other.own_items() == session.own_items()
    assert other.picks() == session.picks()
    assert not other.import_history(other.preview(tmp_path / "export.json"))
    other.undo(change)
    assert said(other) == []
    session.close()
    other.close()


def test_an_export_holds_all_that_is_kept(session: Session, tmp_path: Path) -> None:
    session.set_diversity(0.5)
    passed = ids(session)
    session.other_picks()
    session.export_json(tmp_path / "export.json")
    written = json.loads((tmp_path / "export.json").read_text(encoding="utf-8"))
    assert written["settings"] == {"paused_after": None, "diversity": 0.5}
    assert sorted(one["item_id"] for one in written["passed_over"]) == sorted(passed)


def test_own_items_of_an_export_that_make_no_sense_are_left_out(
    session: Session, tmp_path: Path
) -> None:
    good = {"item_id": f"own:{'0' * 32}", "title": " Mine ", "description": "x\ny"}
    bad = [
        {**good, "item_id": "m01"},
        {**good, "title": "  "},
        {**good, "title": 3},
        {"title": "x"},
        "x",
        {**good, "item_id": f"own:{'1' * 32}", "description": "long" * 10_000},
    ]
    event = {"item_id": good["item_id"], "title": "Mine", "kind": "like", "timestamp": -5}
    content = {
        "format": "pocketrec-history", "version": 1, "catalogue": "tiny-films",
        "events": [event], "own_items": [*bad, good],
    }  # fmt: skip
    path = tmp_path / "export.json"
    path.write_text(json.dumps(content))
    session.import_history(session.preview(path))
    assert [card.title for card in session.own_items()] == ["Mine"]
    assert said(session) == [(good["item_id"], "like", None)]
    path.write_text(json.dumps({**content, "own_items": "none"}))
    session.preview(path)


def test_csv_for_other_programs(session: Session, tmp_path: Path) -> None:
    session._store.add([NewEvent("m02", "dislike", 0), NewEvent("m01", "seen", None)])
    card = session.add_item("=HYPERLINK(1)")
    session.mark(card.item_id, "save")
    session.export_csv(tmp_path / "export.csv")
    with (tmp_path / "export.csv").open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["title"], row["year"], row["kind"], row["time"]) for row in rows[:2]] == [
        ("The Laugh", "1981", "seen", ""),
        ("The Ghost", "1982", "dislike", "1970-01-01T00:00:00+00:00"),
    ]
    assert rows[2]["title"] == "'=HYPERLINK(1)"


@pytest.mark.parametrize("export", [Session.export_json, Session.export_csv])
def test_an_export_that_cannot_be_written(
    session: Session, tmp_path: Path, export: Callable[[Session, Path], None]
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HistoryFileError, match="choose another folder"):
        export(session, tmp_path / "file" / "export")
    assert list(tmp_path.glob(".*")) == []


# --- what the app knows -------------------------------------------------------------------------------


def test_knowledge_is_counted() -> None:
    items = {
        "a": Item("a", "A", categories="Drama|War", creator="Ann"),
        "b": Item("b", "B", categories="Drama", creator="Ann"),
        "c": Item("c", "C", categories="Comedy", creator="Bob"),
    }
    noon = 1_709_467_200  # 3 March 2024, 12:00 UTC
    events = [
        Event(5, "gone", "hide", noon + 86_400 * 30),
        Event(4, "c", "save", noon + 100),
        Event(3, "c", "like", noon),
        Event(2, "b", "like", None),
        Event(1, "a", "like", noon),
    ]
    found = sentences(events, items, own=1, shown=24, settings=Settings(paused_after=9))
    assert found == (
        "You liked 3 titles, hid 1 title and saved 1 title for later.",
        "This was from 3 March 2024 to 2 April 2024.",
        "Imported without a date: 1.",
        "What you like most: Drama (2 likes).",
        "Who made it: Ann (2 likes).",
        "Not in the present catalogue, so without effect: 1 title.",
        "You added 1 title of your own.",
        "Within the last day you passed over 24 titles of those picked for you.",
        "Learning is paused: the lists do not follow what you say now.",
        "All of this is kept on this device alone.",
    )


def test_knowledge_of_nobody(session: Session) -> None:
    assert session.knowledge() == (
        "This app knows nothing about your taste yet.",
        "All of this is kept on this device alone.",
    )
    session.mark("m01", "like")
    session.mark("m06", "like")
    assert session.knowledge()[0] == "You liked 2 titles."
    assert "What you like most: Comedy (2 likes)." in session.knowledge()


# --- wiping -------------------------------------------------------------------------------------------


def test_a_wipe_leaves_no_byte_in_any_file(session: Session, tmp_path: Path) -> None:
    secret = session.add_item("Zanzibar Nights", "whispered")
    session.mark(secret.item_id, "like")
    session.mark("secret-film", "dislike")
    session.mark(session.picks().cards[0].item_id, "save")
    session.other_picks()
    session.set_diversity(0.3)
    books = Store.open(tmp_path / "history" / "history.db", "books")
    books.record("secret-book", "like")
    books.close()
    session.wipe()
    assert session.history() == ()
    assert session.own_items() == ()
    assert session.search("Zanzibar") == Found(())
    assert session.settings() == Settings()
    assert session.knowledge()[0] == "This app knows nothing about your taste yet."

    def left() -> list[tuple[Path, bytes]]:
        return [
            (path, word)
            for folder in (tmp_path, Path(os.environ["POCKETREC_CACHE"]))
            for path in folder.rglob("*")
            if path.is_file()
            for word in (b"Zanzibar", b"whispered", b"secret", secret.item_id.encode(), b"m01")
            if word in path.read_bytes()
        ]

    assert left() == []
    session.mark("m05", "like")  # all works as at the beginning
    session.add_item("Another")
    session.close()
    assert left() == []


def test_a_wipe_that_fails_says_so(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    session.add_item("Zanzibar Nights")

    def refuse(path: Path, missing_ok: bool = False) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", refuse)
        with pytest.raises(StoreError, match="could not be deleted .*wipe again"):
            session.wipe()
    session.wipe()
    assert session.own_items() == ()


def test_a_database_of_the_first_versions_opens(tiny_bundle: Path, tmp_path: Path) -> None:
    from device_app.store import migrations

    db = Database(tmp_path / "history.db")
    migrations.apply(db, stop_before="m003_items_already_seen_and_events_of_unknown_time")
    row = {"catalogue": "tiny-films", "item_id": "m05", "kind": "like", "timestamp": 1}
    db.table("events").insert(row)
    db.close()
    assert Session.open(tiny_bundle, tmp_path / "history.db").picks().history == ("m05",)
