"""The items that the person added to a catalogue, kept in a file beside the history."""

import glob
import hashlib
from collections.abc import Sequence
from pathlib import Path

from device_app.events import StoreError
from device_app.language import tr
from pocketrec.additions import Additions
from pocketrec.catalogue import Item
from pocketrec.errors import UsageError
from pocketrec.recommender import Recommender


class OwnItems:
    """The added items of the catalogue of a bundle, in a file beside the history.

    Attributes:
        recommender: that of the bundle, with these items.

    Raises:
        DataError: from every method, the file cannot be read or written.
        BundleError: the text encoder of the bundle cannot be loaded.
    """

    def __init__(self, database: Path, bundle: Recommender) -> None:
        self._database = database
        self._bundle = self.recommender = bundle
        # A data set's name may hold anything, a file's name may not.
        name = hashlib.sha256(bundle.manifest.data.name.encode()).hexdigest()[:16]
        self._path = database.with_name(f"{database.stem}.own-{name}.db")
        self._additions: Additions | None = None
        if self._path.exists():
            self._additions = Additions(self._path)
            self.recommender = self._additions.added_to(bundle)

    def items(self) -> tuple[Item, ...]:
        """Oldest first."""
        return tuple(self._additions.items()) if self._additions else ()

    def add(self, items: Sequence[Item]) -> None:
        """Add items, all or none. Durable on return.

        Raises:
            UsageError: an id is in the catalogue already.
        """
        if not items:
            return
        extended = self.recommender.with_items(items)
        self._additions = self._additions or Additions(self._path)
        self._additions.add(items)
        self.recommender = extended

    def remove(self, item_id: str) -> None:
        """Raises: UsageError: it is no item of one's own."""
        if self._additions is None or item_id not in {item.item_id for item in self.items()}:
            said = tr("item {!r}: expected an item of your own, found none such")
            raise UsageError(said.format(item_id))
        self._additions.remove([item_id])
        self.recommender = self._additions.added_to(self._bundle)

    def wipe(self) -> None:
        """Delete the items of every catalogue.

        Raises:
            StoreError: a file could not be deleted.
        """
        self.close()
        self._additions = None
        self.recommender = self._bundle
        try:
            for path in self._database.parent.glob(f"{glob.escape(self._database.stem)}.own-*.db*"):
                path.unlink(missing_ok=True)
        except OSError as error:
            said = tr(
                "{}: the items of your own could not be deleted ({}); close other programs that "
                "use the file and wipe again"
            )
            raise StoreError(said.format(error.filename, error.strerror or error)) from error

    def close(self) -> None:
        if self._additions is not None:
            self._additions.close()
