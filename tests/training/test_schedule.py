import math
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training import schedule
from training.schedule import Course, warmup_cosine


def test_rises_in_a_line_and_falls_in_a_cosine() -> None:
    assert warmup_cosine(0.0, warmup=0.1, floor=0.2) == 0.2
    assert warmup_cosine(0.05, warmup=0.1, floor=0.2) == pytest.approx(0.5)
    assert warmup_cosine(0.1, warmup=0.1, floor=0.2) == 1.0
    assert warmup_cosine(0.55, warmup=0.1, floor=0.2) == pytest.approx(0.6)  # half way down
    assert warmup_cosine(1.0, warmup=0.1, floor=0.2) == pytest.approx(0.2)


@given(st.floats(0, 3))
def test_is_a_factor(progress: float) -> None:
    assert 0.02 <= warmup_cosine(progress) <= 1.0 + 1e-9


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """``now`` is set by hand."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(schedule, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


class TestCourse:
    def run(self, course: Course, *validations: float) -> list[int]:
        """Runs to the end of the course; the epochs that made the weights whenever some were validated."""
        left, validated = iter(validations), []
        while course.running:
            if course.end_epoch():
                validated.append(course.epoch)
                course.better(next(left))
                course.start_over()
        assert not list(left)
        return validated

    def test_validates_every_so_often_and_at_the_end(self) -> None:
        course = Course(epochs=5, seconds=None, every=2, patience=9)
        assert self.run(course, 0.1, 0.3, 0.2) == [2, 4, 5]
        assert (course.best, course.best_epochs) == (0.3, 4)

    def test_starts_over_once_on_a_schedule_of_the_length_that_it_needs(self) -> None:
        course = Course(epochs=60, seconds=None, every=2, patience=4)
        found = self.run(course, 0.1, 0.2, 0.2, 0.1, 0.1, 0.1, 0.1, 0.2, 0.3)
        assert found == [2, 4, 6, 8, 1, 2, 3, 4, 5]
        assert (course.best, course.best_epochs) == (0.3, 5)

    def test_the_steps_of_the_second_time_fall_over_its_own_epochs(self) -> None:
        course = Course(epochs=60, seconds=None, every=1, patience=1)
        for validation in (0.2, 0.1):
            course.end_epoch()
            course.better(validation)
        assert course.share(0.5) == 2.5 / 60
        assert course.start_over()
        assert course.share(0.5) == 0.5 / 2
        assert course.rate(0.5) == warmup_cosine(0.25)

    def test_nothing_is_to_be_won_where_the_first_weights_are_the_best(self) -> None:
        course = Course(epochs=60, seconds=None, every=1, patience=2)
        course.better(0.5)
        assert self.run(course, 0.1, 0.1) == [1, 2]
        assert (course.best, course.best_epochs) == (0.5, 0)

    def test_without_validation_runs_to_its_end(self) -> None:
        assert self.run(Course(epochs=30, seconds=None, every=None, patience=1)) == []

    def test_seconds_end_it_and_the_rest_of_them_is_the_schedule_of_the_second_time(
        self, clock: SimpleNamespace
    ) -> None:
        course = Course(epochs=60, seconds=10, every=1, patience=1)
        for validation in (0.2, 0.1):
            course.end_epoch()
            course.better(validation)
        clock.now = 106.0
        assert course.share(0.0) == 0.6
        course.start_over()
        assert course.share(0.0) == 0.0
        clock.now = 109.0
        assert course.share(0.0) == 0.75
        assert course.running
        clock.now = 110.0
        assert course.late
        assert not course.running
        assert course.seconds == 10.0

    def test_the_last_epoch_tells_how_many_the_time_is_enough_for(
        self, clock: SimpleNamespace
    ) -> None:
        course = Course(epochs=60, seconds=30, every=1, patience=1)
        assert course.affordable == 0  # nothing is known yet
        for seconds, affordable in ((5, 6), (3, 10)):
            clock.now += seconds
            course.end_epoch()
            assert course.affordable == affordable

    def test_without_a_limit_the_time_is_enough_for_anything(self) -> None:
        assert Course(epochs=60, seconds=None, every=1, patience=1).affordable == math.inf
