"""What goes wrong gives one clear line, the right exit code and no traceback."""

import io
import json
import sys

import pytest
from cli_call import call

from pocketrec.bundle import FORMAT_VERSION, LAYOUT

FAILED, WRONG = 1, 2


@pytest.fixture
def folder(tmp_path):
    """A data folder of the tiny bundle's items, as CSV."""
    made = tmp_path / "data"
    made.mkdir()
    rows = "".join(f"m{n:02},Title {n}\n" for n in range(1, 41))
    (made / "items.csv").write_text(f"item_id,title\n{rows}")
    rows = "".join(f"u{u},m{1 + (u + i) % 40:02},{i}\n" for u in range(5) for i in range(4))
    (made / "interactions.csv").write_text(f"user_id,item_id,timestamp\n{rows}")
    return made


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["recommend"], "Missing argument 'BUNDLE'."),
        (["frobnicate"], "No such command 'frobnicate'."),
        (["verify", "b", "--frobnicate"], "No such option: --frobnicate"),
        (["recommend", "b", "--history", "a", "-k", "many"], "Invalid value for '-k'"),
        (["build", "--data", "d"], "Missing option '--out'."),
        (
            ["build", "--data", "d", "--out", "r", "--minutes", "-1"],
            "Invalid value for '--minutes'",
        ),
        (["data"], "Missing command."),
        (["recommend", "b"], "expected --history ID,ID or --histories IN.jsonl, one of them"),
        (["recommend", "b", "--history", "a", "--histories", "f"], "one of them"),
        (["recommend", "b", "--history", "a", "--out", "f"], "--out goes with --histories"),
        (["recommend", "b", "--histories", "f", "--json"], "leave --json out"),
    ],
)
def test_a_wrong_call(capsys, arguments, said):
    assert said in call(capsys, *arguments).failed(WRONG)


# -- histories and k


@pytest.mark.parametrize("k", [0, -3])
@pytest.mark.parametrize("command", [["recommend", "--history", "m01"], ["similar", "m01"]])
def test_k_below_one(capsys, tiny_bundle, command, k):
    name, *rest = command
    said = call(capsys, name, tiny_bundle, *rest, "-k", k).failed(WRONG)
    assert said == f"k: expected at least 1, found {k}"


def test_k_below_one_for_many(capsys, tiny_bundle, tmp_path):
    said = call(
        capsys, "recommend", tiny_bundle, "--histories", tmp_path / "nowhere", "-k", 0
    ).failed(WRONG)
    assert said == "k: expected at least 1, found 0"


def test_k_beyond_the_catalogue_gives_what_there_is(capsys, tiny_bundle):
    called = call(capsys, "recommend", tiny_bundle, "--history", "m01,m02", "-k", 5000, "--json")
    assert called.code == 0
    assert len(called.json["items"]) == 38


@pytest.mark.parametrize("history", ["", " , ", "[]", "nobody,neither"])
def test_a_history_without_a_known_item_gets_the_default_list_labelled(
    capsys, tiny_bundle, history
):
    called = call(capsys, "recommend", tiny_bundle, "--history", history, "-k", 2)
    assert called.code == 0
    assert "the default list, what most people chose" in called.out
    found = call(capsys, "recommend", tiny_bundle, "--history", history, "-k", 2, "--json").json
    assert found["is_default"] is True
    assert [row["item_id"] for row in found["items"]] == ["m01", "m02"]
    assert all(row["because"] == [] for row in found["items"])


def test_unknown_ids_of_a_history_are_named(capsys, tiny_bundle):
    unknown = ",".join(f"x{n}" for n in range(7))
    called = call(capsys, "recommend", tiny_bundle, "--history", f"m01,{unknown}", "-k", 1)
    assert called.code == 0
    assert called.err == "7 of 8 ids are not in the bundle: x0, x1, x2, x3, x4 and 2 more\n"


@pytest.mark.parametrize(
    "command", [["similar", "nobody"], ["explain", "nobody", "--history", "m01"]]
)
def test_an_unknown_item(capsys, tiny_bundle, command):
    name, *rest = command
    said = call(capsys, name, tiny_bundle, *rest).failed(WRONG)
    assert said == "item 'nobody': expected an id of the catalogue, found none such"


@pytest.mark.parametrize(
    ("history", "said"),
    [("[1, 2", "expected a JSON list of ids"), ("[1, [2]]", "texts or whole numbers, found [2]")],
)
def test_a_history_that_is_no_list(capsys, tiny_bundle, history, said):
    assert said in call(capsys, "recommend", tiny_bundle, "--history", history).failed(WRONG)


def test_an_id_of_100_kb_does_not_flood_the_terminal(capsys, tiny_bundle):
    call(capsys, "similar", tiny_bundle, "x" * 100_000).failed(WRONG)


# -- lines of a file


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "expected a JSON object, found:"),
        ("[1]", "expected a JSON object, found [1]"),
        ('{"user_id": "a"}', 'expected {"user_id": ..., "history": [ids]}, found {"user_id": "a"}'),
        ('{"user_id": "a", "history": "m01"}', 'expected a list of item ids, found "m01"'),
        (
            '{"user_id": "a", "history": [null]}',
            "expected item ids, texts or whole numbers, found null",
        ),
        (
            '{"user_id": "a", "history": [1.5]}',
            "expected item ids, texts or whole numbers, found 1.5",
        ),
        ("[" * 5000, "expected a JSON object, found:"),
        ("\xff", "expected a JSON object, found:"),
    ],
)
def test_a_bad_line_is_named_and_nothing_is_written(capsys, tiny_bundle, tmp_path, line, said):
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_bytes(b'{"user_id": "a", "history": ["m01"]}\n\n' + line.encode("latin-1") + b"\n")
    out.write_text("kept")
    message = call(capsys, "recommend", tiny_bundle, "--histories", source, "--out", out).failed(
        FAILED
    )
    assert message.startswith(f"{source}: line 3: ")
    assert said in message
    assert out.read_text() == "kept"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "out.jsonl"]


def test_an_empty_file_of_histories(capsys, tiny_bundle, tmp_path):
    (tmp_path / "in.jsonl").touch()
    said = call(capsys, "recommend", tiny_bundle, "--histories", tmp_path / "in.jsonl").failed(
        FAILED
    )
    assert "expected at least one JSON line, found an empty file" in said


def test_a_missing_file_of_histories(capsys, tiny_bundle, tmp_path):
    said = call(capsys, "recommend", tiny_bundle, "--histories", tmp_path / "no.jsonl").failed(
        WRONG
    )
    assert said == f"{tmp_path / 'no.jsonl'}: expected a file of JSON lines, found no such file"


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ({"title": "x"}, "field 'item_id': expected text, found null"),
        ({"item_id": 3, "title": "x"}, "field 'item_id': expected text, found 3"),
        ({"item_id": "n", "title": " "}, "field 'title': expected text"),
        ({"item_id": "n", "title": "x", "genre": "y"}, "found 'genre'"),
        ({"item_id": "n", "title": "x", "creator": ["y"]}, "field 'creator': expected text"),
        (
            {"item_id": "n", "title": "x", "year": "1999"},
            "field 'year': expected a whole number or null",
        ),
    ],
)
def test_a_bad_item(capsys, tiny_bundle, tmp_path, item, said):
    (tmp_path / "items.jsonl").write_text(json.dumps(item))
    called = call(
        capsys, "add-items", tiny_bundle, tmp_path / "items.jsonl", "--out", tmp_path / "b"
    )
    assert said in called.failed(FAILED)
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("ids", [["m01"], ["n", "n"]])
def test_an_item_that_is_there_already(capsys, tiny_bundle, tmp_path, ids):
    rows = "".join(json.dumps({"item_id": i, "title": "x"}) + "\n" for i in ids)
    (tmp_path / "items.jsonl").write_text(rows)
    called = call(
        capsys, "add-items", tiny_bundle, tmp_path / "items.jsonl", "--out", tmp_path / "b"
    )
    assert "expected a new id, found it already there" in called.failed(WRONG)


def test_a_bundle_is_never_written_over(capsys, tiny_bundle, tmp_path):
    (tmp_path / "items.jsonl").write_text('{"item_id": "n", "title": "x"}')
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    called = call(
        capsys, "add-items", tiny_bundle, tmp_path / "items.jsonl", "--out", tmp_path / "mine"
    )
    assert "expected a path for a new bundle, found something there" in called.failed(WRONG)
    assert (tmp_path / "mine" / "thesis.txt").exists()


def test_a_text_of_100_kb(capsys, tiny_bundle, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"long title " * 10_000)))
    called = call(capsys, "encode", tiny_bundle)
    assert called.code == 0
    assert len(json.loads(called.out)["text"]) == 110_000


# -- bundles


def every_bundle_command(bundle):
    yield "recommend", bundle, "--history", "m01"
    yield "similar", bundle, "m01"
    yield "explain", bundle, "m02", "--history", "m01"
    yield "encode", bundle, "text"
    yield "verify", bundle


def test_a_missing_bundle(capsys, tmp_path):
    for command in every_bundle_command(tmp_path / "no"):
        said = call(capsys, *command).failed(FAILED)
        assert (
            said == f"{tmp_path / 'no'}: expected a bundle, a folder or a .zip, found no such file"
        )


@pytest.mark.parametrize("name", LAYOUT.sealed)
def test_a_truncated_file_of_a_bundle(capsys, tiny_bundle_copy, name):
    path = tiny_bundle_copy / name
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[: size // 2])
    for command in every_bundle_command(tiny_bundle_copy):
        said = call(capsys, *command).failed(FAILED)
        assert said.startswith(f"{path}: expected {size} bytes, found {size // 2}")


@pytest.mark.parametrize("name", LAYOUT.sealed)
def test_an_altered_file_of_a_bundle(capsys, tiny_bundle_copy, name):
    content = bytearray((tiny_bundle_copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (tiny_bundle_copy / name).write_bytes(content)
    for command in every_bundle_command(tiny_bundle_copy):
        assert (
            call(capsys, *command)
            .failed(FAILED)
            .startswith(f"{tiny_bundle_copy / name}: expected sha256")
        )


def test_a_bundle_of_a_newer_format(capsys, tiny_bundle_copy):
    manifest = tiny_bundle_copy / LAYOUT.manifest
    manifest.write_text(
        json.dumps({**json.loads(manifest.read_text()), "format_version": 9, "new": 1})
    )
    said = call(capsys, "verify", tiny_bundle_copy, "--json").failed(FAILED)
    assert (
        said
        == f"{manifest}: bundle format 9, this version reads {FORMAT_VERSION}: upgrade pocketrec"
    )


@pytest.mark.parametrize("content", ["", "{", "[]", "\0"])
def test_a_damaged_manifest(capsys, tiny_bundle_copy, content):
    (tiny_bundle_copy / LAYOUT.manifest).write_text(content)
    said = call(capsys, "inspect", tiny_bundle_copy).failed(FAILED)
    assert "manifest.json: expected a JSON object" in said


def test_a_truncated_zip(capsys, tiny_bundle_zip):
    tiny_bundle_zip.write_bytes(tiny_bundle_zip.read_bytes()[:-100])
    said = call(capsys, "verify", tiny_bundle_zip).failed(FAILED)
    assert (
        said == f"{tiny_bundle_zip}: expected a bundle folder or a whole .zip, found another file"
    )


# -- data


BAD_DATA = {
    "empty file": ("interactions.csv", "", "the file is empty"),
    "missing column": (
        "items.csv",
        "id,title\nm01,A\n",
        "expected column 'item_id', found id, title",
    ),
    "wrong type": (
        "interactions.csv",
        "user_id,item_id,rating\nu,m01,good\n",
        "expected Float32, found 'good'",
    ),
    "NaN id": ("interactions.csv", "user_id,item_id\nNaN,m01\n", "expected an id in every row"),
    "duplicate id": (
        "items.csv",
        "item_id,title\nm01,A\nm01,B\n",
        "expected each id once, found 'm01' 2 times",
    ),
    "no item": ("interactions.csv", "user_id,item_id\nu,zzz\n", "no interaction names an item"),
    "one interaction": ("interactions.csv", "user_id,item_id\nu,m01\n", "at least 3 interactions"),
}


@pytest.mark.parametrize("name", BAD_DATA)
def test_bad_data_is_refused_by_evaluate(capsys, tiny_bundle, folder, name):
    file, content, said = BAD_DATA[name]
    (folder / file).write_text(content)
    assert said in call(capsys, "evaluate", tiny_bundle, "--data", folder).failed(FAILED)


@pytest.mark.parametrize("name", list(BAD_DATA)[:-1])
def test_bad_data_is_refused_by_build_before_a_run_is_made(capsys, folder, tmp_path, name):
    file, content, said = BAD_DATA[name]
    (folder / file).write_text(content)
    assert said in call(capsys, "build", "--data", folder, "--out", tmp_path / "run").failed(FAILED)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", list(BAD_DATA)[1:-1])
def test_bad_data_is_refused_by_import(capsys, folder, tmp_path, name):
    file, content, said = BAD_DATA[name]
    (folder / file).write_text(content)
    assert said in call(capsys, "data", "import", folder, "--out", tmp_path / "new").failed(FAILED)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]
