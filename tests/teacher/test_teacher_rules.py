"""The rules over a scorer: finite, in the order of the lists of a device."""

import numpy as np
import pytest
from tiny_data import random_histories, write_tiny_data

from pocketrec import data, metrics
from pocketrec.catalogue import Item
from pocketrec.errors import UsageError
from pocketrec.evaluation import rank_targets
from pocketrec.rules import Rules
from pocketrec.splits import Cases
from teacher.neighbours import ease
from teacher.rules import RuledScorer, bind
from teacher.scorers import ItemItem, Popularity, history_matrix

TEXT = """
[[boost]]
category = "Chess"
by = 1.5
[[exclude]]
category = "Cooking"
[[quota]]
category = "Mystery"
most = 2
[[quota]]
creator = "Author 3"
most = 4
"""


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return data.load(write_tiny_data(tmp_path_factory.mktemp("data") / "tiny"))


@pytest.fixture(scope="module")
def rules(dataset):
    return bind(Rules.parse(TEXT), dataset)


@pytest.fixture(scope="module")
def scorer(dataset):
    items = len(dataset.ids)
    chosen = history_matrix(dataset.sequences, items)
    weights = ease(chosen.T @ chosen, 5.0)
    return ItemItem("EASE", weights, np.arange(items), items)


HISTORIES = [*random_histories(6, 120, 12), np.arange(20), np.zeros(0, dtype=np.int64)]


def test_rules_are_bound_in_the_order_of_the_data_set(dataset, rules):
    chess = [i for i, category in enumerate(dataset.items["categories"]) if category == "Chess"]
    assert np.flatnonzero(rules.boosts).tolist() == chess
    with pytest.raises(UsageError, match="did you mean 'mystery'"):
        bind(Rules.parse('[[exclude]]\ncategory = "Mistery"'), dataset)


def test_its_best_are_the_list_of_a_device(scorer, rules):
    ruled = RuledScorer(scorer, rules).scores(HISTORIES)
    for raw, row, history in zip(scorer.scores(HISTORIES), ruled, HISTORIES, strict=True):
        listed = rules.take(rules.apply(raw), 10, history)
        best = [i for i in np.argsort(-row, kind="stable").tolist() if i not in history]
        assert best[:10] == listed.tolist()
        assert set(range(20, 40)).isdisjoint(listed.tolist())
        assert (listed < 20).sum() <= 2


def test_a_target_under_rules_is_ranked_by_hand():
    # By scores 0, 1, 2, 3, 4. 4 is excluded, 0 and 1 share one place, and history item 2 leaves.
    counts = np.array([5, 4, 3, 2, 1], dtype=np.float32)
    text = '[[exclude]]\nitem_id = "4"\n[[quota]]\nitem_id = ["0", "1"]\nmost = 1'
    rules = Rules.parse(text).bind([Item(str(n), "x") for n in range(5)])
    targets = np.array([0, 1, 3, 4])
    cases = Cases(np.arange(4), [np.array([2])] * 4, targets)
    assert rank_targets(Popularity(counts).scores, cases).tolist() == [1, 2, 3, 4]
    ranks = rank_targets(RuledScorer(Popularity(counts), rules).scores, cases)
    assert ranks.tolist() == [1, 3, 2, 4]
    assert metrics.recall_at(ranks, 2).tolist() == [1, 0, 1, 0]
