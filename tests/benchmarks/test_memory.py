"""Fresh processes and file sizes."""

import numpy as np
import pytest

from benchmarks import memory
from benchmarks.child import STEPS
from pocketrec.bundle import LAYOUT
from pocketrec.errors import RunError


def test_a_bundle_takes_more_than_an_empty_process(tiny_bundle):
    ballast = np.ones(30_000_000)  # 240 MB in this process must not count in another
    empty = memory.start_up("empty", tiny_bundle, [], starts=1)
    bundle = memory.start_up("recommend", tiny_bundle, ["m01", "m02"], starts=1)
    assert 0 < empty["peak_rss"] < bundle["peak_rss"] < ballast.nbytes
    assert empty["settled_rss"] < bundle["settled_rss"] <= bundle["peak_rss"]
    assert 0 < bundle["seconds"] < bundle["process_seconds"]


@pytest.mark.parametrize("step", STEPS)
def test_every_step_of_a_bundle(tiny_bundle, step):
    found = memory.start_up(step, tiny_bundle, ["m01", "m02"], starts=1)
    assert 0 < found["settled_rss"] <= found["peak_rss"]


def test_what_opening_adds(tiny_bundle):
    assert memory.fresh("opening", tiny_bundle)["private_bytes"] > 0


def test_a_matrix(tmp_path):
    np.save(tmp_path / "matrix.npy", np.ones((30, 30), dtype=np.float32))
    found = memory.start_up("matrix", tmp_path / "matrix.npy", [0, 7], starts=2)
    assert found["starts"] == 2
    assert found["peak_rss"] > 0


def test_a_process_that_fails_says_why(tmp_path):
    with pytest.raises(RunError, match=r"'open' in a fresh process: .*found no such file"):
        memory.start_up("open", tmp_path / "none", ["m01"], starts=1)


def test_what_it_does_not_know_is_not_measured(tiny_bundle):
    with pytest.raises(RunError, match="found 'recomend'"):
        memory.start_up("recomend", tiny_bundle, ["m01"], starts=1)


def test_sizes_of_every_file_largest_first(tiny_bundle):
    found = memory.sizes(tiny_bundle)
    assert set(found) == {path.name for path in tiny_bundle.iterdir()}
    assert list(found.values()) == sorted(found.values(), reverse=True)
    assert found[LAYOUT.scorer] == (tiny_bundle / LAYOUT.scorer).stat().st_size
    arrays = (tiny_bundle / LAYOUT.items).iterdir()
    assert found[LAYOUT.items] == sum(path.stat().st_size for path in arrays)
