"""Source domains: of each data folder the items that people chose, and the choices that may be learned from."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pocketrec import data
from pocketrec.data import Dataset
from pocketrec.errors import UsageError
from pocketrec.splits import Indices, interaction_counts, leave_one_out


@dataclass(frozen=True)
class Source:
    """The training part of one domain.

    Attributes:
        name: the folder's name.
        fingerprint: of the whole data set.
        items: catalogue index of each item that some training interaction names, rising; int64 [N].
        texts: their texts, N of them.
        sequences: per user rows of ``items``, oldest first; int64 [n_u].
        unordered: per user how many leading entries have no known order; int64 [U].
    """

    name: str
    fingerprint: str
    items: Indices
    texts: list[str]
    sequences: list[Indices]
    unordered: Indices

    @property
    def interactions(self) -> int:
        return sum(map(len, self.sequences))

    def restrict(self, items: Indices) -> "Source":
        """The same people, and of their choices those among ``items`` (catalogue indices)."""
        kept = np.flatnonzero(np.isin(self.items, items))
        if len(kept) == len(self.items):
            return self
        row = np.full(len(self.items), -1, dtype=np.int64)
        row[kept] = np.arange(len(kept))
        renamed = [row[sequence] for sequence in self.sequences]
        leading = [int((s[:n] >= 0).sum()) for s, n in zip(renamed, self.unordered, strict=True)]
        return replace(
            self,
            items=self.items[kept],
            texts=[self.texts[i] for i in kept],
            sequences=[s[s >= 0] for s in renamed],
            unordered=np.array(leading, dtype=np.int64),
        )


def load_sources(folders: list[Path], most: int | None = None) -> list[Source]:
    """Read data folders; nobody's validation or test choice is in them, so what is measured there stays unseen.

    The split is that of seed 0, which a build has unless it is told another: where no order is known, a split of
    another seed would hold out other choices than the build does.

    Args:
        most: most items of a domain, the most chosen ones; None for all.

    Raises:
        UsageError: no folder, or two of one name.
        DataError: a folder is missing or no data set.
    """
    if not folders:
        raise UsageError("sources: expected at least one data folder, found none")
    names = [folder.resolve().name for folder in folders]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(
            f"sources: expected each domain once, found {twice[0]!r} again; remove or rename one"
        )
    return [_read(data.load(folder), most) for folder in folders]


def _read(dataset: Dataset, most: int | None) -> Source:
    split = leave_one_out(dataset)
    counts = interaction_counts(split.train, len(dataset.ids))
    kept = np.argsort(-counts, kind="stable")[:most]
    whole = Source(
        dataset.name,
        dataset.fingerprint,
        np.arange(len(counts)),
        dataset.texts,
        split.train,
        np.minimum(split.unordered, [len(s) for s in split.train]),
    )
    return whole.restrict(kept[counts[kept] > 0])
