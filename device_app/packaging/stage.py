"""Put together what buildozer makes an Android package of: `python -m device_app.packaging.stage BUNDLE --out DIR`."""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import device_app
import pocketrec
from pocketrec.bundle import LAYOUT, open_bundle
from pocketrec.errors import PocketRecError, UsageError
from pocketrec.files import atomic_folder

HERE: Final = Path(__file__).parent
SPEC: Final = "buildozer.spec"
LEFT_OUT: Final = {
    pocketrec: (
        "artefact.py",
        "cli",
        "columns.py",
        "data.py",
        "evaluation.py",
        "ledger.py",
        "metrics.py",
        "movielens.py",
        "run.py",
        "splits.py",
    ),
    device_app: ("build.py", "packaging"),
}
"""Package -> files and folders that serve to build, not to recommend."""


class StagingError(PocketRecError):
    """What was put together would not run on a phone."""


def stage(bundle: Path, out: Path) -> None:
    """Write a folder with main.py, buildozer.spec, the packages and the bundle; one that was staged before is replaced.

    Args:
        bundle: folder or .zip; every checksum is compared.
        out: buildozer builds beside it, in ``out/../.buildozer`` and ``out/../bin``.

    Raises:
        UsageError: ``out`` is there and was not staged.
        BundleError: from `pocketrec.bundle.open_bundle`.
        StagingError: what is staged cannot be imported without what a phone lacks, or does not answer.
    """
    if out.exists() and not (out / SPEC).is_file():
        raise UsageError(
            f"{out}: expected a new folder or one that was staged before, found another; choose a new one"
        )
    opened = open_bundle(bundle, verify=True)
    with atomic_folder(out) as folder:
        for package, left_out in LEFT_OUT.items():
            source = Path(package.__path__[0])
            ignore = shutil.ignore_patterns("__pycache__", *left_out)
            shutil.copytree(source, folder / source.name, ignore=ignore)
        for name in (LAYOUT.manifest, *opened.manifest.files):
            target = folder / "bundle" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(opened.folder / name, target)
        shutil.copyfile(HERE / "entry.py", folder / "main.py")
        shutil.copyfile(HERE / SPEC, folder / SPEC)
        _check(folder)


def _check(folder: Path) -> None:
    call = [sys.executable, "-B", str(HERE / "imports_check.py")]
    done = subprocess.run(call, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stdout or done.stderr).strip() or "nothing said"
        raise StagingError(
            f"expected what is staged to run as on a phone, found: {said.splitlines()[-1]}"
        )


def run() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m device_app.packaging.stage",
        description="Put together what buildozer makes an Android package of.",
    )
    parser.add_argument("bundle", type=Path, help="bundle folder or .zip")
    parser.add_argument("--out", type=Path, required=True, help="the folder to write")
    options = parser.parse_args()
    try:
        stage(options.bundle, options.out)
    except PocketRecError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    print(f"staged {options.out}; next: cd {options.out} && buildozer android debug")
    return 0


if __name__ == "__main__":
    sys.exit(run())
