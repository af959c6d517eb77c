"""Bundles from a file or a folder: copied, looked through, and only then taken for the present one."""

import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from device_app.bundles import Bundles
from pocketrec.bundle import LAYOUT, open_bundle, unpack
from pocketrec.engine import Loader
from pocketrec.errors import BundleError
from pocketrec.files import sha256
from pocketrec.recommender import Recommender


@dataclass(frozen=True)
class Installed:
    """What a new bundle means for the history.

    Attributes:
        same_catalogue: whether it was built on the same data set, so that the history goes on. Otherwise it
            waits, and comes back with a bundle of its own catalogue.
        judged: items of the history.
        unknown: those of them that the new bundle does not know; without effect, but kept.
    """

    name: str
    items: int
    same_catalogue: bool
    judged: int
    unknown: int


def install(
    source: Path,
    bundles: Bundles,
    *,
    catalogue: str,
    judged: Collection[str],
    engine: Loader | None = None,
) -> Installed:
    """Install a bundle, a folder or a .zip, for the next time a session is opened.

    The copy is compared with every checksum, its values are looked through and its graphs loaded before it takes the
    place of the present bundle, which is kept for `Bundles.roll_back`.

    Args:
        catalogue: the name of the data set whose history is in use.
        judged: ids of the items in that history, those of one's own not among them.
        engine: loads the graphs; None leaves the choice to `Recommender.open`.

    Raises:
        BundleError: it is no bundle, or not whole and unaltered, or cannot be copied; all is as it was.
        StoreError: the choice of the bundle cannot be written; all is as it was.
    """
    incoming = bundles.folder / "incoming"
    try:
        shutil.rmtree(incoming, ignore_errors=True)  # what a killed process left
        incoming.mkdir(parents=True)
        _copy(source, incoming)
        report = _look_through(incoming, catalogue, judged, engine)
        name = sha256(incoming / LAYOUT.manifest)[:16]
        if not _is_whole(bundles.folder / name):
            shutil.rmtree(bundles.folder / name, ignore_errors=True)
            incoming.rename(bundles.folder / name)
    except BundleError as error:
        raise BundleError(str(error).replace(str(incoming), str(source))) from error
    except OSError as error:
        raise BundleError(
            f"{source}: the bundle could not be copied to {bundles.folder} "
            f"({error.strerror or error}); free some space or make the folder writable, and try again"
        ) from error
    finally:
        shutil.rmtree(incoming, ignore_errors=True)
    bundles.use(name)
    return report


def _copy(source: Path, folder: Path) -> None:
    """Copy what the manifest names and nothing else."""
    if not source.exists():
        raise BundleError(f"{source}: expected a bundle, a folder or a .zip, found no such file")
    if not source.is_dir():
        unpack(source, folder)
        return
    manifest = open_bundle(source, verify=False).manifest
    for name in (LAYOUT.manifest, *manifest.files):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(source / name, folder / name)


def _look_through(
    folder: Path, catalogue: str, judged: Collection[str], engine: Loader | None
) -> Installed:
    recommender = Recommender.open(folder, verify=True, backend=engine)
    manifest = recommender.manifest
    same = manifest.data.name == catalogue
    known = len(recommender.ids.indices(judged)) if same else 0
    items = len(recommender.catalogue)
    recommender.catalogue.close()
    return Installed(manifest.name, items, same, len(judged), len(judged) - known)


def _is_whole(folder: Path) -> bool:
    try:
        open_bundle(folder, verify=True)
    except BundleError:
        return False
    return True
