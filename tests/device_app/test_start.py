import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import device_app
from device_app import opengl
from device_app.events import StoreError
from device_app.main import main
from device_app.opengl import WindowError, require_opengl
from device_app.places import default_database, home, shipped_bundle
from device_app.preferences import Preferences, preferences_path
from device_app.worker import Worker
from pocketrec.errors import BundleError, UsageError

ROOT = Path(device_app.__file__).parents[1]


def test_a_named_bundle_that_is_missing_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected a bundle, found nothing there"):
        main(tmp_path / "none")
    run = subprocess.run(
        [sys.executable, "-m", "device_app", str(tmp_path / "none")],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 2
    assert run.stderr.count("\n") == 1
    assert "pocketrec demo" in run.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="other systems bring OpenGL with them")
def test_a_missing_library_is_named_with_its_cure(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opengl, "LIBRARIES", ("libGL-absent.so.1",))
    with pytest.raises(WindowError, match="apt install libgl1 libegl1 libgl1-mesa-dri"):
        main(tiny_bundle)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have one display")
def test_a_missing_display_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opengl, "LIBRARIES", ())
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(WindowError, match="needs a display"):
        require_opengl()


def test_the_core_starts_without_kivy() -> None:
    code = "import device_app.session, sys; assert 'kivy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_starting_loads_neither_model_nor_database() -> None:
    """They would delay the first frame."""
    code = (
        "import device_app.app, sys;"
        "late = {'numpy', 'onnxruntime', 'sqlite_utils', 'sqlite3'} & set(sys.modules);"
        "assert not late, late"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, env=os.environ.copy())


def test_neither_pandas_nor_ssl_is_loaded() -> None:
    code = (
        "from device_app.main import configure_kivy, leave_out_unused; leave_out_unused();"
        "configure_kivy();"
        "import device_app.app, device_app.session, sys;"
        "assert 'asyncio' in sys.modules;"
        "found = {'pandas.core', '_ssl'} & set(sys.modules);"
        "assert not found, found"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, env=os.environ.copy())


def test_home_is_where_the_user_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("POCKETREC_HOME", str(tmp_path / "mine"))
    assert home() == tmp_path / "mine"
    assert default_database() == tmp_path / "mine" / "history.db"


@pytest.mark.skipif(sys.platform != "linux", reason="each platform has its own place")
def test_home_is_the_users_data_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("POCKETREC_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert home() == tmp_path / "pocketrec"


def test_the_demo_is_opened_when_no_bundle_was_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert shipped_bundle() == home() / "bundle"
    (tmp_path / "runs" / "demo" / "bundle").mkdir(parents=True)
    assert shipped_bundle() == Path("runs/demo/bundle")
    (home() / "bundle").mkdir(parents=True)
    assert shipped_bundle() == home() / "bundle"


def test_preferences_are_kept(tmp_path: Path) -> None:
    path = preferences_path(tmp_path / "history.db")
    assert Preferences.read(path) == Preferences(theme="system", text_size="normal")
    Preferences(theme="dark", text_size="large").write(path)
    assert Preferences.read(path) == Preferences(theme="dark", text_size="large")


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"theme": 1, "text_size": []}', b"\xff\xfe"]
)
def test_damaged_preferences_are_the_defaults(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "preferences.json"
    path.write_bytes(content)
    assert Preferences.read(path) == Preferences()


def test_preferences_that_cannot_be_written_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="the settings could not be saved"):
        Preferences().write(tmp_path / "file" / "preferences.json")


def test_the_worker_keeps_order_on_one_thread() -> None:
    results: list[int] = []
    threads: set[int] = set()
    worker = Worker(lambda call: call())

    def work(number: int) -> int:
        threads.add(threading.get_ident())
        return number

    for number in range(50):
        worker.submit(lambda number=number: work(number), results.append, pytest.fail)
    worker.close(lambda: None)
    assert results == list(range(50))
    assert len(threads) == 1
    assert threading.get_ident() not in threads


def test_the_worker_hands_errors_to_the_window() -> None:
    delivered: list[object] = []
    errors: list[Exception] = []
    worker = Worker(delivered.append)

    def refuse() -> None:
        raise BundleError("no")

    def bug() -> None:
        raise ZeroDivisionError

    worker.submit(refuse, lambda _: pytest.fail("done"), errors.append)
    worker.submit(bug, lambda _: pytest.fail("done"), errors.append)
    worker.close(lambda: None)
    first, second = delivered
    first()  # type: ignore[operator]
    assert [str(error) for error in errors] == ["no"]
    with pytest.raises(ZeroDivisionError):
        second()  # type: ignore[operator]


def test_closing_waits_for_what_was_handed_in() -> None:
    done: list[str] = []
    gate = threading.Event()
    worker = Worker(lambda call: call())
    worker.submit(lambda: (gate.wait(5), done.append("work")), lambda _: None, pytest.fail)
    threading.Timer(0.05, gate.set).start()
    worker.close(lambda: done.append("last"))
    assert done == ["work", "last"]
