"""The study on a run whose vectors and base teacher are made up: what each share may see, and what is kept."""

import itertools
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from tiny_data import ITEMS, PER_GENRE, USERS, Recorder, unit_rows, write_tiny_data

from benchmarks import few_shot, study
from benchmarks.few_shot import FewShot, Target, part, schedule, summarize
from benchmarks.study_report import markdown
from pocketrec import metrics
from pocketrec.errors import RunError, UsageError
from pocketrec.files import read_json, write_json
from pocketrec.run import Run
from pocketrec.splits import Cases, Split
from teacher import sequence
from teacher.base import BaseTeacher
from teacher.readings import ADAPTED, FROZEN, SENTENCE, Readings
from teacher.recipe import SequenceRecipe
from teacher.sequence import SequenceModel
from teacher.whitening import Whitening

MODEL = SequenceRecipe(dimensions=16, layers=1, epochs=2)
RECIPE = """
[teacher]
dimensions = 16
base = "{base}"
knn_neighbours = [20]
knn_shrinks = [10]
decays = [1.0, 0.8]
[teacher.sequence]
dimensions = 16
layers = 1
epochs = 2
"""
EASE = {"kind": "EASE", "settings": {"ridge": 33.0}, "decay": 0.8, "validation": 0.1}
HIDDEN = 40
ALONE = "Content, sentences alone"
BY_READING = [
    f"{system}, {reading}"
    for reading in ("frozen", "both", "frozen, sentences", "both, sentences")
    for system in ("Content", "EASE with text", "EASE with text + Content")
]
UNTRAINED = "Base teacher, not fine-tuned"
TRAINED = [
    "SASRec on IDs, CE",
    "Sequence from scratch",
    "Sequence from the base teacher",
    "Both sequence models",
]


def teach(run):
    """What the study reads of a finished teacher."""
    folder = run.folder / "teacher/vectors"
    folder.mkdir(parents=True)
    vectors = unit_rows((ITEMS, 32))
    vectors[np.arange(ITEMS), np.arange(ITEMS) // PER_GENRE] += 1  # the frozen half knows genres
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    whitening = Whitening(np.zeros(HIDDEN, np.float32), unit_rows((HIDDEN, 32), seed=1))
    beside = Whitening(np.zeros(8, np.float32), unit_rows((8, 16), seed=3))
    Readings(vectors, unit_rows((ITEMS, 16), seed=2), whitening, beside, 16).save(folder)
    knn = {"kind": "ItemKNN", "settings": {"neighbours": 20, "shrink": 10}, "decay": 1.0}
    records = {
        "teacher-vectors": {"fingerprints": {"language": "tiny", "sentences": "small"}},
        "teacher-holdout": {
            "item_models": {"EASE": EASE, "ItemKNN": {**knn, "validation": 0.1}},
            "exact_items": ITEMS,
            "local_width": None,
            "length": 12,
            "reading": {"used": ADAPTED + SENTENCE},
            "factors": {"width": 8},
        },
    }
    for name, facts in records.items():
        record = {"fingerprint": name, "seconds": 1.0, "facts": facts}
        write_json(run.folder / "records" / f"{name}.json", record)


@pytest.fixture(scope="module", autouse=True)
def _quick():
    with pytest.MonkeyPatch.context() as patch:
        for name in ("CONTENT_DECAYS", "EASE_RIDGES", "RIDGES", "TEXT_WEIGHTS"):
            patch.setattr(few_shot, name, getattr(few_shot, name)[1:3])
        patch.setattr(metrics, "bootstrap", partial(metrics.bootstrap, draws=20))
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    torch.manual_seed(0)
    facts = {
        "fingerprints": {"language": "tiny", "sentences": None},
        "domains": {"films": {}},
        "recipe": {"sequence": vars(MODEL)},
    }
    BaseTeacher.of(SequenceModel(unit_rows((5, HIDDEN)), 12, MODEL), facts).save(folder / "base")
    (folder / "recipe.toml").write_text(RECIPE.format(base=folder / "base"))
    data = write_tiny_data(folder / "books")
    made = Run.open(folder / "run", data, recipe=folder / "recipe.toml")
    teach(made)
    return made


@pytest.fixture(scope="module")
def target(run):
    return Target(run)


def measure(target, share):
    return FewShot(target, share, seconds=600, seed=0, report=Recorder()).measure()


def by_name(row):
    return {one["system"]: one for one in row["systems"]}


@pytest.fixture(scope="module")
def tenth(target):
    return measure(target, 0.1)


def test_precision_and_f1_follow_from_recall():
    (row,) = summarize({"one": np.array([1.0, 10.0, 11.0, 40.0])}, seed=0)
    assert row["recall@10"]["mean"] == 0.5
    assert row["precision@10"] == pytest.approx(0.05)
    assert row["f1@10"] == pytest.approx(2 * 0.5 * 0.05 / 0.55)
    assert row["ndcg@10"]["mean"] == pytest.approx((1 + 1 / np.log2(11)) / 4)


def histories(*lengths):
    return [np.arange(length) for length in lengths]


def test_a_part_empties_the_histories_of_the_others():
    none = Cases(np.zeros(0, dtype=np.int64), [], np.zeros(0, dtype=np.int64))
    whole = Split("p", histories(*[3] * 20, 0, 0), np.array([2] * 20 + [0] * 2), none, none)
    kept = {}
    for share, count in ((0, 0), (0.01, 1), (0.1, 2), (0.5, 10), (1, 20)):
        split = part(whole, share, seed=0)
        kept[share] = {user for user, history in enumerate(split.train) if len(history)}
        assert len(kept[share]) == count
        np.testing.assert_array_equal(
            split.unordered, [2 * (user in kept[share]) for user in range(22)]
        )
        assert all(split.train[user] is whole.train[user] for user in kept[share])
    assert kept[0.01] < kept[0.1] < kept[0.5] < kept[1]
    assert kept[0.5] != {u for u, h in enumerate(part(whole, 0.5, seed=1).train) if len(h)}


def test_a_share_trains_for_as_many_steps():
    recipe = SequenceRecipe(epochs=25, evaluate_every=2, patience=8)
    assert schedule(recipe, 1) == recipe
    tenth = schedule(recipe, 0.1)
    assert (tenth.epochs, tenth.evaluate_every, tenth.patience) == (250, 10, 80)


def test_the_readings(target):
    ways = [FROZEN, ADAPTED, FROZEN + SENTENCE, ADAPTED + SENTENCE]
    assert list(target.readings) == list(few_shot.READINGS) == ways
    frozen, both, beside, whole = target.readings.values()
    for vectors, width in zip((frozen, both, beside, whole), (16, 32, 32, 48), strict=True):
        assert vectors.shape == (ITEMS, width)
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(frozen, both[:, :16] / np.linalg.norm(both[:, :16], axis=1)[:, None])
    assert target.vectors is whole


def test_the_base_teacher_starts_without_the_sentences(target):
    features = target.features(target.run.split, 0)
    assert features.shape == (ITEMS, 48 + 8)
    model = target.transferred(MODEL, features, 0, 1.0)
    assert model.project.weight[:, :32].any()
    assert not model.project.weight[:, 32:].any()
    assert target.from_scratch(MODEL, features, 0, 1.0).project.weight[:, 32:].any()


def test_factors_are_those_of_the_share(target):
    nobody = target.features(part(target.run.split, 0, 0), 0)
    assert not nobody[:, 48:].any()
    some, everybody = (target.features(part(target.run.split, s, 0), 0) for s in (0.1, 1))
    assert some[:, 48:].any(axis=1).sum() < everybody[:, 48:].any(axis=1).sum()


def test_a_model_on_ids_reads_no_text(target):
    model = target.on_ids(MODEL, 0, 10.0)
    assert not model.vectors.any()
    items = model.items().detach()
    np.testing.assert_allclose(items.norm(dim=1), 1, rtol=1e-5)
    cosines = (items @ items.T).fill_diagonal_(0)
    assert cosines.max() < 0.95  # every item is another
    other = Target(target.run)
    other.vectors = unit_rows((ITEMS, 48), seed=9)
    torch.testing.assert_close(other.on_ids(MODEL, 0, 10.0).items().detach(), items)


def test_no_share_needs_and_reads_no_training_history(target):
    row = measure(target, 0)
    assert row["training_users"] == 0
    assert [one["system"] for one in row["systems"]] == [ALONE, *BY_READING, UNTRAINED, "Fused"]
    run = Run(target.run.folder, target.run.settings)
    split = run.split
    others = [np.random.default_rng(u).permutation(ITEMS)[:9] for u in range(USERS)]
    run.split = replace(split, train=others)
    assert measure(Target(run), 0) == row
    ndcg = {name: one["ndcg@10"]["mean"] for name, one in by_name(row).items()}
    chance = np.sum(1 / np.log2(np.arange(2, 12))) / ITEMS
    assert ndcg["Content, frozen"] > 2 * chance  # texts tell genres, and users keep to one
    assert ndcg["Content, both, sentences"] > ndcg[ALONE]  # which are random here


def test_a_share_has_every_system_on_the_same_users(target, tenth):
    assert tenth["training_users"] == USERS // 10
    first = ["Popularity", "ItemKNN", "EASE"]
    assert [one["system"] for one in tenth["systems"]] == [
        ALONE,
        *first,
        *BY_READING,
        UNTRAINED,
        *TRAINED,
        "Fused",
    ]
    for one in tenth["systems"]:
        assert one["precision@10"] == pytest.approx(one["recall@10"]["mean"] / 10)
        assert 0 <= one["validation_ndcg@10"] <= 1
    found = by_name(tenth)
    parts = [name for name in (*BY_READING, UNTRAINED, *TRAINED[1:]) if " + " not in name]
    best = max(found[name]["validation_ndcg@10"] for name in parts)
    assert found["Fused"]["validation_ndcg@10"] >= best
    untrained, tuned = (found[name]["validation_ndcg@10"] for name in (UNTRAINED, TRAINED[2]))
    assert tuned >= untrained
    for one in tenth["differences"]:
        means = [found[one[side]]["ndcg@10"]["mean"] for side in ("ours", "theirs")]
        assert one["ndcg@10"]["mean"] == pytest.approx(means[0] - means[1])
    assert [(one["ours"], one["theirs"]) for one in tenth["differences"]] == list(
        few_shot.QUESTIONS
    )


def test_with_everything_the_peers_are_the_run_s(target, tenth):
    found = by_name(measure(target, 1))
    assert found["EASE"]["settings"] == "EASE (ridge 33, decay 0.8)"
    assert "ridge 33" not in by_name(tenth)["EASE"]["settings"]
    assert found["EASE"]["ndcg@10"]["mean"] > by_name(tenth)["EASE"]["ndcg@10"]["mean"]
    assert not [name for name in found if name.startswith("EASE with text + Content")]
    # What learns nothing from the target is the same at every share.
    for name in (ALONE, "Content, both", "Content, both, sentences", UNTRAINED):
        assert found[name] == by_name(tenth)[name]


def test_fine_tuning_that_spoils_the_base_teacher_is_left_out(target, monkeypatch):
    worse = itertools.count(1)  # each validation in training finds its targets a rank lower
    monkeypatch.setattr(sequence, "rank_targets", lambda *given: np.array([next(worse)]))
    found = FewShot(target, 0.1, seconds=600, seed=0, report=Recorder()).sequence_systems()
    untrained, tuned = found[UNTRAINED], found[TRAINED[2]]
    assert tuned.settings.startswith("Sequence from the base teacher (0 epochs, IDs at rate ")
    assert tuned.validation == untrained.validation
    histories = target.run.split.test.histories
    np.testing.assert_array_equal(
        tuned.scorer.scores(histories), untrained.scorer.scores(histories)
    )
    assert found[TRAINED[3]].scorer.models[1] is tuned.scorer.models[0]
    assert "(0 epochs" not in found[TRAINED[1]].settings  # from scratch there is nothing to keep


def test_the_best_of_every_decay_and_sharpness(target, monkeypatch):
    few = FewShot(target, 0, seconds=600, seed=0, report=Recorder())
    # By their order: at each sharpness both decays; a tie keeps the first.
    seen = iter([0.1, 0.3, 0.4, 0.4])
    monkeypatch.setattr(few_shot, "validation_ndcg", lambda *given: next(seen))
    found = few._content(target.readings[FROZEN], "frozen")
    assert found.settings == "Content (sharpness 2, decay 0.7), frozen"
    assert next(seen, None) is None
    (scores,) = found.scorer.scores([np.array([3, 5])])
    cosines = target.readings[FROZEN] @ target.readings[FROZEN][[3, 5]].T
    kernel = (np.exp(2 * cosines) - 1) / (np.exp(2) - 1)
    np.testing.assert_allclose(scores, kernel @ [0.7, 1], atol=1e-5)


def test_without_a_base_teacher_there_is_nothing_to_compare(target):
    alone = Target(target.run)
    alone.base = replace(alone.base, sequence=None)
    alone.texts = replace(alone.texts, sentences=None)
    alone.readings = {FROZEN: alone.readings[FROZEN]}
    row = measure(alone, 0)
    assert [one["system"] for one in row["systems"]] == BY_READING[:3]
    assert row["differences"] == []
    found = by_name(measure(alone, 0.1))
    assert not {TRAINED[2], TRAINED[3], ALONE, UNTRAINED, *BY_READING[3:]} & set(found)
    assert {"Sequence from scratch", "Fused"} <= set(found)


def test_a_base_teacher_of_another_language_model_is_refused(run):
    other = Run(run.folder, run.settings)
    facts = other.facts
    read = {"fingerprints": {"language": "another", "sentences": "small"}}
    other.facts = lambda name: {**facts(name), **read}
    with pytest.raises(UsageError, match="language model another, found tiny"):
        Target(other)


@pytest.fixture
def counted(monkeypatch, tenth):
    """The shares that are computed; each gives the rows of a tenth."""
    calls = []

    def made(self):
        calls.append(self.share)
        return {**tenth, "share": self.share}

    monkeypatch.setattr(few_shot.FewShot, "measure", made)
    return calls


def test_a_share_is_kept_until_its_settings_change(run, tmp_path, counted, capsys):
    out = tmp_path / "results"
    call = [str(run.folder), "--out", str(out), "--shares"]
    study.main([*call, "0.1"])
    study.main([*call, "0.1", "0"])
    assert counted == [0.1, 0]
    stored = read_json(out / "study-books.json")
    assert [row["share"] for row in stored["shares"]] == [0, 0.1]
    assert stored["environment"]["command"].endswith("run --shares 0.1 0 --seconds 120 --seed 0")
    assert stored["data"]["users"] == USERS
    assert str(run.folder) not in str(stored)
    study.main([*call, "0.1", "--seconds", "7"])
    assert counted == [0.1, 0, 0.1]
    assert [row["share"] for row in read_json(out / "study-books.json")["shares"]] == [0.1]
    printed = capsys.readouterr().out
    for text in (*TRAINED, "10 % of the training users (15)", "No training user"):
        assert text in printed


def test_a_document_gets_its_sections(run, tmp_path, counted):
    page = tmp_path / "page.md"
    sections = [
        f"<!-- study:{name}:begin -->\n<!-- study:{name}:end -->\n" for name in ("books", "all")
    ]
    page.write_text("\n".join(sections), encoding="utf-8")
    out = tmp_path / "results"
    study.main([str(run.folder), "--out", str(out), "--shares", "0.1", "--docs", str(page)])
    result = read_json(out / "study-books.json")
    text = page.read_text(encoding="utf-8")
    assert f"{sections[0].splitlines()[0]}\n{markdown(result)}" in text
    assert "Zero-shot" in text.partition("study:all:begin")[2]


def test_calls_that_cannot_be(run, tmp_path, capsys):
    for wrong in (["--shares", "0.1", "2"], ["--seconds", "0"]):
        with pytest.raises(SystemExit):
            study.main([str(run.folder), *wrong])
    assert "--shares: expected numbers from 0 to 1" in capsys.readouterr().err
    (tmp_path / "study-books.json").write_text("[]", encoding="utf-8")
    with pytest.raises(RunError, match="expected a study, found .*; remove it"):
        study.main([str(run.folder), "--out", str(tmp_path)])
