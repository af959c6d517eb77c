"""The tables of a study."""

from pathlib import Path

import pytest

from benchmarks import study_report
from benchmarks.few_shot import QUESTIONS
from benchmarks.study import RESULTS
from pocketrec.files import read_json

CASE_STUDIES = Path(__file__).parents[2] / "docs/case-studies.md"


def system(name, ndcg, validation=0.1):
    def interval(mean):
        return {"mean": mean, "low": mean - 0.01, "high": mean + 0.01}

    return {
        "system": name,
        "recall@10": interval(2 * ndcg),
        "ndcg@10": interval(ndcg),
        "precision@10": 0.2 * ndcg,
        "f1@10": 0.3 * ndcg,
        "validation_ndcg@10": validation,
    }


def less(ours, theirs, mean):
    return {
        "ours": ours,
        "theirs": theirs,
        "ndcg@10": {"mean": mean, "low": mean - 0.01, "high": mean + 0.01},
    }


@pytest.fixture
def result():
    nothing = {
        "share": 0,
        "training_users": 0,
        "systems": [system("Content, frozen", 0.1), system("EASE with text + Content, both", 0.1)],
        "differences": [less(*QUESTIONS[0], 0.02)],
    }
    whole = {
        "share": 1.0,
        "training_users": 1500,
        "systems": [
            system("ItemKNN", 0.13),
            system("EASE", 0.12),
            system("Content, frozen", 0.1, validation=0.2),
            system("Content, both", 0.11, validation=0.1),
            system("Fused", 0.14),
        ],
        "differences": [less("Fused", "ItemKNN", 0.01), less("Fused", "EASE", 0.02)],
    }
    return {
        "data": {"name": "films", "users": 150, "items": 2000, "protocol": "leave-one-out"},
        "environment": {"command": "c", "date": "d", "commit": None},
        "source_domains": ["books"],
        "shares": [nothing, whole],
    }


def test_the_section_of_a_data_set(result):
    assert (
        study_report.markdown(result)
        == """\
**At each share of the training users**

| R@10 / NDCG@10 | 0 % | 100 % |
| --- | ---: | ---: |
| ItemKNN |  | 0.2600 / 0.1300 |
| EASE |  | 0.2400 / 0.1200 |
| Content, frozen | 0.2000 / 0.1000 | 0.2000 / 0.1000 |
| Content, both |  | 0.2200 / 0.1100 |
| Fused |  | 0.2800 / 0.1400 |

**100 % of the training users (1,500)**

|  | P@10 | R@10 | F1@10 | NDCG@10 (95 % CI) |
| --- | ---: | ---: | ---: | ---: |
| ItemKNN | 0.0260 | 0.2600 | 0.0390 | 0.1300 (0.1200–0.1400) |
| EASE | 0.0240 | 0.2400 | 0.0360 | 0.1200 (0.1100–0.1300) |
| Content, frozen | 0.0200 | 0.2000 | 0.0300 | 0.1000 (0.0900–0.1100) |
| Content, both | 0.0220 | 0.2200 | 0.0330 | 0.1100 (0.1000–0.1200) |
| Fused | 0.0280 | 0.2800 | 0.0420 | 0.1400 (0.1300–0.1500) |

What the parts add, NDCG@10 with the paired interval:

| NDCG@10 | 0 % | 100 % |
| --- | ---: | ---: |
| Content, both less Content, frozen | +0.0200 (+0.0100 to +0.0300) |  |
| Fused less ItemKNN |  | +0.0100 (+0.0000 to +0.0200) |
| Fused less EASE |  | +0.0200 (+0.0100 to +0.0300) |

films: the same 150 test users in every table, 2,000 items, leave-one-out, ranked among the whole catalogue.

`c`, d, no commit.
"""
    )


def test_one_line_a_data_set(result):
    columns, lines = study_report.summary([result, {**result, "shares": result["shares"][:1]}])
    assert len(lines) == 1  # nothing to say of one that has no share of 1
    assert dict(zip(columns, lines[0], strict=True)) == {
        "R@10 / NDCG@10": "films",
        "Popularity": "–",
        "ItemKNN": "0.2600 / 0.1300",
        "EASE": "0.2400 / 0.1200",
        "SASRec on IDs, CE": "–",
        "Zero-shot": "0.2000 / 0.1000",  # the better one on validation
        "Sequence from scratch": "–",
        "Sequence from the base teacher": "–",
        "Fused": "0.2800 / 0.1400",
        "Fused less best peer, NDCG@10": "+0.0100 (+0.0000 to +0.0200)",
    }


def test_zero_shot_is_of_readings_that_have_not_seen_the_data(result):
    result["shares"][1]["systems"][3]["validation_ndcg@10"] = 0.3
    for sources, expected in ((["books"], "0.2200 / 0.1100"), (["films"], "0.2000 / 0.1000")):
        columns, (line,) = study_report.summary([{**result, "source_domains": sources}])
        assert line[columns.index("Zero-shot")] == expected


def test_the_terminal_shows_every_system(result, capsys):
    study_report.show(result["shares"][1])
    study_report.show_overview(result["shares"])
    printed = capsys.readouterr().out
    for text in ("100 % of the training users (1,500)", "Fused less EASE: +0.0200", "ItemKNN"):
        assert text in printed


def test_a_domain_that_the_base_teacher_knows_is_named(result):
    result["source_domains"] = ["films"]
    assert "learned from films itself" in study_report.notes(result)[1]


@pytest.mark.skipif(not CASE_STUDIES.is_file(), reason="no case studies in the repository")
def test_the_case_studies_show_the_results(tmp_path):
    copy = tmp_path / "case-studies.md"
    copy.write_text(CASE_STUDIES.read_text(encoding="utf-8"), encoding="utf-8")
    every = [read_json(path) for path in sorted(RESULTS.glob("study-*.json"))]
    for result in every:
        study_report.update_document(copy, result, every)
    assert copy.read_text(encoding="utf-8") == CASE_STUDIES.read_text(encoding="utf-8")
