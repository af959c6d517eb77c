"""The text of a file line by line, whatever it is encoded in, within limits."""

import codecs
import io
from collections.abc import Iterator
from typing import BinaryIO, Final

from device_app.importers.rows import HistoryFileError
from device_app.language import tr

LONGEST_LINE: Final = 131_072
"""Characters, as many as Python's csv takes in one field; real rows have a few thousand."""

MOST_LINES: Final = 200_000
"""A person's history has thousands; MovieLens's file of 610 people has 100,000."""


def text_lines(name: str, stream: BinaryIO) -> Iterator[str | None]:
    """The lines with their ends; None in place of one that is too long.

    UTF-16 is known by its mark. Otherwise each line is UTF-8 or else Windows-1252, for itself:
    files put together from two sources mix them.

    Raises:
        HistoryFileError: ``name`` has too many lines.
    """
    mark = _peek(stream)[:3]
    wide = mark.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    if mark == codecs.BOM_UTF8:
        stream.read(len(mark))
    # Latin-1 keeps every byte as it is, so that a line can be decoded when it is known.
    encoding = "utf-16" if wide else "latin-1"
    with io.TextIOWrapper(stream, encoding=encoding, errors="replace", newline="") as text:
        for count, line in enumerate(iter(lambda: text.readline(LONGEST_LINE), "")):
            if count == MOST_LINES:
                said = tr(
                    "{}: expected the history of one person, at most {:,} lines, found more; split "
                    "the file"
                )
                raise HistoryFileError(said.format(name, MOST_LINES))
            if len(line) == LONGEST_LINE and not line.endswith(("\n", "\r")):
                _skip_line(text)
                yield None
            else:
                yield line if wide else _decoded(line)


def starts_as_json(stream: BinaryIO) -> bool:
    """Whether a brace or bracket comes first; the stream is left where it was."""
    head = _peek(stream).removeprefix(codecs.BOM_UTF8).lstrip()
    return head.startswith((b"{", b"["))


def _peek(stream: BinaryIO) -> bytes:
    start = stream.tell()
    head = stream.read(64)
    stream.seek(start)
    return head


def _skip_line(text: io.TextIOWrapper) -> None:
    while (rest := text.readline(LONGEST_LINE)) and not rest.endswith(("\n", "\r")):
        pass


def _decoded(line: str) -> str:
    if line.isascii():
        return line
    raw = line.encode("latin-1")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("cp1252", errors="replace")
