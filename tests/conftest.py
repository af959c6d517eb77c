"""Fixtures shared by all tests: a small real bundle, made without torch and without a download."""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import settings

os.environ.setdefault("OMP_NUM_THREADS", "1")
# Test folders are no packages: this makes the builders beside this file importable.
sys.path.insert(0, str(Path(__file__).parent))
# A machine that is busy with something else is no fault of the code.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep unpacked bundles and vectors out of the user's cache."""
    monkeypatch.setenv("POCKETREC_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a sealed bundle of 40 films, d = 8. Shared: do not write into it."""
    from tiny_bundle import build_tiny_bundle

    return build_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny")


@pytest.fixture
def tiny_bundle_copy(tiny_bundle: Path, tmp_path: Path) -> Path:
    """A copy of the tiny bundle that a test may damage."""
    return Path(shutil.copytree(tiny_bundle, tmp_path / "tiny"))


@pytest.fixture
def tiny_bundle_zip(tiny_bundle: Path, tmp_path: Path) -> Path:
    """The tiny bundle as one .zip."""
    from pocketrec.bundle import pack

    pack(tiny_bundle, tmp_path / "tiny.zip")
    return tmp_path / "tiny.zip"


@pytest.fixture
def watch_often(monkeypatch: pytest.MonkeyPatch) -> Callable[[ModuleType], list[list[int]]]:
    """Lets a trainer's module note, for each step, what it compares with for being chosen often."""

    def watch(module: ModuleType) -> list[list[int]]:
        noted: list[list[int]] = []
        compare = module.compare

        def noting(
            windows: Any, catalogue: int, negatives: int, exactly: bool, often: Any, *device: Any
        ) -> Any:
            noted.append(often.tolist())
            return compare(windows, catalogue, negatives, exactly, often, *device)

        monkeypatch.setattr(module, "compare", noting)
        return noted

    return watch


@pytest.fixture
def watch_steps(
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[ModuleType], Callable[[], tuple[Any, Any]]]:
    """Lets a trainer's module say its weights after the last step, and averaged over the steps since training (re)started."""
    import torch

    def watch(module: ModuleType) -> Callable[[], tuple[Any, Any]]:
        steps: list[torch.Tensor] = []

        class Noting(module.AveragedWeights):  # type: ignore[name-defined, misc]
            def start(self) -> None:
                steps.clear()
                super().start()

            def add(self) -> None:
                steps.append(torch.cat([p.detach().flatten() for p in self._parameters]))
                super().add()

        def found() -> tuple[torch.Tensor, torch.Tensor]:
            average = torch.zeros_like(steps[0])
            for number, step in enumerate(steps, start=1):
                average += (step - average) * 9 / (8 + number)
            return steps[-1], average

        monkeypatch.setattr(module, "AveragedWeights", Noting)
        return found

    return watch
