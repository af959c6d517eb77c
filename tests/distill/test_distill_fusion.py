"""Choosing decay and weights: the batched search agrees with the ranker that the device runs."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from tiny_data import random_histories, tiny_student

from distill import fusion as module
from distill.checkpoint import Student
from distill.fusion import (
    StudentRanker,
    choose_cold_support,
    choose_popularity,
    choose_settings,
    choose_table,
)
from distill.recipe import StudentRecipe
from distill.train import StudentScorer
from pocketrec import metrics
from pocketrec.evaluation import rank_targets
from pocketrec.neighbour_table import NeighbourTable
from pocketrec.ranker import RankerSettings, standardize
from pocketrec.splits import Cases

ITEMS = 40


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Student:
    return tiny_student(tmp_path_factory.mktemp("student"), ITEMS)


@pytest.fixture(scope="module")
def cases() -> Cases:
    """Short, long, and empty histories; the target is often among the neighbours of what was read."""
    histories = [*random_histories(29, ITEMS - 1, 14), np.zeros(0, dtype=np.int64)]
    rng = np.random.default_rng(5)
    return Cases(np.arange(30), histories, rng.integers(0, ITEMS, 30))


def of(student: Student, settings: RankerSettings) -> StudentRanker:
    given = student.vectors, student.sequence, student.table, student.popularity
    return StudentRanker.of(*given, settings)


def test_many_histories_at_once_are_scored_as_each_alone(student: Student, cases: Cases) -> None:
    scorer = of(student, replace(student.settings, max_length=9))
    alone = [scorer.ranker.scores(history) for history in cases.histories]
    np.testing.assert_allclose(scorer.scores(cases.histories), np.stack(alone), atol=1e-5)


def device_ndcg(
    student: Student, settings: RankerSettings, cases: Cases
) -> npt.NDArray[np.float64]:
    """Of each user."""
    scorer = of(student, settings).ranker

    def score(histories: list[npt.NDArray[np.int64]]) -> npt.NDArray[np.float32]:
        return np.stack([scorer.scores(history) for history in histories])

    return metrics.ndcg_at(rank_targets(score, cases), 10)


Tried = dict[tuple[float, float], npt.NDArray[np.float64]]


@pytest.fixture(scope="module")
def tried(student: Student, cases: Cases) -> Tried:
    """NDCG@10 of every setting as the device would reach it."""
    return {
        (decay, weight): device_ndcg(
            student, RankerSettings(9, weight, round(1 - weight, 1), decay, 0.0, 0.0), cases
        )
        for decay in module.DECAYS
        for weight in module.WEIGHTS
    }


@pytest.mark.parametrize("batch", [7, 256])
def test_agrees_with_trying_every_setting_on_the_device(
    student: Student, cases: Cases, tried: Tried, batch: int
) -> None:
    found, ndcg = choose_settings(
        student.vectors, student.sequence, student.table, 9, cases, batch=batch
    )
    best = max(users.mean() for users in tried.values())
    assert ndcg == pytest.approx(best, abs=1e-6)
    at_it = next(key for key, users in tried.items() if users.mean() > best - 1e-9)
    assert found.decay == at_it[0]
    spared = module.SPARED * tried[at_it].std() / math.sqrt(len(cases))
    near = [w for w in module.WEIGHTS if tried[found.decay, w].mean() >= best - spared]
    assert found.sequence_weight == near[0]
    assert found.sequence_weight + found.neighbour_weight == pytest.approx(1.0)
    assert found.max_length == 9


def test_a_table_that_knows_gets_the_weight_and_an_empty_one_gets_none(student: Student) -> None:
    histories = random_histories(30, ITEMS, 3)
    targets = np.array([(h[-1] + 1) % ITEMS for h in histories])
    new = [n for n in range(30) if targets[n] not in histories[n]]
    cases = Cases(np.array(new), [histories[n] for n in new], targets[new])
    items = np.arange(ITEMS)
    ones = np.ones(ITEMS, dtype=np.float32)
    knowing = NeighbourTable.from_entries(ITEMS, items, (items + 1) % ITEMS, ones)
    found, ndcg = choose_settings(student.vectors, student.sequence, knowing, 9, cases)
    assert ndcg == 1.0
    assert found.neighbour_weight > 0
    assert found.decay < 1.0  # the newest item is the one that counts
    found, _ = choose_settings(student.vectors, student.sequence, knowing.pruned(0), 9, cases)
    assert found.sequence_weight > 0


class TestChooseTable:
    """Validation NDCG@10 by table size is scripted; settings carry the size to tell them apart."""

    def choose(
        self,
        student: Student,
        monkeypatch: pytest.MonkeyPatch,
        ndcg_of: dict[int, float],
        **changed: object,
    ) -> int:
        tried: list[int] = []

        def scripted(
            vectors: object, encoder: object, table: NeighbourTable, *rest: object
        ) -> tuple[RankerSettings, float]:
            tried.append(len(table))
            return RankerSettings(9, 0.5, 0.5, len(table), 0.0, 0.0), ndcg_of[len(table)]

        monkeypatch.setattr(module, "choose_settings", scripted)
        monkeypatch.setattr(module, "choose_popularity", lambda *given: 0.2)
        recipe = StudentRecipe(
            **{"neighbours": (1, 2, 3), "table_gain": 2500.0, "table_entries": 10_000, **changed}
        )
        nobody = Cases(np.zeros(0, dtype=np.int64), [], np.zeros(0, dtype=np.int64))
        known = student.vectors, student.sequence, student.table, student.popularity
        table, settings = choose_table(*known, 9, nobody, recipe, 0)
        assert tried == sorted(ndcg_of)
        assert settings.decay == len(table)
        assert settings.popularity_weight == 0.2
        return len(table)

    def test_a_larger_table_must_be_worth_its_bytes(
        self, student: Student, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # A tenth for 40 entries more.
        assert self.choose(student, monkeypatch, {40: 0.2, 80: 0.21, 120: 0.239}) == 40
        assert self.choose(student, monkeypatch, {40: 0.2, 80: 0.23, 120: 0.24}) == 80
        assert self.choose(student, monkeypatch, {40: 0.2, 80: 0.21, 120: 0.241}) == 120
        assert self.choose(student, monkeypatch, {40: 0.2, 80: 0.1, 120: 0.1}) == 40

    def test_no_more_entries_than_allowed_but_the_smallest_choice(
        self, student: Student, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert self.choose(student, monkeypatch, {40: 0.1, 70: 0.9}, table_entries=70) == 70
        assert self.choose(student, monkeypatch, {40: 0.1}, table_entries=5) == 40


def test_the_weights_are_chosen_on_more_people_than_the_size(
    student: Student, cases: Cases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TUNE_SCORES", 12 * ITEMS)
    monkeypatch.setattr(module, "WEIGH_SCORES", 20 * ITEMS)
    asked: list[tuple[int, tuple[float, ...]]] = []

    def watched(*given: Any) -> tuple[RankerSettings, float]:
        asked.append((len(given[4]), tuple(given[5] if len(given) > 5 else module.DECAYS)))
        return choose_settings(*given)

    monkeypatch.setattr(module, "choose_settings", watched)
    recipe = StudentRecipe(neighbours=(1, 2))
    known = student.vectors, student.sequence, student.table, student.popularity
    table, settings = choose_table(*known, 9, cases, recipe, 0)
    sizes, weights = asked[:-1], asked[-1]
    assert sizes == [(12, module.DECAYS), (12, (settings.decay,))]
    assert weights == (20, (settings.decay,))
    expected, _ = choose_settings(
        student.vectors, student.sequence, table, 9, cases.sample(20, 0), (settings.decay,)
    )
    assert settings == replace(expected, popularity_weight=settings.popularity_weight)


def test_popularity_gets_a_weight_where_it_helps_and_none_else(student: Student) -> None:
    settings = replace(student.settings, popularity_weight=0.0)
    popularity = np.ones(ITEMS, dtype=np.float32)
    popularity[[5, 6]] = 50
    given = student.vectors, student.sequence, student.table, popularity
    scorer = StudentRanker.of(*given, settings)
    histories = [h[(h != 5) & (h != 6)] for h in random_histories(60, ITEMS, 8)]
    everybody = Cases(np.arange(60), histories, np.full(60, 5))
    weight = choose_popularity(scorer, popularity, everybody)
    assert weight == max(module.POPULARITY_WEIGHTS)
    nobody = Cases(np.arange(60), histories, scorer.scores(histories).argmax(axis=1))
    fresh = [n for n in range(60) if nobody.targets[n] not in histories[n]]
    assert choose_popularity(scorer, popularity, nobody[np.array(fresh)]) == 0.0


class TestColdSupport:
    """Items of four kinds, ten each: everybody goes on with another item of the kind."""

    kinds = np.arange(ITEMS) // 10
    settings = RankerSettings(9, 0.1, 0.9, 1.0, 0.0, 0.0)

    def choose(self, student: Student, says: npt.NDArray[np.int64]) -> float:
        """The support chosen where the text of an item says that it is of the kind ``says``."""
        rng = np.random.default_rng(0)
        same = self.kinds[:, None] == self.kinds
        np.fill_diagonal(same, False)
        table = NeighbourTable.from_matrix(same * rng.uniform(0.5, 1, same.shape), ITEMS**2)
        vectors = (np.eye(4)[self.kinds] @ np.eye(4, 16)).astype(np.float32)
        from_text = (np.eye(4)[says] @ np.eye(4, 16)).astype(np.float32)
        pairs = [
            rng.permutation(np.flatnonzero(self.kinds == k))[:3] for k in rng.integers(4, size=300)
        ]
        histories, targets = [p[:2] for p in pairs], np.array([p[2] for p in pairs])
        return choose_cold_support(
            vectors,
            from_text,
            student.sequence,
            table,
            np.ones(ITEMS, dtype=np.float32),
            self.settings,
            Cases(np.arange(300), histories, targets),
            seed=0,
        )

    def test_new_items_are_spoken_for_where_texts_tell_the_kind(self, student: Student) -> None:
        # Of nine others with weights of 3/4 on average.
        assert 0 < self.choose(student, self.kinds) <= 2 * 9 * 0.75 * 1.1

    def test_and_not_where_they_would_push_known_items_away(self, student: Student) -> None:
        assert self.choose(student, (self.kinds + 1) % 4) == 0.0

    def test_without_an_entry_nothing_speaks(self, student: Student) -> None:
        nothing = NeighbourTable.from_matrix(np.zeros((ITEMS, ITEMS), np.float32), 1)
        case = Cases(np.arange(1), [np.array([1])], np.array([2]))
        chosen = choose_cold_support(
            student.vectors,
            student.vectors,
            student.sequence,
            nothing,
            student.popularity,
            self.settings,
            case,
            seed=0,
        )
        assert chosen == 0.0


def test_the_sequence_part_is_the_softmax_that_training_validated(student: Student) -> None:
    history = np.array([3, 17, 8])
    scorer = StudentScorer(torch.from_numpy(student.vectors), student.sequence, 9)
    logits = scorer.logits([history])[0]
    expected = np.exp((logits - logits.max()) / 2)
    standardize(expected, 1.0)
    settings = RankerSettings(9, 1.0, 0.0, 1.0, 0.0, 0.0)
    found = of(student, settings).ranker.scores(history)
    np.testing.assert_allclose(found, expected, atol=1e-4)
