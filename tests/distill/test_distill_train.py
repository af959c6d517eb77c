"""Distillation: the loss by hand, the teacher's logits for the right places, and what training keeps."""

import itertools
import math
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from tiny_data import random_histories, unit_rows
from torch import Tensor

from distill import train as module
from distill.recipe import StudentRecipe
from distill.student import ItemTable, SequenceEncoder
from distill.train import StudentScorer, Teacher, train_sequence_encoder
from pocketrec.artefact import TeacherArtefact
from pocketrec.splits import Cases, Indices
from training import schedule
from training.next_item import Comparison, Taught
from training.sequences import PAD, windows

ITEMS = 24
LENGTH = 6
RECIPE = StudentRecipe(
    dimensions=16, layers=1, dropout=0.1, item_dropout=0.0, batch=32, learning_rate=1e-2
)
LOGITS_ALONE = {"cross_entropy": 0.0, "logit_distillation": 1.0}
WEIGHTS = (
    "cross_entropy",
    "logit_distillation",
    "ranking_distillation",
    "embedding_distillation",
    "relation_distillation",
)
WORSE = 99.0
NONE = np.zeros(0, dtype=np.int64)
NOBODY = Cases(NONE, [], NONE)


def artefact(cut: npt.NDArray[np.int64], states: npt.NDArray[np.float32]) -> TeacherArtefact:
    no_items, no_weights = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32)
    no_table = (no_items, no_items, no_weights)
    projected = unit_rows((ITEMS, states.shape[1]), seed=1)
    vectors = unit_rows((ITEMS, 12))
    half = states.astype(np.float16)
    no_factors = np.zeros((len(vectors), 0), np.float32)
    return TeacherArtefact(
        vectors, no_factors, projected, cut.astype(np.int32), half, *no_table, *no_table
    )


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
    def test_the_users_of_the_right_places(self, rows: list[int]) -> None:
        chosen = torch.tensor(rows)
        filled = torch.from_numpy(self.cut)[chosen] != PAD
        found = Teacher(artefact(self.cut, self.states)).users(chosen, filled)
        assert found.dtype == torch.float32
        np.testing.assert_array_equal(found.numpy(), np.stack(self.by_hand(rows)))


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


def test_nothing_is_dropped_where_the_time_is_too_short_for_it() -> None:
    def trained(**settings: float) -> Tensor:
        cut, cases = circle()
        recipe = RECIPE.model_copy(update=settings)
        torch.manual_seed(0)
        table = ItemTable(unit_rows((ITEMS, 12)), np.ones(ITEMS, dtype=bool), recipe)
        both = table, SequenceEncoder(LENGTH, recipe)
        train_sequence_encoder(*both, cut, None, cases, recipe, seed=0, seconds=1000, epochs=2)
        return weights(*both)

    never = trained(dropout=0.0)
    torch.testing.assert_close(trained(dropout=0.4, dropout_epochs=10**9), never)
    assert not torch.allclose(trained(dropout=0.4), never)


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
    def test_every_step_compares_with_what_is_chosen_often(
        self, watch_often: Callable[[ModuleType], list[list[int]]]
    ) -> None:
        asked = watch_often(module)
        cut = windows([np.array([3, 5 + n, 7]) for n in range(0, 12, 3)], LENGTH)
        recipe = RECIPE.model_copy(update={"negatives": 4})
        train_sequence_encoder(
            *student(), cut.astype(np.int32), None, NOBODY, recipe, seed=0, epochs=1
        )
        assert asked == [[3, 7]]  # a third of all choices each, the others a twelfth

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
        recipe = RECIPE.model_copy(update=LOGITS_ALONE)
        teacher = knowing_teacher(cut, step=9)  # what no window holds
        train_sequence_encoder(table, encoder, cut, teacher, cases, recipe, seed=0, epochs=60)
        logits = StudentScorer(table().detach(), encoder, LENGTH).logits(cases.histories)
        for row, history in zip(logits, cases.histories, strict=True):
            row[history] = -np.inf  # never recommended, so nothing is learned of it
        best = logits.argmax(axis=1)
        said = np.array([(h[-1] + 9) % ITEMS for h in cases.histories])
        assert (best == said).mean() > 0.8

    def test_the_losses_are_added_by_their_weights(self) -> None:
        cut, _ = circle()
        table, encoder = (module.eval() for module in student())
        whole, rows = cut.astype(np.int64), np.arange(10)
        teacher, bridge = knowing_teacher(cut), torch.nn.Linear(16, 16, bias=False)

        def loss(teacher: Teacher | None = teacher, **weights: float) -> float:
            recipe = RECIPE.model_copy(update=dict.fromkeys(WEIGHTS, 0.0) | weights)
            torch.manual_seed(0)  # the items that are drawn
            found = module._loss(table, encoder, bridge, whole, rows, NONE, teacher, recipe)
            return found.item()

        alone = [loss(**{name: 1.0}) for name in WEIGHTS]
        assert len(set(alone)) == len(WEIGHTS)
        for name, one in zip(WEIGHTS[1:], alone[1:], strict=True):
            both = loss(cross_entropy=0.5, **{name: 2.0})
            assert both == pytest.approx(0.5 * alone[0] + 2 * one, rel=1e-5)
        # Without a teacher the data's own loss stands alone, at its full weight.
        assert loss(None, cross_entropy=0.2, logit_distillation=0.8) == pytest.approx(alone[0])

    @pytest.mark.parametrize("kind", ["ranking", "embedding", "relation"])
    @pytest.mark.parametrize("negatives", [2, ITEMS])
    def test_each_way_of_distilling_brings_the_student_nearer(
        self, kind: str, negatives: int
    ) -> None:
        cut, cases = circle()
        table, encoder = student()
        teacher = knowing_teacher(cut)
        name = f"{kind}_distillation"
        recipe = RECIPE.model_copy(
            update=dict.fromkeys(WEIGHTS, 0.0) | {name: 1.0, "negatives": negatives}
        )
        bridge = torch.nn.Linear(16, 16, bias=False)
        whole, rows = cut.astype(np.int64), np.arange(len(cut))

        @torch.no_grad()
        def distance() -> float:
            torch.manual_seed(0)
            return module._loss(table, encoder, bridge, whole, rows, NONE, teacher, recipe).item()

        before = distance()
        train_sequence_encoder(table, encoder, cut, teacher, cases, recipe, 0, epochs=10)
        if kind == "embedding":  # the bridge that was learned is gone with the training
            vectors = table().detach()
            bridge.weight = torch.nn.Parameter(torch.linalg.lstsq(vectors, teacher.items)[0].T)
        assert distance() < 0.9 * before

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
            losses.append(module._loss(table, encoder, None, place, rows, NONE, None, few))
        whole = module._loss(table, encoder, None, place, rows, NONE, None, all_of_them)
        assert torch.stack(losses).exp().mean().item() == pytest.approx(
            whole.exp().item(), rel=1e-4
        )

    @torch.no_grad()
    @pytest.mark.parametrize("negatives", [3, ITEMS])
    def test_the_teacher_is_read_at_the_items_and_places_that_are_compared(
        self, negatives: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cut, _ = circle()
        table, encoder = (module.eval() for module in student())
        whole, rows = cut.astype(np.int64), np.array([3, 1])
        monkeypatch.setattr(torch, "randint", lambda high, size: torch.tensor([4, 4, 9]))
        recipe = RECIPE.model_copy(
            update=LOGITS_ALONE | {"negatives": negatives, "distillation_temperature": 2.0}
        )
        teacher = knowing_teacher(cut)
        asked = []
        loss = Comparison.loss

        def watched(found: Comparison, users: Tensor, vectors: Tensor, taught: Taught) -> Tensor:
            asked.append((found, taught))
            return loss(found, users, vectors, taught)

        monkeypatch.setattr(Comparison, "loss", watched)
        module._loss(table, encoder, None, whole, rows, NONE, teacher, recipe)
        ((compared, taught),) = asked
        used = torch.arange(ITEMS) if compared.items is None else compared.items
        torch.testing.assert_close(taught.vectors, teacher.items[used])
        said = teacher.users(torch.from_numpy(rows), compared.predicted)
        torch.testing.assert_close(taught.users, said / 2)
        assert taught.share == 1

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
    """Makes the validations of each epoch find the given rank of every target instead of ranking.

    It is that of the weights after the epoch, or of the averaged ones; the others are worse. Returns the list that the
    item vectors of the students with these ranks go to.
    """

    def script(*ranks: float, averaged: bool = False) -> list[Tensor]:
        found: list[float] = []
        for given in ranks:
            found += (WORSE, given) if averaged else (given, WORSE)
        left, seen = iter(found), []

        def rank(score: Any, cases: Cases) -> npt.NDArray[np.float64]:
            ranked = next(left)
            if ranked != WORSE:
                seen.append(score.__self__.items.clone())
            return np.array([ranked])

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
        # The best after epoch 2, then no better for two epochs, nor when training has started over.
        seen = scripted(5, 2, 3, 9, 3, 3, 3)
        trained = train_sequence_encoder(table, encoder, cut, None, cases, self.recipe, seed=0)
        assert trained.epochs == 2
        assert trained.validation == pytest.approx(1 / math.log2(3))
        with torch.no_grad():
            kept = table()
        assert [place for place, items in enumerate(seen) if torch.equal(kept, items)] == [1]

    def test_training_that_stopped_on_large_steps_starts_over(
        self, scripted: Callable[..., list[Tensor]]
    ) -> None:
        cut, cases = circle()
        table, encoder = student()
        seen = scripted(5, 2, 3, 9, 4, 3, 1)
        trained = train_sequence_encoder(table, encoder, cut, None, cases, self.recipe, seed=0)
        assert (trained.epochs, trained.validation) == (3, 1.0)
        with torch.no_grad():
            assert torch.equal(table(), seen[-1])

    def test_with_epochs_given_nothing_is_validated_and_the_last_weights_stay(
        self, scripted: Callable[..., list[Tensor]]
    ) -> None:
        cut, cases = circle()
        scripted()
        trained = train_sequence_encoder(*student(), cut, None, cases, self.recipe, 0, epochs=3)
        assert (trained.epochs, trained.validation) == (3, -1.0)

    def test_weights_are_averaged_over_the_steps_of_the_training_that_made_them(
        self,
        scripted: Callable[..., list[Tensor]],
        watch_steps: Callable[[ModuleType], Callable[[], tuple[Tensor, Tensor]]],
    ) -> None:
        cut, cases = circle()
        both = student()
        steps = watch_steps(module)
        train_sequence_encoder(*both, cut, None, cases, self.recipe, 0, epochs=3)
        torch.testing.assert_close(weights(*both), steps()[1])
        # Started over after four, the best is the last.
        scripted(5, 2, 3, 9, 4, 3, 1, averaged=True)
        train_sequence_encoder(*both, cut, None, cases, self.recipe, 0)
        last, average = steps()
        torch.testing.assert_close(weights(*both), average)
        assert not torch.allclose(last, average)

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
        monkeypatch.setattr(schedule, "time", SimpleNamespace(monotonic=lambda: float(next(clock))))

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
