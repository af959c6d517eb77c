"""Ways to read the teacher, by hand."""

import math

import pytest
import torch
from tiny_data import unit_rows

from distill.losses import (
    embedding_distillation,
    ranking_distillation,
    relation_distillation,
)

LN3 = math.log(3)


def log_sigmoid(x: float) -> float:
    return -math.log(1 + math.exp(-x))


class TestRanking:
    def test_one_item_by_hand(self) -> None:
        # The teacher's best is the first item. The student's is the second, which is drawn as the other one.
        student, teacher = torch.tensor([[0.5, 2.0]]), torch.tensor([[3.0, 1.0]])
        found = ranking_distillation(student, teacher, 1)
        assert found.item() == pytest.approx(-log_sigmoid(0.5) - log_sigmoid(-2.0))

    def test_two_items_by_hand(self) -> None:
        student = torch.tensor([[0.0, 1.0, -1.0, -1.0]])
        teacher = torch.tensor([[LN3, 0.0, -9.0, -9.0]])
        nearer = math.exp(-1 / 10)
        place = (1 / (1 + nearer), nearer / (1 + nearer))
        # Both are among the student's two best.
        weights = [(p + c + a) / 3 for p, c, a in zip(place, (0.75, 0.25), (0.5, 0.5), strict=True)]
        wanted = weights[0] * log_sigmoid(0.0) + weights[1] * log_sigmoid(1.0)
        expected = -wanted - log_sigmoid(1.0)
        assert ranking_distillation(student, teacher, 2).item() == pytest.approx(expected)

    def test_an_item_that_both_rank_high_weighs_more(self) -> None:
        student = torch.tensor([[3.0, -3.0, 2.0, -4.0]], requires_grad=True)
        teacher = torch.tensor([[LN3, 0.0, -9.0, -9.0]])
        (slopes,) = torch.autograd.grad(ranking_distillation(student, teacher, 2), student)
        # Less what the sigmoid says: what is still missing of 1.
        both, the_teachers = slopes[0, :2] / (1 - student[0, :2].sigmoid())
        nearer = math.exp(-1 / 10)
        expected = (1 / (1 + nearer) + 0.75 + 1) / (nearer / (1 + nearer) + 0.25 + 0)
        assert (both / the_teachers).item() == pytest.approx(expected, rel=1e-4)

    def test_what_the_teacher_ranks_high_is_pulled_up_and_the_rest_down(self) -> None:
        torch.manual_seed(0)
        student, teacher = torch.zeros(40, 30, requires_grad=True), torch.randn(40, 30)
        ranking_distillation(student, teacher, 5).backward()
        assert student.grad is not None
        best = torch.zeros(40, 30, dtype=torch.bool).scatter_(1, teacher.topk(5).indices, True)
        assert (student.grad[best] < 0).all()
        assert (student.grad[~best] >= 0).all()
        assert ((student.grad > 0).sum(dim=1) == 5).all()


class TestEmbeddings:
    def test_by_hand(self) -> None:
        student = torch.tensor([[2.0, 0.0], [1.0, 1.0]])
        teacher = torch.tensor([[1.0, 0.0], [0.0, 3.0]])
        expected = 1 - (1 + 0.5**0.5) / 2
        assert embedding_distillation(student, teacher).item() == pytest.approx(expected)


class TestRelations:
    def test_by_hand(self) -> None:
        student = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
        teacher = torch.tensor([[1.0], [1.0], [-1.0]])
        # Cosines 0, .6 and .8 against 1, -1 and -1.
        expected = (1 + 1.6**2 + 1.8**2) / 3
        assert relation_distillation(student, teacher).item() == pytest.approx(expected)

    def test_a_turned_space_has_the_same_relations(self) -> None:
        space = torch.from_numpy(unit_rows((20, 6)))
        turn, _ = torch.linalg.qr(torch.randn(6, 6))
        assert relation_distillation(space @ turn, space).item() == pytest.approx(0, abs=1e-9)
