"""The teacher's sequence model: what a state has read, what training learns, chooses and when it stops."""

import itertools
import math
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from tiny_data import random_histories, unit_rows
from torch import Tensor
from torch.nn import functional

from pocketrec.errors import RunError
from pocketrec.splits import Cases, Indices
from teacher import sequence as module
from teacher.recipe import SequenceRecipe
from teacher.sequence import SequenceModel, SequenceScorer, for_density, readable, train
from training import schedule
from training.sequences import PAD

ITEMS = 24
LENGTH = 8
SMALL = SequenceRecipe(
    dimensions=16,
    layers=1,
    dropout=0.1,
    projection_dropout=0.0,
    id_embedding=False,
    learning_rate=2e-3,
    batch=32,
)
WORSE = 99.0
NONE = np.zeros(0, dtype=np.int64)
NOBODY = Cases(NONE, [], NONE)


def model(recipe: SequenceRecipe = SMALL, seed: int = 0) -> SequenceModel:
    torch.manual_seed(seed)
    return SequenceModel(unit_rows((ITEMS, 12)), LENGTH, recipe).eval()


def circle(users: int = 60) -> tuple[list[Indices], Cases]:
    """Everyone walks round the catalogue item by item; the next step is the validation target."""
    rng = np.random.default_rng(0)
    starts, lengths = rng.integers(ITEMS, size=users), rng.integers(3, LENGTH + 1, users)
    walks = [(s + np.arange(n + 1)) % ITEMS for s, n in zip(starts, lengths, strict=True)]
    histories = [walk[:-1] for walk in walks]
    return histories, Cases(np.arange(users), histories, np.array([walk[-1] for walk in walks]))


def weights(of: SequenceModel) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in of.parameters()])


@torch.no_grad()
def states(of: SequenceModel, rows: list[list[int]]) -> Tensor:
    return of(torch.tensor(rows), of.items())


class TestStates:
    rows = ([3, 7, 1, 9, 4], [5, 5, 2, 0, 8])

    @pytest.mark.parametrize("training", [False, True])
    def test_a_state_has_read_no_later_item(self, training: bool) -> None:
        plain = SequenceRecipe(dimensions=16, dropout=0.0, projection_dropout=0.0)
        m = model(plain).train(training)
        before = states(m, list(self.rows))
        for place in range(5):
            changed = [list(row) for row in self.rows]
            changed[0][place] = 20
            after = states(m, changed)
            torch.testing.assert_close(after[0, : place + 1], before[0, : place + 1])
            torch.testing.assert_close(after[1], before[1])
            differs = (after[0, place + 1 :] - before[0, place + 1 :]).abs().amax(dim=-1)
            assert (differs > 1e-4).all()  # every later state has read it

    def test_padding_on_the_right_changes_no_state(self) -> None:
        m = model()
        padded = states(m, [[3, 7, 1, PAD, PAD, PAD, PAD, PAD]])
        torch.testing.assert_close(padded[:, :4], states(m, [[3, 7, 1]]))
        assert torch.isfinite(padded).all()

    def test_shape_and_unit_length(self) -> None:
        found = states(model(), list(self.rows))
        assert found.shape == (2, 6, 16)
        torch.testing.assert_close(found.norm(dim=-1), torch.ones(2, 6))

    def test_the_first_state_is_everybodys(self) -> None:
        found = states(model(), list(self.rows))
        torch.testing.assert_close(found[0, 0], found[1, 0])

    def test_order_matters(self) -> None:
        found = states(model(), [[3, 7, 1], [7, 3, 1]])
        assert not torch.allclose(found[0, -1], found[1, -1], atol=1e-5)


class TestItems:
    def test_unit_rows_of_the_projected_text_vectors(self) -> None:
        m = model()
        with torch.no_grad():
            expected = functional.normalize(m.project(m.vectors), dim=-1)
            torch.testing.assert_close(m.items(), expected)

    def test_an_id_residual_starts_at_nothing_and_learns(self) -> None:
        m = model(SMALL.model_copy(update={"id_embedding": True}))
        assert m.residual is not None
        with torch.no_grad():
            torch.testing.assert_close(m.items(), functional.normalize(m.project(m.vectors)))
        histories, cases = circle()
        train(m, histories, cases, SMALL, seed=0, epochs=2)
        assert m.residual.weight.abs().max() > 0

    def test_text_vectors_are_never_trained(self) -> None:
        m = model()
        before = m.vectors.clone()
        histories, cases = circle()
        train(m, histories, cases, SMALL, seed=0, epochs=2)
        assert torch.equal(m.vectors, before)
        assert not any(p is m.vectors for p in m.parameters())

    def test_temperature_is_bounded(self) -> None:
        m = model(SMALL.model_copy(update={"temperature": 1000.0}))
        assert m.temperature.item() == 100.0
        assert model().temperature.item() == pytest.approx(15.0)


class TestScorer:
    def test_logits_by_hand(self) -> None:
        m = model()
        found = SequenceScorer(m).logits([np.array([3, 7, 1])])
        with torch.no_grad():
            expected = 15.0 * states(m, [[3, 7, 1]])[0, -1] @ m.items().T
        np.testing.assert_allclose(found[0], expected, atol=1e-4)

    def test_scores_are_roots_of_softmax_probabilities_up_to_a_factor(self) -> None:
        scorer = SequenceScorer(model())
        histories = random_histories(4, ITEMS, LENGTH)
        probabilities = torch.tensor(scorer.logits(histories)).softmax(dim=-1)
        scores = torch.tensor(scorer.scores(histories))
        torch.testing.assert_close(scores**2 / (scores**2).sum(-1, keepdim=True), probabilities)
        assert scores.amax(dim=-1).tolist() == [1, 1, 1, 1]

    def test_several_models_add_their_logits(self) -> None:
        one, other = model(), model()
        torch.nn.init.normal_(other.project.weight)
        together = SequenceScorer(one, other)
        histories = random_histories(4, ITEMS, LENGTH)
        expected = sum(SequenceScorer(m).logits(histories) for m in (one, other))
        np.testing.assert_allclose(together.logits(histories), expected, atol=1e-4)
        np.testing.assert_allclose(together.items.norm(dim=1), 1, atol=1e-5)

    def test_the_newest_items_of_a_long_history_are_read(self) -> None:
        scorer = SequenceScorer(model())
        long = np.arange(LENGTH + 5)
        np.testing.assert_array_equal(scorer.logits([long]), scorer.logits([long[-LENGTH:]]))


class TestLoss:
    @torch.no_grad()
    def test_by_a_loop_over_places(self) -> None:
        m, batch = model(), np.array([[3, 7, 1, 9], [5, 2, PAD, PAD], [8, PAD, PAD, PAD]])
        items, losses = m.items(), []
        for row in batch:
            read = torch.from_numpy(row[row != PAD])
            for place in range(1, len(read)):
                logits = m.temperature * items @ m(read[None, :place], items)[0, -1]
                own = logits[read[place]].clone()
                logits[read] = -torch.inf  # the window's own items are no wrong answers
                logits[read[place]] = own
                losses.append(logits.logsumexp(0) - own)
        found = module._loss(m, batch, NONE, SMALL)
        torch.testing.assert_close(found, torch.stack(losses).mean())


class TestTraining:
    def test_every_step_compares_with_what_is_chosen_often(
        self, watch_often: Callable[[ModuleType], list[list[int]]]
    ) -> None:
        asked = watch_often(module)
        histories = [np.array([3, 5 + n, 7]) for n in range(0, 12, 3)]
        recipe = SMALL.model_copy(update={"negatives": 4})
        train(model(), histories, NOBODY, recipe, seed=0, epochs=1)
        assert asked == [[3, 7]]  # a third of all choices each, the others a twelfth

    def test_a_rate_makes_ids_learn_faster(self) -> None:
        recipe = SMALL.model_copy(update={"id_embedding": True})
        histories, cases = circle()
        moved = {}
        for rate in (1, 10):
            torch.manual_seed(0)
            m = SequenceModel(unit_rows((ITEMS, 12)), LENGTH, recipe, rate)
            train(m, histories, cases, recipe, seed=0, epochs=1)
            assert m.residual is not None
            part = rate * m.residual.weight
            expected = functional.normalize(m.project(m.vectors) + part, dim=-1)
            torch.testing.assert_close(m.items(), expected)
            moved[rate] = part.norm().item()
        assert moved[10] > 4 * moved[1] > 0

    def test_learns_who_comes_next(self) -> None:
        histories, cases = circle()
        m = model()
        recipe = SMALL.model_copy(update={"epochs": 60, "learning_rate": 2e-2})
        trained = train(m, histories, cases, recipe, seed=0)
        assert trained.validation > 0.85
        assert not m.training
        logits = SequenceScorer(m).logits(cases.histories)
        for row, history in zip(logits, cases.histories, strict=True):
            row[history] = -np.inf  # what is never recommended again, training does not look at
        assert (logits.argmax(axis=1) == cases.targets).mean() > 0.8

    def test_reduces_the_loss(self) -> None:
        histories, cases = circle()
        m = model()
        batch = module.windows(histories, LENGTH)
        before = module._loss(m, batch, NONE, SMALL).item()
        train(m, histories, cases, SMALL, seed=0, epochs=5)
        assert module._loss(m, batch, NONE, SMALL).item() < before - 0.3

    def test_the_same_seed_gives_the_same_weights(self) -> None:
        histories, cases = circle()
        once, again, other = (model() for _ in range(3))
        for m, seed in ((once, 1), (again, 1), (other, 2)):
            train(m, histories, cases, SMALL, seed=seed, epochs=2)
        assert torch.equal(weights(once), weights(again))
        assert not torch.equal(weights(once), weights(other))

    def test_sets_are_shown_in_a_new_order_each_epoch(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shown: list[list[list[int]]] = []
        cut: Callable[..., npt.NDArray[np.int64]] = module.windows

        def remember(sequences: list[Indices], length: int) -> npt.NDArray[np.int64]:
            shown.append([s.tolist() for s in sequences])
            return cut(sequences, length)

        monkeypatch.setattr(module, "windows", remember)
        histories, _ = circle(20)
        train(model(), histories, NOBODY, SMALL, seed=0, epochs=2, shuffle=True)
        assert shown[0] != shown[1]
        assert all(
            sorted(a) == sorted(b) == sorted(h.tolist())
            for a, b, h in zip(*shown, histories, strict=True)
        )


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Tensor]]:
    """Makes the validations of each epoch find the given rank of every target instead of ranking.

    It is that of the weights after the epoch, or of the averaged ones; the others are worse. Returns the list that the
    weights of the models with these ranks go to.
    """

    def script(
        *ranks: float, averaged: bool = False, as_it_came: float | None = None
    ) -> list[Tensor]:
        found: list[float] = [] if as_it_came is None else [as_it_came]
        for given in ranks:
            found += (WORSE, given) if averaged else (given, WORSE)
        left, seen = iter(found), []

        def rank(score: Any, cases: Cases) -> npt.NDArray[np.float64]:
            ranked = next(left)
            if ranked != WORSE:
                seen.append(weights(score.__self__.models[0]).clone())
            return np.array([ranked])

        monkeypatch.setattr(module, "rank_targets", rank)
        return seen

    return script


class TestWhatIsKept:
    recipe = SMALL.model_copy(update={"epochs": 6, "evaluate_every": 1, "patience": 2})

    def test_the_weights_of_the_best_validation(
        self, scripted: Callable[..., list[Tensor]]
    ) -> None:
        histories, cases = circle()
        m = model()
        # The best after epoch 2, then no better for two epochs, nor when training has started over.
        seen = scripted(5, 2, 3, 9, 3, 3, 3)
        trained = train(m, histories, cases, self.recipe, seed=0)
        assert trained.epochs == 2
        assert trained.validation == pytest.approx(1 / math.log2(3))
        assert [place for place, w in enumerate(seen) if torch.equal(weights(m), w)] == [1]

    def test_training_that_stopped_on_large_steps_starts_over(
        self, scripted: Callable[..., list[Tensor]]
    ) -> None:
        histories, cases = circle()
        m = model()
        seen = scripted(5, 2, 3, 9, 4, 3, 1)
        trained = train(m, histories, cases, self.recipe, seed=0)
        assert (trained.epochs, trained.validation) == (3, 1.0)
        assert torch.equal(weights(m), seen[-1])

    def test_the_last_epoch_is_always_validated(
        self, scripted: Callable[..., list[Tensor]]
    ) -> None:
        histories, cases = circle()
        scripted(5, 4, 1)  # epochs 2, 4 and 5
        recipe = self.recipe.model_copy(update={"epochs": 5, "evaluate_every": 2})
        assert train(model(), histories, cases, recipe, seed=0).epochs == 5

    def test_with_epochs_given_nothing_is_validated_and_the_last_weights_stay(
        self, scripted: Callable[..., list[Tensor]]
    ) -> None:
        histories, cases = circle()
        scripted()  # ranking would raise StopIteration
        trained = train(model(), histories, cases, self.recipe, seed=0, epochs=3)
        assert trained.epochs == 3
        assert trained.validation == -1.0

    def test_weights_are_averaged_over_the_steps_of_the_training_that_made_them(
        self,
        scripted: Callable[..., list[Tensor]],
        watch_steps: Callable[[ModuleType], Callable[[], tuple[Tensor, Tensor]]],
    ) -> None:
        histories, cases = circle()
        m = model()
        steps = watch_steps(module)
        train(m, histories, cases, self.recipe, seed=0, epochs=3)
        torch.testing.assert_close(weights(m), steps()[1])
        # Started over after four, the best is the last.
        scripted(5, 2, 3, 9, 4, 3, 1, averaged=True)
        train(m, histories, cases, self.recipe, seed=0)
        last, average = steps()
        torch.testing.assert_close(weights(m), average)
        assert not torch.allclose(last, average)

    def test_a_pretrained_model_keeps_its_weights_where_none_are_better(
        self, scripted: Callable[..., list[Tensor]]
    ) -> None:
        histories, cases = circle()
        m = model()
        before = weights(m)
        seen = scripted(2, 3, as_it_came=2)  # then no better for two epochs
        trained = train(m, histories, cases, self.recipe, seed=0, pretrained=True)
        assert trained.epochs == 0
        assert trained.validation == pytest.approx(1 / math.log2(3))
        assert torch.equal(weights(m), before)
        assert [torch.equal(before, w) for w in seen] == [True, False, False]

    def test_a_pretrained_model_trains_like_any_other(
        self, scripted: Callable[..., list[Tensor]]
    ) -> None:
        histories, cases = circle()
        once, again = model(), model()
        scripted(5, 2, 3, 9, 3, 3, 3)
        fresh = train(once, histories, cases, self.recipe, seed=0)
        scripted(5, 2, 3, 9, 3, 3, 3, as_it_came=6)
        trained = train(again, histories, cases, self.recipe, seed=0, pretrained=True)
        assert (trained.epochs, trained.validation) == (fresh.epochs, fresh.validation)
        assert torch.equal(weights(again), weights(once))
        scripted()  # with epochs given nothing is validated
        trained = train(again, histories, cases, self.recipe, seed=0, epochs=2, pretrained=True)
        assert trained.epochs == 2
        assert not torch.equal(weights(again), weights(once))

    def test_steps_that_spoil_what_a_pretrained_model_knows_are_undone(self) -> None:
        histories, cases = circle()
        m = model()
        train(m, histories, cases, SMALL.model_copy(update={"learning_rate": 2e-2}), 0, epochs=20)
        before = weights(m)
        spoiling = self.recipe.model_copy(update={"learning_rate": 10.0})
        kept = train(m, histories, cases, spoiling, seed=0, pretrained=True)
        assert kept.epochs == 0
        assert torch.equal(weights(m), before)
        spoilt = train(m, histories, cases, spoiling, seed=0)
        assert spoilt.epochs > 0
        assert spoilt.validation < kept.validation / 2
        assert not torch.equal(weights(m), before)

    def test_no_epoch_is_none(self) -> None:
        # What a run without time left chose must not become the recipe's hundred.
        histories, cases = circle()
        m = model()
        before = weights(m)
        assert train(m, histories, cases, self.recipe, seed=0, epochs=0).epochs == 0
        assert torch.equal(weights(m), before)


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that moves by a second whenever it is read."""
    clock = itertools.count()
    monkeypatch.setattr(schedule, "time", SimpleNamespace(monotonic=lambda: float(next(clock))))


class TestDeadline:
    # 60 windows in batches of 4: 15 steps an epoch.
    recipe = SMALL.model_copy(update={"batch": 4})

    @pytest.mark.usefixtures("ticking")
    def test_stops_within_an_epoch(self) -> None:
        histories, cases = circle()
        progress: list[float] = []
        m = model()
        trained = train(
            m, histories, cases, self.recipe, seed=0, seconds=10, progress=progress.append
        )
        assert 1 <= len(progress) <= 10  # a step reads the clock at least once
        assert trained.epochs == 1
        assert trained.validation > 0  # what there is was validated
        assert not m.training

    @pytest.mark.usefixtures("ticking")
    def test_bounds_a_given_number_of_epochs_too(self) -> None:
        histories, _ = circle()
        trained = train(model(), histories, NOBODY, self.recipe, seed=0, seconds=10, epochs=50)
        assert trained.epochs == 1

    def test_no_time_at_all_leaves_a_model_that_scores(self) -> None:
        histories, cases = circle()
        m = model()
        trained = train(m, histories, cases, self.recipe, seed=0, seconds=0.0)
        assert trained.epochs == 0
        assert not m.training
        assert np.isfinite(SequenceScorer(m).scores(histories)).all()

    def test_no_time_at_all_leaves_a_pretrained_model_as_it_came(self) -> None:
        histories, cases = circle()
        m = model()
        before = weights(m)
        trained = train(m, histories, cases, self.recipe, seed=0, seconds=0.0, pretrained=True)
        assert trained.epochs == 0
        assert trained.validation >= 0  # judged, unlike one that knows nothing
        assert torch.equal(weights(m), before)

    def test_progress_grows_from_nothing_to_one(self) -> None:
        histories, cases = circle()
        progress: list[float] = []
        train(model(), histories, cases, self.recipe, seed=0, epochs=3, progress=progress.append)
        assert len(progress) == 45
        assert progress == sorted(progress)
        assert progress[0] == 0.0
        assert progress[-1] <= 1.0


def test_a_dense_catalogue_takes_a_part_of_the_dropout():
    recipe = SequenceRecipe(dropout=0.4, projection_dropout=0.2, layers=3)
    thinned = for_density(recipe, 100 * [np.arange(5)])
    assert (thinned.dropout, thinned.projection_dropout) == pytest.approx((0.1, 0.05))
    assert thinned.layers == 3
    assert thinned.exact_windows
    assert thinned.tried_rates == (10.0,)
    assert thinned.dropout_epochs > recipe.dropout_epochs == 0
    assert for_density(recipe, 20 * [np.arange(5)]) == recipe


def test_nothing_is_dropped_where_the_time_is_too_short_for_it() -> None:
    def trained(**settings: float) -> Tensor:
        histories, cases = circle()
        recipe = SMALL.model_copy(update=settings)
        m = model(recipe)
        train(m, histories, cases, recipe, seed=0, seconds=1000, epochs=2)
        return weights(m)

    never = trained(dropout=0.0)
    torch.testing.assert_close(trained(dropout=0.4, dropout_epochs=10**9), never)
    assert not torch.allclose(trained(dropout=0.4), never)


def test_histories_of_one_item_train_nothing_and_break_nothing() -> None:
    m = model()
    before = weights(m)
    single = [np.array([n % ITEMS]) for n in range(40)]
    train(m, single, NOBODY, SMALL, seed=0, epochs=2)
    assert torch.equal(weights(m), before)
    train(m, [*single, np.array([1, 2])], NOBODY, SMALL, seed=0, epochs=2)
    assert torch.isfinite(weights(m)).all()


def rows(*histories: list[int]) -> list[Indices]:
    return [np.array(history, dtype=np.int64) for history in histories]


def test_the_sequence_model_reads_what_has_an_order() -> None:
    read, as_sets = readable(rows([5, 6, 7], [1, 2], [], [3]), np.array([1, 2, 0, 0]))
    assert [row.tolist() for row in read] == [[6, 7], [3]]
    assert not as_sets


def test_without_any_order_it_reads_sets() -> None:
    read, as_sets = readable(rows([5, 6, 7], [1, 2], []), np.array([3, 2, 0]))
    assert [row.tolist() for row in read] == [[5, 6, 7], [1, 2]]
    assert as_sets


class TestWeights:
    def test_what_is_saved_is_loaded(self, tmp_path: Path) -> None:
        recipe = SMALL.model_copy(update={"id_embedding": True})
        saved, loaded = model(recipe, seed=0), model(recipe, seed=1)
        saved.save(tmp_path / "weights.safetensors")
        loaded.load(tmp_path / "weights.safetensors")
        assert torch.equal(weights(saved), weights(loaded))

    def test_of_a_model_of_another_shape(self, tmp_path: Path) -> None:
        path = tmp_path / "weights.safetensors"
        model(SMALL.model_copy(update={"dimensions": 8})).save(path)
        with pytest.raises(RunError, match="expected the weights of a sequence model"):
            model().load(path)

    @pytest.mark.parametrize("content", [None, b"", b"no weights"])
    def test_of_no_file_or_a_damaged_one(self, tmp_path: Path, content: bytes | None) -> None:
        path = tmp_path / "weights.safetensors"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(RunError, match=r"weights\.safetensors: expected the weights"):
            model().load(path)
