"""Files that are broken, mixed up, too large or meant to do harm: an error that says so, or rows left out."""

import io
import json
import struct
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from device_app.importers import lines, own_export, sources, table
from device_app.importers.matching import match
from device_app.importers.plain import Columns
from device_app.importers.reading import header, read
from device_app.importers.rows import LONGEST_TITLE, History, HistoryFileError
from pocketrec.catalogue import Catalogue, Item

MANY_FILES = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
HEADERS = (
    "",
    "Title,Date\n",
    "Date,Name,Year,Letterboxd URI,Rating\n",
    "Book Id,Title,My Rating,Exclusive Shelf,Date Read,Date Added,Original Publication Year\n",
    "userId,movieId,rating,timestamp\n",
    "title;year;rating;item_id;date\n",
    '{"format": "pocketrec-history", "version": 1, "catalogue": "films", "events": [',
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "movies.csv").write_text("movieId,title\n1,Heat (1995)\n", encoding="utf-8")
    return tmp_path / "download"


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    target = tmp_path_factory.mktemp("films") / "catalogue.sqlite"
    Catalogue.write(target, [Item("heat", "Heat", year=1995), Item("moon", "Moon")])
    return Catalogue.open(target)


def read_bytes(path: Path, data: bytes) -> History:
    path.write_bytes(data)
    return read(path)


def titles(history: History) -> list[str]:
    return [row.title for row in history.rows]


def try_all(path: Path, data: bytes, films: Catalogue) -> None:
    """Whatever is in a file: it is read and matched, or refused by the one error."""
    path.write_bytes(data)
    columns: Columns = {"title": "Title", "rating": "rating", "date": "Date"}
    for mapping in (None, columns):
        try:
            history = read(path, columns=mapping)
        except HistoryFileError as error:
            said = str(error)
        else:
            said = str(history.unreadable)
            assert len(match(history, films, "films").events) <= len(history.rows)
        assert said.isprintable()


@given(st.sampled_from(HEADERS), st.binary(max_size=300))
@example("", b"\xff\xfe")
@example("", b"PK\3\4")
@example("", b"\xef\xbb\xbf")
@example("", b"\0" * 300)
@example("Title,Date\n", b'"')
@example("", b'title\tyear\n"A"x\t\nB\t\n')
@example("Title,Date\n", b"\x81\x8d,\x00")
@MANY_FILES
def test_no_bytes_raise_anything_else(path: Path, films: Catalogue, head: str, data: bytes) -> None:
    try_all(path, head.encode() + data, films)


CELLS = st.one_of(
    st.sampled_from(
        ["Heat", "1", "4.5", "2023-05-01", "31/12/99", "nan", "-inf", "1e999", "9" * 400, "=cmd"]
    ),
    st.text(max_size=8),
)


@given(
    st.sampled_from(HEADERS),
    st.lists(st.lists(CELLS, max_size=8), max_size=12),
    st.sampled_from(",;\t"),
    st.sampled_from(["utf-8", "utf-16", "cp1252"]),
)
@MANY_FILES
def test_no_table_raises_anything_else(
    path: Path,
    films: Catalogue,
    head: str,
    rows: list[list[str]],
    delimiter: str,
    encoding: str,
) -> None:
    text = head + "\n".join(delimiter.join(cells) for cells in rows)
    try_all(path, text.encode(encoding, "replace"), films)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
EVENTS = st.fixed_dictionaries(
    {},
    optional={
        "item_id": JSON | st.just("heat"),
        "title": JSON,
        "year": JSON,
        "kind": JSON | st.just("like"),
        "timestamp": JSON,
    },
)


@given(st.lists(EVENTS | JSON, max_size=5))
@MANY_FILES
def test_no_events_raise_anything_else(path: Path, films: Catalogue, events: list[object]) -> None:
    content = {"format": "pocketrec-history", "version": 1, "catalogue": "films", "events": events}
    try_all(path, json.dumps(content).encode(), films)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_encodings(path: Path, encoding: str) -> None:
    history = read_bytes(path, "Title;Year\r\nAmélie;2001\r\n".encode(encoding))
    assert titles(history) == ["Amélie"]
    assert history.rows[0].year == 2001


def test_encodings_may_be_mixed_line_by_line(path: Path) -> None:
    data = b"title\n" + "Amélie\n".encode() + "Léon – der Profi\n".encode("cp1252")
    assert titles(read_bytes(path, data)) == ["Amélie", "Léon – der Profi"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_line_ends_and_delimiters(path: Path, end: str, delimiter: str) -> None:
    text = end.join(["", f"Name{delimiter}Year", f'"A{delimiter}""B"""{delimiter}2001', "", ""])
    (row,) = read_bytes(path, text.encode()).rows
    assert (row.title, row.year, row.line) == (f'A{delimiter}"B"'.replace("\t", " "), 2001, 3)


def test_ragged_rows_are_left_out_and_counted(path: Path) -> None:
    text = "title,year,rating\nA,2001,5\nB\nC,2001,5,,\nD,2001,5,extra\n,,\n\n,2001,5\nE,2001,x\n"
    history = read_bytes(path, text.encode())
    assert titles(history) == ["A", "C"]  # empty cells at the end do no harm
    assert str(history.unreadable) == (
        "4 rows could not be read, the first on line 3: "
        "expected 3 columns as in the header, found 1"
    )
    assert history.unreadable.count == 4


@pytest.mark.parametrize(
    ("rating", "reason"),
    [
        ("x", "expected a rating from 0 to 5, found 'x'"),
        ("-1", "expected a rating from 0 to 5, found '-1'"),
        ("nan", "expected a rating from 0 to 5, found 'nan'"),
        ("1e999", "expected a rating from 0 to 5, found '1e999'"),
        ("9" * 5000, "expected a rating from 0 to 5, found '999999999999...9999999999999'"),
    ],
)
def test_a_row_whose_rating_is_none_does_not_count_as_liked(
    path: Path, rating: str, reason: str
) -> None:
    data = f"Date,Name,Year,Letterboxd URI,Rating\n,A,99999,u,5\n,B,2001,u,{rating}\n"
    history = read_bytes(path, data.encode())
    assert titles(history) == ["A"]
    assert history.rows[0].year is None
    assert str(history.unreadable) == f"1 row could not be read, the first on line 3: {reason}"


def test_a_quote_that_is_never_closed_costs_its_own_row(path: Path) -> None:
    text = 'title,year\nA,2001\n"B,2001\n' + "".join(f"C{n},2001\n" for n in range(300))
    history = read_bytes(path, text.encode())
    assert titles(history) == ["A", *(f"C{n}" for n in range(300))]
    assert [row.line for row in history.rows][:3] == [2, 4, 5]
    assert str(history.unreadable).startswith("1 row could not be read, the first on line 3: no")


def test_a_quote_that_is_never_closed_at_the_end_of_the_file(path: Path) -> None:
    history = read_bytes(path, b'title,year\n"A,2001\nB,2001\n"C"x,2001\nD,2001')
    assert titles(history) == ["B", "D"]
    assert history.unreadable.count == 2


def test_a_cell_may_have_several_lines(path: Path) -> None:
    history = read_bytes(path, b'title,review\n"A\nB","good\n\nbad"\nC,\n')
    assert [(row.title, row.line) for row in history.rows] == [("A B", 2), ("C", 6)]


def test_control_characters_and_formulas_are_text(path: Path) -> None:
    history = read_bytes(path, b"title\n=cmd|' /C calc'!A0\nA\x07\x1b[31mB\nC\0D\n@SUM(1+1)\n")
    assert titles(history) == ["=cmd|' /C calc'!A0", "A [31mB", "@SUM(1+1)"]
    assert "a NUL character" in str(history.unreadable)


def test_a_title_has_its_length(path: Path) -> None:
    data = b"title\n" + b"A" * (LONGEST_TITLE + 1) + b"\nB\n"
    history = read_bytes(path, data)
    assert titles(history) == ["B"]
    assert "expected a title of at most 1,000 characters, found 1,001" in str(history.unreadable)


def test_a_line_of_50_megabytes_is_passed_over(path: Path) -> None:
    history = read_bytes(path, b"title\nA\n" + b"," * 50_000_000 + b"\nB\n")
    assert [(row.title, row.line) for row in history.rows] == [("A", 2), ("B", 4)]
    assert "a line of more than 131,072 characters" in str(history.unreadable)
    with pytest.raises(HistoryFileError, match=r"the names of columns, found a line of more"):
        read_bytes(path, b"x" * 50_000_000)


def test_a_table_has_a_number_of_columns(path: Path) -> None:
    wide = b",".join(b"c%d" % n for n in range(10_000))
    with pytest.raises(HistoryFileError, match=r"at most 1,000 columns, found 10,000"):
        read_bytes(path, wide + b"\n" + wide)


def test_a_history_has_a_number_of_lines(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MOST_LINES", 3)
    assert titles(read_bytes(path, b"title\nA\nB\n")) == ["A", "B"]
    with pytest.raises(HistoryFileError, match=r"at most 3 lines, found more; split the file"):
        read_bytes(path, b"title\nA\nB\nC\n")


def test_what_is_broken_all_over_is_no_table(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "MOST_BROKEN", 2)
    with pytest.raises(HistoryFileError, match=r"3 rows could not be read, the first on line 2"):
        read_bytes(path, b'title\n"A"x\n"B"x\n"C"x\nD\n')


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", r"expected the names of columns, found an empty file"),
        (b"\n \n", r"expected the names of columns, found an empty file"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", r"a column of titles, found"),
        (b"Title,Date\n", r"expected at least one row of a history, found none"),
        (b"Title,Date\nA\n", r"found 1 row could not be read, the first on line 2: expected 2"),
        (b"[" * 100_000, r"numbers or lists beyond measure"),
        (b'{"a": ' + b"9" * 5_000 + b"}", r"numbers or lists beyond measure"),
        (b'{"a": "\xff"}', r"expected JSON in UTF-8, found another encoding"),
    ],
)
def test_what_is_no_history_says_so(path: Path, data: bytes, message: str) -> None:
    with pytest.raises(HistoryFileError, match=message):
        read_bytes(path, data)


def test_what_is_no_file_says_so(tmp_path: Path) -> None:
    for missing in (tmp_path, tmp_path / "nowhere", tmp_path / "nul\0"):
        with pytest.raises(HistoryFileError, match=r"expected a file, found none"):
            read(missing)
    with pytest.raises(HistoryFileError, match=r"expected a file, found none"):
        header(tmp_path)


def test_files_have_a_size(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "LARGEST", 1_000_000)
    monkeypatch.setattr(own_export, "LARGEST", 1_000_000)
    with pytest.raises(HistoryFileError, match=r"at most 1 MB, found 2 MB"):
        read_bytes(path, b"t" * 2_000_000)
    with pytest.raises(HistoryFileError, match=r"at most 1 MB"):
        read_bytes(path, b"{" + b" " * 1_000_000)


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as packed:
        for name, data in files.items():
            packed.writestr(name, data)
    return target.getvalue()


FILMS = b"title\nHeat\n"


def test_a_zip_bomb_is_not_unpacked(path: Path) -> None:
    bomb = zipped({"ratings.csv": bytes(201_000_000)})
    assert len(bomb) < 1_000_000
    with pytest.raises(HistoryFileError, match=r"unpacked: expected at most 200 MB, found 201 MB"):
        read_bytes(path, bomb)


def test_a_zip_that_lies_about_its_size_gives_no_more_than_it_says(path: Path) -> None:
    data = b"title\n" + b"Heat\n" * 10_000
    size = struct.pack("<I", len(data))
    lie = zipped({"ratings.csv": data}).replace(size, struct.pack("<I", 11))
    with pytest.raises(HistoryFileError, match=r"Bad CRC-32"):
        read_bytes(path, lie)


@pytest.mark.parametrize(
    "name", ["../../ratings.csv", "/etc/ratings.csv", "C:\\ratings.csv", "a\n.csv"]
)
def test_paths_in_a_zip_lead_nowhere(path: Path, name: str) -> None:
    before = sorted(path.parent.parent.rglob("*"))
    assert titles(read_bytes(path, zipped({name: FILMS}))) == ["Heat"]
    assert sorted(path.parent.parent.rglob("*")) == sorted([*before, path])


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, r"expected ratings.csv or a single CSV or JSON file in the .zip, found \[\]"),
        ({"a.csv": FILMS, "b.csv": FILMS}, r"found \['a.csv', 'b.csv'\]; unpack it"),
        ({"xl/workbook.xml": b"<x/>"}, r"save a workbook as CSV"),
        ({"ml/ratings.csv": b"userId,movieId,rating\n1,1,5\n"}, r"'ml/movies.csv': .* copy"),
    ],
)
def test_a_zip_without_a_history_says_what_it_has(
    path: Path, files: dict[str, bytes], message: str
) -> None:
    with pytest.raises(HistoryFileError, match=message):
        read_bytes(path, zipped(files))


def test_a_zip_packed_in_another_way_is_refused(path: Path) -> None:
    with pytest.raises(HistoryFileError, match=r"packed in the usual way"):
        read_bytes(path, zipped({"a.csv": FILMS}, zipfile.ZIP_LZMA))


def test_a_zip_with_a_password_is_refused(path: Path) -> None:
    data = bytearray(zipped({"a.csv": FILMS}, zipfile.ZIP_STORED))
    data[6] |= 1
    data[data.index(b"PK\1\2") + 8] |= 1
    with pytest.raises(HistoryFileError, match=r"without damage and password, found: .*encrypted"):
        read_bytes(path, bytes(data))


ZIP = zipped(
    {
        "ml/ratings.csv": b"userId,movieId,rating,timestamp\n" + b"1,1,4.0,964982703\n" * 20,
        "ml/movies.csv": b"movieId,title,genres\n1,Toy Story (1995),Adventure\n",
    }
)


@given(st.lists(st.tuples(st.integers(0, len(ZIP) - 1), st.integers(0, 255)), max_size=4))
@MANY_FILES
def test_no_damaged_zip_raises_anything_else(
    path: Path, films: Catalogue, changes: list[tuple[int, int]]
) -> None:
    data = bytearray(ZIP)
    for place, value in changes:
        data[place] = value
    try_all(path, bytes(data), films)
