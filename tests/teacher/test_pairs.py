"""Pairs: which are drawn, and which items may stand against each other."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pocketrec.errors import DataError
from teacher.pairs import Batches, PairSampler
from teacher.sources import Source


def source_of(
    sequences: list[list[int]], unordered: list[int] | None = None, texts: list[str] | None = None
) -> Source:
    count = 1 + max(max(s, default=0) for s in sequences)
    return Source(
        "d",
        "f",
        np.arange(count),
        texts or [f"text {i}" for i in range(count)],
        [np.array(s, dtype=np.int64) for s in sequences],
        np.array(unordered or [0] * len(sequences), dtype=np.int64),
    )


def drawn(source: Source, count: int = 4000, **settings: float) -> np.ndarray:
    sampler = PairSampler(source, **settings)  # type: ignore[arg-type]
    return sampler.draw(count, np.random.default_rng(0))


def test_ordered_pairs_are_near_and_sets_pair_freely() -> None:
    long = list(range(30))
    near = drawn(source_of([long]), window=5)
    assert set(np.abs(near[0] - near[1]).tolist()) == {1, 2, 3, 4, 5}
    free = drawn(source_of([long], unordered=[30]), window=5)
    assert np.abs(free[0] - free[1]).max() == 29
    # The first ten have no order: they pair among themselves, and so do the others.
    mixed = drawn(source_of([long], unordered=[10]), window=5)
    assert ((mixed[0] < 10) == (mixed[1] < 10)).all()
    late = mixed[:, mixed[0] >= 10]
    assert np.abs(late[0] - late[1]).max() == 5
    early = mixed[:, mixed[0] < 10]
    assert np.abs(early[0] - early[1]).max() == 9


@pytest.mark.parametrize(("balance", "share"), [(0.0, 1 / 2), (0.5, 5 / 6), (1.0, 25 / 26)])
def test_how_much_a_heavy_user_weighs(balance: float, share: float) -> None:
    """Histories of 50 and of 2 items: 1 : 1, 5 : 1 or 25 : 1."""
    pairs = drawn(source_of([list(range(2, 52)), [0, 1]]), balance=balance)
    assert (pairs[0] > 1).mean() == pytest.approx(share, abs=0.03)


@pytest.mark.parametrize(("damping", "share"), [(0.0, 1 / 3), (0.5, 1 / 5), (1.0, 1 / 9)])
def test_how_much_a_popular_item_weighs(damping: float, share: float) -> None:
    """Of three items of one history the first was chosen by 4 people: weights 1, 1/2 or 1/4 beside 1 and 1."""
    source = source_of([[0, 1, 2], [0], [0], [0]])
    pairs = drawn(source, damping=damping)
    assert (pairs[0] == 0).mean() == pytest.approx(share, abs=0.03)


def test_equal_texts_are_no_pair() -> None:
    pairs = drawn(source_of([[0, 1, 2]], texts=["a", "a", "b"]), count=50)
    assert {tuple(sorted(pair)) for pair in pairs.T.tolist()} == {(0, 2), (1, 2)}
    with pytest.raises(DataError, match="different texts, found next to none"):
        drawn(source_of([[0, 1]], texts=["a", "a"]))
    with pytest.raises(DataError, match="two training choices, found none among 2"):
        PairSampler(source_of([[0], [1]]))


@given(
    st.lists(st.permutations(range(9)).map(lambda p: p[: 1 + p[0]]), min_size=1, max_size=6),
    st.integers(1, 12),
    st.floats(0, 1),
    st.integers(0, 2**32),
)
def test_a_pair_is_two_items_of_one_history_within_the_window(
    sequences: list[list[int]], window: int, damping: float, seed: int
) -> None:
    if max(map(len, sequences)) < 2:
        return
    sampler = PairSampler(source_of(sequences), window, damping)
    for first, second in sampler.draw(20, np.random.default_rng(seed)).T.tolist():
        assert any(
            {first, second} <= set(s) and 1 <= abs(s.index(first) - s.index(second)) <= window
            for s in sequences
        )


def test_what_is_chosen_together_or_reads_alike_is_no_negative() -> None:
    #  0 and 1 together; 2 alone; 3 reads as 0 does.
    source = source_of([[0, 1], [2, 4], [3, 4]], texts=["a", "b", "c", "a", "e"])
    mask = PairSampler(source).negatives(np.array([0, 1, 2, 3]))
    expected = [
        [False, False, True, False],
        [False, False, True, True],
        [True, True, False, True],
        [False, True, True, False],
    ]
    assert mask.tolist() == expected


def test_what_meets_by_chance_alone_stays_a_negative() -> None:
    """A hundred people choose ten items each, half of them 0 and half of them 1.

    Chance: 50 * 50 * (100 * 10 * 9) / 1000**2 = 22.5 common choices, and two deviations more are 31.99.
    """

    def may_stand(both: int) -> bool:
        sequences = []
        for person in range(100):
            popular = [0] * (person < 50) + [1] * (50 - both <= person < 100 - both)
            first = 2 + 10 * person
            sequences.append([*popular, *range(first, first + 10 - len(popular))])
        return bool(PairSampler(source_of(sequences)).negatives(np.array([0, 1]))[0, 1])

    assert may_stand(both=31)
    assert not may_stand(both=32)


def test_batches_depend_on_seed_and_step_alone_and_take_turns_by_size() -> None:
    sources = [source_of([list(range(20))] * 16), source_of([list(range(5))] * 16)]
    sizes = [source.interactions for source in sources]  # 320 and 80: 2 turns to 1 by square root
    samplers = [PairSampler(source) for source in sources]
    one, two = (Batches(samplers, sizes, pairs=4, seed=0, alpha=0.5) for _ in range(2))
    steps = [one.draw(step) for step in range(60)]
    again = two.draw(41)
    assert again.source == steps[41].source
    assert again.items.tolist() == steps[41].items.tolist()
    assert again.negatives.shape == (8, 8)
    assert sum(batch.source == 0 for batch in steps) == pytest.approx(40, abs=1)
    # Evenly spread: the smaller domain never waits long.
    turns = np.flatnonzero([batch.source == 1 for batch in steps])
    assert np.diff(turns).max() <= 5
    other = Batches(samplers, sizes, pairs=4, seed=1, alpha=0.5)
    assert any(other.draw(s).items.tolist() != steps[s].items.tolist() for s in range(3))
