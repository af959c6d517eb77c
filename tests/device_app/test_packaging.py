"""What becomes an Android package. No package is built here: what is staged is run by this machine's Python."""

import re
import subprocess
import sys
from configparser import ConfigParser
from importlib.metadata import distribution, distributions, requires
from pathlib import Path
from types import ModuleType

import pytest

import device_app
import pocketrec
from device_app.packaging import requirements_check, stage
from device_app.packaging.requirements_check import (
    Recipes,
    RequirementsError,
    check,
    impure,
    spec_requirements,
)
from device_app.packaging.stage import LEFT_OUT, StagingError
from pocketrec.errors import BundleError, UsageError

ROOT = Path(device_app.__file__).parents[1]
NEEDS = {"sdl2": ["python3"], "python3": [], "kivy": ["pyjnius", "requests"], "pyjnius": ["six"]}
RECIPES = Recipes("some version", "3.14.2", NEEDS)


def modules(folder: Path) -> set[str]:
    """Of a package, by their names; its own included."""
    files = (path.relative_to(folder.parent).with_suffix("") for path in folder.rglob("*.py"))
    return {".".join(file.parts).removesuffix(".__init__") for file in files}


# --- staging ---------------------------------------------------------------------------------------


@pytest.fixture
def staged(tiny_bundle: Path, tmp_path: Path) -> Path:
    stage.stage(tiny_bundle, tmp_path / "android" / "app")
    return tmp_path / "android" / "app"


def test_what_is_staged(staged: Path, tiny_bundle: Path) -> None:
    assert sorted(path.name for path in staged.iterdir()) == [
        "buildozer.spec",
        "bundle",
        "device_app",
        "main.py",
        "pocketrec",
    ]
    for path in (path for path in tiny_bundle.rglob("*") if path.is_file()):
        there = staged / "bundle" / path.relative_to(tiny_bundle)
        assert there.read_bytes() == path.read_bytes()
    assert "device_app.screens.for_you" in modules(staged / "device_app")
    assert (staged / "device_app" / "fonts" / "Inter-Regular.ttf").is_file()
    assert not list(staged.rglob("*.pyc"))


def test_nothing_is_staged_that_only_builds(staged: Path) -> None:
    code = (
        "import sys, device_app.session, device_app.importers.reading;"
        "import pocketrec.additions, pocketrec.numpy_engine;"
        "print(*(name for name in sys.modules if name.partition('.')[0] == 'pocketrec'))"
    )
    call = [sys.executable, "-B", "-c", code]
    used = subprocess.run(call, cwd=staged, capture_output=True, text=True, check=True)
    assert modules(staged / "pocketrec") == set(used.stdout.split())


def test_what_is_left_out_is_there_to_leave_out() -> None:
    for package, names in LEFT_OUT.items():
        for name in names:
            assert list(Path(package.__path__[0]).rglob(name)), name


def test_a_bundle_as_one_file_staged_again(staged: Path, tiny_bundle_zip: Path) -> None:
    (staged / "old").touch()
    (staged.parent / ".buildozer").mkdir()
    stage.stage(tiny_bundle_zip, staged)
    assert not (staged / "old").exists()
    assert (staged / "bundle" / "manifest.json").is_file()
    assert sorted(path.name for path in staged.parent.iterdir()) == [".buildozer", "app"]


def test_a_folder_that_was_not_staged_is_left_alone(tiny_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").touch()
    with pytest.raises(UsageError, match="expected a new folder or one that was staged before"):
        stage.stage(tiny_bundle, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_an_altered_bundle(tiny_bundle_copy: Path, tmp_path: Path) -> None:
    with (tiny_bundle_copy / "scorer.onnx").open("r+b") as stream:
        stream.write(b"x")
    with pytest.raises(BundleError, match=r"scorer\.onnx: expected sha256"):
        stage.stage(tiny_bundle_copy, tmp_path / "app")
    assert not (tmp_path / "app").exists()


@pytest.mark.parametrize(
    ("package", "left_out", "found"),
    [
        (pocketrec, (), "pocketrec.cli: import of typer halted"),
        (pocketrec, ("cli", "ranker.py"), "No module named 'pocketrec.ranker'"),
        (
            device_app,
            ("packaging", "build.py", "card.py"),
            "device_app.app: No module named 'device_app.widgets.card'",
        ),
    ],
)
def test_what_would_not_run_on_a_phone(
    tiny_bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    package: ModuleType,
    left_out: tuple[str, ...],
    found: str,
) -> None:
    monkeypatch.setitem(LEFT_OUT, package, left_out)
    with pytest.raises(StagingError, match=f"expected what is staged to run .*{found}"):
        stage.stage(tiny_bundle, tmp_path / "app")
    assert list(tmp_path.iterdir()) == []


def test_the_command(tiny_bundle: Path, tmp_path: Path) -> None:
    def call(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "device_app.packaging.stage", *map(str, arguments)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    done = call(tiny_bundle, "--out", tmp_path / "app")
    assert (done.returncode, done.stderr) == (0, "")
    assert "buildozer android debug" in done.stdout
    done = call(tmp_path / "none", "--out", tmp_path / "other")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "expected a bundle" in done.stderr
    assert call(tiny_bundle, "--out", tmp_path).returncode == 2


# --- buildozer.spec --------------------------------------------------------------------------------


@pytest.fixture
def spec() -> ConfigParser:
    parser = ConfigParser()
    parser.read_string(requirements_check.SPEC.read_text(encoding="utf-8"))
    return parser


def test_the_app_asks_for_no_permission_and_is_not_backed_up(spec: ConfigParser) -> None:
    assert "android.permissions" not in spec["app"]
    assert not spec["app"].getboolean("android.allow_backup")
    assert spec["app"]["android.archs"] == "arm64-v8a, x86_64"
    assert "onnxruntime-android:" in spec["app"]["android.gradle_dependencies"]


def test_its_icon_is_staged(spec: ConfigParser, staged: Path) -> None:
    for name in ("icon.filename", "presplash.filename"):
        assert (staged / spec["app"][name]).is_file()


def test_the_recipes_are_those_of_the_version_that_builds(spec: ConfigParser) -> None:
    numbers = [int(part) for part in spec["app"]["p4a.branch"].removeprefix("v").split(".")]
    assert Recipes.read().source == f"python-for-android {'.'.join(map(str, numbers))}"


def test_the_phone_gets_the_versions_that_are_tested() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {line.lower().replace("-", "_") for line in lines}
    ours = {name for name in spec_requirements() if "==" in name}
    # The newer one that is tested with is compiled.
    assert ours - pinned == {"charset_normalizer==2.1.1"}


def test_all_that_sqlite_utils_needs_is_required() -> None:
    """python-for-android installs no dependencies, or those of the newest version."""
    required = {name.partition("==")[0] for name in spec_requirements()}
    waiting, found = ["sqlite_utils"], set[str]()
    while waiting:
        name = waiting.pop()
        found.add(name)
        for needed in requires(name) or ():
            other = re.match(r"[\w-]+", needed)[0].replace("-", "_")
            if "extra ==" not in needed and other not in found:
                waiting.append(other)
    assert found - required == {"pip"}  # which its command line alone runs


def test_what_is_left_to_pip() -> None:
    left = Recipes.read().pip_list(spec_requirements())
    kivys = {"certifi", "chardet", "filetype", "idna", "requests", "six", "urllib3"}
    ours = {name for name in spec_requirements() if "==" in name}
    assert set(left) == kivys | ours
    assert left == sorted(left)


# --- pure Python -----------------------------------------------------------------------------------


def test_a_recipe_brings_what_it_needs() -> None:
    assert RECIPES.pip_list(["python3"]) == []
    assert RECIPES.pip_list(["kivy", "onnxruntime==1.2"]) == ["onnxruntime==1.2", "requests", "six"]


def install(folder: Path, name: str, *tags: str) -> None:
    """As pip would."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    if tags:
        (info / "WHEEL").write_text("Wheel-Version: 1.0\n" + "".join(f"Tag: {t}\n" for t in tags))


def test_pure_is_what_the_wheel_says(tmp_path: Path) -> None:
    install(tmp_path, "pure", "py3-none-any")
    install(tmp_path, "old", "py2-none-any", "py3-none-any")
    install(tmp_path, "compiled", "cp314-cp314-android_24_arm64_v8a")
    install(tmp_path, "unknown")
    assert impure(distributions(path=[str(tmp_path)])) == [
        "compiled 1.0 (cp314-cp314-android_24_arm64_v8a)",
        "unknown 1.0 (no wheel)",
    ]
    assert impure([distribution("click"), distribution("sqlite-utils")]) == []
    assert [line.partition(" ")[0] for line in impure([distribution("numpy")])] == ["numpy"]


@pytest.fixture
def pip(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[str, ...]]:
    """Stands in for pip and its index: package -> tags of its wheel."""
    index: dict[str, tuple[str, ...]] = {}

    def run(call: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        assert call[call.index("--python-version") + 1] == "3.14.2"
        folder = Path(call[call.index("--target") + 1])
        for name in call[call.index(str(folder)) + 1 :]:
            if name not in index:
                return subprocess.CompletedProcess(call, 1, "", f"noise\nERROR: no {name}\n")
            install(folder, name, *index[name])
        return subprocess.CompletedProcess(call, 0, "", "")

    monkeypatch.setattr(requirements_check.subprocess, "run", run)
    return index


def test_all_pure(pip: dict[str, tuple[str, ...]]) -> None:
    pip |= {"requests": ("py3-none-any",), "six": ("py2-none-any", "py3-none-any")}
    assert check(["kivy"], RECIPES) == ["requests 1.0", "six 1.0"]


def test_one_that_is_compiled(pip: dict[str, tuple[str, ...]]) -> None:
    pip |= {"requests": ("py3-none-any",), "six": ("cp314-cp314-manylinux_2_28_x86_64",)}
    with pytest.raises(RequirementsError, match=r"expected py3-none-any wheels, found six 1\.0 \("):
        check(["kivy"], RECIPES)


def test_one_without_a_wheel(pip: dict[str, tuple[str, ...]]) -> None:
    pip |= {"requests": ("py3-none-any",), "six": ("py3-none-any",)}
    with pytest.raises(RequirementsError, match=r"on android_24_arm64_v8a, found: ERROR: no onnx"):
        check(["kivy", "onnx"], RECIPES)
