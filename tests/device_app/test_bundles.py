"""Another bundle takes the place of the present one, whole or not at all."""

import errno
import io
import json
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_bundle import build_tiny_bundle, tiny_items, tiny_manifest

from device_app import installing
from device_app.bundles import CHOICE, Bundles
from device_app.events import StoreError
from device_app.places import default_bundle, home, installed_bundles
from device_app.session import Session
from pocketrec.bundle import LAYOUT, DataRecord, pack, seal
from pocketrec.errors import BundleError
from pocketrec.recommender import Recommender


@pytest.fixture
def bundles(tmp_path: Path) -> Bundles:
    return Bundles(tmp_path / "bundles")


@pytest.fixture
def session(tiny_bundle: Path, tmp_path: Path) -> Session:
    session = Session.open(tiny_bundle, tmp_path / "history.db")
    session.mark("m01", "like")
    session.mark("m40", "like")
    session.mark("m40", "save")
    session.mark(session.add_item("Mine").item_id, "like")
    return session


@pytest.fixture
def smaller(tmp_path: Path) -> Path:
    """The first 30 films."""
    return build_tiny_bundle(tmp_path / "smaller", tiny_items()[:30], seed=1)


def entries(bundles: Bundles) -> list[str]:
    return sorted(path.name for path in bundles.folder.iterdir()) if bundles.folder.exists() else []


@pytest.mark.parametrize("packed", [False, True])
def test_a_new_bundle_keeps_the_history(
    session: Session, bundles: Bundles, smaller: Path, tmp_path: Path, packed: bool
) -> None:
    source = smaller
    if packed:
        source = tmp_path / "smaller.zip"
        pack(smaller, source)
    (smaller / "notes.txt").write_text("not of the bundle")
    report = session.install(source, bundles)
    assert (report.name, report.items, report.same_catalogue) == ("tiny", 30, True)
    assert (report.judged, report.unknown) == (2, 1)  # m40 is not there any more
    session.close()
    assert bundles.present is not None
    assert not (bundles.present / "notes.txt").exists()
    shutil.rmtree(smaller)
    again = Session.open(bundles.present, tmp_path / "history.db")
    assert again.about.items == 31
    assert len(again.history()) == 4
    assert "m01" in again.picks().history


def test_another_catalogue_is_told(session: Session, bundles: Bundles, smaller: Path) -> None:
    seal(smaller, replace(tiny_manifest(), data=DataRecord("books", "0")))
    report = session.install(smaller, bundles)
    assert not report.same_catalogue
    assert (report.judged, report.unknown) == (2, 2)


def test_one_step_back_and_forth(
    session: Session, bundles: Bundles, smaller: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    assert bundles.present is None
    assert not bundles.can_roll_back
    with pytest.raises(StoreError, match="expected a former bundle, found none"):
        bundles.roll_back()
    session.install(smaller, bundles)
    first = bundles.present
    assert bundles.can_roll_back
    assert bundles.roll_back() is None  # the one that the app came with
    assert bundles.roll_back() == first
    session.install(smaller, bundles)  # what is there already changes nothing
    assert bundles.roll_back() is None
    bundles.roll_back()
    session.install(tiny_bundle, bundles)
    second = bundles.present
    assert second != first
    assert bundles.roll_back() == first
    assert bundles.roll_back() == second
    third = build_tiny_bundle(tmp_path / "third", seed=3)
    session.install(third, bundles)
    assert first is not None
    assert not first.exists()  # two steps back
    assert bundles.roll_back() == second
    assert len(entries(bundles)) == 3


def test_the_installed_bundle_is_the_default(session: Session, smaller: Path) -> None:
    came_with = Path("came/with")
    session.install(smaller, installed_bundles())
    assert default_bundle(came_with) == installed_bundles().present
    assert default_bundle(came_with).parent == home() / "bundles"
    installed_bundles().roll_back()
    assert default_bundle(came_with) == came_with


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"\xff", b'{"present": "../../x"}', b'{"present": 3}']
)
def test_a_damaged_choice_is_no_choice(bundles: Bundles, content: bytes) -> None:
    bundles.folder.mkdir()
    (bundles.folder / CHOICE).write_bytes(content)
    assert bundles.present is None
    assert not bundles.can_roll_back


def test_a_bundle_that_went_away_is_no_choice(
    session: Session, bundles: Bundles, smaller: Path
) -> None:
    session.install(smaller, bundles)
    assert bundles.present is not None
    shutil.rmtree(bundles.present)
    assert bundles.present is None


def test_a_copy_that_was_damaged_is_replaced(
    session: Session, bundles: Bundles, smaller: Path
) -> None:
    session.install(smaller, bundles)
    present = bundles.present
    assert present is not None
    (present / LAYOUT.tokenizer).write_bytes(b"")
    session.install(smaller, bundles)
    assert bundles.present == present
    Recommender.open(present, verify=True)


# --- what is refused ----------------------------------------------------------------------------------


def refused(session: Session, bundles: Bundles, source: Path, message: str) -> None:
    before = entries(bundles), bundles.present
    with pytest.raises(BundleError, match=message):
        session.install(source, bundles)
    assert (entries(bundles), bundles.present) == before


@pytest.mark.parametrize("packed", [False, True])
def test_an_altered_byte(
    session: Session, bundles: Bundles, smaller: Path, tmp_path: Path, packed: bool
) -> None:
    content = bytearray((smaller / LAYOUT.scorer).read_bytes())
    content[-1] ^= 1
    (smaller / LAYOUT.scorer).write_bytes(content)
    source = smaller
    if packed:
        source = tmp_path / "altered.zip"
        pack(smaller, source)
    refused(session, bundles, source, f"{source.name}/{LAYOUT.scorer}: expected sha256")


def test_a_missing_file(session: Session, bundles: Bundles, smaller: Path) -> None:
    (smaller / LAYOUT.tokenizer).unlink()
    refused(session, bundles, smaller, "tokenizer.json.*no such file")


def test_no_bundle_at_all(session: Session, bundles: Bundles, tmp_path: Path) -> None:
    refused(session, bundles, tmp_path / "none", "expected a bundle.*found no such file")
    (tmp_path / "text.zip").write_text("hello")
    refused(session, bundles, tmp_path / "text.zip", r"expected a whole \.zip")
    (tmp_path / "empty").mkdir()
    refused(session, bundles, tmp_path / "empty", "manifest.json")


@pytest.mark.parametrize(
    "name", ["../escaped.txt", "/tmp/escaped.txt", "items/../../escaped", "..\\x", "C:\\x", "x.exe"]
)
def test_a_zip_that_writes_elsewhere(
    session: Session, bundles: Bundles, smaller: Path, tmp_path: Path, name: str
) -> None:
    pack(smaller, tmp_path / "evil.zip")
    with zipfile.ZipFile(tmp_path / "evil.zip", "a") as archive:
        archive.writestr(name, "x")
    refused(session, bundles, tmp_path / "evil.zip", r"evil\.zip: expected only manifest\.json")
    assert not list(tmp_path.rglob("escaped*"))


def test_a_bomb(
    session: Session,
    bundles: Bundles,
    smaller: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(LAYOUT.manifest, b"0" * 50_000_000)
    monkeypatch.setattr("pocketrec.bundle.LARGEST_UNPACKED", 40_000_000)
    refused(session, bundles, bomb, "expected at most 40 MB unpacked, found 50 MB")


def test_a_bomb_that_declares_less_than_it_gives(
    session: Session, bundles: Bundles, tmp_path: Path
) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(LAYOUT.manifest, b"0" * 5_000_000)
    size = (5_000_000).to_bytes(4, "little")
    (tmp_path / "liar.zip").write_bytes(buffer.getvalue().replace(size, (10).to_bytes(4, "little")))
    refused(session, bundles, tmp_path / "liar.zip", r"expected a whole \.zip")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_an_unusual_packing(
    session: Session, bundles: Bundles, tmp_path: Path, method: int
) -> None:
    with zipfile.ZipFile(tmp_path / "odd.zip", "w", method) as archive:
        archive.writestr(LAYOUT.manifest, b"0" * 1000)
    refused(session, bundles, tmp_path / "odd.zip", "expected manifest.json packed by deflate")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_file_twice(session: Session, bundles: Bundles, smaller: Path, tmp_path: Path) -> None:
    pack(smaller, tmp_path / "twice.zip")
    with zipfile.ZipFile(tmp_path / "twice.zip", "a") as archive:
        archive.writestr(LAYOUT.scorer, "x")
    refused(session, bundles, tmp_path / "twice.zip", "expected scorer.onnx once, found it twice")


def test_no_room(
    session: Session,
    bundles: Bundles,
    smaller: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pack(smaller, tmp_path / "smaller.zip")
    usage = shutil.disk_usage(tmp_path)._replace(free=10)
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "disk_usage", lambda _: usage)
        refused(session, bundles, tmp_path / "smaller.zip", "0 MB are free.*free some space")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(installing.shutil, "copyfile", full)
        refused(session, bundles, smaller, "No space left on device")


def test_a_choice_that_cannot_be_written_changes_nothing(
    session: Session, bundles: Bundles, smaller: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, value: object) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patched:
        patched.setattr("device_app.bundles.write_json", refuse)
        with pytest.raises(StoreError, match="could not be saved .Permission denied"):
            session.install(smaller, bundles)
    assert bundles.present is None
    session.install(smaller, bundles)
    assert json.loads((bundles.folder / CHOICE).read_text())["former"] is None


def test_what_a_killed_process_left_is_no_obstacle(
    session: Session, bundles: Bundles, smaller: Path
) -> None:
    (bundles.folder / "incoming" / "items").mkdir(parents=True)
    (bundles.folder / "incoming" / "other").write_text("x")
    session.install(smaller, bundles)
    assert bundles.present is not None
    assert entries(bundles) == sorted([bundles.present.name, CHOICE])
    assert not (bundles.present / "other").exists()
