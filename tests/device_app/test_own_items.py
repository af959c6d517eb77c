"""Items of one's own: typed in, recommended, kept, removed."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_app.own_item import LONGEST_DESCRIPTION, own_item
from device_app.session import Session
from pocketrec.errors import DataError, UsageError


@pytest.fixture
def session(tiny_bundle: Path, tmp_path: Path) -> Session:
    return Session.open(tiny_bundle, tmp_path / "history.db")


def test_an_added_item_is_an_item_like_others(
    session: Session, tiny_bundle: Path, tmp_path: Path
) -> None:
    card = session.add_item("  The Sheriff\nof Canyon ", "A western about a saloon")
    assert card.title == "The Sheriff of Canyon"
    assert session.search("sheriff of").cards[0].item_id == card.item_id
    assert session.about.items == 41
    details = session.details(card.item_id)
    assert details is not None
    assert details.description == "A western about a saloon"
    for western in ("m03", "m08", "m13", "m18"):
        session.mark(western, "like")
    assert card.item_id in [pick.item_id for pick in session.picks().cards]
    session.mark(card.item_id, "like")
    picks = session.picks()
    session.close()
    again = Session.open(tiny_bundle, tmp_path / "history.db")
    assert [own.title for own in again.own_items()] == ["The Sheriff of Canyon"]
    assert again.picks() == picks


def test_a_removed_item_goes_with_what_was_said_of_it(session: Session) -> None:
    first, second = session.add_item("One"), session.add_item("Two")
    session.mark(first.item_id, "like")
    session.mark(first.item_id, "save")
    session.mark("m01", "like")
    session.remove_item(first.item_id)
    assert session.own_items() == (second,)
    assert [entry.item_id for entry in session.history()] == ["m01"]
    assert session.about.items == 41


@pytest.mark.parametrize("item_id", ["m01", "gone", f"own:{'0' * 32}"])
def test_only_own_items_can_be_removed(session: Session, item_id: str) -> None:
    session.add_item("One")
    with pytest.raises(UsageError, match="expected an item of your own"):
        session.remove_item(item_id)
    assert len(session.own_items()) == 1


@pytest.mark.parametrize(
    ("title", "description", "message"),
    [
        ("", "x", "title: expected at least one character, found none; type a title"),
        (" \n\t\x00", "", "title: expected at least one character"),
        ("x" * 1001, "", "title: expected at most 1,000 characters, found 1,001"),
        ("x", "y" * (LONGEST_DESCRIPTION + 1), "description: expected at most 10,000"),
    ],
)
def test_texts_that_cannot_be_taken(
    session: Session, tmp_path: Path, title: str, description: str, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        session.add_item(title, description)
    assert session.own_items() == ()
    assert list(tmp_path.glob("*.own-*")) == []


@given(st.text(), st.text())
def test_any_text_gives_an_item_or_a_clear_error(title: str, description: str) -> None:
    try:
        item = own_item(title, description)
    except UsageError:
        assert not "".join(title.split()).isprintable() or not title.strip()
        return
    assert item.title == " ".join(item.title.split()) != ""
    item.text.encode()
    assert own_item(item.title, item.description, item.item_id) == item
    assert own_item(title, description).item_id != item.item_id


def test_catalogues_keep_their_own(tiny_bundle: Path, tmp_path: Path) -> None:
    from dataclasses import replace

    from tiny_bundle import build_tiny_bundle, tiny_manifest

    from pocketrec.bundle import DataRecord, seal

    books = build_tiny_bundle(tmp_path / "books")
    seal(books, replace(tiny_manifest(), data=DataRecord("a/b: books", "0")))
    first = Session.open(tiny_bundle, tmp_path / "history.db")
    first.add_item("A Film")
    first.close()
    second = Session.open(books, tmp_path / "history.db")
    assert second.own_items() == ()
    second.add_item("A Book")
    second.wipe()
    second.close()
    assert Session.open(tiny_bundle, tmp_path / "history.db").own_items() == ()


def test_a_damaged_file_is_named(session: Session, tiny_bundle: Path, tmp_path: Path) -> None:
    session.add_item("One")
    session.close()
    (path,) = tmp_path.glob("history.own-*.db")
    path.write_bytes(b"no database at all" * 100)
    with pytest.raises(DataError, match=path.name):
        Session.open(tiny_bundle, tmp_path / "history.db")
