"""The picture of the README."""

import copy
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from benchmarks.compare import read
from benchmarks.page_figures import systems_of
from benchmarks.picture import PANELS, PICTURE, picture

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    return read(ROOT / "benchmarks/results/latest.json")


def words(drawn: bytes) -> list[str]:
    """The texts of an SVG."""
    found = ElementTree.fromstring(drawn).iter("{http://www.w3.org/2000/svg}text")
    return ["".join(text.itertext()).strip() for text in found]


def test_the_readme_shows_the_picture_of_the_latest_report(report: dict[str, Any]) -> None:
    assert f"]({PICTURE})" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert (ROOT / PICTURE).read_bytes() == picture(report)


def test_what_was_measured_is_named_with_its_cost(report: dict[str, Any]) -> None:
    shown = words(picture(report))
    for system in systems_of(report):
        costs = [cost for cost in PANELS if getattr(system, cost) is not None]
        assert shown.count(system.name) >= len(costs)
        if system.milliseconds is not None:
            assert f"{system.milliseconds:.3g} ms" in shown


def test_a_report_with_other_numbers_has_another_picture(report: dict[str, Any]) -> None:
    other = copy.deepcopy(report)
    other["systems"][-1]["ndcg@10"]["mean"] += 0.001
    assert picture(other) != picture(report)
