from pathlib import Path

import pytest

from device_app.session import NEAREST, PICKS, Session
from device_app.views import Found
from pocketrec.recommender import Recommender


@pytest.fixture
def session(tiny_bundle: Path, tmp_path: Path) -> Session:
    return Session.open(tiny_bundle, tmp_path / "history.db")


def ids(session: Session) -> list[str]:
    return [card.item_id for card in session.picks().cards]


def test_without_likes_the_picks_are_the_popular_items(session: Session) -> None:
    picks = session.picks()
    assert picks.is_default
    assert picks.history == ()
    # m01 is the most popular of the tiny bundle, then m02 and so on.
    assert ids(session)[:3] == ["m01", "m02", "m03"]
    assert len(picks.cards) == PICKS


def test_likes_are_the_history_oldest_first(session: Session, tiny_bundle: Path) -> None:
    session.mark("m07", "like")
    session.mark("m03", "dislike")
    session.mark("m12", "like")
    picks = session.picks()
    expected = Recommender.open(tiny_bundle).recommend(["m07", "m12"], PICKS, disliked=["m03"])
    assert not picks.is_default
    assert picks.history == ("m07", "m12")
    assert ids(session) == [pick.item_id for pick in expected]


@pytest.mark.parametrize("kind", ["like", "dislike", "hide"])
def test_a_judged_item_is_never_picked(session: Session, kind: str) -> None:
    session.mark("m01", kind)
    seen = set(ids(session))
    seen.update(card.item_id for card in session.other_picks().cards)
    assert "m01" not in seen


def test_a_saved_item_stays_in_the_picks_and_is_marked(session: Session) -> None:
    session.mark("m01", "save")
    card = session.picks().cards[0]
    assert (card.item_id, card.saved, card.opinion) == ("m01", True, None)


def test_saying_it_again_takes_it_back(session: Session) -> None:
    session.mark("m01", "like")
    session.mark("m01", "like")
    assert session.history() == ()
    assert ids(session)[0] == "m01"


def test_undo_brings_back_the_picks(session: Session) -> None:
    before = session.picks()
    change = session.mark("m01", "hide")
    assert session.picks() != before
    session.undo(change)
    assert session.picks() == before


def test_other_picks_run_through_the_catalogue_and_start_again(session: Session) -> None:
    first = ids(session)
    second = [card.item_id for card in session.other_picks().cards]
    assert len(first) == PICKS
    assert len(second) == 40 - PICKS
    assert not set(first) & set(second)
    assert [card.item_id for card in session.other_picks().cards] == first


def test_when_all_is_judged_nothing_is_picked(session: Session) -> None:
    for number in range(1, 41):
        session.mark(f"m{number:02}", "dislike")
    assert session.picks().cards == ()
    assert session.other_picks().cards == ()


def test_the_reason_is_the_like_whose_absence_costs_most(
    session: Session, tiny_bundle: Path
) -> None:
    liked = ["m01", "m02", "m03"]
    for item_id in liked:
        session.mark(item_id, "like")
    recommender = Recommender.open(tiny_bundle)
    told, shown = 0, ids(session)
    strongest = session.strongest(shown)
    for item_id in shown:
        whole = dict(zip(recommender.ids.ids, recommender.scores(liked), strict=True))[item_id]
        without = {}
        for left_out in liked:
            rest = [other for other in liked if other != left_out]
            scores = dict(zip(recommender.ids.ids, recommender.scores(rest), strict=True))
            without[left_out] = whole - scores[item_id]
        most = max(without, key=without.__getitem__)
        if without[most] > 1e-4:
            assert strongest[item_id] == session.title(most)
            told += 1
        elif without[most] < -1e-4:
            assert item_id not in strongest
    assert told > 0


def test_history_tells_what_and_when_newest_first(session: Session) -> None:
    session.mark("m01", "like")
    session.mark("m02", "save")
    session.mark("m03", "hide")
    entries = session.history()
    assert [(e.title, e.kind) for e in entries] == [
        (session.title("m03"), "hide"),
        (session.title("m02"), "save"),
        (session.title("m01"), "like"),
    ]
    assert {entry.when for entry in entries} == {"just now"}
    assert [entry.item_id for entry in session.history("save")] == ["m02"]
    session.withdraw("m02", "save")
    assert session.history("save") == ()


def test_search_finds_titles_and_shows_what_was_said(session: Session) -> None:
    title = session.title("m01")
    session.mark("m01", "dislike")
    found = session.search(title).cards
    assert found[0].item_id == "m01"
    assert found[0].opinion == "dislike"
    assert session.search("  ") == Found(())
    assert session.search("qqqqqqq") == Found(())


def test_search_goes_by_meaning_where_no_item_has_the_words(
    session: Session, tiny_bundle: Path
) -> None:
    query = "Waltz of Zanzibar"  # no item has both words, but one has the first
    found = session.search(query)
    assert found.by_meaning
    nearest = Recommender.open(tiny_bundle).nearest(query, NEAREST)
    assert [card.item_id for card in found.cards] == [one.item_id for one in nearest]
    assert not session.search("Waltz").by_meaning


def test_an_event_of_an_item_that_left_the_catalogue_is_kept(session: Session) -> None:
    session.mark("gone", "like")
    assert session.history()[0].title == "gone"
    picks = session.picks()
    assert picks.is_default
    assert picks.history == ()


def test_the_history_outlives_the_session(tiny_bundle: Path, tmp_path: Path) -> None:
    first = Session.open(tiny_bundle, tmp_path / "history.db")
    first.mark("m05", "like")
    first.close()
    second = Session.open(tiny_bundle, tmp_path / "history.db")
    assert second.picks().history == ("m05",)
    assert second.about.items == 40


def test_bookmarks_are_newest_first(session: Session) -> None:
    session.mark("m05", "save")
    session.mark("m02", "save")
    session.mark("m02", "like")
    assert [(c.item_id, c.opinion, c.saved) for c in session.saved()] == [
        ("m02", "like", True),
        ("m05", None, True),
    ]


def test_a_liked_item_is_not_its_own_reason(session: Session) -> None:
    session.mark("m01", "like")
    details = session.details("m01")
    assert details is not None
    assert not details.has_likes
    assert details.reasons == ()
    session.mark("m06", "like")
    details = session.details("m01")
    assert details is not None
    assert details.has_likes
    assert [reason.card.item_id for reason in details.reasons] == ["m06"]
    assert details.card.opinion == "like"


def test_what_is_similar_was_not_judged_badly(session: Session) -> None:
    before = session.details("m01")
    assert before is not None
    first, second = (card.item_id for card in before.similar[:2])
    session.mark(first, "hide")
    session.mark(second, "dislike")
    after = session.details("m01")
    assert after is not None
    assert len(after.similar) == len(before.similar)
    assert not {first, second} & {card.item_id for card in after.similar}


def test_an_item_of_no_catalogue_has_no_details(session: Session) -> None:
    assert session.details("gone") is None
