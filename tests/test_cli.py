"""The commands on a bundle, as a person or a script calls them."""

import io
import json
import subprocess
import sys

import numpy as np
import pytest
from cli_call import call
from tiny_bundle import DIMENSIONS

from pocketrec import Recommender, __version__
from pocketrec.bundle import LAYOUT


@pytest.fixture
def lines(tmp_path):
    """Write JSON lines to a file; returns its path."""

    def write(*rows, name="in.jsonl"):
        path = tmp_path / name
        path.write_text(
            "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8"
        )
        return path

    return write


@pytest.fixture
def stdin(monkeypatch):
    """Give the command this text on stdin."""
    return lambda text: monkeypatch.setattr(
        sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode()), encoding="utf-8")
    )


def test_version(capsys):
    assert call(capsys, "--version").out == f"pocketrec {__version__}\n"


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help_names_every_command(capsys, arguments):
    called = call(capsys, *arguments)
    assert called.code == 0
    for command in (
        "demo data build teach distill export recommend similar explain encode add-items evaluate verify "
        "inspect bench app"
    ).split():
        assert f"\n  {command} " in called.out


def test_recommend_as_a_table(capsys, tiny_bundle):
    called = call(capsys, "recommend", tiny_bundle, "--history", "m01,m06", "-k", 3)
    assert called.code == 0
    assert called.err == ""
    best = Recommender.open(tiny_bundle).recommend(["m01", "m06"], k=3).items[0]
    assert best.item_id in called.out
    assert f"{best.score:.3f}" in called.out
    assert "because of" in called.out


def test_recommend_as_json(capsys, tiny_bundle):
    called = call(capsys, "recommend", tiny_bundle, "--history", "m01,zz,m06", "-k", 3, "--json")
    found = called.json
    recommender = Recommender.open(tiny_bundle)
    expected = recommender.recommend(["m01", "m06"], k=3)
    assert found["history"] == ["m01", "zz", "m06"]
    assert found["unknown"] == ["zz"]
    assert found["is_default"] is False
    assert [(row["item_id"], row["score"]) for row in found["items"]] == [
        (one.item_id, one.score) for one in expected
    ]
    for row in found["items"]:
        (reason,) = recommender.explain(["m01", "m06"], row["item_id"], k=1)
        assert row["because"] == [
            {
                "item_id": reason.item_id,
                "title": {"m01": "The Laugh (1981)", "m06": "The Party (1986)"}[reason.item_id],
                "drop": reason.drop,
            }
        ]


def test_history_as_json_for_ids_with_commas(capsys, tiny_bundle):
    called = call(capsys, "recommend", tiny_bundle, "--history", '["m01", "a,b"]', "--json")
    assert called.json["unknown"] == ["a,b"]


def test_similar(capsys, tiny_bundle):
    found = call(capsys, "similar", tiny_bundle, "m01", "-k", 2, "--json").json
    expected = Recommender.open(tiny_bundle).similar("m01", k=2)
    assert [row["item_id"] for row in found["items"]] == [one.item_id for one in expected]
    assert found["items"][0]["title"] in call(capsys, "similar", tiny_bundle, "m01", "-k", 2).out


def test_explain(capsys, tiny_bundle):
    found = call(capsys, "explain", tiny_bundle, "m11", "--history", "m01,m03", "--json").json
    expected = Recommender.open(tiny_bundle).explain(["m01", "m03"], "m11")
    assert [(row["item_id"], row["drop"]) for row in found["because"]] == [
        (reason.item_id, reason.drop) for reason in expected
    ]
    assert "The Laugh" in call(capsys, "explain", tiny_bundle, "m11", "--history", "m01,m03").out
    assert (
        "Nothing in this history"
        in call(capsys, "explain", tiny_bundle, "m11", "--history", "").out
    )


def test_encode_arguments_and_stdin_alike(capsys, tiny_bundle, stdin):
    texts = ["The Laugh", "星际 🚀", ""]
    given = call(capsys, "encode", tiny_bundle, *texts)
    stdin("".join(f"{text}\n" for text in texts))
    assert call(capsys, "encode", tiny_bundle).out == given.out
    rows = [json.loads(line) for line in given.out.splitlines()]
    assert [row["text"] for row in rows] == texts
    vectors = np.array([row["vector"] for row in rows])
    assert vectors.shape == (3, DIMENSIONS)
    assert np.allclose(vectors, Recommender.open(tiny_bundle).encode(texts), atol=1e-6)


def test_histories_to_a_file(capsys, tiny_bundle, lines, tmp_path):
    source = lines(
        {"user_id": "甲", "history": ["m01", "m06"]},
        {"user_id": 7, "history": ["m01", "nobody", "neither"]},
        {"user_id": "c", "history": []},
    )
    out = tmp_path / "new" / "out.jsonl"
    called = call(capsys, "recommend", tiny_bundle, "--histories", source, "-k", 4, "--out", out)
    assert called.code == 0
    assert called.out == ""
    assert called.err.splitlines() == [
        "skipped: 2 of 5 ids, which are not in the bundle",
        "default list: 1 of 3 users, who have no known item in their history",
    ]
    answers = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert [answer["user_id"] for answer in answers] == ["甲", 7, "c"]
    assert all(set(answer) == {"user_id", "items", "scores"} for answer in answers)
    expected = Recommender.open(tiny_bundle).recommend(["m01", "m06"], k=4)
    assert answers[0]["items"] == [one.item_id for one in expected]
    assert answers[0]["scores"] == [one.score for one in expected]


def test_dislikes_of_one_history_and_of_many(capsys, tiny_bundle, lines):
    called = call(capsys, "recommend", tiny_bundle, "--history", "m01", "--disliked", "m06,m02")
    assert called.code == 0
    called = call(capsys, "recommend", tiny_bundle, "--history", "m01", "--disliked", "m06,x9")
    assert called.err == "1 of 3 ids are not in the bundle: x9\n"
    one = call(
        capsys, "recommend", tiny_bundle, "--history", "m01", "--disliked", '["m06"]', "--json"
    ).json["items"]
    source = lines({"user_id": 1, "history": ["m01"], "disliked": ["m06"]})
    many = call(capsys, "recommend", tiny_bundle, "--histories", source).json
    assert many["items"] == [row["item_id"] for row in one]
    plain = call(capsys, "recommend", tiny_bundle, "--history", "m01", "--json").json["items"]
    assert many["items"] != [row["item_id"] for row in plain]
    assert "m06" not in many["items"]
    said = call(
        capsys, "recommend", tiny_bundle, "--histories", source, "--disliked", "m06"
    ).failed(2)
    assert '"disliked" stands in each line' in said


def test_histories_from_stdin_to_stdout(capsys, tiny_bundle, stdin):
    stdin('{"user_id": "a", "history": ["m01"]}\n\n{"user_id": "b", "history": ["m02"]}')
    called = call(capsys, "recommend", tiny_bundle, "--histories", "-", "-k", 1, "--out", "-")
    assert [json.loads(line)["user_id"] for line in called.out.splitlines()] == ["a", "b"]
    assert called.err == ""


def test_histories_of_whole_numbers_name_the_same_items(capsys, tiny_bundle, stdin):
    stdin('{"user_id": "a", "history": [1]}\n')
    called = call(capsys, "recommend", tiny_bundle, "--histories", "-")
    assert "1 of 1 ids" in called.err


def test_an_answer_to_a_device_does_not_replace_the_device(capsys, tiny_bundle, lines):
    source = lines({"user_id": "a", "history": ["m01"]})
    assert (
        call(capsys, "recommend", tiny_bundle, "--histories", source, "--out", "/dev/null").code
        == 0
    )
    with open("/dev/null", "rb") as device:  # noqa: PTH123 - the point is that it is still a device
        assert device.read() == b""


def test_add_items(capsys, tiny_bundle, lines, tmp_path):
    items = lines(
        {"item_id": "n1", "title": "The Ghost Returns", "categories": "Horror", "year": 2024},
        {"item_id": "新", "title": "星际 🚀", "year": None},
    )
    out = tmp_path / "bigger"
    called = call(capsys, "add-items", tiny_bundle, items, "--out", out)
    assert called.code == 0
    assert "42 items, 2 of them new" in called.err
    recommender = Recommender.open(out)
    item = recommender.catalogue.get("n1")
    assert item is not None
    assert item.text == "The Ghost Returns (2024). Horror"
    assert call(capsys, "similar", out, "新", "--json").json["item_id"] == "新"


def test_verify(capsys, tiny_bundle, tiny_bundle_zip):
    for bundle in (tiny_bundle, tiny_bundle_zip):
        assert "whole and unaltered, 15 files" in call(capsys, "verify", bundle).out
        assert call(capsys, "verify", bundle, "--json").json == {
            "bundle": str(bundle),
            "ok": True,
            "files": 15,
        }


def test_inspect(capsys, tiny_bundle):
    called = call(capsys, "inspect", tiny_bundle)
    for text in (
        "tiny-films",
        "40, 8 dimensions",
        "books",
        "onnxruntime 1.20",
        LAYOUT.items,
        "0.1000",
    ):
        assert text in called.out
    found = call(capsys, "inspect", tiny_bundle, "--json").json
    assert found["items"] == 40
    assert found["dimensions"] == DIMENSIONS
    assert found["data"] == {"name": "tiny-films", "fingerprint": "0123abcd"}


def test_square_brackets_of_titles_are_no_markup(capsys, tiny_bundle, lines, tmp_path):
    items = lines({"item_id": "[red]", "title": "[bold]Ghost[/bold] [/]"})
    call(capsys, "add-items", tiny_bundle, items, "--out", tmp_path / "b")
    called = call(capsys, "recommend", tmp_path / "b", "--history", '["[red]"]', "-k", 1)
    assert called.code == 0
    assert "[bold]Ghost[/bold] [/]" in call(capsys, "similar", tmp_path / "b", "m02", "-k", 40).out


def test_json_in_a_terminal_without_unicode(tiny_bundle):
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pocketrec.cli",
            "similar",
            tiny_bundle,
            "m01",
            "-k",
            "40",
            "--json",
        ],
        env={"PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=True,
    )
    titles = [row["title"] for row in json.loads(done.stdout.decode("ascii"))["items"]]
    assert "The 星际 (2019)" in titles


def test_a_reader_that_has_seen_enough_causes_no_noise(tiny_bundle):
    command = f"{sys.executable} -m pocketrec.cli encode {tiny_bundle} {'x ' * 2000} | head -n 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["text"] == "x"
    assert done.stderr == ""
