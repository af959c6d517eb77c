"""Whether pip finds all that python-for-android leaves to it in pure Python.

python-for-android gives pip whatever it has no recipe for and looks no further: a package with compiled parts is put in
as built for the machine at hand, and the app crashes on the phone. Needs the package index, but neither
python-for-android nor an SDK: recipes.json says what has a recipe.

    python -m device_app.packaging.requirements_check [--record]
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from configparser import ConfigParser
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Self

from pocketrec.errors import PocketRecError
from pocketrec.files import atomic_write

SPEC: Final = Path(__file__).with_name("buildozer.spec")
RECIPES: Final = Path(__file__).with_name("recipes.json")
PLATFORM: Final = "android_24_arm64_v8a"
BOOTSTRAP: Final = "sdl2"
"""A recipe that is always there; where a recipe needs one of several, it is among them and taken."""
PURE: Final = "py3-none-any"


class RequirementsError(PocketRecError):
    """What the Android package needs cannot be had as it must be."""


@dataclass(frozen=True)
class Recipes:
    """What python-for-android builds itself.

    Attributes:
        source: the version of python-for-android.
        python: the version of Python that it builds.
        needs: recipe -> what it needs, with or without a recipe.
    """

    source: str
    python: str
    needs: Mapping[str, Sequence[str]]

    @classmethod
    def read(cls, path: Path = RECIPES) -> Self:
        return cls(**json.loads(path.read_text(encoding="utf-8")))

    def pip_list(self, requirements: Iterable[str]) -> list[str]:
        """What of ``requirements``, and of what their recipes need, is left to pip; sorted, as required."""
        required = {requirement.partition("==")[0]: requirement for requirement in requirements}
        found: set[str] = set()
        waiting = [BOOTSTRAP, *required]
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting += self.needs.get(name, ())
        return sorted(required.get(name, name) for name in found if name not in self.needs)


def spec_requirements(path: Path = SPEC) -> list[str]:
    """The requirements of a buildozer.spec, in order."""
    spec = ConfigParser()
    spec.read_string(path.read_text(encoding="utf-8"), str(path))
    return [name.strip() for name in spec["app"]["requirements"].split(",")]


def impure(packages: Iterable[Distribution]) -> list[str]:
    """Those whose wheel is for one platform or one version of Python alone, with its tags; sorted."""
    found = []
    for package in packages:
        lines = (package.read_text("WHEEL") or "").splitlines()
        tags = [line.removeprefix("Tag: ") for line in lines if line.startswith("Tag: ")]
        if PURE not in tags:
            found.append(f"{package.name} {package.version} ({', '.join(tags) or 'no wheel'})")
    return sorted(found)


def check(requirements: Sequence[str], recipes: Recipes) -> list[str]:
    """Install what is left to pip, and what that needs, as for a phone, into a folder that goes again.

    Returns:
        name and version of each, sorted.

    Raises:
        RequirementsError: there is no wheel for one, or one is not pure Python.
    """
    with TemporaryDirectory(prefix="pocketrec-requirements-") as folder:
        call = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        call += ["--only-binary=:all:", "--platform", PLATFORM, "--python-version", recipes.python]
        call += ["--target", folder, *recipes.pip_list(requirements)]
        done = subprocess.run(call, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RequirementsError(
                f"expected a wheel of each for Python {recipes.python} on {PLATFORM}, "
                f"found: {done.stderr.strip().splitlines()[-1]}"
            )
        installed = list(distributions(path=[folder]))
        if found := impure(installed):
            raise RequirementsError(
                f"expected {PURE} wheels, found {', '.join(found)}; require a pure version or write a recipe"
            )
        return sorted(f"{package.name} {package.version}" for package in installed)


def record(path: Path = RECIPES) -> None:
    """Write down the recipes of the python-for-android that is installed here."""
    from pythonforandroid.build import Context
    from pythonforandroid.recipe import Recipe

    context = Context()
    context.recipe_build_order = []
    needs = {}
    for name in sorted(Recipe.list_recipes(context), key=str.lower):
        recipe = Recipe.get_recipe(name, context)
        depends = [
            (BOOTSTRAP if BOOTSTRAP in one else one[0]) if isinstance(one, tuple | list) else one
            for one in recipe.depends
        ]
        needs[name.lower()] = sorted({one.lower() for one in [*depends, *recipe.python_depends]})
    rows = ",\n".join(f"    {json.dumps(name)}: {json.dumps(row)}" for name, row in needs.items())
    head = {
        "source": f"python-for-android {version('python-for-android')}",
        "python": Recipe.get_recipe("python3", context).version,
    }
    with atomic_write(path) as temporary:
        text = json.dumps(head, indent=2).removesuffix("\n}")
        temporary.write_text(f'{text},\n  "needs": {{\n{rows}\n  }}\n}}\n', encoding="utf-8")


def run() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m device_app.packaging.requirements_check",
        description="Check that pip finds what it gets to install in pure Python.",
    )
    parser.add_argument("--record", action="store_true", help="renew recipes.json instead")
    if parser.parse_args().record:
        record()
        return 0
    try:
        print("\n".join(check(spec_requirements(), Recipes.read())))
    except RequirementsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(run())
