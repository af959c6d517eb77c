"""What the app says in other languages: all of it, in letters that its fonts have, and at once."""

import os
from collections.abc import Callable
from pathlib import Path
from string import Formatter
from typing import Any

import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import read_mo
from babel.messages.pofile import read_po
from fontTools.ttLib import TTFont

import device_app
from device_app import language
from device_app.events import StoreError
from device_app.importers.reading import read as read_history
from device_app.importers.rows import HistoryFileError
from device_app.language import DOMAIN, FOLDER, LANGUAGES, SYSTEM, tr, trn
from device_app.preferences import Preferences, preferences_path
from device_app.presentation import ago, date
from device_app.store import Store
from device_app.typeface import CHINESE
from device_app.typeface import FOLDER as FONTS

Start = Callable[..., "Driver"]  # noqa: F821  the class of conftest.py
OTHERS = [name for name in LANGUAGES if name != "en"]


@pytest.fixture(autouse=True)
def _english() -> Any:
    yield
    language.use("en")


def read(name: str) -> Catalog:
    with (FOLDER / name / "LC_MESSAGES" / f"{DOMAIN}.po").open("rb") as stream:
        return read_po(stream, locale=name)


def said() -> set[Any]:
    """Every text of the app's code that is to be translated; of a plural both forms."""
    keywords = {"tr": None, "trn": (1, 2), "mark": None}
    code = Path(device_app.__file__).parent
    kinds = [("**.py", "python"), ("**.kv", "python")]
    return {found[2] for found in extract_from_dir(code, kinds, keywords=keywords)}


def fields(text: str) -> list[Any]:
    return sorted((name or "", spec or "") for _, name, spec, _ in Formatter().parse(text) if name is not None)  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_everything_is_translated_and_nothing_else(name: str) -> None:
    found = {message.id: message.string for message in read(name) if message.id}
    assert set(found) == said()
    for text, translated in found.items():
        plain = text if isinstance(text, str) else text[1]
        for one in [translated] if isinstance(translated, str) else translated:
            assert one.strip(), text
            if "{day}" not in plain:  # a date may be written otherwise
                assert fields(one) == fields(plain)


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_read_is_what_is_written(name: str) -> None:
    with (FOLDER / name / "LC_MESSAGES" / f"{DOMAIN}.mo").open("rb") as stream:
        compiled = read_mo(stream)
    for message in read(name):
        if message.id:
            assert list(compiled[message.id].string) == list(message.string), (
                "run `make translations`"
            )
    assert len(compiled) == len(read(name))


def test_the_chinese_face_has_every_letter_of_the_catalogue() -> None:
    letters = set(map(chr, TTFont(FONTS / "NotoSansSC.otf").getBestCmap()))
    for message in read("zh"):
        for text in [message.string] if isinstance(message.string, str) else message.string:
            assert not message.id or set(text) <= letters, text


def test_english_needs_no_catalogue() -> None:
    language.use("en")
    assert tr("Settings") == "Settings"
    assert trn("{} day ago", "{} days ago", 2) == "{} days ago"
    assert date(0) in {"1 January 1970", "31 December 1969"}
    assert [ago(0, s) for s in (59, 60, 7200, 86400)] == ["just now", "1 minute ago", "2 hours ago", "1 day ago"]  # fmt: skip


def test_chinese_by_hand() -> None:
    language.use("zh")
    assert tr("Settings") == "设置"
    assert tr("") == ""
    assert tr("a text of no catalogue") == "a text of no catalogue"
    assert trn("{} day ago", "{} days ago", 1) == trn("{} day ago", "{} days ago", 5) == "{} 天前"
    assert date(0) in {"1970年1月1日", "1969年12月31日"}


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "zh-Hans"}, "zh"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
        ({"LANG": "zh.UTF-8"}, "zh"),
        ({"LANGUAGE": "zh:en", "LANG": "en_US.UTF-8"}, "zh"),
        ({"LANGUAGE": "de:zh", "LANG": "de_DE.UTF-8"}, "zh"),
        ({"LANGUAGE": "en:zh"}, "en"),
        ({"LC_ALL": "C", "LANG": "zh_CN"}, "en"),
        ({}, "en"),
    ],
)
def test_the_language_of_the_device(
    variables: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert language.system_language() == expected
    language.use(SYSTEM)
    assert tr("Back") == ("返回" if expected == "zh" else "Back")


@pytest.mark.parametrize(
    ("name", "missing", "unreadable", "foreign"),
    [
        (
            "en",
            "expected a file, found none; choose an exported file",
            "1 row could not be read, the first on line 3: expected a rating from 0 to 5, found 'x'",
            "expected a PocketRec history, found a damaged or foreign file; move it away",
        ),
        (
            "zh",
            "找不到文件；请选择导出的文件",
            "1 行无法读取，最先是第 3 行：评分应为 0 到 5，实际为 'x'",
            "应为 PocketRec 历史记录，实际为已损坏或其他程序的文件；请将它移走",
        ),
    ],
)
def test_what_went_wrong_with_a_file(
    name: str, missing: str, unreadable: str, foreign: str, tmp_path: Path
) -> None:
    language.use(name)
    path = tmp_path / "films {1}.csv"
    colon = "：" if name == "zh" else ": "
    with pytest.raises(HistoryFileError) as refused:
        read_history(path)
    assert str(refused.value) == f"{path}{colon}{missing}"
    path.write_text("title,rating\nHeat,5\nCats,x\n", encoding="utf-8")
    assert str(read_history(path).unreadable) == unreadable
    with pytest.raises(StoreError) as damaged:
        Store.open(path, "films")
    assert str(damaged.value) == f"{path}{colon}{foreign}"


@pytest.mark.parametrize(
    ("listed", "expected"),
    [('(\n    "zh-Hans-CN",\n    en\n)', "zh"), ("(\n    en,\n    zh\n)", "en"), (None, "en")],
)
def test_the_language_of_a_mac(
    listed: str | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.platform", "darwin")
    monkeypatch.setattr(language, "answer", lambda *_: listed)
    assert language.system_language() == expected


@pytest.mark.ui
def test_a_tap_changes_the_language_at_once_and_for_good(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(os.environ, "LANG", "C")
    driver = start(size=(1280, 900)).ready()
    driver.go("settings")
    assert [chip.name for chip in driver.shown("LanguageChoice", active=True)] == [SYSTEM]
    driver.tap(driver.shown("LanguageChoice", name="zh")[0])
    driver.until(lambda: "外观" in driver.texts())
    assert {"推荐", "搜索", "收藏", "历史", "设置", "40 个条目"} <= set(driver.texts())
    assert "Settings" not in driver.texts()
    assert [chip.name for chip in driver.shown("LanguageChoice", active=True)] == ["zh"]
    # The last word on the disk is of the worker.
    driver.until(lambda: Preferences.read(preferences_path(tmp_path / "history.db")).language == "zh")  # fmt: skip
    driver.app.go("search")
    assert driver.app._current.ids.query.font_name == CHINESE  # for the hint in the empty field
    driver.app.go("for_you")
    driver.until(lambda: driver.shown("Card"))
    driver.press("Card", "like")
    driver.until(lambda: driver.snack.startswith("已喜欢 "))
    driver.until(lambda: any("因为你喜欢 " in text for text in driver.texts()))
    driver = start(size=(420, 860))
    driver.until(lambda: driver.shown("Card"))
    assert "推荐" in driver.texts()
    driver.app.go("settings")
    driver.until(lambda: driver.app._current.facts)
    driver.app.choose_language("en")
    driver.until(lambda: "Appearance" in driver.texts())
