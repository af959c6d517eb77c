"""Where the student begins: near the teacher or anew, as time and validation say."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from distill import stage
from distill.recipe import StudentRecipe
from distill.train import Trained


@pytest.mark.parametrize(
    ("seconds", "near", "anew", "begun", "times"),
    [
        (100.0, 0.2, 0.3, stage.ANEW, [100.0, 60.0]),
        (100.0, 0.3, 0.2, stage.NEAR_TEACHER, [100.0, 60.0]),
        (100.0, 0.3, 0.3, stage.NEAR_TEACHER, [100.0, 60.0]),
        (70.0, 0.2, 0.3, stage.NEAR_TEACHER, [70.0]),  # 30 left of 70 are not enough for another
        (None, 0.2, 0.3, stage.ANEW, [None, None]),
    ],
)
def test_the_better_start_is_kept(
    monkeypatch: pytest.MonkeyPatch,
    seconds: float | None,
    near: float,
    anew: float,
    begun: str,
    times: list[float | None],
) -> None:
    given: list[float | None] = []

    def train(*arguments: Any, **named: Any) -> tuple[None, None, Trained]:
        given.append(arguments[6])
        reached = anew if named.get("anew") else near
        return None, None, Trained(reached, 3, 40.0)

    monkeypatch.setattr(stage, "_train", train)
    monkeypatch.setattr(stage, "Teacher", lambda artefact: None)
    artefact: Any = SimpleNamespace(features=None)
    run: Any = None
    report: Any = None
    (*_, trained), found = stage._train_from_the_better(
        run, StudentRecipe(), artefact, np.ones(3, np.float32), seconds, report
    )
    assert (found, trained.validation) == (begun, max(near, anew) if len(times) > 1 else near)
    assert given == times
