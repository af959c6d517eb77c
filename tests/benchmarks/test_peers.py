"""The peers that no build fits."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tiny_data import unit_rows

from benchmarks import peers
from pocketrec.cli.progress import RichReport
from pocketrec.splits import Cases, Split
from teacher.recipe import TeacherRecipe

TASTES, EACH = 4, 10
"""Groups of items; people choose within one."""


@pytest.fixture(autouse=True)
def few_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        peers,
        "GRIDS",
        {
            peers.IALS: {"factors": (4, 8), "regularization": (1.0,), "alpha": (10.0,)},
            peers.BPR: {"factors": (8,), "regularization": (0.01,), "learning_rate": (0.05, 0.1)},
            peers.SENTENCES: peers.GRIDS[peers.SENTENCES],
        },
    )


def people(count: int = 80) -> Split:
    rng = np.random.default_rng(0)
    chosen = [rng.permutation(EACH)[:7] + EACH * (user % TASTES) for user in range(count)]
    users = np.arange(count)
    validation = Cases(users, [c[:5] for c in chosen], np.array([c[5] for c in chosen]))
    test = Cases(users, [c[:6] for c in chosen], np.array([c[6] for c in chosen]))
    zero = np.zeros(count, dtype=np.int64)
    return Split("leave-one-out", [c[:5] for c in chosen], zero, validation, test)


@pytest.mark.parametrize("kind", [peers.IALS, peers.BPR])
def test_factor_models_find_the_taste(kind: str) -> None:
    found = peers._factorised(tiny_run(), kind)
    # Four items of the taste are left of 40: at random the median rank is 17.
    assert np.median(found.ranks) <= 4
    assert found.settings.keys() == peers.GRIDS[kind].keys()
    assert 0 < found.validation <= 1
    again = peers._factorised(tiny_run(), kind)
    np.testing.assert_array_equal(found.ranks, again.ranks)


def test_bpr_knows_what_stands_before_the_test_item(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    fit = peers._fit

    def watched(kind: str, settings: Any, histories: Any, *rest: Any) -> Any:
        seen.append([len(history) for history in histories])
        return fit(kind, settings, histories, *rest)

    monkeypatch.setattr(peers, "_fit", watched)
    peers._factorised(tiny_run(), peers.BPR)
    assert set(seen[0]) == {5}
    assert set(seen[-1]) == {6}


def test_the_sentence_encoder_alone_sees_no_choice_but_the_history() -> None:
    vectors = unit_rows((TASTES * EACH, 16))
    tastes = np.repeat(unit_rows((TASTES, 16)), EACH, axis=0) * 3 + vectors
    near = (tastes / np.linalg.norm(tastes, axis=1, keepdims=True)).astype(np.float32)
    found = peers.zero_shot(tiny_run(), near)
    assert np.median(found.ranks) <= 4
    assert found.settings.keys() == {"sharpness", "decay"}


def test_the_search_stops_where_no_single_change_is_better(monkeypatch: pytest.MonkeyPatch) -> None:
    grid = {"first": (0.0, 1.0, 2.0, 3.0), "second": (0.0, 1.0, 2.0)}
    monkeypatch.setattr(peers, "GRIDS", {"kind": grid})
    looked: list[tuple[float, ...]] = []

    def judged(settings: dict[str, float]) -> float:
        looked.append(tuple(settings.values()))
        return -((settings["first"] - 0) ** 2) - (settings["second"] - settings["first"]) ** 2

    best, reached = peers._best("kind", judged)
    assert (best, reached) == ({"first": 0.0, "second": 0.0}, 0.0)
    assert len(looked) == len(set(looked)) < 12


def test_without_a_sentence_encoder_there_are_three(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def artefact(name: str, _: Any, make: Any, report: Any) -> Any:
        (tmp_path / name).mkdir(parents=True)
        return make(tmp_path / name)

    monkeypatch.setattr(peers, "load_readings", lambda *_: SimpleNamespace(sentences=None))
    run = SimpleNamespace(**vars(tiny_run()), artefact=artefact, folder=tmp_path)
    found = dict(peers.fitted(run, 10, RichReport()))
    assert list(found) == [peers.IALS, peers.BPR, peers.SASREC]
    sasrec = found[peers.SASREC]
    assert sasrec.settings["id_rate"] in (1.0, 10.0)
    assert 1 <= sasrec.settings["epochs"] <= 30
    assert np.mean(sasrec.ranks <= EACH - 6) > 0.5  # the rest of one's own taste; by chance .12


def test_what_was_chosen_is_fitted_again() -> None:
    run, split = tiny_run(), people()
    chosen = peers._factorised(run, peers.IALS)
    again = peers.refit(run, peers.IALS, chosen.settings, 10, split, split.test)
    np.testing.assert_array_equal(again, chosen.ranks)
    learned, hardly = (
        peers.refit(run, peers.SASREC, {"id_rate": 10.0, "epochs": epochs}, 10, split, split.test)
        for epochs in (30, 1)
    )
    assert np.mean(learned <= EACH - 6) > 0.5
    assert np.mean(hardly <= EACH - 6) < 0.5


def tiny_run() -> Any:
    sequence = {"dimensions": 16, "heads": 2, "layers": 1, "epochs": 30}
    return SimpleNamespace(
        split=people(),
        settings=SimpleNamespace(seed=0),
        dataset=SimpleNamespace(ids=range(TASTES * EACH)),
        recipe=lambda *_: TeacherRecipe(sequence=sequence),
        facts=lambda _: {"length": 6, "fingerprint": "f"},
    )
