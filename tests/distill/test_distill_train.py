"""Distillation: the loss by hand, the teacher's logits for the right places, and what training keeps."""

import itertools
import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from tiny_data import random_histories, unit_rows
from torch import Tensor

from distill import train as module
from distill.recipe import StudentRecipe
from distill.student import ItemTable, SequenceEncoder
from distill.train import StudentScorer, Teacher, distillation_loss, train_sequence_encoder
from pocketrec.artefact import TeacherArtefact
from pocketrec.sequences import PAD, windows
from pocketrec.splits import Cases, Indices

ITEMS = 24
LENGTH = 6
RECIPE = StudentRecipe(
    dimensions=16, layers=1, dropout=0.1, item_dropout=0.0, batch=32, learning_rate=1e-2
)
NOBODY = Cases(np.zeros(0, dtype=np.int64), [], np.zeros(0, dtype=np.int64))
LN3 = math.log(3)


class TestDistillationLoss:
    def test_two_items_by_hand(self) -> None:
        student, teacher = torch.zeros(1, 2), torch.tensor([[0.0, LN3]])
        # 1/4 ln((1/4) / (1/2)) + 3/4 ln((3/4) / (1/2))
        expected = 0.25 * math.log(0.5) + 0.75 * math.log(1.5)
        assert distillation_loss(student, teacher, 1.0).item() == pytest.approx(expected)

    def test_two_items_by_hand_at_temperature_two(self) -> None:
        student, teacher = torch.zeros(1, 2), torch.tensor([[0.0, LN3]])
        p = 3**0.5 / (1 + 3**0.5)  # softmax of (0, ln 3 / 2)
        expected = 4 * (p * math.log(2 * p) + (1 - p) * math.log(2 * (1 - p)))
        assert distillation_loss(student, teacher, 2.0).item() == pytest.approx(expected, rel=1e-5)

    def test_rows_are_averaged(self) -> None:
        student = torch.zeros(2, 2)
        teacher = torch.tensor([[0.0, LN3], [0.0, 0.0]])
        one = distillation_loss(student[:1], teacher[:1], 1.0)
        torch.testing.assert_close(distillation_loss(student, teacher, 1.0), one / 2)

    def test_the_direction_is_from_teacher_to_student(self) -> None:
        equal, sure = torch.zeros(1, 2), torch.tensor([[0.0, 30.0]])
        # The teacher is sure and the student is not: ln 2. The other way round the student misses half of the mass.
        assert distillation_loss(equal, sure, 1.0).item() == pytest.approx(math.log(2), rel=1e-4)
        assert distillation_loss(sure, equal, 1.0).item() > 10

    @given(
        arrays.arrays(np.float32, (3, 4), elements=st.floats(-20, 20, width=32)),
        arrays.arrays(np.float32, (3, 4), elements=st.floats(-20, 20, width=32)),
        st.floats(0.5, 8),
        st.floats(-5, 5),
    )
    def test_never_negative_and_nothing_between_equals(
        self,
        student: npt.NDArray[np.float32],
        teacher: npt.NDArray[np.float32],
        temperature: float,
        shift: float,
    ) -> None:
        one, two = torch.from_numpy(student), torch.from_numpy(teacher)
        assert distillation_loss(one, two, temperature).item() >= -1e-4
        # Logits that differ by a constant say the same.
        assert distillation_loss(two + shift, two, temperature).item() == pytest.approx(0, abs=1e-3)


def artefact(cut: npt.NDArray[np.int64], states: npt.NDArray[np.float32]) -> TeacherArtefact:
    no_items, no_weights = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32)
    no_table = (no_items, no_items, no_weights)
    projected = unit_rows((ITEMS, states.shape[1]), seed=1)
    vectors = unit_rows((ITEMS, 12))
    half = states.astype(np.float16)
    return TeacherArtefact(vectors, projected, cut.astype(np.int32), half, *no_table, *no_table)


class TestTeacher:
    cut = windows([np.arange(9), np.array([3]), np.array([7, 5]), np.arange(4, 8)], 5)
    states = unit_rows((16, 8), seed=2) * 9

    def by_hand(self, rows: list[int]) -> list[npt.NDArray[np.float32]]:
        """The state of each filled place of ``rows``, counted out one by one."""
        place_of = {}
        for row, window in enumerate(self.cut):
            for place in range(5):
                if window[place] != PAD:
                    place_of[row, place] = len(place_of)
        half = self.states.astype(np.float16).astype(np.float32)
        return [half[place_of[r, p]] for r in rows for p in range(5) if (r, p) in place_of]

    @pytest.mark.parametrize("rows", [[0], [2, 0], [4, 1, 3], [0, 1, 2, 3, 4], [3, 3]])
    @pytest.mark.parametrize("items", [None, [5], [2, 2, 19]])
    def test_the_logits_of_the_right_places(self, rows: list[int], items: list[int] | None) -> None:
        handed = artefact(self.cut, self.states)
        chosen = torch.tensor(rows)
        filled = torch.from_numpy(self.cut)[chosen] != PAD
        drawn = None if items is None else torch.tensor(items)
        found = Teacher(handed).logits(chosen, filled, drawn)
        among = handed.projected if items is None else handed.projected[items]
        expected = np.stack(self.by_hand(rows)) @ among.T
        assert found.dtype == torch.float32
        np.testing.assert_allclose(found.numpy(), expected, atol=1e-4)


def circle(users: int = 60) -> tuple[npt.NDArray[np.int32], Cases]:
    """Everyone walks round the catalogue; windows of the walks, and their next steps as validation."""
    rng = np.random.default_rng(0)
    starts, lengths = rng.integers(ITEMS, size=users), rng.integers(3, LENGTH + 1, users)
    walks = [(s + np.arange(n + 1)) % ITEMS for s, n in zip(starts, lengths, strict=True)]
    histories: list[Indices] = [walk[:-1] for walk in walks]
    cases = Cases(np.arange(users), histories, np.array([walk[-1] for walk in walks]))
    return windows(histories, LENGTH).astype(np.int32), cases


def student(seed: int = 0) -> tuple[ItemTable, SequenceEncoder]:
    torch.manual_seed(seed)
    table = ItemTable(unit_rows((ITEMS, 12)), np.ones(ITEMS, dtype=bool), RECIPE)
    return table, SequenceEncoder(LENGTH, RECIPE)


def weights(table: ItemTable, encoder: SequenceEncoder) -> Tensor:
    both = itertools.chain(table.parameters(), encoder.parameters())
    return torch.cat([parameter.detach().flatten() for parameter in both])


def knowing_teacher(cut: npt.NDArray[np.int32], step: int = 1) -> Teacher:
    """A teacher whose user vector points to the item ``step`` after the newest (to item 0 at the start)."""
    handed = artefact(cut, np.zeros((int((cut != PAD).sum()), 16), dtype=np.float32))
    states = [
        12 * handed.projected[(window[place - 1] + step) % ITEMS if place else 0]
        for window in cut
        for place in range(LENGTH)
        if window[place] != PAD
    ]
    return Teacher(artefact(cut, np.array(states)))


class TestTraining:
    def test_learns_from_data_alone(self) -> None:
        cut, cases = circle()
        table, encoder = student()
        recipe = RECIPE.model_copy(update={"epochs": 40})
        trained = train_sequence_encoder(table, encoder, cut, None, cases, recipe, seed=0)
        assert trained.validation > 0.85
        assert not table.training
        assert not encoder.training

    def test_learns_what_the_teacher_says_against_the_data(self) -> None:
        cut, cases = circle()
        table, encoder = student()
        recipe = RECIPE.model_copy(update={"distillation": 1.0})
        teacher = knowing_teacher(cut, step=5)
        train_sequence_encoder(table, encoder, cut, teacher, cases, recipe, seed=0, epochs=60)
        best = StudentScorer(table().detach(), encoder, LENGTH).logits(cases.histories).argmax(1)
        said = np.array([(h[-1] + 5) % ITEMS for h in cases.histories])
        assert (best == said).mean() > 0.8

    def test_the_share_of_distillation_weighs_the_two_losses(self) -> None:
        cut, _ = circle()
        table, encoder = (module.eval() for module in student())
        whole, rows = cut.astype(np.int64), np.arange(10)
        teacher = knowing_teacher(cut)

        def loss(share: float, teacher: Teacher | None) -> float:
            recipe = RECIPE.model_copy(update={"distillation": share})
            return module._loss(table, encoder, whole, rows, teacher, recipe).item()

        soft, hard = loss(1.0, teacher), loss(0.0, teacher)
        assert hard == pytest.approx(loss(0.8, None), rel=1e-5)
        assert loss(0.8, teacher) == pytest.approx(0.8 * soft + 0.2 * hard, rel=1e-5)

    @torch.no_grad()
    def test_sampled_items_stand_for_the_catalogue(self, monkeypatch: pytest.MonkeyPatch) -> None:
        # As in the teacher: over draws with every item at every place equally often, exp(loss) is exact in the mean.
        table, encoder = (module.eval() for module in student())
        place, rows = np.array([[3, 7]]), np.array([0])
        few, all_of_them = (RECIPE.model_copy(update={"negatives": n}) for n in (5, ITEMS))
        losses = []
        for first in range(ITEMS):
            drawn = (first + torch.arange(5)) % ITEMS
            monkeypatch.setattr(torch, "randint", lambda high, size, drawn=drawn: drawn)
            losses.append(module._loss(table, encoder, place, rows, None, few))
        whole = module._loss(table, encoder, place, rows, None, all_of_them)
        assert torch.stack(losses).exp().mean().item() == pytest.approx(
            whole.exp().item(), rel=1e-4
        )

    @torch.no_grad()
    def test_sampled_items_are_distilled_against_the_teacher_on_the_same_items(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cut, _ = circle()
        table, encoder = (module.eval() for module in student())
        whole, rows = cut.astype(np.int64), np.array([3, 1])
        drawn = torch.tensor([4, 4, 9])
        monkeypatch.setattr(torch, "randint", lambda high, size: drawn)
        recipe = RECIPE.model_copy(update={"negatives": 3, "distillation": 1.0})
        teacher = knowing_teacher(cut)
        found = module._loss(table, encoder, whole, rows, teacher, recipe)
        batch = torch.from_numpy(whole[rows])
        predicted = batch != PAD
        predicted[:, 0] = False
        users = encoder(table()[batch[:, :-1].clamp(min=0)])[predicted]
        soft = teacher.logits(torch.from_numpy(rows), predicted, drawn)
        torch.testing.assert_close(found, distillation_loss(users @ table()[drawn].T, soft, 1.0))

    def test_the_same_seed_gives_the_same_weights(self) -> None:
        cut, cases = circle()
        found = []
        for seed in (1, 1, 2):
            both = student()
            train_sequence_encoder(*both, cut, None, cases, RECIPE, seed=seed, epochs=2)
            found.append(weights(*both))
        assert torch.equal(found[0], found[1])
        assert not torch.equal(found[0], found[2])


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Tensor]]:
    """Makes each validation find the given rank of every target instead of ranking.

    Returns the list that the item vectors of the validated students go to.
    """

    def script(*ranks: float) -> list[Tensor]:
        left, seen = iter(ranks), []

        def rank(score: Any, cases: Cases) -> npt.NDArray[np.float64]:
            seen.append(score.__self__.items.clone())
            return np.array([next(left)])

        monkeypatch.setattr(module, "rank_targets", rank)
        return seen

    return script


class TestWhatIsKept:
    recipe = RECIPE.model_copy(update={"epochs": 6, "evaluate_every": 1, "patience": 2})

    def test_the_weights_of_the_best_validation(
        self, scripted: Callable[..., list[Tensor]]
    ) -> None:
        cut, cases = circle()
        table, encoder = student()
        seen = scripted(5, 2, 3, 9)  # the best after epoch 2, then no better for two epochs
        trained = train_sequence_encoder(table, encoder, cut, None, cases, self.recipe, seed=0)
        assert trained.epochs == 2
        assert trained.validation == pytest.approx(1 / math.log2(3))
        with torch.no_grad():
            kept = table()
        assert [torch.equal(kept, items) for items in seen] == [False, True, False, False]

    def test_with_epochs_given_nothing_is_validated_and_the_last_weights_stay(
        self, scripted: Callable[..., list[Tensor]]
    ) -> None:
        cut, cases = circle()
        scripted()
        trained = train_sequence_encoder(*student(), cut, None, cases, self.recipe, 0, epochs=3)
        assert (trained.epochs, trained.validation) == (3, -1.0)

    def test_no_epoch_is_none(self) -> None:
        cut, cases = circle()
        both = student()
        before = weights(*both)
        trained = train_sequence_encoder(*both, cut, None, cases, self.recipe, 0, epochs=0)
        assert trained.epochs == 0
        assert torch.equal(weights(*both), before)


class TestDeadline:
    recipe = RECIPE.model_copy(update={"batch": 4})  # 15 steps an epoch

    @pytest.fixture
    def ticking(self, monkeypatch: pytest.MonkeyPatch) -> None:
        clock = itertools.count()
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: float(next(clock))))

    @pytest.mark.usefixtures("ticking")
    @pytest.mark.parametrize("epochs", [None, 50])
    def test_stops_within_an_epoch(self, epochs: int | None) -> None:
        cut, cases = circle()
        progress: list[float] = []
        table, encoder = student()
        trained = train_sequence_encoder(
            table, encoder, cut, None, cases, self.recipe, 0, 10.0, epochs, progress.append
        )
        assert 1 <= len(progress) <= 10
        assert trained.epochs == 1
        assert not encoder.training

    def test_no_time_at_all_leaves_a_student_that_scores(self) -> None:
        cut, cases = circle()
        table, encoder = student()
        trained = train_sequence_encoder(table, encoder, cut, None, cases, self.recipe, 0, 0.0)
        assert trained.epochs == 0
        logits = StudentScorer(table().detach(), encoder, LENGTH).logits(cases.histories)
        assert np.isfinite(logits).all()


@torch.no_grad()
def test_scorer_reads_the_newest_items_and_pads_nothing_in() -> None:
    table, encoder = student()
    items = table.eval()()
    scorer = StudentScorer(items, encoder, LENGTH)
    histories = [*random_histories(5, ITEMS, 4), np.arange(20), np.zeros(0, dtype=np.int64)]
    found = scorer.logits(histories)
    assert found.shape == (7, ITEMS)
    for row, history in zip(found, histories, strict=True):
        user = encoder(items[history[-LENGTH:]][None])[0, -1]
        np.testing.assert_allclose(row, (items @ user).numpy(), atol=1e-4)


def test_histories_of_one_item_train_nothing_and_break_nothing() -> None:
    both = student()
    before = weights(*both)
    single = np.full((40, LENGTH), PAD, dtype=np.int32)
    single[:, 0] = np.arange(40) % ITEMS
    train_sequence_encoder(*both, single, None, NOBODY, RECIPE, 0, epochs=2)
    assert torch.equal(weights(*both), before)
    single[0, 1] = 5
    train_sequence_encoder(*both, single, None, NOBODY, RECIPE, 0, epochs=2)
    assert torch.isfinite(weights(*both)).all()
