"""Contrastive training of an adapter: the loss by hand, a run killed and resumed, two processes, the command line."""

import json
import math
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_data import Recorder, save_tiny_backbone, write_tiny_data

from pocketrec.cli import main
from pocketrec.errors import RunError, UsageError
from teacher import adapter_training, domains, pretrained
from teacher.adapted import load_adapted
from teacher.adapter_training import AdapterRecipe, candidates_of, pair_loss
from teacher.contrastive import read_adapter_recipe, train_adapter
from teacher.pretrained import load_backbone

WITHOUT_BF16 = """
import sys, torch
from teacher import domains, pretrained
pretrained.fastest_dtype = domains.fastest_dtype = lambda: torch.float32
from pocketrec.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(autouse=True)
def _float32(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (pretrained, domains):
        monkeypatch.setattr(module, "fastest_dtype", lambda: torch.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data folders a and b, a language model of two layers, and the states that the first runs keep."""
    folder = tmp_path_factory.mktemp("contrastive")
    save_tiny_backbone(folder / "backbone")
    for seed, name in enumerate("ab"):
        write_tiny_data(folder / "data" / name, seed)
    return folder


def recipe_of(folder: Path, **settings: object) -> AdapterRecipe:
    return AdapterRecipe(
        **{
            "backbone": str(folder / "backbone"),
            "layer": 2,
            "first_layer": 1,
            "rank": 4,
            "targets": "all-linear",
            "learning_rate": 0.02,
            "temperature": 0.2,
            "pairs": 12,
            "steps": 40,
            "max_tokens": 12,
            "dimensions": 24,
            **settings,
        }
    )


def train(folder: Path, out: Path, **settings: object) -> Path:
    return train_adapter(
        [folder / "data" / "a", folder / "data" / "b"],
        out,
        recipe_of(folder, **settings),
        seed=0,
        seconds=None,
        report=Recorder(),
        states=folder / "states",
        checkpoint_every=4,
    )


def weights(adapter: Path) -> dict[str, torch.Tensor]:
    return load_file(adapter / "adapter_model.safetensors")


def log_of(out: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def test_the_loss_by_hand() -> None:
    """Anchors east and north, positives east and north: cosines 1 with the partner and 0 with the other."""
    vectors = torch.eye(2).repeat(2, 1)
    negatives = ~torch.eye(2, dtype=torch.bool).repeat(2, 2)
    candidates, partner = candidates_of(negatives, "infonce")
    assert partner.tolist() == [2, 3, 0, 1]
    found = pair_loss(vectors, candidates, partner, temperature=0.5)
    assert found.item() == pytest.approx(math.log(1 + math.exp(-2)))
    candidates, partner = candidates_of(negatives, "ntxent")  # the other anchor joins in
    found = pair_loss(vectors, candidates, partner, temperature=0.5)
    assert found.item() == pytest.approx(math.log(1 + 2 * math.exp(-2)))


def test_a_row_without_negatives_costs_nothing() -> None:
    vectors = torch.nn.functional.normalize(torch.randn(4, 3), dim=1).requires_grad_()
    candidates, partner = candidates_of(torch.zeros(4, 4, dtype=torch.bool), "ntxent")
    loss = pair_loss(vectors, candidates, partner, 0.1)
    loss.backward()
    assert loss.item() == 0
    assert vectors.grad is not None
    assert torch.isfinite(vectors.grad).all()


def test_training_brings_chosen_together_texts_together(folder: Path, tmp_path: Path) -> None:
    adapter = train(folder, tmp_path / "run")
    first, last = log_of(tmp_path / "run")
    assert [first["step"], last["step"]] == [20, 40]
    assert last["loss"] < 0.9 * first["loss"]
    assert last["loss"] < last["chance"]
    assert set(last["domains"]) == {"a", "b"}  # type: ignore[call-overload]
    facts = json.loads((adapter / "adapter.json").read_text())
    plain = load_backbone(str(folder / "backbone"), 2)
    assert facts["backbone"] == plain.fingerprint
    assert facts["steps"] == 40
    assert set(facts["sources"]) == {"a", "b"}
    assert facts["recipe"]["temperature"] == 0.2
    adapted = load_adapted(str(folder / "backbone"), 2, adapter)
    assert adapted.fingerprint != plain.fingerprint


class KilledError(RuntimeError):
    pass


class Killer(Recorder):
    """A report that stops the training after ``steps`` steps."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.left = steps

    @contextmanager
    def task(
        self, description: str, total: float | None = None
    ) -> Iterator[Callable[[float], None]]:
        def advance(_: float) -> None:
            if description.startswith("Learning"):
                self.left -= 1
                if self.left == 0:
                    raise KilledError

        yield advance


def test_killed_and_resumed_ends_where_an_uninterrupted_run_does(
    folder: Path, tmp_path: Path
) -> None:
    whole = train(folder, tmp_path / "whole", steps=24)
    sources = [folder / "data" / "a", folder / "data" / "b"]
    arguments = (sources, tmp_path / "cut", recipe_of(folder, steps=24), 0)
    for steps in (7, 19):  # from checkpoint 4, then from checkpoint 20: past the first log line
        with pytest.raises(KilledError):
            train_adapter(*arguments, None, Killer(steps), folder / "states", 4)
    resumed = train(folder, tmp_path / "cut", steps=24)
    assert weights(resumed).keys() == weights(whole).keys()
    for name, value in weights(whole).items():
        assert torch.equal(weights(resumed)[name], value)
    losses = [[line["loss"] for line in log_of(tmp_path / name)] for name in ("whole", "cut")]
    assert losses[0] == losses[1]
    with pytest.raises(UsageError, match="holds a run with recipe .* choose another folder"):
        train(folder, tmp_path / "cut", steps=25)
    (tmp_path / "cut" / "checkpoint.pt").write_bytes(b"no")
    with pytest.raises(RunError, match="expected a checkpoint, found"):
        train(folder, tmp_path / "cut", steps=24)


def test_the_time_budget_sets_the_schedule(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock of one second a look: one goes into preparing, and of the rest one into each step."""
    shares: list[float] = []
    rate = adapter_training.warmup_cosine
    monkeypatch.setattr(
        adapter_training, "warmup_cosine", lambda share: shares.append(share) or rate(share)
    )
    time = iter(range(1000))
    train_adapter(
        [folder / "data" / "a"],
        tmp_path,
        recipe_of(folder, steps=500),
        0,
        11.0,
        Recorder(),
        folder / "states",
        clock=lambda: float(next(time)),
    )
    assert shares == pytest.approx([n / 10 for n in range(10)])


def test_two_processes_learn_what_one_does(folder: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    settings = recipe_of(folder, steps=20).model_dump(exclude_none=True)
    recipe.write_text(
        "".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items())
    )
    sources = [str(folder / "data" / name) for name in "ab"]
    arguments = ["adapt", *sources, "--recipe", str(recipe)]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {
        **os.environ,
        "CUDA_VISIBLE_DEVICES": "",
        "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "OMP_NUM_THREADS": "1",
    }
    out = tmp_path / "two"
    command = [sys.executable, "-c", WITHOUT_BF16, *arguments, "--out", str(out)]
    running = [
        subprocess.Popen(
            [*command, "--states", str(tmp_path / "states")],
            env={**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    ends = [(process.communicate()[1], process.returncode) for process in running]
    assert [code for _, code in ends] == [0, 0], ends
    assert (
        main([*arguments, "--out", str(tmp_path / "one"), "--states", str(folder / "states")]) == 0
    )
    one, two = (log_of(tmp_path / name) for name in ("one", "two"))
    assert two[0]["loss"] == pytest.approx(one[0]["loss"], abs=2e-4)
    for name, value in weights(tmp_path / "one" / "adapter").items():
        found = weights(tmp_path / "two" / "adapter")[name]
        torch.testing.assert_close(found, value, atol=5e-3, rtol=1e-2)


def test_calls_that_are_wrong(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, out = str(folder / "data" / "a"), str(tmp_path / "run")
    assert main(["adapt", a, a, "--out", out]) == 2
    assert "expected each domain once" in capsys.readouterr().err
    assert main(["adapt", a, str(folder / "never"), "--out", out]) == 1
    assert "never: expected a data folder" in capsys.readouterr().err
    recipe = tmp_path / "recipe.toml"
    for text, message in (
        ("rank = 0", "rank: Input should be greater than 0, found 0"),
        ("ranks = 1", "ranks: Extra inputs are not permitted, found 1"),
        ("rank", "expected a recipe in TOML"),
    ):
        recipe.write_text(text)
        with pytest.raises(UsageError, match=message):
            read_adapter_recipe(recipe)
    with pytest.raises(UsageError, match="first_layer: expected 0 to 1, fewer .*, found 2"):
        train(folder, tmp_path / "run", first_layer=2)
