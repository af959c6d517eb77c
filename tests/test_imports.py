"""Who loads what: the command line starts light, the core serves without a training framework."""

import json
import pkgutil
import subprocess
import sys
import tomllib
from itertools import chain
from pathlib import Path

import pytest

import pocketrec

ROOT = Path(__file__).parents[1]
TRAINING = {
    "torch",
    "transformers",
    "peft",
    "tokenizers",
    "onnx",
    "optimum",
    "scipy",
    "kivy",
}
TABLES = {"polars", "pandas"}
SCREEN = {"typer", "rich"}
ENGINE = {"numpy", "onnxruntime", "sqlite3", "sqlite_utils"}
STAGES = {"training", "teacher", "distill", "export", "device_app", "benchmarks"}

LOADED = "import sys, json; print('\\n' + json.dumps(sorted(name.partition('.')[0] for name in sys.modules)))"


def loaded_by(code, *arguments, of):
    """Those of the top-level packages ``of`` that ``code`` loads in a process of its own."""
    command = [sys.executable, "-c", f"{code}\n{LOADED}", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    return sorted(of & set(json.loads(done.stdout.splitlines()[-1])))


def command(*arguments):
    return f"from pocketrec.cli import main\nassert main({[str(a) for a in arguments]!r}) == 0"


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["build", "--help"], ["data", "list", "--help"]]
)
def test_help_loads_nothing_heavy(arguments):
    heavy = TRAINING | TABLES | STAGES | {"rich"} | ENGINE - {"sqlite3"}
    assert loaded_by(command(*arguments), of=heavy) == []


def test_the_package_loads_nothing_until_used():
    assert loaded_by("import pocketrec", of=TRAINING | TABLES | SCREEN | ENGINE) == []


def test_the_recommender_needs_neither_tables_nor_a_screen(tiny_bundle):
    code = (
        "import sys\nfrom pocketrec import Recommender\nr = Recommender.open(sys.argv[1])\n"
        "r.recommend(['m01']); r.encode(['x']); r.explain(['m01'], 'm02'); r.similar('m01')"
    )
    assert loaded_by(code, tiny_bundle, of=TRAINING | TABLES | SCREEN | STAGES) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["recommend", "BUNDLE", "--history", "m01"],
        ["recommend", "BUNDLE", "--history", "m01", "--json"],
        ["verify", "BUNDLE"],
        ["inspect", "BUNDLE"],
    ],
)
def test_commands_on_a_bundle_need_the_base_installation_alone(tiny_bundle, arguments):
    call = command(*(str(tiny_bundle) if part == "BUNDLE" else part for part in arguments))
    assert loaded_by(call, of=TRAINING | TABLES | STAGES) == []


def test_every_module_of_the_core_loads_without_a_training_framework():
    names = [info.name for info in pkgutil.walk_packages(pocketrec.__path__, "pocketrec.")]
    assert "pocketrec.cli.formats" in names
    code = "\n".join(f"import {name}" for name in names if not name.endswith("__main__"))
    assert loaded_by(code, of=TRAINING | STAGES) == []


def test_a_history_is_read_and_matched_without_a_window():
    code = "import device_app.importers.matching, device_app.importers.reading"
    assert loaded_by(code, of=TRAINING | TABLES | SCREEN | ENGINE - {"sqlite3"}) == []


def test_public_names():
    assert all(getattr(pocketrec, name) for name in pocketrec.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Recomender'"):
        _ = pocketrec.Recomender


def test_one_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == pocketrec.__version__
    assert f"## {pocketrec.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_constraints_pin_every_dependency():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {normal(line) for line in lines if "==" in line}
    wanted = chain(project["dependencies"], *project["optional-dependencies"].values())
    assert {normal(requirement) for requirement in wanted} <= pinned


def normal(requirement):
    name = requirement.partition("[")[0]
    for sign in "=<>":
        name = name.partition(sign)[0]
    return name.strip().lower().replace("_", "-").replace(".", "-")
