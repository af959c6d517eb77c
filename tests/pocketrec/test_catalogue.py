"""Items on disk: what goes in comes out, the search finds it, damage is told."""

import os
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_bundle import tiny_items

from pocketrec import catalogue as module
from pocketrec.catalogue import Catalogue, Item, fold, title_tier
from pocketrec.errors import BundleError, DataError
from pocketrec.text import item_text

ITEMS = [
    Item("1", "Heat", description="A long plot. " * 20, categories="Crime", year=1995),
    Item("2", "The Heat", categories="Action, Comedy", year=2013),
    Item("3", "White Heat", creator="Raoul Walsh"),
    Item("4", "Heathers", categories="Comedy"),
    Item("5", "Amélie", description="Une fille à Paris, in the heat of summer.", creator="Jeunet"),
    Item("6", "七人の侍", description="用心棒", creator="黒澤 明"),
    Item("7", "进击的巨人 (Attack on Titan)", categories="动作"),
    Item("8", "M*A*S*H", text="a text of its own"),
    Item("9", 'What the #$*! Do We "Know"?'),
    Item("10", "Чайковский", description="музыка"),
    Item("11", "Straße nach Tokio"),
    Item("12", "หนังไทย"),
    Item("13", "Die Hard 100%"),
]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("a folder with ?#% in its name") / "catalogue.sqlite"
    Catalogue.write(path, ITEMS)
    return path


@pytest.fixture(scope="module")
def catalogue(path: Path) -> Iterator[Catalogue]:
    opened = Catalogue.open(path)
    yield opened
    opened.close()


@pytest.fixture(params=[True, False], ids=["fts5", "no fts5"])
def either(
    request: pytest.FixtureRequest, path: Path, monkeypatch: pytest.MonkeyPatch
) -> Catalogue:
    if not request.param:
        monkeypatch.setattr(module, "_has_fts5", lambda connection: False)
    return Catalogue.open(path)


def ids(found: list[Item]) -> list[str]:
    return [item.item_id for item in found]


def test_what_goes_in_comes_out(catalogue: Catalogue) -> None:
    assert len(catalogue) == len(ITEMS)
    assert catalogue.get_many(ids(ITEMS)) == ITEMS
    assert catalogue.get("8") == ITEMS[7]
    assert catalogue.get("14") is None
    assert catalogue.get("\ud800") is None


def test_many_in_the_order_asked_for(catalogue: Catalogue) -> None:
    assert ids(catalogue.get_many(["7", "14", "2", "\udc80", "7"])) == ["7", "2", "7"]
    assert catalogue.get_many([]) == []
    assert len(catalogue.get_many(["3"] * 2000)) == 2000


def test_text_is_the_template_where_it_is_not_given(path: Path) -> None:
    assert ITEMS[0].text == item_text("Heat", "A long plot. " * 20, "Crime", "", 1995)
    stored = sqlite3.connect(path).execute("SELECT item_id FROM items WHERE text IS NOT NULL")
    assert stored.fetchall() == [("8",)]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        # Exact, exact but for the article, holds the word, holds its beginning, elsewhere.
        ("heat", ["1", "2", "3", "4", "5"]),
        ("HEAT", ["1", "2", "3", "4", "5"]),
        ("the heat", ["2", "5", "4"]),
        ("hea", ["1", "2", "4", "3", "5"]),
        ("h", ["1", "2", "4", "3", "13", "8"]),  # one letter: titles only
        ("  white   HE ", ["3"]),
        ("amelie", ["5"]),
        ("AMÉLIE", ["5"]),
        ("ame\u0301lie", ["5"]),
        ("jeunet paris", ["5"]),
        ("walsh", ["3"]),
        ("comedy", ["4", "2"]),
        ("чайк", ["10"]),
        ("ЧАЙКОВСКИЙ", ["10"]),
        ("strasse", ["11"]),
        ("侍", ["6"]),
        ("七人", ["6"]),
        ("黒澤", ["6"]),
        ("巨人", ["7"]),
        ("巨人 TITAN", ["7"]),
        ("动作", ["7"]),
        ("ไทย", ["12"]),
        ("m*a*s*h", ["8"]),
        ("#$*!", ["9"]),
        ('"know"', ["9"]),
        ("eathers", ["4"]),  # no word begins so
        ("100%", ["13"]),
        ("%", ["13"]),
        ("_", []),
        ("nothing like it", []),
        ("", []),
        (" \n", []),
        ("\ud800", []),
        ("heat\ud800hers", ["4"]),
    ],
)
def test_search(catalogue: Catalogue, query: str, expected: list[str]) -> None:
    assert ids(catalogue.search(query)) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [("heat", ["1", "2", "3", "4", "5"]), ("Amelie", ["5"]), ("巨人", ["7"]), ("100%", ["13"])],
)
def test_search_without_fts5(either: Catalogue, query: str, expected: list[str]) -> None:
    assert ids(either.search(query)) == expected


def test_limit(either: Catalogue) -> None:
    assert ids(either.search("heat", limit=2)) == ["1", "2"]
    assert either.search("heat", limit=0) == []
    assert either.search("heat", limit=-1) == []


def test_a_catalogue_written_without_fts5(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(module, "_has_fts5", lambda connection: False)
        Catalogue.write(tmp_path / "plain.sqlite", ITEMS)
    opened = Catalogue.open(tmp_path / "plain.sqlite")
    assert ids(opened.search("amelie")) == ["5"]
    assert opened.get_many(ids(ITEMS)) == ITEMS


OPERATORS = st.sampled_from(
    ["AND", "OR", "NOT", "NEAR(", ")", '"', "'", "*", "^", ":", "title:", "-", "+", "{", "}", ";--"]
)
QUERIES = st.text() | st.lists(
    OPERATORS | st.text(max_size=3) | st.sampled_from(["heat", "侍", "\ud800"]), max_size=50
).map(" ".join)


@given(query=QUERIES, limit=st.integers(-2, 30))
def test_no_query_raises(catalogue: Catalogue, query: str, limit: int) -> None:
    found = catalogue.search(query, limit)
    assert len(found) <= max(limit, 0)
    assert len(set(ids(found))) == len(found)


@given(item=st.sampled_from(ITEMS), length=st.integers(1, 30))
def test_every_beginning_of_a_title_finds_it(catalogue: Catalogue, item: Item, length: int) -> None:
    assert item in catalogue.search(item.title[:length])


@given(query=st.text(st.characters(categories=["L", "N", "M"]), min_size=1, max_size=3))
def test_letters_of_any_edition_of_unicode(catalogue: Catalogue, query: str) -> None:
    # FTS5 takes some of them for separators, and would refuse the word as a phrase.
    catalogue.search(f"{query}a{query}a")


def test_a_very_long_query(catalogue: Catalogue) -> None:
    assert catalogue.search("heat " * 20_000) != []
    assert catalogue.search("* " * 20_000) == catalogue.search("*")
    assert catalogue.search("x" * 100_000) == []


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@settings(max_examples=25)
@given(
    items=st.lists(
        st.builds(
            Item,
            item_id=TEXT,
            title=TEXT,
            text=TEXT,
            description=TEXT,
            categories=TEXT,
            creator=TEXT,
            year=st.none() | st.integers(-(2**63), 2**63 - 1),
        ),
        max_size=4,
        unique_by=lambda item: item.item_id,
    )
)
def test_any_items(tmp_path_factory: pytest.TempPathFactory, items: list[Item]) -> None:
    path = tmp_path_factory.getbasetemp() / "any.sqlite"
    Catalogue.write(path, items)
    opened = Catalogue.open(path)
    assert len(opened) == len(items)
    assert opened.get_many(ids(items)) == items


def test_the_same_items_give_the_same_bytes(path: Path, tmp_path: Path) -> None:
    Catalogue.write(tmp_path / "again.sqlite", iter(ITEMS))
    assert (tmp_path / "again.sqlite").read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    ("item", "found"),
    [
        (Item("1", "twice"), "UNIQUE"),
        (Item("x", "\ud800"), "surrogates"),
        (Item("x", "x", year=2**63), "too large"),
        (Item("x", "x", year=[1999]), "type 'list'"),  # type: ignore[arg-type]
    ],
    ids=["twice", "surrogate", "year", "list"],
)
def test_what_cannot_be_written_leaves_the_old_file(
    path: Path, tmp_path: Path, item: Item, found: str
) -> None:
    target = tmp_path / "catalogue.sqlite"
    target.write_bytes(path.read_bytes())
    with pytest.raises(DataError, match=f"item '{item.item_id}': .*{found}"):
        Catalogue.write(target, [*ITEMS, item])
    assert target.read_bytes() == path.read_bytes()
    assert list(tmp_path.iterdir()) == [target]


def test_opening_and_reading_writes_nothing(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "catalogue.sqlite"
    target.write_bytes(path.read_bytes())
    target.chmod(0o444)
    before = target.stat().st_mtime_ns
    opened = Catalogue.open(target)
    assert opened.search("heat")
    with pytest.raises(BundleError, match="readonly"):
        opened._rows("DELETE FROM items")
    assert target.stat().st_mtime_ns == before
    assert list(tmp_path.iterdir()) == [target]


def test_several_threads(catalogue: Catalogue) -> None:
    ready = threading.Barrier(4)

    def read(number: int) -> bool:
        ready.wait()
        item = ITEMS[number]
        return all(
            catalogue.get(item.item_id) == item and item in catalogue.search(item.title)
            for _ in range(50)
        )

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(read, range(4)))


def test_close(path: Path) -> None:
    opened = Catalogue.open(path)
    opened.close()
    opened.close()
    with pytest.raises(BundleError, match="closed"):
        opened.get("1")


def test_files_that_are_no_catalogue(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.sqlite"
    connection = sqlite3.connect(other)
    connection.execute("CREATE TABLE items (item_id TEXT)")
    connection.close()
    damaged = {
        "absent": None,
        "empty": b"",
        "text": b"not a database at all" * 100,
        "truncated": path.read_bytes()[:5000],
        "other": other.read_bytes(),
    }
    for name, content in damaged.items():
        target = tmp_path / name
        if content is not None:
            target.write_bytes(content)
        with pytest.raises(BundleError, match=f"{name}: expected a catalogue .*found: "):
            Catalogue.open(target)
    with pytest.raises(BundleError, match="expected a catalogue"):
        Catalogue.open(tmp_path)


@settings(max_examples=200)
@given(
    places=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=40)
)
def test_damage_is_told_or_harmless(
    path: Path, tmp_path_factory: pytest.TempPathFactory, places: list[tuple[int, int]]
) -> None:
    content = bytearray(path.read_bytes())
    for place, value in places:
        content[place % len(content)] = value
    target = tmp_path_factory.getbasetemp() / "damaged.sqlite"
    target.write_bytes(content)
    try:
        opened = Catalogue.open(target)
        opened.get_many(ids(ITEMS))
        opened.search("heat")
        opened.search("侍")
    except BundleError:
        return


def test_a_position_of_another_type(path: Path, tmp_path: Path) -> None:
    # One byte of the schema: the position is no rowid any more, and is looked for in the index of ids.
    target = tmp_path / "catalogue.sqlite"
    content = path.read_bytes()
    assert content.count(b"position INTEGER PRIMARY KEY") == 1
    target.write_bytes(content.replace(b"INTEGER PRIMARY KEY", b" NTEGER PRIMARY KEY"))
    with pytest.raises(BundleError, match="found: position '"):
        Catalogue.open(target)


@pytest.mark.parametrize("value", [b"Heat", None, 7])
def test_values_of_another_type(path: Path, tmp_path: Path, value: object) -> None:
    target = tmp_path / "catalogue.sqlite"
    connection = sqlite3.connect(target)
    connection.execute(module._SCHEMA.replace("NOT NULL", "").replace("title TEXT", "title"))
    connection.execute(module._DICTIONARY_SCHEMA)
    connection.execute("INSERT INTO packing VALUES (X'')")
    connection.execute("INSERT INTO items VALUES (0, '1', ?, NULL, '', '', '', NULL)", (value,))
    connection.commit()
    connection.close()
    with pytest.raises(BundleError, match="another type in item '1'"):
        Catalogue.open(target)


@pytest.mark.parametrize(
    "damage",
    [
        "DROP TABLE packing",
        "DELETE FROM packing",
        "UPDATE packing SET dictionary = 7",
        "UPDATE items SET description = X'FF00' WHERE item_id = 'm03'",
        "UPDATE items SET description = 'plain' WHERE item_id = 'm03'",
        "UPDATE items SET description = 7 WHERE item_id = 'm03'",
    ],
)
def test_damaged_descriptions(tmp_path: Path, damage: str) -> None:
    target = tmp_path / "c.sqlite"
    Catalogue.write(target, tiny_items())
    with closing(sqlite3.connect(target)) as connection, connection:
        connection.execute(damage)
    with pytest.raises(BundleError, match=r"c\.sqlite: expected a catalogue"):
        Catalogue.open(target).get_many(ids(tiny_items()))


def test_fold_and_tiers_by_hand() -> None:
    assert fold("The Amélie É") == "the amelie e"
    assert fold("Straße Ⅳ ＡＢ") == "strasse iv ab"
    assert fold("が") == "か\u3099" != fold("か")  # a voicing mark makes another letter
    titles = [
        "Heat",
        "An Heat",
        "The Heat Wave",
        "Heat: 2",
        "In Heat",
        "Big Heathers",
        "Wheat",
        "x",
    ]
    assert [title_tier(title, "heat") for title in titles] == [0, 0, 1, 1, 2, 3, 4, 5]


@pytest.mark.skipif("POCKETREC_DATA" not in os.environ, reason="POCKETREC_DATA is not set")
def test_a_real_catalogue_is_small(tmp_path: Path) -> None:
    import polars as pl

    table = pl.read_parquet(Path(os.environ["POCKETREC_DATA"]) / "movielens-small/items.parquet")
    items = [Item(**row) for row in table.iter_rows(named=True)]
    Catalogue.write(tmp_path / "catalogue.sqlite", items)
    opened = Catalogue.open(tmp_path / "catalogue.sqlite")
    assert opened.get_many(ids(items)) == items
    assert opened.search("the matrix", 1)[0].title == "The Matrix"
    assert [item.title for item in opened.search("toy sto", 3)] == [
        "Toy Story",
        "Toy Story 2",
        "Toy Story 3",
    ]
    assert (tmp_path / "catalogue.sqlite").stat().st_size < 2_200_000


def test_a_sound_catalogue_passes_its_check(tmp_path):
    Catalogue.write(tmp_path / "c.sqlite", tiny_items())
    Catalogue.open(tmp_path / "c.sqlite").check()


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM items WHERE position = 3",
        "UPDATE items SET position = 90 WHERE position = 3",
        "UPDATE items SET position = -1 WHERE position = 3",
    ],
)
def test_positions_with_a_gap_are_found(tmp_path, change):
    path = tmp_path / "c.sqlite"
    Catalogue.write(path, tiny_items())
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(change)
    with pytest.raises(BundleError, match=r"c\.sqlite.*items at .* positions"):
        Catalogue.open(path).check()


def test_a_damaged_page_is_found(tmp_path):
    path = tmp_path / "c.sqlite"
    Catalogue.write(path, tiny_items())
    content = bytearray(path.read_bytes())
    content[2 * 4096 : 2 * 4096 + 16] = b"\xff" * 16  # the head of the third page
    path.write_bytes(content)
    with pytest.raises(BundleError, match=r"c\.sqlite: expected a catalogue"):
        Catalogue.open(path).check()
