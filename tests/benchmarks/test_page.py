"""The page of a report."""

import copy
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from benchmarks.compare import read
from benchmarks.page import main, page
from benchmarks.page_figures import System, front, pareto, systems_of
from benchmarks.page_parts import bullets
from pocketrec.files import read_json

RESULTS = Path(__file__).parents[2] / "benchmarks/results"
LATEST = RESULTS / "latest.json"
CHROMIUM = shutil.which("chromium")


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    return read(LATEST)


def test_every_system_stands_in_the_table_with_what_it_costs(report: dict[str, Any]) -> None:
    rows = re.findall(r"<tr(?: class=\"ours\")?><td.*?</tr>", page([report]))
    shown = [re.findall(r">([^<]+)</td>", row) for row in rows]
    assert [row[0] for row in shown] == [row["system"] for row in report["systems"]]
    for row, system in zip(shown, systems_of(report), strict=True):
        assert row[1:3] == [f"{system.recall:.4f}", f"{system.ndcg:.4f}"]
        assert row[5] == ("–" if system.size is None else f"{system.size:.2f}")


def test_nothing_is_fetched(report: dict[str, Any]) -> None:
    made = page([report])
    assert not re.findall(r"<(?:script|link|img|iframe)[^>]*(?:src|href)=", made)
    assert "@import" not in made.split("<script>")[0]


def test_names_of_the_data_are_escaped(report: dict[str, Any]) -> None:
    made = copy.deepcopy(report)
    made["data"]["name"] = "<b>films & $more"
    assert "&lt;b&gt;films &amp; $more" in page([made])
    assert "<b>films" not in page([made])


def several(report: dict[str, Any]) -> list[dict[str, Any]]:
    """The report, and as if it were of two other data sets, one without its first system."""
    names = ("amazon-beauty", "yelp")
    second, third = ({**report, "data": {**report["data"], "name": name}} for name in names)
    third["systems"] = report["systems"][1:]
    return [report, second, third]


def test_several_reports_have_one_table_with_what_papers_give(report: dict[str, Any]) -> None:
    made = page(several(report))
    overview = made[made.index("How accurate every system is") : made.index("What the builds cost")]
    headings = re.findall(r"<th[^>]*><button[^>]*>([^<]+)<", overview)
    assert headings == ["System", report["data"]["name"], "amazon-beauty", "yelp"]
    rows = [re.findall(r">([^<]+)</td>", row) for row in re.findall(r"<tr.*?</tr>", overview)[1:]]
    shown = {row[0]: row[1:] for row in rows}
    first = systems_of(report)[0]
    assert shown[first.name] == [f"{first.ndcg:.4f}", f"{first.ndcg:.4f}", "–"]
    assert shown["TIGER, published"] == ["–", "0.0384", "–"]
    assert made.count("arXiv:2305.05065") == 1
    assert re.findall(r'<article id="set-(\d)"', made) == ["0", "1", "2", "3"]


def larger() -> tuple[dict[str, Any], dict[str, Any]]:
    scale, growth = (read_json(RESULTS / f"{name}.json") for name in ("scale", "growth"))
    return scale, growth


def test_every_data_set_stands_in_the_table_of_costs(report: dict[str, Any]) -> None:
    made = page(several(report))
    costs = made[made.index("What the builds cost") :]
    costs = costs[: costs.index("</table>")]
    rows = [re.findall(r">([^<]+)</td>", row) for row in re.findall(r"<tr.*?</tr>", costs)[1:]]
    spent = [stage["cpu_seconds"] / 60 for stage in report["cost"].values()]
    numbers = [*(f"{minutes:.1f}" for minutes in spent), f"{sum(spent):.1f}"]
    assert [row[3:] for row in rows] == [numbers] * 3
    assert rows[0][1] == f"{report['data']['items']:,}"


def test_larger_catalogues_have_a_view_of_their_own(report: dict[str, Any]) -> None:
    scale, growth = larger()
    made = page([report], scale, growth)
    assert re.findall(r'data-shows="\d">([^<]+)<', made) == [
        report["data"]["name"],
        "Larger catalogues",
    ]
    view = made[made.index('<article id="set-1"') :]
    rows = [re.findall(r">([^<]+)</td>", row) for row in re.findall(r"<tr.*?</tr>", view)]
    largest = scale["sizes"][-1]
    assert [f"{size['items']:,}" for size in scale["sizes"]] == [row[0] for row in rows[1:5]]
    assert rows[4][4] == f"{largest['timings'][0]['p50'] / 1000:.2f}"
    assert [row[0] for row in rows[6:]] == [one["system"] for one in largest["search"]]
    assert view.count("plotly-graph-div") == 4


def test_what_was_not_measured_has_no_view(report: dict[str, Any]) -> None:
    assert "Larger catalogues" not in page([report])
    growth_alone = page([report], None, larger()[1])
    assert "What fitting the item-item model takes" in growth_alone
    assert "Searching" not in growth_alone


def test_memory_of_steps_and_what_the_lists_show(report: dict[str, Any]) -> None:
    title = "What each step holds in memory"
    older = {name: part for name, part in report.items() if name != "steps"}
    assert title not in page([older])
    lists = {"users": 1234, "coverage@10": 0.256, "diversity@10": 0.714}
    steps = {"open": {"peak_rss": 61_500_000, "settled_rss": 42_250_000}}
    made = page([{**report, "steps": steps, "lists": lists}])
    drawn = made[made.index(title) : made.index("How to read this")]
    assert "61.5" in drawn
    assert "42.25" in drawn
    assert "The lists of ten of 1,234 users show 25.6% of the catalogue" in made
    assert "0.71 apart" in made


def test_a_command_in_a_note_is_code_and_nothing_in_it_is_markup() -> None:
    assert bullets(["`run <a>`, `b`", "1 ` 2"]) == (
        "<ul><li><code>run &lt;a&gt;</code>, <code>b</code></li><li>1 ` 2</li></ul>"
    )


def system(name: str, ndcg: float, size: float | None) -> System:
    return System(name, 0.1, ndcg, ndcg - 0.01, ndcg + 0.01, None, None, size)


def test_the_front_holds_what_no_other_system_beats_in_both() -> None:
    small, large = system("small", 0.05, 1.0), system("large", 0.08, 9.0)
    worse = system("as large and worse", 0.07, 9.0)
    middle = system("larger than small and no better", 0.05, 2.0)
    unknown = system("never measured", 0.2, None)
    assert front([worse, unknown, large, middle, small], "size") == [small, large]
    assert front([unknown], "size") == []


def test_labels_keep_away_from_the_system_nearest_in_accuracy() -> None:
    both = [system("low", 0.037, 30.0), system("high", 0.046, 9.0), system("best", 0.078, 5.0)]
    places = {trace.text[0]: trace.textposition for trace in pareto(both, "size", "MB").data[1:]}
    assert places == {"best": "top right", "high": "top right", "low": "bottom left"}
    (alone,) = pareto(both[:1], "size", "MB").data[1:]
    assert alone.textposition == "top left"


def test_the_command_writes_one_file(tmp_path: Path) -> None:
    main([str(LATEST), "--out", str(tmp_path / "report.html")])
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_browser_draws_it_in_both_themes(
    report: dict[str, Any], tmp_path: Path, theme: str
) -> None:
    path = tmp_path / "report.html"
    path.write_text(page([report], *larger()), encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=8000"]
    command = [str(CHROMIUM), *options, "--dump-dom", f"{path.as_uri()}?theme={theme}"]
    drawn = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    body = drawn[drawn.index("<main>") :]
    assert f'data-theme="{theme}"' in drawn[:200]
    assert (
        body.count('class="js-plotly-plot"') + body.count("plotly-graph-div js-plotly-plot") >= 12
    )
    assert body.count("Student int8 bundle") > 5


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
def test_a_browser_shows_one_data_set_at_a_time(report: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(page(several(report)), encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=8000"]
    command = [str(CHROMIUM), *options, "--dump-dom", path.as_uri()]
    drawn = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    assert re.findall(r'<article id="set-(.)"[^>]*hidden=""', drawn) == ["1", "2", "3"]
    assert re.findall(r'<button[^>]*data-shows="(.)"[^>]*aria-pressed="true"', drawn) == ["0"]
