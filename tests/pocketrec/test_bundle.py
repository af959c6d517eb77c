import hashlib
import json
import shutil
import sqlite3
import zipfile
from contextlib import closing
from dataclasses import asdict, fields, replace
from pathlib import Path

import numpy as np
import pytest
from tiny_bundle import build_tiny_bundle, tiny_items, tiny_manifest

from pocketrec import files
from pocketrec.bundle import LAYOUT, open_bundle, pack, seal
from pocketrec.catalogue import Catalogue, Item
from pocketrec.engine import OnnxEngine
from pocketrec.errors import BundleError, UsageError
from pocketrec.item_table import ItemTable
from pocketrec.manifest import FORMAT_VERSION, Manifest
from pocketrec.neighbour_table import NeighbourTable
from pocketrec.recommender import Recommender

VECTORS = f"{LAYOUT.items}/vectors.npy"


def edit_manifest(folder: Path, **changes) -> None:
    path = folder / LAYOUT.manifest
    write_summed(path, files.json_text(files.read_json(path) | changes))


def write_summed(path: Path, text: str) -> None:
    """Write a manifest whose checksum fits, whatever else it says."""
    blank = text.replace(json.loads(text)["checksum"], "0" * 64, 1)
    checksum = hashlib.sha256(blank.encode()).hexdigest()
    path.write_bytes(blank.replace("0" * 64, checksum, 1).encode())


def reseal(folder: Path) -> None:
    seal(folder, Manifest.read(folder / LAYOUT.manifest))


# --- reading back ---------------------------------------------------------------------------------


def test_a_sealed_bundle_reads_back(tiny_bundle):
    folder, manifest, _ = open_bundle(tiny_bundle)
    assert folder == tiny_bundle
    assert replace(manifest, files={}) == tiny_manifest()
    assert set(manifest.files) == set(LAYOUT.sealed)
    record = manifest.files[VECTORS]
    assert record.bytes == (tiny_bundle / VECTORS).stat().st_size
    assert record.sha256 == files.sha256(tiny_bundle / VECTORS)


def test_the_same_input_gives_the_same_table_and_graphs(tiny_bundle, tmp_path):
    again = build_tiny_bundle(tmp_path / "again")
    for name in set(LAYOUT.sealed) - {LAYOUT.catalogue}:
        assert (again / name).read_bytes() == (tiny_bundle / name).read_bytes()


def test_an_item_table_reads_back(tiny_bundle, tmp_path):
    table = ItemTable.read(tiny_bundle / LAYOUT.items)
    table.write(tmp_path)
    again = ItemTable.read(tmp_path)
    for field in fields(ItemTable):
        ours, theirs = getattr(again, field.name), getattr(table, field.name)
        assert np.array_equal(ours, theirs)
        assert ours.dtype == theirs.dtype
    assert np.linalg.norm(again.unit_vectors(), axis=1) == pytest.approx(1, abs=0.01)


def test_a_new_item_gets_the_support_it_is_given():
    matrix = np.array([[0, 4, 9], [1, 0, 9], [1, -2, 0]], dtype=np.float32)
    table = ItemTable.quantized(
        np.eye(3, dtype=np.float32),
        NeighbourTable.from_matrix(matrix, 9),
        np.array([5, 1, 0], dtype=np.float32),
    )
    like_all = np.full((1, 3), 3**-0.5, dtype=np.float32)
    extended = table.extended(like_all, 3.0).neighbours()
    assert extended.sources[extended.targets == 3].tolist() == [0, 1, 2]
    assert extended.weights[extended.targets == 3] == pytest.approx(1, rel=0.01)
    assert extended.support() == pytest.approx([2, 4, 18, 3], rel=0.01)


# --- a bundle that is not whole -------------------------------------------------------------------


def test_a_missing_path_names_itself(tmp_path):
    with pytest.raises(BundleError, match=r"nowhere.*no such file"):
        Recommender.open(tmp_path / "nowhere")


def test_an_empty_folder_lacks_its_manifest(tmp_path):
    with pytest.raises(BundleError, match=r"manifest\.json.*no such file"):
        Recommender.open(tmp_path)


@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize("name", LAYOUT.sealed)
def test_a_missing_file_is_named(tiny_bundle_copy, name, verify):
    (tiny_bundle_copy / name).unlink()
    with pytest.raises(BundleError, match=rf"{name}.*no such file"):
        Recommender.open(tiny_bundle_copy, verify=verify)


@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize("name", LAYOUT.sealed)
def test_a_truncated_file_is_named_with_both_sizes(tiny_bundle_copy, name, verify):
    path = tiny_bundle_copy / name
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(BundleError, match=rf"{name}.*{len(whole)} bytes, found {len(whole) - 1}"):
        Recommender.open(tiny_bundle_copy, verify=verify)


@pytest.mark.parametrize("name", LAYOUT.sealed)
def test_an_altered_byte_is_found(tiny_bundle_copy, name):
    path = tiny_bundle_copy / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(BundleError, match=rf"{name}: expected sha256 [0-9a-f]{{64}}, found"):
        Recommender.open(tiny_bundle_copy)


def test_a_bundle_may_lack_the_second_sequence_encoder(tiny_bundle_copy, tmp_path):
    before = Recommender.open(tiny_bundle_copy, precision="int8").scores(["m01"])
    (tiny_bundle_copy / LAYOUT.full_precision).unlink()
    with pytest.raises(BundleError, match=r"sequence_encoder_fp32\.onnx.*no such file"):
        Recommender.open(tiny_bundle_copy)
    reseal(tiny_bundle_copy)
    pack(tiny_bundle_copy, tmp_path / "small.zip")
    opened = Recommender.open(tmp_path / "small.zip")
    assert opened.precision == "int8"
    assert np.array_equal(opened.scores(["m01"]), before)
    with pytest.raises(UsageError, match="precision 'fp32': expected int8"):
        Recommender.open(tiny_bundle_copy, precision="fp32")


def test_a_manifest_that_names_a_file_elsewhere(tiny_bundle_copy):
    record = {"bytes": 1, "sha256": "0"}
    stored = files.read_json(tiny_bundle_copy / LAYOUT.manifest)["files"]
    edit_manifest(tiny_bundle_copy, files=stored | {"../secret": record})
    with pytest.raises(BundleError, match=r"field 'files': expected only .*, found '\.\./secret'"):
        Recommender.open(tiny_bundle_copy)


def test_sealing_an_incomplete_folder_fails(tiny_bundle_copy):
    (tiny_bundle_copy / LAYOUT.model_card).unlink()
    with pytest.raises(BundleError, match=r"MODEL_CARD\.md"):
        reseal(tiny_bundle_copy)


# --- the manifest ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("version", "advice"), [(7, "upgrade pocketrec"), (0, "build the bundle")])
def test_another_format_comes_before_everything_else(tmp_path, version, advice):
    (tmp_path / LAYOUT.manifest).write_text(json.dumps({"format_version": version}))
    expected = rf"bundle format {version}, this version reads {FORMAT_VERSION}: {advice}"
    with pytest.raises(BundleError, match=expected):
        Recommender.open(tmp_path)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff\xfe", b"[]", b"null", b'"text"', b"[" * 100_000]
)
def test_a_manifest_that_is_no_json_object(tiny_bundle_copy, content):
    (tiny_bundle_copy / LAYOUT.manifest).write_bytes(content)
    with pytest.raises(BundleError, match=r"manifest\.json: expected a JSON object, found"):
        Recommender.open(tiny_bundle_copy)


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("name", 3, "text, found int 3"),
        ("created", "yesterday", "an ISO date"),
        ("source_domains", "books", "a list of texts"),
        ("source_domains", [1], "a list of texts"),
        ("trained_on", "test", "'train' or 'all', found 'test'"),
        ("data", [], "an object"),
        ("data", {"name": "x"}, "a value, found nothing"),
        ("ledger", {}, "a list of objects"),
        ("versions", {"numpy": 2}, "text, found int 2"),
        ("minimum_runtime", None, "text, found NoneType null"),
        ("format_version", True, "a whole number, found bool true"),
        ("format_version", "1", "a whole number, found str"),
        ("files", {"items/scales.npy": {"bytes": -1, "sha256": ""}}, "at least 0, found -1"),
        ("files", {}, "an entry for text_encoder.onnx"),
        ("colour", "red", "a field this version does not know"),
    ],
)
def test_a_wrong_field_is_named(tiny_bundle_copy, field, value, expected):
    edit_manifest(tiny_bundle_copy, **{field: value})
    with pytest.raises(BundleError, match=rf"manifest\.json: field '{field}.*expected.*") as caught:
        Recommender.open(tiny_bundle_copy)
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("max_length", 0, "at least 1, found 0"),
        ("max_length", 1.5, "a whole number"),
        ("decay", -0.1, "at least 0"),
        ("sequence_weight", "1", "a finite number, found str"),
        ("neighbour_weight", True, "a finite number, found bool"),
        ("popularity_weight", None, "a finite number, found "),
        ("cold_support", -1, "at least 0"),
    ],
)
def test_a_wrong_ranker_setting_is_named(tiny_bundle_copy, field, value, expected):
    edit_manifest(tiny_bundle_copy, ranker=asdict(tiny_manifest().ranker) | {field: value})
    with pytest.raises(BundleError, match=rf"field 'ranker\.{field}': expected {expected}"):
        Recommender.open(tiny_bundle_copy)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("tiny-films", "tiny-filmz"),
        lambda text: text.replace('"checksum": "', '"checksum": "0'),
        lambda text: text + " ",
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("0.2", "0.20"),
    ],
)
def test_a_manifest_that_was_altered(tiny_bundle_copy, change):
    path = tiny_bundle_copy / LAYOUT.manifest
    path.write_bytes(change(path.read_text()).encode())
    with pytest.raises(BundleError, match=r"manifest\.json: field 'checksum': expected .*altered"):
        Recommender.open(tiny_bundle_copy)


def test_every_flipped_byte_is_refused(tiny_bundle_copy):
    generator = np.random.default_rng(0)
    whole = {name: (tiny_bundle_copy / name).read_bytes() for name in LAYOUT.names}
    names, sizes = list(whole), np.array([len(content) for content in whole.values()])
    for number in range(10_000):
        # In turn every file as likely as any other, and every byte, of which small files have few.
        weights = None if number % 2 else sizes / sizes.sum()
        name = names[generator.choice(len(names), p=weights)]
        flipped = bytearray(whole[name])
        flipped[generator.integers(len(flipped))] ^= generator.integers(1, 256)
        (tiny_bundle_copy / name).write_bytes(flipped)
        with pytest.raises(BundleError):
            open_bundle(tiny_bundle_copy)
        (tiny_bundle_copy / name).write_bytes(whole[name])
    Recommender.open(tiny_bundle_copy)


def test_a_number_that_is_not_finite_is_refused(tiny_bundle_copy):
    path = tiny_bundle_copy / LAYOUT.manifest
    write_summed(path, path.read_text().replace('"decay": 0.9', '"decay": NaN'))
    with pytest.raises(BundleError, match=r"field 'ranker\.decay': expected a finite number"):
        Recommender.open(tiny_bundle_copy)


# --- files that are whole but wrong ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "change", "expected"),
    [
        ("vectors", lambda x: x.astype(np.float32), "int8 ['d', 'N'], found float32 [8, 40]"),
        ("vectors", lambda x: x[0], "int8 ['d', 'N'], found int8 [40]"),
        ("vectors", np.asfortranarray, "int8 ['d', 'N'], found int8 [8, 40]"),
        ("vectors", lambda x: x[:0], "at least one item and dimension, found none"),
        ("scales", lambda x: x[:, None], "float32 [40], found float32 [40, 1]"),
        ("scales", lambda x: x[:-1], "float32 [40], found float32 [39]"),
        ("scales", lambda x: x * np.inf, "finite numbers"),
        ("sums", lambda x: x + 1, "the sums of the vectors"),
        ("popularity", lambda x: x.astype(np.float64), "float32 [40], found float64 [40]"),
        ("starts", lambda x: x[:-1], "41 numbers up to 240, found 40 up to"),
        ("starts", lambda x: x + 1, "41 numbers up to 240, found 41 up to 241"),
        ("starts", lambda x: np.r_[x[:3], x[5], x[4:]].astype(np.int32), "rising numbers"),
        ("targets", lambda x: x.astype(np.int64), "uint16 or uint32 ['E'], found int64 [240]"),
        ("targets", lambda x: x + np.uint16(1), "items below 40"),
        ("targets", lambda x: x[::-1].copy(), "rising within a history item"),
        ("weights", lambda x: x[:-1], "int8 [240], found int8 [239]"),
        ("weight_scales", lambda x: x * np.nan, "finite numbers"),
    ],
)
def test_a_wrong_array_is_named(tiny_bundle_copy, name, change, expected):
    path = tiny_bundle_copy / LAYOUT.items / f"{name}.npy"
    np.save(path, change(np.load(path)))
    reseal(tiny_bundle_copy)
    with pytest.raises(BundleError, match=r"items") as caught:
        Recommender.open(tiny_bundle_copy)
    assert "at least one item" in expected or f"{name}.npy: expected" in str(caught.value)
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"\x93NUMPY and no more"),
        lambda path: path.write_bytes(path.read_bytes()[:-100]),
        lambda path: np.save(path, np.array([object()])),
        lambda path: np.savez(path.open("wb"), vectors=np.zeros((8, 40), np.int8)),
    ],
)
def test_an_array_that_cannot_be_read(tiny_bundle_copy, write):
    write(tiny_bundle_copy / VECTORS)
    reseal(tiny_bundle_copy)
    with pytest.raises(BundleError, match=r"vectors\.npy: expected"):
        Recommender.open(tiny_bundle_copy)


def test_an_array_that_claims_to_be_larger_than_its_file(tiny_bundle_copy):
    path = tiny_bundle_copy / VECTORS
    path.write_bytes(path.read_bytes().replace(b"(8, 40), }  ", b"(8, 4000), }"))
    reseal(tiny_bundle_copy)
    with pytest.raises(BundleError, match=r"vectors\.npy: expected an array"):
        Recommender.open(tiny_bundle_copy)


@pytest.mark.parametrize("items", [tiny_items()[:-2], [*tiny_items(), Item("m99", "One more")]])
def test_a_catalogue_with_other_items(tiny_bundle_copy, items):
    path = tiny_bundle_copy / LAYOUT.catalogue
    path.unlink()
    Catalogue.write(path, items)
    reseal(tiny_bundle_copy)
    expected = rf"catalogue\.sqlite: expected 40 items as in items, found {len(items)}"
    with pytest.raises(BundleError, match=expected):
        Recommender.open(tiny_bundle_copy)


def test_a_catalogue_with_a_gap(tiny_bundle_copy):
    path = tiny_bundle_copy / LAYOUT.catalogue
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM items WHERE position = 7")
    reseal(tiny_bundle_copy)
    with pytest.raises(BundleError, match="39 items at 40 positions"):
        Recommender.open(tiny_bundle_copy)


def test_a_catalogue_that_is_no_database(tiny_bundle_copy):
    (tiny_bundle_copy / LAYOUT.catalogue).write_text(
        "not a database, but long enough to be read as one"
    )
    reseal(tiny_bundle_copy)
    with pytest.raises(BundleError, match=r"catalogue\.sqlite"):
        Recommender.open(tiny_bundle_copy)


@pytest.mark.parametrize("content", [b"", b"no graph", b"\x08\x09"])
def test_a_graph_that_cannot_be_loaded(tiny_bundle_copy, content):
    (tiny_bundle_copy / LAYOUT.sequence_encoder).write_bytes(content)
    reseal(tiny_bundle_copy)
    with pytest.raises(
        BundleError, match=r"sequence_encoder\.onnx: expected a graph that onnxruntime"
    ):
        Recommender.open(tiny_bundle_copy)


def test_graphs_that_were_swapped(tiny_bundle_copy):
    shutil.copyfile(
        tiny_bundle_copy / LAYOUT.text_encoder, tiny_bundle_copy / LAYOUT.sequence_encoder
    )
    reseal(tiny_bundle_copy)
    with pytest.raises(
        BundleError, match="expected input 'items' and output 'user', found inputs tokens"
    ):
        Recommender.open(tiny_bundle_copy)


def test_a_graph_of_another_width(tiny_bundle_copy):
    from tiny_bundle import write_sequence_encoder

    write_sequence_encoder(tiny_bundle_copy / LAYOUT.sequence_encoder, 16)
    reseal(tiny_bundle_copy)
    with pytest.raises(BundleError, match=r"sequence_encoder\.onnx: cannot run"):
        Recommender.open(tiny_bundle_copy)


def test_an_engine_without_a_file(tmp_path):
    with pytest.raises(BundleError, match=r"none\.onnx: expected a model graph"):
        OnnxEngine(tmp_path / "none.onnx")


def test_an_engine_refuses_other_inputs(tiny_bundle):
    engine = OnnxEngine(tiny_bundle / LAYOUT.text_encoder)
    assert (engine.inputs, engine.outputs) == (("tokens",), ("vector",))
    for wrong in (
        {"words": np.ones((1, 1), np.int64)},
        {"tokens": np.ones((1, 1), np.float32)},
        {"tokens": np.ones(1, np.int64)},
        {"tokens": np.full((1, 1), 10**6)},
    ):
        with pytest.raises(BundleError, match=r"text_encoder\.onnx: cannot run"):
            engine.run(wrong)


# --- one .zip -------------------------------------------------------------------------------------


def unpacked() -> list[Path]:
    return sorted((files.cache_folder() / "bundles").iterdir())


def test_a_zip_opens_as_its_folder_does(tiny_bundle, tiny_bundle_zip):
    history = ["m01", "m06", "m11"]
    assert Recommender.open(tiny_bundle_zip).recommend(history) == Recommender.open(
        tiny_bundle
    ).recommend(history)


def test_packing_twice_gives_the_same_bytes(tiny_bundle, tiny_bundle_zip, tmp_path):
    pack(tiny_bundle, tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == tiny_bundle_zip.read_bytes()


def test_a_zip_is_unpacked_once(tiny_bundle_zip):
    first, *_ = open_bundle(tiny_bundle_zip)
    assert unpacked() == [first]
    before = (first / VECTORS).stat().st_mtime_ns
    second, *_ = open_bundle(tiny_bundle_zip)
    assert second == first
    assert (first / VECTORS).stat().st_mtime_ns == before


def test_a_copy_that_was_damaged_in_the_cache_is_replaced(tiny_bundle_zip):
    folder, *_ = open_bundle(tiny_bundle_zip)
    (folder / VECTORS).write_bytes(b"damaged")
    (folder / LAYOUT.tokenizer).unlink()
    again, *_ = open_bundle(tiny_bundle_zip)
    assert again == folder
    assert unpacked() == [folder]


def test_a_cache_that_cannot_be_written(tiny_bundle_zip, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("POCKETREC_CACHE", str(tmp_path / "file"))
    folder, *_ = open_bundle(tiny_bundle_zip)
    assert folder.is_dir()
    assert tmp_path not in folder.parents


def test_the_users_cache_is_the_default(tiny_bundle_zip, tmp_path, monkeypatch):
    monkeypatch.delenv("POCKETREC_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    folder, *_ = open_bundle(tiny_bundle_zip)
    assert folder.parent == tmp_path / "xdg" / "pocketrec" / "bundles"


@pytest.mark.parametrize("cut", [1, 100, 2000])
def test_a_truncated_zip(tiny_bundle_zip, cut):
    tiny_bundle_zip.write_bytes(tiny_bundle_zip.read_bytes()[:-cut])
    with pytest.raises(BundleError, match=r"tiny\.zip: expected"):
        Recommender.open(tiny_bundle_zip)


def test_a_zip_with_a_damaged_entry(tiny_bundle_zip):
    content = bytearray(tiny_bundle_zip.read_bytes())
    with zipfile.ZipFile(tiny_bundle_zip) as archive:
        largest = max(archive.infolist(), key=lambda entry: entry.compress_size)
    content[largest.header_offset + largest.compress_size // 2] ^= 0xFF
    tiny_bundle_zip.write_bytes(content)
    with pytest.raises(BundleError, match=r"tiny\.zip: expected a whole \.zip"):
        Recommender.open(tiny_bundle_zip)
    assert unpacked() == []


@pytest.mark.parametrize(
    "name", ["../escaped.txt", "/tmp/escaped.txt", "a/manifest.json", "..\\x", "run.sh"]
)
def test_a_zip_that_writes_elsewhere_is_refused(tiny_bundle_zip, name):
    with zipfile.ZipFile(tiny_bundle_zip, "a") as archive:
        archive.writestr(name, "x")
    with pytest.raises(BundleError, match=r"tiny\.zip: expected only manifest\.json"):
        Recommender.open(tiny_bundle_zip)
    assert unpacked() == []


def test_a_zip_without_a_file(tiny_bundle, tmp_path):
    with zipfile.ZipFile(tmp_path / "part.zip", "w") as archive:
        archive.write(tiny_bundle / LAYOUT.manifest, LAYOUT.manifest)
    with pytest.raises(BundleError, match=r"text_encoder\.onnx.*no such file"):
        Recommender.open(tmp_path / "part.zip")


def test_a_file_that_is_no_zip(tmp_path):
    (tmp_path / "bundle.zip").write_text("hello")
    with pytest.raises(BundleError, match=r"a whole \.zip, found another file"):
        Recommender.open(tmp_path / "bundle.zip")
