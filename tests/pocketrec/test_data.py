"""Reading data folders: what is repaired, what is refused, and with which words."""

import datetime

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pocketrec import data
from pocketrec.errors import DataError

ITEMS = "item_id,title,description,categories,creator,year\na,Alien,In space,Horror,Scott,1979\nb,Blade Runner,,,,\n"
INTERACTIONS = "user_id,item_id,rating,timestamp\nu,a,4.5,200\nu,b,3,100\nv,b,,300\n"


@pytest.fixture
def folder(tmp_path):
    """A sound data folder as CSV; tests replace what they need to."""
    made = tmp_path / "films"
    made.mkdir()
    (made / "items.csv").write_text(ITEMS, encoding="utf-8")
    (made / "interactions.csv").write_text(INTERACTIONS, encoding="utf-8")
    return made


def refused(folder):
    with pytest.raises(DataError) as caught:
        data.load(folder)
    message = str(caught.value)
    assert "\n" not in message
    return message


def chosen(dataset, user):
    row = dataset.user_ids.index(user)
    return [dataset.ids.ids[item] for item in dataset.sequences[row]]


def test_a_sound_folder(folder):
    dataset = data.load(folder)
    assert dataset.name == "films"
    assert dataset.ids.ids == ["a", "b"]
    assert dataset.texts == ["Alien (1979) by Scott. Horror. In space", "Blade Runner"]
    assert chosen(dataset, "u") == ["b", "a"]  # oldest first
    assert chosen(dataset, "v") == ["b"]
    row = dataset.user_ids.index("u")
    assert dataset.ratings[row].tolist() == [3, 4.5]
    assert dataset.timestamps[row].tolist() == [100, 200]
    assert np.isnan(dataset.ratings[1 - row]).all()
    assert dataset.ordered
    assert dataset.notes == ()
    assert all(sequence.dtype == np.int64 for sequence in dataset.sequences)


def test_parquet_and_csv_read_alike(folder, tmp_path):
    other = tmp_path / "parquet" / "films"
    other.mkdir(parents=True)
    for name in ("items", "interactions"):
        pl.read_csv(folder / f"{name}.csv").write_parquet(other / f"{name}.parquet")
    assert data.load(other).fingerprint == data.load(folder).fingerprint


def test_ids_stay_text(folder):
    (folder / "items.csv").write_text("item_id,title\n007,Bond\n7,Seven\n")
    (folder / "interactions.csv").write_text("user_id,item_id\n01,007\n1,7\n")
    dataset = data.load(folder)
    assert dataset.ids.ids == ["007", "7"]
    assert sorted(dataset.user_ids) == ["01", "1"]


def test_numeric_ids_of_parquet_become_text(folder):
    pl.DataFrame({"item_id": [1, 2], "title": ["a", "b"]}).write_parquet(folder / "items.parquet")
    pl.DataFrame({"user_id": [9], "item_id": [2]}).write_parquet(folder / "interactions.parquet")
    assert chosen(data.load(folder), "9") == ["2"]


def test_emoji_and_other_scripts_survive(folder):
    (folder / "items.csv").write_text(
        "item_id,title\n电影,星际穿越 🚀\nb,千と千尋の神隠し\n", encoding="utf-8"
    )
    (folder / "interactions.csv").write_text("user_id,item_id\n用户,电影\n", encoding="utf-8")
    dataset = data.load(folder)
    assert dataset.texts == ["星际穿越 🚀", "千と千尋の神隠し"]
    assert chosen(dataset, "用户") == ["电影"]


def test_a_text_of_100_kb(folder):
    (folder / "items.csv").write_text(f"item_id,title,description\na,Alien,{'long ' * 20_000}\n")
    assert len(data.load(folder).texts[0]) > 99_000


def test_an_item_without_a_title_is_called_by_its_id(folder):
    (folder / "items.csv").write_text("item_id,title\na,\nb,  \n")
    assert data.load(folder).texts == ["a", "b"]


def test_the_first_of_a_repeated_pair_is_kept(folder):
    (folder / "interactions.csv").write_text(
        "user_id,item_id,timestamp\nu,a,300\nu,b,200\nu,a,100\n"
    )
    dataset = data.load(folder)
    assert chosen(dataset, "u") == ["a", "b"]
    assert dataset.notes == ("1 repeated (user, item) pairs were left out, the first kept",)


def test_interactions_without_an_item_are_left_out_and_counted(folder):
    with (folder / "interactions.csv").open("a") as stream:
        stream.write("u,nobody-knows,1,400\n")
    dataset = data.load(folder)
    assert chosen(dataset, "u") == ["b", "a"]
    assert dataset.notes == ("1 of 4 interactions name no item of the catalogue and were left out",)


def test_a_user_with_one_interaction_is_kept(folder):
    assert len(chosen(data.load(folder), "v")) == 1


def test_rows_without_a_known_time_come_first_and_are_counted(folder):
    (folder / "items.csv").write_text("item_id,title\na,A\nb,B\nc,C\n")
    (folder / "interactions.csv").write_text("user_id,item_id,timestamp\nu,a,100\nu,b,\nu,c,50\n")
    dataset = data.load(folder)
    assert chosen(dataset, "u") == ["b", "c", "a"]
    assert dataset.unordered.tolist() == [1]
    assert dataset.timestamps[0].tolist() == [-1, 50, 100]
    assert dataset.ordered


def test_no_order_at_all(folder):
    (folder / "interactions.csv").write_text("user_id,item_id\nu,a\nu,b\n")
    dataset = data.load(folder)
    assert not dataset.ordered
    assert dataset.unordered.tolist() == [2]


def test_position_orders_where_there_is_no_timestamp(folder):
    (folder / "interactions.csv").write_text("user_id,item_id,position\nu,a,1\nu,b,0\n")
    assert chosen(data.load(folder), "u") == ["b", "a"]


def test_equal_times_keep_the_order_of_the_file(folder):
    (folder / "items.csv").write_text("item_id,title\n" + "".join(f"{i},t\n" for i in range(20)))
    rows = "".join(f"u,{i},100\n" for i in reversed(range(20)))
    (folder / "interactions.csv").write_text(f"user_id,item_id,timestamp\n{rows}")
    assert chosen(data.load(folder), "u") == [str(i) for i in reversed(range(20))]


def test_dates_of_parquet_become_unix_seconds(folder):
    when = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    frame = pl.DataFrame({"user_id": ["u"], "item_id": ["a"], "timestamp": [when]})
    frame.write_parquet(folder / "interactions.parquet")
    assert data.load(folder).timestamps[0].tolist() == [when.timestamp()]


@pytest.mark.parametrize("year", ["1979", "1979.0"])
def test_years_as_pandas_writes_them(folder, year):
    (folder / "items.csv").write_text(f"item_id,title,year\na,Alien,{year}\nb,Blade Runner,NaN\n")
    assert data.load(folder).items["year"].to_list() == [1979, None]


def test_a_missing_folder(tmp_path):
    assert refused(tmp_path / "nowhere") == (
        f"{tmp_path / 'nowhere'}: expected a data folder with items and interactions, found no such folder"
    )


@pytest.mark.parametrize("name", ["items", "interactions"])
def test_a_missing_file(folder, name):
    (folder / f"{name}.csv").unlink()
    assert f"expected {name}.parquet or {name}.csv, found" in refused(folder)


@pytest.mark.parametrize("name", ["items", "interactions"])
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_an_empty_file(folder, name, suffix):
    (folder / f"{name}.csv").unlink()
    (folder / f"{name}{suffix}").touch()
    assert f"{name}{suffix}: the file is empty; expected columns" in refused(folder)


@pytest.mark.parametrize(
    ("name", "header"),
    [("items", "item_id,title\n"), ("interactions", "user_id,item_id\n")],
)
def test_a_header_without_rows(folder, name, header):
    (folder / f"{name}.csv").write_text(header)
    assert "expected at least one row, found none" in refused(folder)


@pytest.mark.parametrize(
    ("name", "content", "missing"),
    [
        ("items", "id,title\na,A\n", "item_id"),
        ("items", "item_id,name\na,A\n", "title"),
        ("interactions", "user,item_id\nu,a\n", "user_id"),
        ("interactions", "user_id,item\nu,a\n", "item_id"),
    ],
)
def test_a_missing_column(folder, name, content, missing):
    (folder / f"{name}.csv").write_text(content)
    found = content.split("\n")[0].replace(",", ", ")
    assert f"expected column {missing!r}, found {found}; rename or add it" in refused(folder)


@pytest.mark.parametrize(
    ("column", "value", "dtype"),
    [
        ("rating", "five stars", "Float32"),
        ("timestamp", "yesterday", "Int64"),
        ("position", "first", "Int64"),
    ],
)
def test_a_wrong_type(folder, column, value, dtype):
    (folder / "interactions.csv").write_text(f"user_id,item_id,{column}\nu,a,{value}\nu,b,1\n")
    message = refused(folder)
    assert f"column {column!r}: expected {dtype}, found {value!r} (1 such rows)" in message


def test_a_year_that_is_none(folder):
    (folder / "items.csv").write_text("item_id,title,year\na,Alien,last year\n")
    assert "column 'year': expected Int32, found 'last year'" in refused(folder)


def test_nested_columns(folder):
    frame = pl.DataFrame({"item_id": ["a"], "title": ["A"], "categories": [["x", "y"]]})
    frame.write_parquet(folder / "items.parquet")
    assert "column 'categories': expected String, found List(String); flatten it" in refused(folder)


@pytest.mark.parametrize("missing", ["", "NaN", "nan"])
def test_an_item_id_that_is_missing(folder, missing):
    (folder / "items.csv").write_text(f"item_id,title\na,A\n{missing},B\n")
    message = refused(folder)
    assert "column 'item_id': expected an id in every row, found 1 rows without one" in message
    assert "the first is row 2" in message


def test_a_user_id_that_is_nan_in_parquet(folder):
    frame = pl.DataFrame({"user_id": [1.0, float("nan")], "item_id": ["a", "b"]})
    frame.write_parquet(folder / "interactions.parquet")
    assert "column 'user_id': expected an id in every row" in refused(folder)


def test_an_item_id_that_stands_twice(folder):
    (folder / "items.csv").write_text("item_id,title\na,A\nb,B\na,C\n")
    assert "expected each id once, found 'a' 2 times; keep one row an item" in refused(folder)


def test_interactions_of_another_catalogue(folder):
    (folder / "interactions.csv").write_text("user_id,item_id\nu,zzz\n")
    assert "no interaction names an item of the catalogue, for example 'zzz'" in refused(folder)


def test_nan_ratings_and_times_are_missing_ones(folder):
    frame = pl.DataFrame(
        {
            "user_id": ["u", "u"],
            "item_id": ["a", "b"],
            "rating": [float("nan"), 2.0],
            "timestamp": [float("nan"), 5.0],
        }
    )
    frame.write_parquet(folder / "interactions.parquet")
    dataset = data.load(folder)
    assert chosen(dataset, "u") == ["a", "b"]
    assert dataset.unordered.tolist() == [1]


def test_bytes_that_are_not_utf8(folder):
    (folder / "items.csv").write_bytes(b"item_id,title\na,Le Septi\xe8me ciel\n")
    assert "items.csv: expected a readable csv file, found:" in refused(folder)


def test_a_truncated_parquet_file(folder):
    pl.DataFrame({"item_id": ["a"] * 100, "title": ["A"] * 100}).write_parquet(
        folder / "items.parquet"
    )
    content = (folder / "items.parquet").read_bytes()
    (folder / "items.parquet").write_bytes(content[: len(content) // 2])
    assert "items.parquet: expected a readable parquet file, found:" in refused(folder)


def test_ragged_rows(folder):
    (folder / "items.csv").write_text("item_id,title\na,A\nb,B,too,many\n")
    assert "items.csv: expected a readable csv file, found:" in refused(folder)


@pytest.mark.parametrize(
    "change",
    [
        ("items.csv", "Alien", "Aliens"),
        ("interactions.csv", "u,b,3,100", "u,b,3,250"),  # another order
        ("interactions.csv", "v,b", "w,b"),
    ],
)
def test_the_fingerprint_sees_what_a_model_sees(folder, change):
    before = data.load(folder).fingerprint
    name, old, new = change
    content = (folder / name).read_text()
    assert old in content
    (folder / name).write_text(content.replace(old, new))
    assert data.load(folder).fingerprint != before


def test_the_fingerprint_does_not_see_the_folder(folder):
    before = data.load(folder).fingerprint
    assert data.load(folder.rename(folder.parent / "renamed")).fingerprint == before


events = st.lists(
    st.tuples(st.sampled_from("uvw"), st.sampled_from("abcd"), st.none() | st.integers(0, 5)),
    min_size=1,
    max_size=30,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(events)
def test_sequences_hold_every_pair_once_in_order(folder, rows):
    (folder / "items.csv").write_text("item_id,title\n" + "".join(f"{i},t{i}\n" for i in "abcd"))
    lines = "".join(f"{u},{i},{'' if t is None else t}\n" for u, i, t in rows)
    (folder / "interactions.csv").write_text(f"user_id,item_id,timestamp\n{lines}")
    dataset = data.load(folder)
    pairs = {(user, item) for user in dataset.user_ids for item in chosen(dataset, user)}
    assert pairs == {(user, item) for user, item, _ in rows}
    assert sum(len(s) for s in dataset.sequences) == len(pairs)
    for times, unordered in zip(dataset.timestamps, dataset.unordered, strict=True):
        assert (times[:unordered] == -1).all()
        assert (np.diff(times[unordered:]) >= 0).all()
