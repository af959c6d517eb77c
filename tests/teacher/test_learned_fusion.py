from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest
import torch
from tiny_data import random_histories

from pocketrec.splits import Cases, Indices
from teacher import learned_fusion
from teacher.fusion import Fused, validation_ndcg
from teacher.learned_fusion import (
    WEIGHTED,
    Concatenation,
    Gate,
    LearnedFusion,
    choose_fusion,
    learn,
)
from teacher.scorers import standardise

ITEMS = 30
COUNTS = np.arange(ITEMS, dtype=np.float32)
USERS = 600


@dataclass(frozen=True)
class Step:
    """Knows what comes next after histories of some lengths; of the others it is sure of something wrong."""

    step: int
    shortest: int = 0
    longest: int = 99
    name: str = "step"

    def scores(self, histories: list[Indices]) -> npt.NDArray[np.float32]:
        scores = np.random.default_rng(7).normal(0, 0.1, (len(histories), ITEMS)).astype(np.float32)
        for row, history in zip(scores, histories, strict=True):
            knows = self.shortest <= len(history) <= self.longest
            row[(history[-1] + self.step * (1 if knows else 3)) % ITEMS] = 3
        return scores


def cases(step: int = 1) -> Cases:
    histories = [
        h for h in random_histories(USERS * 2, ITEMS, 8) if (h[-1] + step) % ITEMS not in h
    ][:USERS]
    return Cases(
        np.arange(len(histories)), histories, np.array([(h[-1] + step) % ITEMS for h in histories])
    )


SHORT, LONG = Step(1, longest=3, name="short"), Step(1, shortest=4, name="long")


@pytest.mark.parametrize("head", [Gate, Concatenation])
def test_an_untrained_head_is_the_weighted_sum(head: type[torch.nn.Module]) -> None:
    fused = LearnedFusion(SHORT, LONG, head(0.3), COUNTS, (1.0, 0.5))
    histories = cases().histories[:20]
    expected = Fused(SHORT, LONG, 0.3).scores(histories)
    np.testing.assert_allclose(fused.scores(histories), expected, atol=1e-5)


def test_a_gate_by_hand() -> None:
    gate = Gate(0.5)
    with torch.no_grad():
        for parameter in gate.parameters():
            parameter.zero_()
        gate.inner.weight[0, 0] = 1.0  # the length alone
        gate.outer.weight[0, 0] = 2.0
    length = torch.tensor([[-1.0], [2.0]])
    found = gate(torch.ones(2, 3), torch.zeros(2, 3), length, torch.randn(1, 3))
    expected = torch.sigmoid(2 * torch.tanh(length)).expand(2, 3)
    torch.testing.assert_close(found, expected)


def test_a_concatenation_by_hand() -> None:
    head = Concatenation(0.25)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.zero_()
        head.inner.weight[0, 3] = 1.0  # popularity alone
        head.outer.weight[0, 0] = 0.5
    count = torch.tensor([[0.0, 1.0]])
    found = head(torch.ones(1, 2), torch.full((1, 2), 3.0), torch.zeros(1, 1), count)
    torch.testing.assert_close(found, 0.25 + 0.75 * 3 + 0.5 * torch.tanh(count))


def test_a_gate_learns_whom_to_believe_at_which_length() -> None:
    found = cases()
    torch.manual_seed(0)
    gated = learn(Gate(0.5), SHORT, LONG, 0.5, COUNTS, found, seed=0)
    assert validation_ndcg(gated, found) > validation_ndcg(Fused(SHORT, LONG, 0.5), found) + 0.1
    scores = gated.scores(found.histories)
    one, two = (standardise(scorer.scores(found.histories)) for scorer in (SHORT, LONG))
    row, item = np.argwhere(np.abs(one - two) > 1)[0]
    between = sorted((one[row, item], two[row, item]))
    assert between[0] <= scores[row, item] <= between[1]


def test_the_fusion_that_helps_is_chosen_and_says_so() -> None:
    fusion = choose_fusion(SHORT, LONG, COUNTS, cases(), seed=0)
    scorer, verdict = fusion.scorer, fusion.verdict
    assert verdict.used in ("gate", "concatenation")
    assert isinstance(scorer, LearnedFusion)
    assert scorer.name == f"{type(scorer.head).__name__} of short and long"
    assert fusion.validation == validation_ndcg(Fused(SHORT, LONG, fusion.weight), cases())
    assert verdict.describe().startswith(f"{verdict.used} used: validation NDCG@10 +")


def test_where_one_scorer_knows_all_the_weighted_sum_stays() -> None:
    fusion = choose_fusion(Step(1), Step(2), COUNTS, cases(), seed=0)
    assert isinstance(fusion.scorer, Fused)
    assert fusion.scorer.weight == fusion.weight
    assert fusion.validation == 1.0
    assert fusion.verdict.used == WEIGHTED
    assert set(fusion.verdict.ndcg) == {WEIGHTED, "gate", "concatenation"}


def test_from_few_users_nothing_is_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learned_fusion, "learn", None)
    few = cases()[np.arange(learned_fusion.LEAST_USERS - 1)]
    fusion = choose_fusion(SHORT, LONG, COUNTS, few, seed=0)
    assert isinstance(fusion.scorer, Fused)
    assert fusion.verdict.differences == {}


def test_the_same_seed_gives_the_same_head() -> None:
    made = [choose_fusion(SHORT, LONG, COUNTS, cases(), seed=1).scorer for _ in range(2)]
    first, second = (fused.scores(cases().histories[:9]) for fused in made)
    np.testing.assert_array_equal(first, second)
