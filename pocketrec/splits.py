"""Which interactions train, which choose (validation) and which are read once (test)."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pocketrec.data import Dataset
from pocketrec.errors import DataError

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Cases:
    """One ranking task a row: given the history, find the target.

    Attributes:
        users: int64 [C], the row of the user in the data set.
        histories: per case int64 [n], oldest first.
        targets: int64 [C].
    """

    users: Indices
    histories: list[Indices]
    targets: Indices

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, rows: Indices) -> "Cases":
        """Some of the cases, by their rows int64 [M]."""
        return Cases(self.users[rows], [self.histories[r] for r in rows], self.targets[rows])

    def sample(self, size: int, seed: int) -> "Cases":
        """At most ``size`` cases, drawn without replacement."""
        if len(self) <= size:
            return self
        return self[np.sort(np.random.default_rng(seed).choice(len(self), size, replace=False))]


@dataclass(frozen=True)
class Split:
    """Training sequences (int64 [n_u] a user, oldest first) with validation and test cases.

    ``unordered`` counts the leading entries of each training sequence whose order is unknown; int64 [U].
    """

    protocol: str
    train: list[Indices]
    unordered: Indices
    validation: Cases
    test: Cases


def leave_one_out(dataset: Dataset, seed: int = 0) -> Split:
    """Test = a user's last interaction, validation = the one before (users with at least three ordered ones).

    Where a data set knows no order at all, two random interactions of each user take their place.

    Raises:
        DataError: no user has three interactions.
    """
    ordered = dataset.ordered
    generator = np.random.default_rng(seed)
    train: list[Indices] = []
    rows: list[tuple[int, Indices, int, int]] = []
    for user, sequence in enumerate(dataset.sequences):
        if not ordered:
            sequence = generator.permutation(sequence)
        known_order = len(sequence) - (int(dataset.unordered[user]) if ordered else 0)
        if known_order < 3:
            train.append(sequence)
            continue
        train.append(sequence[:-2])
        rows.append((user, sequence, int(sequence[-2]), int(sequence[-1])))
    if not rows:
        raise DataError(
            f"{dataset.name}: expected a user with at least 3 interactions to hold two of them out, "
            f"found none among {len(dataset.sequences)} users"
        )
    users = np.array([row[0] for row in rows], dtype=np.int64)
    return Split(
        protocol="leave-one-out" if ordered else "leave-one-out (random, no order known)",
        train=train,
        unordered=dataset.unordered
        if ordered
        else np.array([len(s) for s in train], dtype=np.int64),
        validation=Cases(users, [row[1][:-2] for row in rows], np.array([row[2] for row in rows])),
        test=Cases(users, [row[1][:-1] for row in rows], np.array([row[3] for row in rows])),
    )


def temporal(dataset: Dataset, validation: float = 0.8, test: float = 0.9) -> Split:
    """Global temporal split: train before the ``validation`` quantile of time, test after the ``test`` quantile.

    A case is the first interaction of a user after the boundary, given all of theirs before it.

    Raises:
        DataError: the data set has no timestamps, or no user stands on both sides of a boundary.
    """
    known = np.concatenate(dataset.timestamps)
    known = known[known >= 0]
    if len(known) == 0:
        raise DataError(
            f"{dataset.name}: a temporal split needs timestamps, found none; use leave-one-out"
        )
    first, second = np.quantile(known, [validation, test])
    train, before_test = [], []
    for sequence, times in zip(dataset.sequences, dataset.timestamps, strict=True):
        train.append(sequence[times < first])
        before_test.append(sequence[times < second])
    return Split(
        protocol="global temporal",
        train=train,
        unordered=np.minimum(dataset.unordered, [len(s) for s in train]),
        validation=_first_after(dataset, train, first, second),
        test=_first_after(dataset, before_test, second, np.inf),
    )


def _first_after(dataset: Dataset, histories: list[Indices], start: float, end: float) -> Cases:
    rows = []
    for user, (sequence, times) in enumerate(
        zip(dataset.sequences, dataset.timestamps, strict=True)
    ):
        later = sequence[(times >= start) & (times < end)]
        if len(later) and len(histories[user]):
            rows.append((user, histories[user], int(later[0])))
    if not rows:
        raise DataError(
            f"{dataset.name}: no user has interactions on both sides of the temporal boundary"
        )
    return Cases(
        np.array([row[0] for row in rows]),
        [row[1] for row in rows],
        np.array([row[2] for row in rows]),
    )


def cold_items(dataset: Dataset, share: float = 0.1, seed: int = 0) -> tuple[Split, Indices]:
    """Leave-one-out with ``share`` of the items removed from training.

    Returns:
        The split, whose test cases are each user's first held-out cold item with the warm items before it (validation
        cases are those of leave-one-out on warm items), and the cold items int64 [M].
    """
    generator = np.random.default_rng(seed)
    used = np.unique(np.concatenate(dataset.sequences))
    cold = np.sort(generator.choice(used, max(1, round(share * len(used))), replace=False))
    is_cold = np.zeros(len(dataset.ids), dtype=bool)
    is_cold[cold] = True
    warm = [sequence[~is_cold[sequence]] for sequence in dataset.sequences]
    unordered = np.array(
        [(~is_cold[s[:n]]).sum() for s, n in zip(dataset.sequences, dataset.unordered, strict=True)]
    )
    kept = Dataset(
        dataset.name,
        dataset.items,
        dataset.user_ids,
        warm,
        unordered,
        [r[~is_cold[s]] for s, r in zip(dataset.sequences, dataset.ratings, strict=True)],
        [t[~is_cold[s]] for s, t in zip(dataset.sequences, dataset.timestamps, strict=True)],
    )
    split = leave_one_out(kept, seed)
    rows = []
    for user, sequence in enumerate(dataset.sequences):
        places = np.flatnonzero(is_cold[sequence])
        places = places[places > 0]
        if len(places):
            history = sequence[: places[0]]
            history = history[~is_cold[history]]
            if len(history):
                rows.append((user, history, int(sequence[places[0]])))
    if not rows:
        raise DataError(f"{dataset.name}: no user chose a cold item after a warm one")
    test = Cases(
        np.array([row[0] for row in rows]),
        [row[1] for row in rows],
        np.array([row[2] for row in rows]),
    )
    return Split("cold items", split.train, split.unordered, split.validation, test), cold


def everything(dataset: Dataset) -> Split:
    """All interactions train and nothing is held out: what a bundle is fitted on once its settings are chosen."""
    nothing = Cases(np.zeros(0, dtype=np.int64), [], np.zeros(0, dtype=np.int64))
    return Split("all interactions", dataset.sequences, dataset.unordered, nothing, nothing)


def interaction_counts(train: list[Indices], items: int) -> npt.NDArray[np.float32]:
    """Training interactions of each item; float32 [N]."""
    return np.bincount(np.concatenate([*train, np.zeros(0, np.int64)]), minlength=items).astype(
        np.float32
    )
