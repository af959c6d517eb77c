"""Pre-training on several domains: what a batch holds, what is learned, and how the weights reach a new catalogue."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy.linalg import block_diag
from tiny_data import Recorder, save_tiny_backbone, tiny_histories, unit_rows, write_tiny_data

from pocketrec.artefact import side_by_side
from pocketrec.errors import DataError, UsageError
from pocketrec.run import Run
from pocketrec.splits import Cases, Indices
from teacher import stage
from teacher.adapter_training import AdapterRecipe
from teacher.base import FILE, BaseTeacher
from teacher.base_training import train_base
from teacher.contrastive import train_adapter
from teacher.pretraining import Domain, Sampler, pretrain
from teacher.readings import ADAPTED, FROZEN, SENTENCE, TITLED, Readings
from teacher.recipe import PretrainingRecipe, SequenceRecipe
from teacher.sequence import SequenceModel, SequenceScorer
from teacher.starts import BOTH, SCRATCH, TRANSFER
from teacher.transfer import Verdict, guard
from teacher.whitening import fit_whitening
from training.sequences import PAD

SMALL = SequenceRecipe(
    dimensions=16, layers=1, dropout=0.0, projection_dropout=0.0, batch_places=128, negatives=32
)
WIDTH = 12


def circle(items: int, users: int, seed: int) -> list[Indices]:
    """Everyone walks round the catalogue in steps of a fifth."""
    rng = np.random.default_rng(seed)
    walk = np.arange(5) * (items // 5)
    return [(start + walk) % items for start in rng.integers(items, size=users)]


def clock_face(items: int, seed: int) -> npt.NDArray[np.float32]:
    """Unit rows on a circle in one plane, so that what comes next can be read off an item's vector."""
    angles = 2 * np.pi * np.arange(items) / items
    plane = np.linalg.qr(np.random.default_rng(0).normal(size=(WIDTH, 2)))[0]
    rows = np.stack([np.cos(angles), np.sin(angles)], axis=1) @ plane.T
    return (rows + 1e-3 * np.random.default_rng(seed).normal(size=rows.shape)).astype(np.float32)


DOMAINS = [
    Domain("small", clock_face(20, 1), circle(20, 60, 1)),
    Domain("large", clock_face(25, 2), circle(25, 200, 2)),
]


def test_a_round_shows_every_window_once_in_rows_of_the_whole() -> None:
    sequences = [np.array([0, 1, 2]), np.array([3, 1]), np.array([2])]  # one item predicts nothing
    sampler = Sampler(Domain("d", unit_rows((4, 3)), sequences), 10, 5, places=4, seed=0)
    shown = [row for _ in range(2) for row in sampler.draw().tolist()]
    assert sorted(shown) == [[10, 11, 12, PAD, PAD], [13, 11, PAD, PAD, PAD]]


def test_sets_are_shown_in_a_new_order_each_round() -> None:
    domain = Domain("d", unit_rows((8, 3)), [np.arange(8)], as_sets=True)
    sampler = Sampler(domain, 0, 8, places=100, seed=0)
    rounds = [sampler.draw()[0].tolist() for _ in range(3)]
    assert all(sorted(shown) == list(range(8)) for shown in rounds)
    assert len({tuple(shown) for shown in rounds}) == 3


def test_what_sources_teach_serves_a_catalogue_that_was_never_seen() -> None:
    """Three circles of other sizes in one plane: the step in the third is known from the first two."""
    recipe = PretrainingRecipe(steps=150, domains=2, contrast=0.0, sequence=SMALL)
    base = BaseTeacher.of(pretrain(DOMAINS, recipe, seed=0), {})
    walks = circle(15, 40, 3)
    cases = Cases(np.arange(40), [w[:-1] for w in walks], np.array([w[-1] for w in walks]))
    torch.manual_seed(1)
    scratch, transfer = (SequenceModel(clock_face(15, 3), 6, SMALL) for _ in range(2))
    base.start(transfer, np.eye(WIDTH, dtype=np.float32))
    ways = [SequenceScorer(model).logits for model in (scratch, transfer)]
    verdict = guard(dict(zip((SCRATCH, TRANSFER), ways, strict=True)), SCRATCH, cases, seed=0)
    assert verdict.used == TRANSFER
    assert verdict.ndcg[TRANSFER] > 2 * verdict.ndcg[SCRATCH]
    assert verdict.describe().startswith("transfer used: validation NDCG@10 +")
    # The other way round it does not help, and is not used.
    verdict = guard(dict(zip((TRANSFER, SCRATCH), ways, strict=True)), SCRATCH, cases, seed=0)
    assert verdict.used == SCRATCH
    assert verdict.describe().startswith("scratch kept, no gain beyond chance from transfer: ")


def test_equal_models_are_told_apart_by_nothing() -> None:
    way = SequenceScorer(SequenceModel(unit_rows((9, 4)), 5, SMALL)).logits
    cases = Cases(np.arange(3), [np.array([0]), np.array([1, 2]), np.array([3])], np.arange(3) + 4)
    verdict = guard({SCRATCH: way, TRANSFER: way}, SCRATCH, cases, seed=0)
    assert verdict.used == SCRATCH
    assert verdict.differences == {TRANSFER: (0, 0, 0)}


def test_the_same_seed_gives_the_same_weights() -> None:
    recipe = PretrainingRecipe(steps=5, domains=2, sequence=SMALL)
    first, second = (pretrain(DOMAINS, recipe, seed=3).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_rotation_goes_into_the_projection() -> None:
    """A catalogue in its own basis maps where it would in the language model's space."""
    raw = np.random.default_rng(0).normal(size=(30, WIDTH)).astype(np.float32)
    whitening = fit_whitening(raw, 7)
    own = whitening.apply(raw)
    shared = SequenceModel(own @ whitening.basis.T, 9, SMALL).eval()
    base = BaseTeacher.of(shared, {})
    target = SequenceModel(own, 5, SMALL).eval()
    base.start(target, whitening.basis)
    with torch.no_grad():
        torch.testing.assert_close(target.items(), shared.items(), atol=1e-5, rtol=1e-4)
    assert torch.equal(target.position, shared.position[:6])


def two_readers(seed: int) -> Readings:
    """30 texts, read by a language model of ``WIDTH`` numbers and an encoder of 10."""
    rng = np.random.default_rng(seed)
    raw, beside = (rng.normal(size=(30, wide)).astype(np.float32) for wide in (WIDTH, 10))
    whitening, other = fit_whitening(raw, 7), fit_whitening(beside, 7)
    return Readings(whitening.apply(raw), other.apply(beside), whitening, other, 7)


def test_what_another_encoder_says_starts_without_weight() -> None:
    """Beside a sentence encoder's vectors a model starts as one that does not read them, and learns to."""
    readings = two_readers(0)
    base = BaseTeacher.of(SequenceModel(unit_rows((5, WIDTH)), 9, SMALL), {})
    plain, wider = (
        SequenceModel(readings.vectors(way), 9, SMALL).eval() for way in (FROZEN, FROZEN + SENTENCE)
    )
    base.start(plain, *readings.bases(FROZEN))
    base.start(wider, *readings.bases(FROZEN + SENTENCE))
    torch.testing.assert_close(wider.items(), plain.items(), atol=1e-5, rtol=1e-4)
    assert not wider.project.weight[:, 7:].any()
    wider.items()[:, 0].sum().backward()
    assert wider.project.weight.grad is not None
    assert wider.project.weight.grad[0, 7:].all()


def test_factors_beside_the_texts_start_without_weight() -> None:
    """Factors are another catalogue's own: nothing can be known of them, and texts are read as without them."""
    raw = np.random.default_rng(0).normal(size=(30, WIDTH)).astype(np.float32)
    whitening = fit_whitening(raw, 7)
    texts = whitening.apply(raw)
    base = BaseTeacher.of(SequenceModel(unit_rows((5, WIDTH)), 9, SMALL), {})
    plain = SequenceModel(texts, 9, SMALL).eval()
    beside = SequenceModel(side_by_side(texts, unit_rows((30, 3))), 9, SMALL).eval()
    length = beside.text_length()
    base.start(plain, whitening.basis)
    base.start(beside, whitening.basis)
    torch.testing.assert_close(beside.items(), plain.items(), atol=1e-5, rtol=1e-4)
    assert beside.text_length() == pytest.approx(length, rel=1e-5)
    beside.items()[:, 0].sum().backward()
    assert beside.project.weight.grad is not None
    assert beside.project.weight.grad[0, 7:].all()


def test_what_two_encoders_say_is_read_as_in_the_sources_and_each_alone() -> None:
    readings = two_readers(0)
    both = FROZEN + SENTENCE
    shared = readings.vectors(both) @ block_diag(*readings.bases(both)).T
    source = SequenceModel(shared.astype(np.float32), 9, SMALL).eval()
    base = BaseTeacher.of(source, {})
    target, alone = (
        SequenceModel(readings.vectors(way), 9, SMALL).eval() for way in (both, FROZEN)
    )
    base.start(target, *readings.bases(both))
    torch.testing.assert_close(target.items(), source.items(), atol=1e-5, rtol=1e-4)
    base.start(alone, *readings.bases(FROZEN))
    language = np.pad(readings.vectors(FROZEN) @ readings.bases(FROZEN)[0].T, ((0, 0), (0, 10)))
    expected = SequenceModel(language, 9, SMALL)
    expected.load_state_dict({**expected.state_dict(), **base.state})
    torch.testing.assert_close(alone.items(), expected.eval().items(), atol=1e-5, rtol=1e-4)


def test_long_training_leaves_ids_as_much_to_say_as_they_have_anew() -> None:
    trained = SequenceModel(unit_rows((5, WIDTH)), 9, SMALL)
    with torch.no_grad():
        trained.project.weight *= 8
        trained.project.bias *= 8
    target = SequenceModel(unit_rows((9, WIDTH), seed=1), 9, SMALL).eval()
    length = target.text_length()
    BaseTeacher.of(trained, {}).start(target, np.eye(WIDTH, dtype=np.float32))
    assert target.text_length() == pytest.approx(length, rel=1e-5)


def test_places_beyond_those_of_the_sources_are_read_like_the_last() -> None:
    base = BaseTeacher.of(SequenceModel(unit_rows((4, WIDTH)), 3, SMALL), {})
    longer = SequenceModel(unit_rows((4, WIDTH)), 6, SMALL)
    base.start(longer, np.eye(WIDTH, dtype=np.float32))
    assert torch.equal(longer.position[:4], base.state["position"])
    assert torch.equal(longer.position[4:], base.state["position"][-1:].expand(3, -1))


def test_saved_and_loaded(tmp_path: Path) -> None:
    base = BaseTeacher.of(SequenceModel(unit_rows((4, 3)), 5, SMALL), {"seed": 1})
    base.save(tmp_path)
    again = BaseTeacher.load(tmp_path)
    assert again.facts == base.facts
    assert again.sha == base.sha
    assert "vectors" not in again.state
    (tmp_path / "base.safetensors").write_bytes(b"no")
    for folder in (tmp_path, tmp_path / "never"):
        with pytest.raises(UsageError, match="expected a base teacher, found"):
            BaseTeacher.load(folder)


RECIPE = """[teacher]
backbone = "{backbone}"
sentence_encoder = "{encoder}"
base = "{base}"
dimensions = 16
ridges = [10, 100]
[teacher.sequence]
epochs = 2
dimensions = {dimensions}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Data folders a, b and c, two language models, and a base teacher that has seen a and b with the first."""
    folder = tmp_path_factory.mktemp("sources")
    save_tiny_backbone(folder / "backbone")
    save_tiny_backbone(folder / "encoder", seed=1)
    sources = [write_tiny_data(folder / name, seed) for seed, name in enumerate("abc")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POCKETREC_CACHE", str(folder / "cache"))
        models = (str(folder / "backbone"), str(folder / "encoder"))
        train_base(sources[:2], folder / "base", 5, 0, *models, 20, Recorder())
        yield folder


def test_a_source_without_pairs_is_named(folder: Path, tmp_path: Path) -> None:
    source = tmp_path / "thin"
    source.mkdir()
    (source / "items.csv").write_text("item_id,title\na,A\nb,B\nc,C\n")
    (source / "interactions.csv").write_text("user_id,item_id,position\nu,a,1\nu,b,2\nu,c,3\n")
    arguments = (tmp_path / "out", 1, 0, str(folder / "backbone"), "none", 1, Recorder())
    with pytest.raises(DataError, match="thin: expected a user with two training choices"):
        train_base([source], *arguments)
    assert not (tmp_path / "out").exists()


def open_run(folder: Path, dimensions: int, encoder: str = "none") -> Run:
    name = f"{dimensions}-{Path(encoder).name}"
    recipe = folder / f"recipe-{name}.toml"
    paths = {"backbone": folder / "backbone", "encoder": encoder, "base": folder / "base"}
    recipe.write_text(RECIPE.format(**paths, dimensions=dimensions))
    return Run.open(folder / f"run-{name}", folder / "c", recipe=recipe)


def test_a_base_teacher_says_what_made_it(folder: Path) -> None:
    facts = BaseTeacher.load(folder / "base").facts
    assert list(facts["domains"]) == ["a", "b"]
    assert facts["domains"]["a"]["histories"] == 150
    assert facts["recipe"]["steps"] == 20
    choices = sum(len(history) for history in tiny_histories(0))
    assert facts["domains"]["a"]["interactions"] == choices - 2 * 150  # nobody's last two


def test_a_build_compares_transfer_with_scratch(folder: Path) -> None:
    run, report = open_run(folder, 128), Recorder()
    stage.run(run, report)
    facts = run.facts("teacher/holdout")["transfer"]
    assert set(facts["ndcg"]) == {SCRATCH, TRANSFER, BOTH}
    assert facts["used"] in facts["ndcg"]
    assert "against scratch" in report.lines[1]


def test_a_build_starts_from_the_base_teacher_beside_a_sentence_encoder(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = Verdict(FROZEN + SENTENCE, FROZEN, {}, {})
    monkeypatch.setattr(stage, "_choose_reading", lambda *given: chosen)
    started, start = [], BaseTeacher.start

    def remember(base: BaseTeacher, model: SequenceModel, *bases: npt.NDArray[np.float32]) -> None:
        start(base, model, *bases)
        started.append(model.project.weight.detach().clone())

    monkeypatch.setattr(BaseTeacher, "start", remember)
    run = open_run(folder, 128, str(folder / "encoder"))
    stage.run(run, Recorder())
    assert set(run.facts("teacher/holdout")["transfer"]["ndcg"]) == {SCRATCH, TRANSFER, BOTH}
    assert np.load(run.folder / "teacher/final/item_vectors.npy").shape[1] == 2 * 16
    factors = run.facts("teacher/holdout")["factors"]["width"]
    assert started[0].shape == (128, 2 * 16 + factors)
    assert started[0][:, :16].any()
    assert started[0][:, 16:32].any()
    assert not started[0][:, 32:].any()  # factors


def test_an_adapter_reads_the_texts_of_a_build(folder: Path) -> None:
    data = [folder / "a", folder / "b"]
    settings = AdapterRecipe(
        backbone=str(folder / "backbone"),
        layer=2,
        first_layer=1,
        targets="all-linear",
        steps=2,
        pairs=8,
    )
    train_adapter(data, folder / "adapted", settings, 0, None, Recorder())
    recipe = folder / "adapted.toml"
    paths = {name: folder / name for name in ("backbone", "encoder")}
    text = RECIPE.format(**paths, base=folder / "adapted", dimensions=128)
    recipe.write_text(text.replace("[teacher]", "[teacher]\nlayer = 2", 1))
    run = Run.open(folder / "adapted-run", folder / "c", recipe=recipe)
    stage.run(run, Recorder())
    vectors, facts = run.facts("teacher/vectors"), run.facts("teacher/holdout")
    assert "/adapter-" in vectors["fingerprints"]["language"]
    assert np.load(run.folder / "teacher/vectors/vectors.npy").shape[1] == 2 * 16
    widths = {FROZEN: 16, ADAPTED: 32, FROZEN + SENTENCE: 32, ADAPTED + SENTENCE: 48}
    widths |= {way + TITLED: width for way, width in widths.items()}
    assert set(facts["reading"]["ndcg"]) == set(widths)
    used = np.load(run.folder / "teacher/final/item_vectors.npy")
    assert used.shape[1] == widths[facts["reading"]["used"]]
    np.testing.assert_allclose(np.linalg.norm(used, axis=1), 1, rtol=1e-5)
    # A base teacher that learned without the adapter cannot read what it says.
    shutil.copy(folder / "base" / FILE, folder / "adapted")
    other = Run.open(folder / "other-run", folder / "c", recipe=recipe)
    with pytest.raises(UsageError, match="base: .* with language model .*/adapter-"):
        stage.run(other, Recorder())


def test_a_base_of_another_shape_is_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match="base: .* with dimensions 64, found 128"):
        stage.run(open_run(folder, 64), Recorder())
