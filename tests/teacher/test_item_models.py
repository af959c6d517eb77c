"""Which settings tuning chooses, for which items a closed form is fitted, and what becomes of the others."""

from types import SimpleNamespace

import numpy as np
import numpy.typing as npt
import pytest
from scipy import sparse
from tiny_data import random_histories, unit_rows

from pocketrec.cold_items import impute
from pocketrec.neighbour_table import NeighbourTable
from pocketrec.splits import Cases, Indices
from teacher import item_models
from teacher.evidence import Evidence
from teacher.fusion import validation_ndcg
from teacher.item_models import (
    Chosen,
    Tuner,
    affordable_items,
    affordable_width,
    fit,
    most_chosen,
    settle,
    without_text,
)
from teacher.neighbours import ease, ease_with_text, item_knn
from teacher.recipe import TeacherRecipe
from teacher.scorers import ItemItem

ITEMS = 30
TRAIN = random_histories(60, ITEMS, 12)
VECTORS = unit_rows((ITEMS, 8))
EVIDENCE = Evidence.of(TRAIN, np.zeros(60, dtype=np.int64), VECTORS)
CASES = Cases(np.arange(60), TRAIN, np.array([(h[-1] + 1) % ITEMS for h in TRAIN]))


def tuner(items: int = ITEMS, users: int = 1000) -> Tuner:
    recipe = TeacherRecipe(tune_items=items, tune_users=users)
    return Tuner(EVIDENCE, CASES, recipe, seed=0, seconds=None)


def test_most_chosen_in_catalogue_order_and_ties_by_catalogue_order() -> None:
    train = [np.array([3, 1]), np.array([3, 4]), np.array([3, 1, 0])]  # 0, 1, 3, 4: 1 2 3 1
    evidence = Evidence.of(train, np.zeros(3, dtype=np.int64), unit_rows((6, 2)))
    assert most_chosen(evidence, 2).tolist() == [1, 3]
    assert most_chosen(evidence, 3).tolist() == [0, 1, 3]
    assert most_chosen(evidence, 99).tolist() == [0, 1, 2, 3, 4, 5]


@pytest.fixture
def one_second_a_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(1000))
    monkeypatch.setattr(item_models, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    monkeypatch.setattr(item_models, "ease", lambda x, ridge: None)


@pytest.mark.usefixtures("one_second_a_fit")
def test_affordable_items_grow_with_the_cube_root_of_the_time() -> None:
    # 3,000 items take a second.
    assert affordable_items(10.0, fits=10, limit=16_000) == 3000
    assert affordable_items(80.0, fits=10, limit=16_000) == 6000
    assert affordable_items(1e6, fits=10, limit=16_000) == 16_000
    assert affordable_items(0.0, fits=10, limit=16_000) == 1000
    assert affordable_items(0.0, fits=10, limit=120) == 120  # a catalogue that is smaller
    assert affordable_items(None, fits=10, limit=16_000) == 16_000


def test_tuning_sees_the_head_alone() -> None:
    tuned = tuner(items=10)
    assert tuned.head.tolist() == most_chosen(EVIDENCE, 10).tolist()
    assert tuned.evidence.interactions.shape == (60, 10)
    np.testing.assert_array_equal(tuned.evidence.vectors, VECTORS[tuned.head])
    assert 0 < len(tuned.cases) < 60
    for user, history, target in zip(
        tuned.cases.users, tuned.cases.histories, tuned.cases.targets, strict=True
    ):
        assert tuned.head[target] == CASES.targets[user]
        inside = [i for i in TRAIN[user] if i in tuned.head]
        assert tuned.head[history].tolist() == inside  # in the order of the history


@pytest.mark.parametrize(("trial", "items"), [(1.0, ITEMS), (4.0, ITEMS // 2), (100.0, 8)])
def test_where_trials_take_long_tuning_sees_fewer_items(
    monkeypatch: pytest.MonkeyPatch, trial: float, items: int
) -> None:
    monkeypatch.setattr(item_models, "affordable_items", lambda *_, **__: 40)
    monkeypatch.setattr(item_models, "LEAST_ITEMS", 8)
    monkeypatch.setattr(Tuner, "_trial", lambda _: trial)
    seconds = float(item_models.TUNING_FITS)
    assert len(Tuner(EVIDENCE, CASES, TeacherRecipe(), 0, seconds).head) == items


def test_tuning_samples_users() -> None:
    assert len(tuner(users=20).cases) == 20


def test_each_coordinate_is_chosen_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[tuple[float, float]] = []

    def fitted(evidence: Evidence, a: float, b: float) -> npt.NDArray[np.float32]:
        tried.append((a, b))
        return np.array([[a, b]], dtype=np.float32)

    def quality(scorer: ItemItem, cases: Cases) -> float:
        a, b = scorer.weights[0]
        return float(-((a - 1) ** 2) - (b - 30) ** 2 - (scorer.decay - 0.6) ** 2)

    monkeypatch.setitem(item_models.FITS, "fake", fitted)
    monkeypatch.setattr(item_models, "validation_ndcg", quality)
    chosen = tuner().choose("fake", {"a": (1, 2, 3), "b": (10, 20, 30)}, decays=(1.0, 0.8, 0.6))
    assert chosen == Chosen("fake", {"a": 1, "b": 30}, 0.6, chosen.validation)
    assert chosen.validation == pytest.approx(0.0)
    # The first coordinate beside the middle of the second, the second beside the best of the first, the decay last.
    assert tried == [(1, 20), (2, 20), (3, 20), (1, 10), (1, 20), (1, 30), (1, 30)]


def test_choosing_starts_from_what_served_the_simpler_model(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried: list[tuple[float, float, float]] = []

    def quality(scorer: ItemItem, cases: Cases) -> float:
        tried.append((*scorer.weights[0], scorer.decay))
        return 0.0

    monkeypatch.setitem(
        item_models.FITS, "fake", lambda e, weight, ridge: np.array([[weight, ridge]])
    )
    monkeypatch.setattr(item_models, "validation_ndcg", quality)
    simpler = Chosen("EASE", {"ridge": 7.0}, 1.0, 0.1)
    grid = {"weight": (0.0, 5.0), "ridge": (20.0, 50.0)}
    tuner().choose("fake", grid, (0.8, 0.6), simpler)
    assert tried[:3] == [(0, 7, 1), (5, 7, 1), (0, 20, 1)]


@pytest.mark.parametrize(
    ("kind", "grid"),
    [
        ("ItemKNN", {"neighbours": (5.0, 30.0), "shrink": (0.0, 10.0)}),
        ("EASE", {"ridge": (1.0, 10.0, 100.0)}),
        (
            "EASE with text",
            {"ridge": (1.0, 10.0), "text_weight": (0.0, 5.0), "order": (0.0, 0.5, 1.0)},
        ),
    ],
)
def test_what_tuning_promises_the_fitted_model_keeps(
    kind: str, grid: dict[str, tuple[float, ...]]
) -> None:
    chosen = tuner().choose(kind, grid, decays=(1.0, 0.7))
    assert all(chosen.settings[name] in values for name, values in grid.items())
    model = fit(chosen, EVIDENCE, ITEMS)
    assert validation_ndcg(model, CASES) == pytest.approx(chosen.validation)
    assert model.decay == chosen.decay
    assert model.name == chosen.describe()


def test_ease_is_an_ease_with_text_that_reads_none() -> None:
    plain = Chosen("EASE", {"ridge": 10.0}, 0.7, 0.1)
    text = without_text(plain)
    assert text.kind == "EASE with text"
    np.testing.assert_allclose(
        fit(text, EVIDENCE, ITEMS).scores(TRAIN), fit(plain, EVIDENCE, ITEMS).scores(TRAIN)
    )


def test_description() -> None:
    assert Chosen("EASE", {"ridge": 100.0}, 1.0, 0.1).describe() == "EASE (ridge 100)"
    text = Chosen("EASE with text", {"ridge": 0.5, "text_weight": 20.0}, 0.9, 0.1)
    assert text.describe() == "EASE with text (ridge 0.5, text_weight 20, decay 0.9)"


TEXT = Chosen("EASE with text", {"text_weight": 3.0, "order": 0.5, "ridge": 2.0}, 0.9, 0.0)


class TestBeyondTheLimit:
    def test_every_item_in_every_column_is_the_closed_form(self) -> None:
        model = fit(TEXT, EVIDENCE, 12, through_text=True, width=ITEMS)
        assert sparse.issparse(model.weights)
        assert model.tail is None
        assert model.head.tolist() == list(range(ITEMS))
        assert model.name == TEXT.describe()
        exact = fit(TEXT, EVIDENCE, ITEMS)
        np.testing.assert_allclose(model.scores(TRAIN), exact.scores(TRAIN), atol=1e-4)
        plain = fit(Chosen("EASE", {"ridge": 2.0}, 1.0, 0.0), EVIDENCE, 12, width=ITEMS)
        expected = ease(EVIDENCE.together, 2.0)
        np.testing.assert_allclose(plain.weights.toarray(), expected, atol=2e-5)

    def test_columns_keep_the_width(self) -> None:
        model = fit(TEXT, EVIDENCE, ITEMS - 1, width=4)
        assert np.diff(model.weights.tocsc().indptr).tolist() == [4] * ITEMS

    def test_within_the_limit_the_form_is_exact(self) -> None:
        model = fit(TEXT, EVIDENCE, ITEMS, width=4)
        expected = ease_with_text(EVIDENCE, 3.0, 0.5, 2.0)
        np.testing.assert_array_equal(model.weights, expected)

    def test_a_model_without_a_local_form_keeps_its_head(self) -> None:
        knn = Chosen("ItemKNN", {"neighbours": 5.0, "shrink": 1.0}, 1.0, 0.0)
        model = fit(knn, EVIDENCE, 12, width=4)
        head = most_chosen(EVIDENCE, 12)
        assert model.head.tolist() == head.tolist()
        expected = item_knn(EVIDENCE[head].together, 5, 1.0)
        np.testing.assert_array_equal(model.weights, expected)


class TestAffordableWidth:
    @pytest.fixture(autouse=True)
    def _a_second_and_a_hundredth_an_entry(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A fit of all 30 columns takes 1 + .3 * width seconds."""
        clock = SimpleNamespace(now=0.0)

        def fitted(evidence: Evidence, ridge: float, width: int, columns: Indices) -> None:
            clock.now += 1 + 0.01 * width * len(columns)

        monkeypatch.setattr(item_models, "time", SimpleNamespace(monotonic=lambda: clock.now))
        monkeypatch.setitem(item_models.LOCAL_FITS, "EASE", fitted)

    chosen = Chosen("EASE", {"ridge": 2.0}, 1.0, 0.0)

    @pytest.mark.parametrize(
        ("seconds", "width"), [(None, 200), (123, 200), (121, 100), (63, 100), (56, 50)]
    )
    def test_half_as_wide_until_the_time_is_enough(
        self, seconds: float | None, width: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert affordable_width(self.chosen, EVIDENCE, seconds, fits=2, width=200) == width
        monkeypatch.setattr(item_models, "TIMED_COLUMNS", 10)
        assert affordable_width(self.chosen, EVIDENCE, seconds, fits=2, width=200) == width

    def test_never_narrower_than_a_share_of_the_items_that_histories_join(self) -> None:
        lengths = np.array([len(history) for history in TRAIN])
        least = 0.2 * (lengths**2).sum() / ITEMS
        assert 25 < least < 50
        assert affordable_width(self.chosen, EVIDENCE, 2 * 16.1, fits=2, width=200) == 50
        assert affordable_width(self.chosen, EVIDENCE, 2 * 15.9, fits=2, width=200) is None
        # A recipe may ask for less.
        assert affordable_width(self.chosen, EVIDENCE, 2 * 3.6, fits=2, width=8) == 8

    def test_long_histories_need_too_much_memory(self, monkeypatch: pytest.MonkeyPatch) -> None:
        pairs = sum(len(history) ** 2 for history in TRAIN)
        pairs += int((np.diff(EVIDENCE.past.indptr) ** 2).sum())
        monkeypatch.setattr(item_models, "MOST_PAIRS", pairs)
        assert affordable_width(self.chosen, EVIDENCE, None, fits=2, width=200) == 200
        monkeypatch.setattr(item_models, "MOST_PAIRS", pairs - 1)
        assert affordable_width(self.chosen, EVIDENCE, None, fits=2, width=200) is None


class TestItemsOutsideTheHead:
    chosen = Chosen("EASE", {"ridge": 2.0}, 1.0, 0.0)
    head = most_chosen(EVIDENCE, 12)
    outside = np.setdiff1d(np.arange(ITEMS), head)

    def fitted(self, through_text: bool) -> ItemItem:
        return fit(self.chosen, EVIDENCE, 12, through_text=through_text)

    def test_the_head_is_fitted_on_itself_alone(self) -> None:
        model = self.fitted(through_text=True)
        assert model.head.tolist() == self.head.tolist()
        expected = ease(EVIDENCE[self.head].together, 2.0)
        np.testing.assert_array_equal(model.weights, expected)

    def test_without_imputation_they_score_nothing(self) -> None:
        model = self.fitted(through_text=False)
        assert model.tail is None
        assert not model.scores(TRAIN)[:, self.outside].any()

    def test_imputed_columns_are_those_that_a_device_would_give_a_new_item(self) -> None:
        model = self.fitted(through_text=True)
        assert model.tail is not None
        tail = model.tail.toarray()
        assert tail.dtype == np.float32
        assert not tail[:, self.head].any()
        table = NeighbourTable.from_matrix(model.weights, 20 * len(self.head))
        support = float(table.support().mean())
        sources, targets, weights = impute(VECTORS[self.outside], VECTORS[self.head], support)
        expected = np.zeros_like(tail)
        expected[sources, self.outside[targets]] = weights
        np.testing.assert_array_equal(tail, expected)
        np.testing.assert_allclose(tail[:, self.outside].sum(axis=0), support, rtol=1e-5)

    def test_every_item_is_spoken_for(self) -> None:
        table = self.fitted(through_text=True).table(1000, np.zeros(ITEMS, np.float32))
        assert (table.support() > 0).all()
        assert set(table.sources.tolist()) <= set(self.head.tolist())


def test_an_item_like_no_other_gets_no_imputed_column() -> None:
    vectors: npt.NDArray[np.float32] = np.ones((ITEMS, 1), dtype=np.float32)
    lonely = most_chosen(EVIDENCE, ITEMS - 1)
    alone = int(np.setdiff1d(np.arange(ITEMS), lonely)[0])
    vectors[alone] = -1
    evidence = Evidence.of(TRAIN, np.zeros(60, dtype=np.int64), vectors)
    model = fit(Chosen("EASE", {"ridge": 2.0}, 1.0, 0.0), evidence, ITEMS - 1, through_text=True)
    assert not model.scores(TRAIN)[:, alone].any()


class TestSettle:
    CASES = Cases(np.zeros(0, dtype=np.int64), [], np.zeros(0, dtype=np.int64))

    @pytest.fixture(autouse=True)
    def _a_model_is_its_own_score(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(item_models, "validation_ndcg", lambda model, cases: model)

    @pytest.mark.parametrize(
        ("best", "tried"),
        [
            # Doubled while it gains; the text weight both ways, for nothing.
            ({"ridge": 80, "text_weight": 5}, 6),
            ({"ridge": 20, "text_weight": 5}, 5),
            ({"ridge": 5, "text_weight": 5}, 7),
            ({"ridge": 40, "text_weight": 10}, 5),
            ({"ridge": 20, "text_weight": 2.5}, 6),
        ],
    )
    def test_finds_the_best_of_both(self, best: dict[str, float], tried: int) -> None:
        fitted = []

        def whole(chosen: Chosen) -> float:
            fitted.append(chosen.settings)
            return -sum(abs(np.log2(chosen.settings[name] / best[name])) for name in best)

        start = Chosen("EASE with text", {"ridge": 20, "text_weight": 5, "order": 0.5}, 0.8, 0.1)
        chosen, model = settle([start], whole, self.CASES, None)
        assert chosen.settings == {**best, "order": 0.5}
        assert (chosen.kind, chosen.decay, model) == ("EASE with text", 0.8, 0)
        assert len(fitted) == tried

    def test_a_weight_of_nothing_and_models_without_a_ridge_stay(self) -> None:
        fitted = []

        def whole(chosen: Chosen) -> float:
            fitted.append(chosen.settings)
            return 1.0

        for settings in ({"ridge": 20, "text_weight": 0}, {"neighbours": 50, "shrink": 0}):
            start = Chosen("some", settings, 1.0, 0.1)
            assert settle([start], whole, self.CASES, None) == (start, 1.0)
        assert len(fitted) == 3 + 1

    @pytest.mark.parametrize("best", [0, 1])
    def test_goes_on_from_the_best_start(self, best: int) -> None:
        text = Chosen("EASE with text", {"ridge": 20, "text_weight": 0, "order": 0.5}, 0.8, 0.2)
        starts = [text, without_text(Chosen("EASE", {"ridge": 0.5}, 1.0, 0.1))]
        fitted = []

        def whole(chosen: Chosen) -> float:
            fitted.append(chosen)
            return float(chosen.decay == starts[best].decay)

        chosen, _ = settle(starts, whole, self.CASES, None)
        assert chosen == starts[best]
        assert len(fitted) == 2 + 2

    @pytest.mark.parametrize(("seconds", "fits"), [(0, 1), (19, 1), (20, 2), (45, 4), (None, 7)])
    def test_nothing_is_tried_that_would_end_too_late(
        self, seconds: float | None, fits: int
    ) -> None:
        now = 0.0
        fitted = []

        def whole(chosen: Chosen) -> float:
            nonlocal now
            now += 10
            fitted.append(chosen.settings["ridge"])
            return min(len(fitted), 6)

        start = Chosen("EASE", {"ridge": 10}, 1.0, 0.1)
        chosen, _ = settle([start], whole, self.CASES, seconds, clock=lambda: now)
        assert len(fitted) == fits
        assert chosen.settings["ridge"] == fitted[min(fits, 6) - 1]
