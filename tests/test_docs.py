"""What the documents say is true: commands, options, files, links and code."""

import ast
import re
from pathlib import Path

import pytest
import typer.main

from pocketrec import columns
from pocketrec.cli.app import app

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    path
    for path in (*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *ROOT.glob("*/README.md"))
    if path.parent.name not in (".venv", "runs")
]
NAMES = [str(path.relative_to(ROOT)) for path in DOCUMENTS]
CALL = re.compile(
    r"(?:^\s*(?:\$ )?|`|&& |\| |\.venv/bin/)pocketrec ((?:--?)?[a-z-]+(?: [^`\n|#]*)?)", re.M
)


def commands():
    """Command words -> the options it takes."""
    group = typer.main.get_command(app)
    found = {(): group}
    for name, command in group.commands.items():
        found[name,] = command
        for inner, nested in getattr(command, "commands", {}).items():
            found[name, inner] = nested
    return {
        words: {
            option
            for parameter in command.params
            for option in (*parameter.opts, *parameter.secondary_opts)
        }
        | {"--help", "-h"}
        for words, command in found.items()
    }


COMMANDS = commands()


def fences(text, language):
    """Code blocks of a language, list indentation taken off."""
    blocks = re.findall(rf"^([ ]*)```{language}\n(.*?)^\1```", text, re.M | re.S)
    return [
        "\n".join(line.removeprefix(indent) for line in body.splitlines())
        for indent, body in blocks
    ]


@pytest.fixture(params=DOCUMENTS, ids=NAMES)
def document(request):
    return request.param


def test_commands_and_options_exist(document):
    for call in CALL.findall(document.read_text(encoding="utf-8")):
        words = call.split()
        command = tuple(words[:2]) if tuple(words[:2]) in COMMANDS else tuple(words[:1])
        if words[0].startswith("-"):
            command = ()
        assert command in COMMANDS, f"{document}: pocketrec {call}"
        for option in re.findall(r"(?<![\w-])--?[a-z][a-z-]*", call):
            assert option in COMMANDS[command], f"{document}: pocketrec {call}: {option}"


def test_links_lead_somewhere(document):
    for target in re.findall(r"\]\(([^)#\s]+)", document.read_text(encoding="utf-8")):
        if "://" not in target and not target.startswith("mailto:"):
            assert (document.parent / target).exists(), f"{document}: {target}"


def test_files_named_in_code_exist(document):
    text = document.read_text(encoding="utf-8")
    pattern = r"`((?:pocketrec|teacher|distill|export|device_app|benchmarks|tests|docs)/[\w./-]*)`"
    for name in re.findall(pattern, text):
        assert (ROOT / name).exists(), f"{document}: {name}"


def test_make_targets_exist(document):
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    for target in re.findall(r"(?:^|`)make ([a-z]+)", document.read_text(encoding="utf-8"), re.M):
        assert target in targets, f"{document}: make {target}"


def test_python_is_python(document):
    for block in fences(document.read_text(encoding="utf-8"), "python"):
        ast.parse(block)


def test_the_command_page_names_every_command_and_option():
    text = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    for command, options in COMMANDS.items():
        if command in ((), ("data",)):
            continue
        rows = [line for line in text.splitlines() if f"`pocketrec {' '.join(command)}" in line]
        assert rows, command
        for option in (o for o in options - {"--help", "-h"} if o.startswith("-")):
            assert any(option in row for row in rows), (command, option)


def test_the_data_page_names_every_column():
    text = (ROOT / "docs" / "data-format.md").read_text(encoding="utf-8")
    for name, value in vars(columns).items():
        if name.isupper() and isinstance(value, str):
            assert f"| `{value}` |" in text


def test_the_python_of_build_your_own_runs(tiny_bundle, capsys):
    text = (ROOT / "docs" / "build-your-own.md").read_text(encoding="utf-8")
    (block,) = fences(text, "python")
    code = block.replace("runs/mine/bundle", str(tiny_bundle)).replace(
        '"A", "B", "C"', '"m01", "m02"'
    )
    exec(compile(code, "build-your-own.md", "exec"), {})  # noqa: S102 - our own document
    assert len(capsys.readouterr().out.splitlines()) == 10
