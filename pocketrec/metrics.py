"""Ranking metrics per user, with bootstrap intervals.

Every function returns per-user arrays, so that differences between systems can be tested on the same users.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pocketrec.errors import RunError

Array = npt.NDArray[np.float64]
Lists = Sequence[npt.NDArray[np.int64]]

NOT_FINITE = "a score is not finite: the model diverged or a padded position was read"


def ranks(
    scores: npt.NDArray[np.floating], targets: npt.NDArray[np.int64], exclude: Lists
) -> Array:
    """Rank of each target among all items that are not excluded; 1 is best, ties share the mean rank.

    Args:
        scores: float [B, N], one row a user.
        targets: int64 [B], the item that the user chose.
        exclude: for each user the item indices that leave the ranking (the history).

    Raises:
        RunError: a score is not finite. A NaN compares false with everything and would look like a perfect rank.
    """
    if not np.isfinite(scores.min(axis=1)).all() or not np.isfinite(scores.max(axis=1)).all():
        raise RunError(NOT_FINITE)
    found = np.empty(len(targets))
    for row, (target, items) in enumerate(zip(targets, exclude, strict=True)):
        line = scores[row].copy()
        line[items[items != target]] = -np.inf
        own = line[target]
        found[row] = np.count_nonzero(line > own) + (np.count_nonzero(line == own) + 1) / 2
    return found


def mixed_ranks(
    first: npt.NDArray[np.floating],
    second: npt.NDArray[np.floating],
    shares: Sequence[tuple[float, float]],
    targets: npt.NDArray[np.int64],
    exclude: Lists,
    within: int | None = None,
) -> Array:
    """``ranks`` of ``a * first + b * second`` for each pair (a, b) of ``shares``; float64 [S, B].

    An item that is behind the target in both is behind it in every mixture, so that few are looked at more than once.
    So is the target behind whatever is before it in both.

    Args:
        first: float [B, N], one row a user.
        second: float [B, N].
        shares: none negative, at least one of a pair above 0.
        targets, exclude: as for ``ranks``.
        within: ranks beyond this one may be given as infinity, which is faster; None for exact ones.

    Raises:
        RunError: a score is not finite.
    """
    if not np.isfinite(first.sum(axis=1)).all() or not np.isfinite(second.sum(axis=1)).all():
        raise RunError(NOT_FINITE)
    pairs = np.asarray(shares, dtype=first.dtype)
    found = np.empty((len(pairs), len(targets)))
    for row, (target, items) in enumerate(zip(targets, exclude, strict=True)):
        left_out = items[items != target]
        if within is not None:
            before = (first[row] > first[row, target]) & (second[row] > second[row, target])
            before[left_out] = False
            if np.count_nonzero(before) >= within:
                found[:, row] = np.inf
                continue
        ahead, over = first[row] - first[row, target], second[row] - second[row, target]
        ahead[left_out] = over[left_out] = -1.0
        level, as_high = ahead == 0, over == 0
        equal = np.count_nonzero(level & as_high)
        equal_where_one = (  # all that counts is the other score
            np.count_nonzero(as_high & (ahead < 0)),
            np.count_nonzero(level & (over < 0)),
        )
        some = np.flatnonzero((ahead > 0) | (over > 0))
        mixed = pairs[:, :1] * ahead[some] + pairs[:, 1:] * over[some]
        found[:, row] = (
            np.count_nonzero(mixed > 0, axis=1)
            + (np.count_nonzero(mixed == 0, axis=1) + equal + (pairs == 0) @ equal_where_one + 1)
            / 2
        )
    return found


def recall_at(rank: Array, k: int) -> Array:
    """Recall@k with one relevant item a user (the hit rate): 1 where the target is among the first k."""
    return (rank <= k).astype(np.float64)


def ndcg_at(rank: Array, k: int) -> Array:
    """NDCG@k with one relevant item a user: 1 / log2(1 + rank) where rank <= k (Järvelin and Kekäläinen 2002)."""
    return np.where(rank <= k, 1.0 / np.log2(1.0 + rank), 0.0)


def reciprocal_rank(rank: Array) -> Array:
    return 1.0 / rank


def precision_at(rank: Array, k: int) -> Array:
    return recall_at(rank, k) / k


def f1_at(rank: Array, k: int) -> Array:
    """Harmonic mean of precision@k and recall@k; with one relevant item a hit gives 2 / (k + 1)."""
    return recall_at(rank, k) * 2 / (k + 1)


def coverage(lists: npt.NDArray[np.int64], items: int) -> float:
    """Share of the catalogue of ``items`` items that stands in at least one of the lists int64 [B, k]."""
    return len(np.unique(lists)) / items


def intra_list_diversity(lists: npt.NDArray[np.int64], vectors: npt.NDArray[np.floating]) -> Array:
    """Mean cosine distance over the pairs of each list; lists int64 [B, k], vectors [N, d] of unit rows; float [B]."""
    count = lists.shape[1]
    if count < 2:
        return np.zeros(len(lists))
    total = vectors[lists].sum(axis=1)
    # |sum v|^2 = k + sum over ordered pairs of v_i.v_j, for unit rows
    similarity = ((total**2).sum(axis=1) - count) / (count * (count - 1))
    return np.asarray(1.0 - similarity, dtype=np.float64)


def bootstrap(
    values: Array, seed: int = 0, draws: int = 1000, level: float = 0.95
) -> tuple[float, float, float]:
    """Mean over users with its percentile bootstrap interval: (mean, low, high)."""
    if len(values) == 0:
        raise RunError("no users to average over: expected at least one evaluated user")
    generator = np.random.default_rng(seed)
    means = np.empty(draws)
    for draw in range(draws):
        means[draw] = values[generator.integers(0, len(values), len(values))].mean()
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(values.mean()), float(low), float(high)


def paired_bootstrap(ours: Array, theirs: Array, seed: int = 0) -> tuple[float, float, float]:
    """Mean difference ours - theirs on the same users with its 95 % interval: (difference, low, high)."""
    if ours.shape != theirs.shape:
        raise RunError(
            f"a paired comparison needs the same users: {ours.shape} against {theirs.shape}"
        )
    return bootstrap(ours - theirs, seed)
