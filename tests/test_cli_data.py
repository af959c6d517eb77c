"""data list, data import and evaluate."""

import json
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
from cli_call import call

from pocketrec import Recommender, data, movielens
from pocketrec.bundle import LAYOUT, seal
from pocketrec.manifest import DataRecord, Manifest
from pocketrec.splits import leave_one_out


@pytest.fixture(autouse=True)
def _no_demo_data(monkeypatch):
    """As where the demo's package is not installed."""
    monkeypatch.setattr(movielens, "PACKAGE", "not-installed")


def chosen(dataset, user):
    return [dataset.ids.ids[item] for item in dataset.sequences[dataset.user_ids.index(user)]]


# -- list


def test_list_shows_the_data_folders_and_nothing_else(capsys, tmp_path):
    for name, ending in (("films", "csv"), ("books", "parquet")):
        folder = tmp_path / name
        folder.mkdir()
        items = pl.DataFrame({"item_id": ["a", "b"], "title": ["A", ""], "creator": ["", ""]})
        interactions = pl.DataFrame(
            {"user_id": ["u"] * 3, "item_id": ["a", "b", "a"], "position": [0, 1, 2]}
        )
        for stem, frame in (("items", items), ("interactions", interactions)):
            getattr(frame, f"write_{ending}")(folder / f"{stem}.{ending}")
    (tmp_path / "notes").mkdir()
    (tmp_path / "broken").mkdir()
    for stem in ("items", "interactions"):
        (tmp_path / "broken" / f"{stem}.parquet").write_text("no parquet")
    called = call(capsys, "data", "list", "--data-root", tmp_path, "--json")
    assert called.json["data"] == [
        {
            "name": name,
            "folder": str(tmp_path / name),
            "items": 2,
            "interactions": 3,
            "order": "position",
            "text": ["title"],
        }
        for name in ("books", "films")
    ]
    assert "expected the package" in called.err  # and the list is printed all the same
    table = call(capsys, "data", "list", "--data-root", tmp_path).out
    assert "books" in table
    assert "notes" not in table


def test_list_of_a_folder_that_is_not_there(capsys, tmp_path):
    called = call(capsys, "data", "list", "--data-root", tmp_path / "no", "--json")
    assert called.code == 0
    assert called.json["data"] == []


# -- import


@pytest.fixture
def imported(capsys, tmp_path):
    def run(source, *arguments):
        called = call(capsys, "data", "import", source, "--out", tmp_path / "out", *arguments)
        assert called.code == 0, called.err
        assert f"{tmp_path / 'out'}: " in called.err
        return data.load(tmp_path / "out")

    return run


@pytest.fixture
def source(tmp_path):
    made = tmp_path / "source"
    made.mkdir()
    return made


def test_movielens_csv(imported, source):
    (source / "movies.csv").write_text(
        'movieId,title,genres\n1,Toy Story (1995),Animation|Comedy\n2,"Deer Hunter, The (1978)",Drama\n'
        '3,"Babylon 5",(no genres listed)\n'
    )
    (source / "ratings.csv").write_text(
        "userId,movieId,rating,timestamp\n1,2,4.0,200\n1,1,3.5,100\n"
    )
    (source / "tags.csv").write_text("userId,movieId,tag,timestamp\n")
    dataset = imported(source)
    assert dataset.texts == [
        "Toy Story (1995). Animation, Comedy",
        "The Deer Hunter (1978). Drama",
        "Babylon 5",
    ]
    assert chosen(dataset, "1") == ["1", "2"]


def test_movielens_1m(imported, source):
    (source / "movies.dat").write_bytes(
        "1::Septième Ciel, Le: Ein Film (1997)::Drama|Romance\n".encode("latin-1")
    )
    (source / "ratings.dat").write_text("7::1::5::978300760\n")
    dataset = imported(source)
    assert dataset.texts == ["Septième Ciel, Le: Ein Film (1997). Drama, Romance"]
    assert dataset.timestamps[0].tolist() == [978300760]


def test_movielens_100k(imported, source):
    flags = "|".join("1" if name in ("Action", "Western") else "0" for name in GENRES_100K)
    (source / "u.item").write_bytes(
        f'1|"Quoted" Café (1994)|01-Jan-1994||http://x|{flags}\n'.encode("latin-1")
    )
    (source / "u.data").write_text("196\t1\t3\t881250949\n")
    dataset = imported(source)
    assert dataset.texts == ['"Quoted" Café (1994). Action, Western']
    assert chosen(dataset, "196") == ["1"]


GENRES_100K = (
    "unknown Action Adventure Animation Children's Comedy Crime Documentary Drama Fantasy Film-Noir Horror Musical "
    "Mystery Romance Sci-Fi Thriller War Western"
).split()


def test_two_tables_under_other_names(imported, source):
    (source / "items.csv").write_text("isbn;name;writer\n1;Emma;Austen\n")
    (source / "interactions.csv").write_text("reader;isbn;when\nu;1;2020-01-01 10:00:00\n")
    dataset = imported(
        source, "--map", "item_id=isbn, title=name, creator=writer, user_id=reader, timestamp=when"
    )
    assert dataset.texts == ["Emma by Austen"]
    assert dataset.timestamps[0].tolist() == [datetime(2020, 1, 1, 10, tzinfo=UTC).timestamp()]


def test_one_table_with_text_on_every_row(imported, source):
    frame = pl.DataFrame(
        {"who": [1, 1, 2], "what": [8, 9, 8], "title": ["A", "B", "A"], "rating": [1, 2, 3]}
    )
    frame.write_parquet(source / "all.parquet")
    dataset = imported(source / "all.parquet", "--map", "user_id=who,item_id=what")
    assert dataset.texts == ["A", "B"]
    assert not dataset.ordered


def test_interactions_with_a_separate_item_table(imported, source):
    (source / "log.tsv").write_text("user_id\titem_id\tposition\nu\tx\t1\nu\ty\t0\n")
    (source / "catalogue.csv").write_text("item_id,title\nx,星际 🚀\ny,Y\n", encoding="utf-8")
    dataset = imported(source / "log.tsv", "--items", source / "catalogue.csv")
    assert chosen(dataset, "u") == ["y", "x"]
    assert "星际 🚀" in dataset.texts


@pytest.mark.parametrize(
    ("mapping", "said"),
    [
        ("user_id", "expected NAME=COLUMN"),
        ("isbn=item_id", "with a NAME of item_id, title"),
        ("item_id=isbn", "has no column 'isbn', found user_id, item_id, title"),
    ],
)
def test_a_bad_mapping(capsys, source, mapping, said):
    (source / "all.csv").write_text("user_id,item_id,title\nu,a,A\n")
    called = call(
        capsys, "data", "import", source / "all.csv", "--out", source / "out", "--map", mapping
    )
    assert said in called.failed(2)


def test_import_of_what_is_no_data(capsys, source):
    (source / "readme.txt").touch()
    said = call(capsys, "data", "import", source, "--out", source / "out").failed(2)
    assert (
        "a MovieLens folder (movies.csv + ratings.csv; movies.dat + ratings.dat; u.item + u.data)"
        in said
    )
    assert "found readme.txt" in said
    assert "found none" in call(
        capsys, "data", "import", source / "no", "--out", source / "out"
    ).failed(2)


def test_import_never_writes_over_a_folder(capsys, source):
    (source / "all.csv").write_text("user_id,item_id,title\nu,a,A\n")
    said = call(capsys, "data", "import", source / "all.csv", "--out", source).failed(2)
    assert "expected a path for a new folder, found something there" in said


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"user_id,item_id,title\n", b"user_id,item_id,title\nu,a,\xff\n"]
)
def test_import_of_an_unreadable_table(capsys, source, content):
    (source / "all.csv").write_bytes(content)
    called = call(capsys, "data", "import", source / "all.csv", "--out", source / "out")
    called.failed(1)
    assert [path.name for path in source.iterdir()] == ["all.csv"]


def test_import_of_ragged_movielens_rows(capsys, source):
    (source / "movies.dat").write_text("1::Title\n")
    (source / "ratings.dat").write_text("1::1::5::9\n")
    said = call(capsys, "data", "import", source, "--out", source / "out").failed(1)
    assert "expected 3 columns separated by '::'" in said


# -- evaluate


@pytest.fixture
def folder(tmp_path):
    """Choices among the tiny bundle's items, and one item that is not in it."""
    made = tmp_path / "films"
    made.mkdir()
    ids = [f"m{n:02}" for n in range(1, 41)] + ["new"]
    rows = "".join(f"{i},Title {i}\n" for i in ids)
    (made / "items.csv").write_text(f"item_id,title\n{rows}")
    rng = np.random.default_rng(0)
    rows = "".join(
        f"u{u},{i},{t}\n" for u in range(12) for t, i in enumerate(rng.permutation(ids[:40])[:6])
    )
    rows += (
        "last,m01,0\nlast,m02,1\nlast,new,2\nfirst,new,0\nfirst,m01,1\nfirst,m02,2\nfirst,m03,3\n"
    )
    (made / "interactions.csv").write_text(f"user_id,item_id,timestamp\n{rows}")
    return made


def test_evaluate(capsys, tiny_bundle, folder):
    called = call(capsys, "evaluate", tiny_bundle, "--data", folder, "--json")
    found = called.json
    assert found["protocol"] == "leave-one-out"
    assert found["users"] == 13
    assert found["skipped"] == 1
    assert found["unknown"] == 1
    assert called.err.splitlines() == [
        "left out: 1 of 14 users, whose held-out item is not in the bundle",
        "skipped: 1 history ids that are not in the bundle",
    ]
    recommender, dataset = Recommender.open(tiny_bundle), data.load(folder)
    test = leave_one_out(dataset).test
    hits = []
    for history, target in zip(test.histories, test.targets, strict=True):
        if dataset.ids.ids[target] in recommender.ids:
            found_items = recommender.recommend([dataset.ids.ids[i] for i in history], k=10)
            hits.append(dataset.ids.ids[target] in [one.item_id for one in found_items])
    (row,) = found["rows"]
    assert row["stage"] == "bundle"
    assert row["recall@10"] == pytest.approx(np.mean(hits))
    low, high = row["ndcg@10_ci"]
    assert low <= row["ndcg@10"] <= high
    assert f"{row['recall@10']:.4f}" in call(capsys, "evaluate", tiny_bundle, "--data", folder).out


def test_evaluate_on_another_catalogue(capsys, tiny_bundle, tmp_path):
    (tmp_path / "items.csv").write_text("item_id,title\na,A\nb,B\nc,C\n")
    (tmp_path / "interactions.csv").write_text("user_id,item_id,timestamp\nu,a,1\nu,b,2\nu,c,3\n")
    said = call(capsys, "evaluate", tiny_bundle, "--data", tmp_path).failed(1)
    assert "expected items of the bundle 'tiny', found none among 1 held-out items" in said


def test_evaluate_refuses_the_data_that_trained_the_bundle(capsys, tiny_bundle_copy, folder):
    manifest = Manifest.read(tiny_bundle_copy / LAYOUT.manifest)
    record = DataRecord("films", data.load(folder).fingerprint)
    for trained_on, refused in (("all", True), ("train", False)):
        fields = vars(manifest) | {"trained_on": trained_on, "data": record, "files": {}}
        seal(tiny_bundle_copy, Manifest(**fields))
        called = call(capsys, "evaluate", tiny_bundle_copy, "--data", folder)
        if refused:
            said = called.failed(2)
            assert "was trained on all interactions of films" in said
            assert "evaluate the holdout/bundle of the same run instead" in said
        else:
            assert called.code == 0


def test_the_demo_data_is_found_by_its_name(capsys, tiny_bundle):
    said = call(capsys, "evaluate", tiny_bundle, "--data", movielens.NAME).failed(1)
    assert "expected the package not-installed 0.2.10, found none; pip install" in said


def test_json_of_evaluate_is_one_object(capsys, tiny_bundle, folder):
    called = call(capsys, "evaluate", tiny_bundle, "--data", folder, "--json")
    assert called.out.count("\n") == 1
    assert isinstance(json.loads(called.out), dict)
