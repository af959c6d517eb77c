"""Recommendations from a bundle, offline: numpy, one inference engine and SQLite."""

import copy
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Final, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from pocketrec.bundle import LAYOUT, Opened, open_bundle, pack, seal
from pocketrec.catalogue import Catalogue, Item
from pocketrec.checked import remember
from pocketrec.cold_items import ColdItems
from pocketrec.encoders import TextEncoder
from pocketrec.engine import Backend, Loader, engine_loader
from pocketrec.errors import BundleError, UsageError
from pocketrec.files import atomic_folder
from pocketrec.ids import LazyIdMap
from pocketrec.item_table import ItemTable, table_ranker
from pocketrec.precision import Precision, choose_precision
from pocketrec.ranker import NOBODY, top_k
from pocketrec.rules import BoundRules, Rules
from pocketrec.tokenizer import Tokenizer

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]

ENCODERS: Final[dict[Precision, str]] = {
    "int8": LAYOUT.sequence_encoder,
    "fp32": LAYOUT.full_precision,
}


class Recommendation(NamedTuple):
    """One item with its score; scores compare within one list only."""

    item_id: str
    score: float


@dataclass(frozen=True)
class Recommendations:
    """A ranked list, best first.

    Attributes:
        items: the list.
        is_default: whether the history held no known item, so that this is the popularity list.
        unknown: ids of the history, and of what is disliked, that are not in the catalogue, in their order.
    """

    items: tuple[Recommendation, ...]
    is_default: bool = False
    unknown: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[Recommendation]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


@dataclass(frozen=True)
class Reason:
    """A history item and how far the recommended item's score falls without it."""

    item_id: str
    drop: float


class Recommender:
    """An opened bundle. Its methods only read and may be called from several threads.

    Attributes:
        manifest: what the bundle says of itself.
        catalogue: titles and text of the items.
        ids: order of the items in every score array.
        precision: of the sequence encoder that runs, "int8" or "fp32".
    """

    def __init__(
        self,
        opened: Opened,
        precision: Precision | None = None,
        backend: Backend | Loader | None = None,
    ) -> None:
        self.manifest = opened.manifest
        self._folder = opened.folder
        self._load = engine_loader(backend)
        self._table = ItemTable.read(self._folder / LAYOUT.items)
        self.catalogue = Catalogue.open(self._folder / LAYOUT.catalogue)
        if len(self.catalogue) != len(self._table):
            raise BundleError(
                f"{self._folder / LAYOUT.catalogue}: expected {len(self._table)} items as in {LAYOUT.items}, "
                f"found {len(self.catalogue)}; build the bundle again"
            )
        self.ids = LazyIdMap(self.catalogue)
        self.precision = self._choose_precision(precision)
        self._shipped = self._ranker = table_ranker(
            self._table,
            self._load(self._folder / ENCODERS[self.precision]),
            self._load(self._folder / LAYOUT.scorer),
            self.manifest.ranker,
        )
        self._added = ColdItems.none(self.dimensions)
        if opened.is_new:
            self._table.check(self._folder / LAYOUT.items)
            self.catalogue.check()
            # A graph of another width fails here, not at the first user.
            self._ranker.scores(np.zeros(1, dtype=np.int64))
            remember(self._folder, (LAYOUT.manifest, *self.manifest.files))

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        verify: bool | None = None,
        precision: Precision | None = None,
        backend: Backend | Loader | None = None,
    ) -> Self:
        """Open a bundle folder or .zip.

        Args:
            path: the bundle.
            verify: whether to compare the checksum of every file, and to look at every value, first. None does unless
                that was done before, on this machine, with files of the same sizes and times.
            precision: of the sequence encoder, where the bundle has both. None takes the faster one; the first opening
                on a machine times them.
            backend: what runs the graphs: a name, or a function that loads an engine of one's own from a graph's file.
                None takes onnxruntime where it is installed, else numpy.

        Raises:
            UsageError: the bundle has no sequence encoder of this precision, or there is no such backend.
            BundleError: the bundle is missing, altered, truncated, inconsistent or of another format.
        """
        return cls(open_bundle(path, verify=verify), precision, backend)

    @property
    def dimensions(self) -> int:
        """Length d of an item vector."""
        return self._table.dimensions

    def scores(self, history: Sequence[str], disliked: Sequence[str] = ()) -> Float32:
        """The scores that `recommend` ranks by without rules, in the order of ``ids.ids``; float32 [N].

        Fused scores (see `pocketrec.ranker`), or popularity where no item of the history is known.
        """
        known, against = self._known(history), self.ids.indices(disliked)
        if len(known):
            return self._ranker.scores(known, against)
        return self._ranker.default_scores(against)

    def bind(self, rules: Rules) -> BoundRules:
        """Rules looked up in this catalogue once, for any number of calls of `recommend`.

        Raises:
            UsageError: a rule is about no item, or a category or creator that it lists is that of none.
        """
        return rules.bind(self.catalogue.get_many(self.ids.ids))

    def recommend(
        self,
        history: Sequence[str],
        k: int = 10,
        *,
        disliked: Sequence[str] = (),
        exclude: Iterable[str] = (),
        rules: BoundRules | None = None,
    ) -> Recommendations:
        """The ``k`` best items for a history, fewer where the catalogue has no more.

        Args:
            history: item ids, oldest first. Of an id that stands twice the last place counts; unknown ids are
                skipped and reported. Without a known id the answer is the popularity list, less what is disliked.
            k: how many, at least 1.
            disliked: ids that lower what is near them and are never returned; they need not be in the history.
            exclude: further ids that must not be returned; history items never are.
            rules: what `bind` returned. The scores of the list are then those after boosts.

        Raises:
            UsageError: ``k`` is below 1, or the rules are bound to another catalogue.
        """
        _check_k(k)
        disliked = list(dict.fromkeys(disliked))
        if disliked:
            history = [item for item in history if item not in disliked]
        known, against = self._known(history), self.ids.indices(disliked)
        out = np.concatenate((known, against, self.ids.indices(exclude)))
        if rules is not None:
            scores = rules.apply(self.scores(history, disliked))
            best = rules.take(scores, k, out)
            found = scores[best]
        elif len(known):
            best, found = self._ranker.best(known, k, out, against)
        else:
            scores = self._ranker.default_scores(against)
            best = top_k(scores, k, out)
            found = scores[best]
        return Recommendations(
            self._recommendations(best, found),
            is_default=len(known) == 0,
            unknown=tuple(i for i in (*history, *disliked) if i not in self.ids)
            if len(known) + len(against) < len(history) + len(disliked)
            else (),
        )

    def similar(self, item_id: str, k: int = 10) -> Recommendations:
        """The ``k`` items most like one, by item vectors and the neighbour table.

        The score is the mean of z(cosine) and z(table weight in both directions), or the cosine alone for an item
        without table entries.

        Raises:
            UsageError: the item is not in the catalogue or ``k`` is below 1.
        """
        _check_k(k)
        item = self._index(item_id)
        scores = self._ranker.similarities(item)
        best = top_k(scores, k, np.array([item]))
        return Recommendations(self._recommendations(best, scores[best]))

    def nearest(self, text: str, k: int = 10) -> Recommendations:
        """The ``k`` items nearest in meaning to a text, by the cosine of its vector (see `encode`) with theirs.

        Raises:
            UsageError: ``k`` is below 1.
            BundleError: from `encode`.
        """
        _check_k(k)
        scores = self._ranker.vectors.products(self.encode([text])[0])
        best = top_k(scores, k, NOBODY)
        return Recommendations(self._recommendations(best, scores[best]))

    def explain(self, history: Sequence[str], item_id: str, k: int = 3) -> list[Reason]:
        """Which history items speak for an item, measured and not guessed.

        ``drop`` is the item's fused score for the whole history minus its score when that history item was never
        there; the largest drops first, only those above 0.

        Raises:
            UsageError: the item is not in the catalogue or ``k`` is below 1.
        """
        return self.explain_all(history, [item_id], k)[0]

    def explain_all(
        self, history: Sequence[str], item_ids: Sequence[str], k: int = 3
    ) -> list[list[Reason]]:
        """`explain` for each of several items, in the time that one takes.

        Raises:
            UsageError: an item is not in the catalogue or ``k`` is below 1.
        """
        _check_k(k)
        targets = np.array([self._index(item_id) for item_id in item_ids], dtype=np.int64)
        known = self._known(history)
        drops = self._ranker.scores(known)[targets] - self._ranker.without_each(known, targets)
        ids = self.ids.names(known.tolist())
        return [_largest(ids, column, k) for column in drops.T]

    def vectors(self, item_ids: Sequence[str]) -> Float32:
        """Item vectors, a row for each id; float32 [n, d], about unit length: their products are cosines.

        Raises:
            UsageError: an item is not in the catalogue.
        """
        indices = np.array([self._index(item_id) for item_id in item_ids], dtype=np.int64)
        return self._ranker.vectors.rows(indices)

    def encode(self, texts: Sequence[str]) -> Float32:
        """Item vectors of texts (`pocketrec.text.item_text` makes one of an item); float32 [n, d], unit rows.

        Raises:
            BundleError: the text encoder or tokenizer cannot be loaded or does not fit the item vectors.
        """
        vectors = self._text_encoder.encode(texts)
        if vectors.shape[1] != self.dimensions:
            raise BundleError(
                f"{self._folder / LAYOUT.text_encoder}: output 'vector': expected {self.dimensions} dimensions "
                f"as the item vectors have, found {vectors.shape[1]}"
            )
        return vectors

    def with_items(self, items: Sequence[Item]) -> Self:
        """A recommender that knows further items by their text alone, in memory; this one stays as it is.

        Their vectors come from the text encoder, their table rows from their nearest items, their popularity is 0.
        `pocketrec.additions` keeps such items in a file.

        Args:
            items: each with a new id and a title; none gives this recommender.

        Raises:
            UsageError: an id is in the catalogue or stands twice, or a title is empty.
        """
        self._check_new(items)
        if not items:
            return self
        more = copy.copy(self)
        more._added = self._added.joined(
            items,
            self.encode([item.text for item in items]),
            self._shipped.vectors,
            self.manifest.ranker.cold_support,
        )
        more._ranker = more._added.extend(self._shipped)
        more.catalogue = self.catalogue.extended(items)
        more.ids = LazyIdMap(more.catalogue)
        return more

    def add_items(self, items: Sequence[Item], out: str | Path) -> None:
        """Write a new bundle with further items, known by their text alone.

        As `with_items`, for good: the rows of the present items stay as they are, byte for byte.

        Args:
            items: at least one, each with a new id and a title.
            out: the new bundle's folder, or its .zip where the name ends so; must not exist yet.

        Raises:
            UsageError: an id is in the catalogue or stands twice, a title is empty, or ``out`` exists.
        """
        out = Path(out)
        if out.exists():
            raise UsageError(
                f"{out}: expected a path for a new bundle, found something there; choose another"
            )
        if not items:
            raise UsageError("add_items: expected at least one item, found none")
        self._check_new(items)
        items = [*self._added.items, *items]
        vectors = self.encode([item.text for item in items])
        table = self._table.extended(vectors, self.manifest.ranker.cold_support)
        if out.suffix == ".zip":
            with tempfile.TemporaryDirectory(prefix="pocketrec-") as temporary:
                self._write_extended(Path(temporary), table, items)
                pack(Path(temporary), out)
        else:
            with atomic_folder(out) as folder:
                self._write_extended(folder, table, items)

    def _choose_precision(self, asked: Precision | None) -> Precision:
        """Of the sequence encoders that the bundle holds: the one asked for, or the faster one."""
        files = self.manifest.files
        graphs = {kind: self._folder / name for kind, name in ENCODERS.items() if name in files}
        if asked is None:
            checksums = "-".join(files[path.name].sha256[:32] for path in graphs.values())
            engine = getattr(self._load, "__name__", "other")
            name = f"{engine}-{checksums}"
            longest = self.manifest.ranker.max_length
            return choose_precision(graphs, name, self.dimensions, longest, self._load)
        if asked not in graphs:
            raise UsageError(
                f"precision {asked!r}: expected {' or '.join(graphs)}, as {self._folder} holds"
            )
        return asked

    @cached_property
    def _text_encoder(self) -> TextEncoder:
        # Recommending needs no text: the larger graph is loaded by the first call that does.
        tokenizer = Tokenizer.load(self._folder / LAYOUT.tokenizer)
        return TextEncoder(self._load(self._folder / LAYOUT.text_encoder), tokenizer)

    def _known(self, history: Sequence[str]) -> Int64:
        """Indices of the known history items, oldest first, each at its last place."""
        newest_first = dict.fromkeys(reversed(history))
        return self.ids.indices(newest_first)[::-1]

    def _index(self, item_id: str) -> int:
        index = self.ids.index_of(item_id)
        if index is None:
            raise UsageError(f"item {item_id!r}: expected an id of the catalogue, found none such")
        return index

    def _recommendations(self, indices: Int64, scores: Float32) -> tuple[Recommendation, ...]:
        pairs = zip(self.ids.names(indices.tolist()), scores.tolist(), strict=True)
        return tuple(Recommendation(item_id, score) for item_id, score in pairs)

    def _check_new(self, items: Sequence[Item]) -> None:
        seen: set[str] = set()
        for item in items:
            if not item.item_id:
                raise UsageError(f"item {item.item_id!r}: expected an id, found none")
            if item.item_id in self.ids or item.item_id in seen:
                raise UsageError(
                    f"item {item.item_id!r}: expected a new id, found it already there"
                )
            if not item.title.strip():
                raise UsageError(f"item {item.item_id!r}: expected a title, found none")
            seen.add(item.item_id)

    def _write_extended(self, folder: Path, table: ItemTable, items: Sequence[Item]) -> None:
        for name in self.manifest.files:
            if name != LAYOUT.catalogue and not name.startswith(f"{LAYOUT.items}/"):
                shutil.copyfile(self._folder / name, folder / name)
        table.write(folder / LAYOUT.items)
        present = self.catalogue.get_many(self.ids.ids[: len(self._table)])
        Catalogue.write(folder / LAYOUT.catalogue, [*present, *items])
        seal(folder, replace(self.manifest, files={}))


def _largest(ids: list[str], drops: Float32, k: int) -> list[Reason]:
    order = np.argsort(-drops, kind="stable")[:k]
    return [Reason(ids[i], float(drops[i])) for i in order.tolist() if drops[i] > 0]


def _check_k(k: int) -> None:
    if k < 1:
        raise UsageError(f"k: expected at least 1, found {k}")
