"""Which precision runs: the faster one, timed once on a machine, or the one that is asked for."""

import time

import numpy as np
import pytest

from pocketrec import files
from pocketrec.precision import choose_precision
from pocketrec.recommender import Recommender


class Waiting:
    """An engine that takes a given time to answer."""

    inputs = ("items",)
    outputs = ("user",)

    def __init__(self, path):
        self.name = str(path)
        self.seconds = float(path.read_text())

    def run(self, inputs):
        time.sleep(self.seconds)
        return np.zeros((1, 4), dtype=np.float32)


@pytest.fixture
def graphs(tmp_path, monkeypatch):
    monkeypatch.setenv("POCKETREC_CACHE", str(tmp_path / "cache"))

    def write(int8, fp32):
        seconds = {"int8": int8, "fp32": fp32}
        for kind, value in seconds.items():
            (tmp_path / kind).write_text(str(value))
        return {kind: tmp_path / kind for kind in seconds}

    return write


@pytest.mark.parametrize(
    ("int8", "fp32", "faster"), [(0.001, 0.003, "int8"), (0.003, 0.001, "fp32")]
)
def test_the_faster_one_runs(graphs, int8, fp32, faster):
    assert choose_precision(graphs(int8, fp32), "a", 4, 20, Waiting) == faster


def test_a_machine_times_them_once(graphs):
    assert choose_precision(graphs(0.003, 0.001), "a", 4, 20, Waiting) == "fp32"
    slower_now = graphs(0.001, 0.003)

    def never(path):
        raise AssertionError(path)

    assert choose_precision(slower_now, "a", 4, 20, never) == "fp32"
    assert choose_precision(slower_now, "other graphs", 4, 20, Waiting) == "int8"


@pytest.mark.parametrize("note", ["", "{}", "[]", '{"chosen": "fp16"}', '{"chosen": ["int8"]}'])
def test_a_note_that_says_nothing_is_written_again(graphs, note):
    path = files.cache_folder() / "precision/a.json"
    path.parent.mkdir(parents=True)
    path.write_text(note)
    assert choose_precision(graphs(0.003, 0.001), "a", 4, 20, Waiting) == "fp32"
    assert files.read_json(path)["chosen"] == "fp32"


def test_a_cache_that_cannot_be_written(graphs, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("POCKETREC_CACHE", str(tmp_path / "file"))
    assert choose_precision(graphs(0.003, 0.001), "a", 4, 20, Waiting) == "fp32"


def test_one_graph_alone_is_not_timed(graphs):
    only = {"int8": graphs(1, 1)["int8"]}
    assert choose_precision(only, "a", 4, 20, Waiting) == "int8"


def test_what_is_asked_for_runs(tiny_bundle):
    scores = [Recommender.open(tiny_bundle, precision=p).scores(["m01"]) for p in ("int8", "fp32")]
    assert np.array_equal(*scores)
    assert Recommender.open(tiny_bundle, precision="fp32").precision == "fp32"
    assert Recommender.open(tiny_bundle).precision in ("int8", "fp32")
