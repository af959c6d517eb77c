"""Rules in a recommender and on the command line."""

import json

import pytest
from cli_call import call
from tiny_bundle import tiny_items

from pocketrec.recommender import Recommender
from pocketrec.rules import Rules

WRONG = 2
SHORT = ["m01", "m06", "m12"]
GENRE = {item.item_id: item.categories for item in tiny_items()}
ALL_THREE = """
[[boost]]
category = "Space"
by = 2
[[exclude]]
category = "horror"
[[quota]]
category = "Comedy"
most = 2
"""


@pytest.fixture(scope="module")
def recommender(tiny_bundle):
    return Recommender.open(tiny_bundle)


@pytest.mark.parametrize("history", [SHORT, []])
@pytest.mark.parametrize("k", [1, 10, 1000])
def test_recommend_under_all_three(recommender, history, k):
    rules = recommender.bind(Rules.parse(ALL_THREE))
    found = recommender.recommend(history, k, rules=rules)
    scores = recommender.scores(history)
    boosted = {
        item: score + 2 * scores.std() * (GENRE[item] == "Space")
        for item, score in zip(recommender.ids.ids, scores, strict=True)
    }
    ranked = sorted(boosted, key=lambda item: -boosted[item])
    ranked = [i for i in ranked if i not in history and GENRE[i] != "Horror"]
    comedies = [i for i in ranked if GENRE[i] == "Comedy"]
    expected = [i for i in ranked if i not in comedies[2:]][:k]
    assert [r.item_id for r in found] == expected
    assert [r.score for r in found] == pytest.approx([boosted[i] for i in expected], rel=1e-5)
    assert found.is_default == (not history)


def test_no_rules_give_the_same_list(recommender):
    empty = recommender.bind(Rules.parse("# nothing yet"))
    for history in (SHORT, [], ["unheard", "m40"]):
        for k in (1, 10, 100):
            assert recommender.recommend(history, k, rules=empty) == recommender.recommend(
                history, k
            )


def test_excluded_items_do_not_fill_a_short_list(recommender):
    rules = recommender.bind(
        Rules.parse("[[exclude]]\nyear_to = 2015\n[[boost]]\nyear_to = 2015\nby = 99")
    )
    found = recommender.recommend(SHORT, 40, exclude=["m40"], rules=rules)
    assert {r.item_id for r in found} == {"m36", "m37", "m38", "m39"}
    nothing = recommender.bind(Rules.parse("[[exclude]]\nyear_to = 2020"))
    assert len(recommender.recommend(SHORT, 40, rules=nothing)) == 0


def test_rules_leave_the_bundle_and_its_reasons_alone(recommender):
    before = recommender.explain(SHORT, "m11"), recommender.recommend([], 5)
    rules = recommender.bind(Rules.parse(ALL_THREE))
    recommender.recommend(SHORT, rules=rules)
    recommender.recommend([], rules=rules)
    assert (recommender.explain(SHORT, "m11"), recommender.recommend([], 5)) == before


# --- on the command line --------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "rules.toml"
    path.write_text(ALL_THREE, encoding="utf-8")
    return path


def test_recommend_with_a_file_of_rules(capsys, tiny_bundle, recommender, file):
    arguments = ["recommend", tiny_bundle, "--history", "m01,m06", "-k", 4, "--rules", file]
    rows = call(capsys, *arguments, "--json").json["items"]
    expected = recommender.recommend(["m01", "m06"], 4, rules=recommender.bind(Rules.load(file)))
    assert [(row["item_id"], row["score"]) for row in rows] == list(expected)
    for row in rows:
        reasons = recommender.explain(["m01", "m06"], row["item_id"], k=1)
        assert [(r["item_id"], r["drop"]) for r in row["because"]] == [
            (r.item_id, r.drop) for r in reasons
        ]
    called = call(capsys, *arguments)
    assert called.code == 0
    assert all(row["item_id"] in called.out for row in rows)


def test_many_histories_with_a_file_of_rules(capsys, tiny_bundle, recommender, file, tmp_path):
    source = tmp_path / "in.jsonl"
    source.write_text('{"user_id": 1, "history": ["m01", "m06"]}\n{"user_id": 2, "history": []}\n')
    called = call(capsys, "recommend", tiny_bundle, "--histories", source, "-k", 4, "--rules", file)
    rules = recommender.bind(Rules.load(file))
    for line, history in zip(called.out.splitlines(), (["m01", "m06"], []), strict=True):
        found = recommender.recommend(history, 4, rules=rules)
        assert json.loads(line)["items"] == [one.item_id for one in found]


def test_the_default_list_counts_people_not_boosts(capsys, tiny_bundle, file):
    # m04 is the first of the Space films; 37 chose it.
    called = call(capsys, "recommend", tiny_bundle, "--history", "", "-k", 1, "--rules", file)
    assert "default list" in called.out
    (row,) = (line.split() for line in called.out.splitlines() if "m04" in line)
    assert row[-1] == "37"


def test_faults_of_a_file_on_the_command_line(capsys, tiny_bundle, tmp_path, file):
    asked = ["recommend", tiny_bundle, "--history", "m01", "--rules"]
    said = call(capsys, *asked, tmp_path / "none").failed(WRONG)
    assert said.startswith(f"{tmp_path / 'none'}: expected a file of rules in TOML, found: ")
    file.write_text('[[quota]]\ncategory = "Commedy"\nmost = 1')
    assert call(capsys, *asked, file).failed(WRONG) == (
        f"{file}: [[quota]] 1: category 'Commedy': expected what an item of the catalogue has, found it at none of "
        "40 items; did you mean 'comedy'?"
    )
