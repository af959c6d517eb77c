"""Items of a person's own: in memory they are recommended, in their file they last."""

import os
import signal
import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_bundle import build_tiny_bundle, tiny_items

from pocketrec.additions import Additions
from pocketrec.catalogue import Item
from pocketrec.errors import DataError, UsageError
from pocketrec.recommender import Recommender

WESTERNS = [item.item_id for item in tiny_items() if item.categories == "Western"]
MINE = Item("n1", "The Rustler of Canyon Prairie", categories="Western", year=1999)
OTHER = Item("n2", "Rocket and Comet", categories="Space")


@pytest.fixture(scope="module")
def recommender(tiny_bundle):
    return Recommender.open(tiny_bundle)


# --- in memory ------------------------------------------------------------------------------------


def test_an_added_item_is_recommended_at_once(recommender):
    more = recommender.with_items([MINE, OTHER])
    assert "n1" in [r.item_id for r in more.recommend(WESTERNS[:4], 10)]
    assert more.catalogue.get("n1") == MINE
    assert more.catalogue.search("rustler of")[0] == MINE
    assert more.similar("n1", 5).items
    assert more.explain(WESTERNS[:4], "n1")
    assert not more.recommend(["n1"], 4).is_default
    assert more.recommend([], 42).items[-1].item_id == "n2"
    assert "n1" not in recommender.ids
    assert recommender.catalogue.get("n1") is None
    assert len(recommender.recommend([], 99)) == 40


def test_one_by_one_is_the_same_as_all_at_once_and_as_a_bundle_of_all(recommender, tmp_path):
    together = recommender.with_items([MINE, OTHER])
    in_turn = recommender.with_items([MINE]).with_items([OTHER])
    recommender.with_items([MINE]).add_items([OTHER], tmp_path / "bundle")
    shipped = Recommender.open(tmp_path / "bundle")
    assert together.ids.ids == in_turn.ids.ids == shipped.ids.ids
    for history in (WESTERNS[:3], ["m01", "n2", "m07", "n1"], ["n2"]):
        scores = together.scores(history)
        assert in_turn.scores(history) == pytest.approx(scores, abs=1e-4)
        # There the new items are int8 too.
        assert shipped.scores(history) == pytest.approx(scores, abs=0.05)


def test_shipped_items_keep_their_order(recommender):
    more = recommender.with_items([MINE, OTHER])
    for history in (WESTERNS[:3], ["m01", "m06", "m12"]):
        kept = [r.item_id for r in more.recommend(history, 12) if r.item_id not in ("n1", "n2")]
        assert kept == [r.item_id for r in recommender.recommend(history, len(kept))]


def test_nothing_added_is_the_same_recommender(recommender):
    assert recommender.with_items([]) is recommender


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ([Item("m07", "Again")], "item 'm07': expected a new id"),
        ([MINE, MINE], "item 'n1': expected a new id"),
        ([Item("n3", " ")], "item 'n3': expected a title"),
        ([Item("", "Nameless")], "item '': expected an id"),
    ],
)
def test_items_that_cannot_be_added(recommender, items, expected):
    with pytest.raises(UsageError, match=expected):
        recommender.with_items(items)
    with pytest.raises(UsageError, match="item 'n1': expected a new id"):
        recommender.with_items([MINE]).with_items([MINE])


# --- in their file --------------------------------------------------------------------------------


def test_items_last(tmp_path):
    first = Additions(tmp_path / "deep/mine.sqlite")
    first.add([MINE])
    first.add([OTHER])
    assert Additions(tmp_path / "deep/mine.sqlite").items() == [MINE, OTHER]
    first.remove(["n1", "none"])
    assert Additions(tmp_path / "deep/mine.sqlite").items() == [OTHER]


def test_a_new_edition_of_the_bundle_keeps_them(tmp_path):
    kept = Additions(tmp_path / "mine.sqlite")
    kept.add([MINE])
    for items in (tiny_items(), tiny_items()[:30]):
        bundle = build_tiny_bundle(tmp_path / f"edition-{len(items)}", items)
        more = kept.added_to(Recommender.open(bundle))
        assert more.catalogue.get("n1") == MINE
        assert len(more.ids) == len(items) + 1


def test_an_edition_that_ships_one_of_them(tmp_path):
    kept = Additions(tmp_path / "mine.sqlite")
    kept.add([MINE, OTHER])
    shipped = Item("n1", "The Rustler, as the bundle names it", categories="Western")
    bundle = build_tiny_bundle(tmp_path / "edition", [*tiny_items(), shipped])
    more = kept.added_to(Recommender.open(bundle))
    assert more.ids.ids[-2:] == ["n1", "n2"]
    assert more.catalogue.get("n1") == shipped
    assert kept.items() == [MINE, OTHER]


@settings(max_examples=40)
@given(
    st.lists(
        st.builds(
            Item,
            item_id=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8),
            title=st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
            description=st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
            year=st.none() | st.integers(-(2**63), 2**63 - 1),
        ),
        unique_by=lambda item: item.item_id,
        max_size=5,
    )
)
def test_any_text_comes_back(tmp_path_factory, items):
    path = tmp_path_factory.mktemp("additions") / "mine.sqlite"
    Additions(path).add(items)
    assert Additions(path).items() == items


@pytest.mark.parametrize(
    "items", [[OTHER, MINE], [OTHER, OTHER], [OTHER, Item("n3", "Late", year=2**64)]]
)
def test_all_or_nothing(tmp_path, items):
    kept = Additions(tmp_path / "mine.sqlite")
    kept.add([MINE])
    with pytest.raises(DataError, match=r"mine\.sqlite: expected"):
        kept.add(items)
    assert kept.items() == [MINE]


def test_a_file_that_is_something_else(tmp_path):
    (tmp_path / "mine.sqlite").write_text("not a database, but long enough to be read as one" * 20)
    with pytest.raises(DataError, match=r"mine\.sqlite: expected a file of added items"):
        Additions(tmp_path / "mine.sqlite")
    with pytest.raises(DataError, match=r"expected a file of added items"):
        Additions(tmp_path)


def test_a_killed_process_loses_no_item_that_was_added(tmp_path):
    code = f"""
from pocketrec.additions import Additions
from pocketrec.catalogue import Item
kept = Additions({str(tmp_path / "mine.sqlite")!r})
for number in range(10**6):
    kept.add([Item(str(number), "A title")])
    print(number, flush=True)
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment
    )
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    told = [0, *map(int, process.stdout.read().split(b"\n")[:-1])]
    process.wait()
    assert len(told) > 1
    found = [int(item.item_id) for item in Additions(tmp_path / "mine.sqlite").items()]
    assert found[: len(told)] == told
    assert len(found) <= len(told) + 1
