"""Calls the command line inside the test's process, as the console script would."""

import json
from dataclasses import dataclass
from typing import Any

import pytest

from pocketrec.cli import main


@dataclass(frozen=True)
class Called:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """stdout as the one JSON object that --json promises."""
        return json.loads(self.out)

    def failed(self, code: int) -> str:
        """The one line of a failure with this exit code."""
        assert self.code == code, self
        assert self.out == ""
        assert self.err.startswith("pocketrec: ")
        assert self.err.count("\n") == 1, self.err
        assert self.err.endswith("\n")
        assert len(self.err) < 700
        return self.err.removeprefix("pocketrec: ").rstrip("\n")


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> Called:
    code = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return Called(code, captured.out, captured.err)
