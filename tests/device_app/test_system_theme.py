import subprocess
import sys
from pathlib import Path

import pytest

from device_app import programs, system_theme

ANSWER = programs.answer


@pytest.mark.parametrize(
    ("platform", "answer", "dark"),
    [
        ("linux", "'prefer-dark'", True),
        ("linux", "'default'", False),
        ("linux", None, None),
        ("darwin", "Dark", True),
        ("darwin", None, False),
    ],
)
def test_what_the_system_says(
    monkeypatch: pytest.MonkeyPatch, platform: str, answer: str | None, dark: bool | None
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(system_theme, "answer", lambda *_: answer)
    assert system_theme.prefers_dark() is dark


@pytest.mark.skipif(sys.platform == "win32", reason="the programs are shell scripts")
@pytest.mark.parametrize(
    ("script", "answer"), [("echo ' yes '", "yes"), ("exit 1", None), ("exec sleep 9", None)]
)
def test_a_program_that_fails_or_hangs_says_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str, answer: str | None
) -> None:
    program = tmp_path / "ask"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    assert ANSWER(str(program)) == answer
    assert ANSWER(str(tmp_path / "absent")) is None


def test_asking_loads_no_kivy() -> None:
    code = "import device_app.system_theme, sys; assert 'kivy' not in sys.modules"
    root = Path(system_theme.__file__).parents[1]
    subprocess.run([sys.executable, "-c", code], cwd=root, check=True)
