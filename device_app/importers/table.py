"""A CSV file with a header, read row by row: a row that is no row is left out and counted."""

import csv
from collections import deque
from collections.abc import Iterator
from typing import BinaryIO, Final

from device_app.importers.lines import LONGEST_LINE, text_lines
from device_app.importers.rows import HistoryFileError, Unreadable
from device_app.importers.values import clean
from device_app.language import tr
from pocketrec.catalogue import fold

MOST_COLUMNS: Final = 1_000
"""Goodreads has 24; a spreadsheet with this many is no list of titles."""

MOST_LINES_A_ROW: Final = 200
"""A quote that is never closed takes in the lines below it; a review of a film has fewer paragraphs."""

MOST_BROKEN: Final = 1_000
"""Each broken row may cost a second look at the lines below it; with so many it is no table."""

_DELIMITERS: Final = (",", ";", "\t")


class Table:
    """The rows below a header. Read once, from the top.

    Attributes:
        name: what messages call the file.
        header: the names of the columns.
        unreadable: the rows left out so far; who reads the cells adds those with values it cannot use.
    """

    def __init__(self, name: str, stream: BinaryIO) -> None:
        """Read the header; comma, semicolon or tab is what splits it into most columns.

        Raises:
            HistoryFileError: there is no header, or one of too many columns.
        """
        self.name = name
        self.unreadable = Unreadable()
        self._lines = _Lines(text_lines(name, stream))
        try:
            first = self._lines.first()
            readings = [(mark, _cells(first, mark)) for mark in _DELIMITERS]
        except csv.Error as error:
            said = tr(
                "{}: the first line: expected the names of columns, found {}; choose a table "
                "saved as CSV"
            )
            raise HistoryFileError(said.format(name, error)) from error
        self._delimiter, cells = max(readings, key=lambda reading: len(reading[1]))
        if len(cells) > MOST_COLUMNS:
            said = tr("{}: expected at most {:,} columns, found {:,}; keep the columns that matter")
            raise HistoryFileError(said.format(name, MOST_COLUMNS, len(cells)))
        self.header = tuple(clean(cell) for cell in cells)
        # Of two columns with one name the first; those without a name cannot be asked for.
        named = [(fold(title), place) for place, title in enumerate(self.header) if title]
        self._places = dict(reversed(named))

    def has(self, *columns: str) -> bool:
        """Whether all of these columns are there, whatever their case."""
        return all(fold(column) in self._places for column in columns)

    def records(self, *columns: str) -> Iterator[tuple[int, list[str]]]:
        """The line and the cells in ``columns`` of each row that is not empty.

        A column is found whatever its case; one that the table lacks has empty cells. Spaces and
        control characters are tidied.

        Raises:
            HistoryFileError: too many lines, or too many rows that are broken.
        """
        places = [self._places.get(fold(column)) for column in columns]
        width = len(self.header)
        for line, cells in self._rows():
            if len(cells) < width or any(cells[width:]):
                said = tr("expected {} columns as in the header, found {}")
                self.unreadable.add(line, said.format(width, len(cells)))
            else:
                yield line, ["" if p is None else clean(cells[p]) for p in places]

    def _rows(self) -> Iterator[tuple[int, list[str]]]:
        reader = csv.reader(self._lines, delimiter=self._delimiter, strict=True)
        broken = 0
        while True:
            self._lines.start_row()
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                broken += 1
                # csv puts a tab into it as it is.
                reason = clean(tr("no row of a table ({})").format(error))
                self.unreadable.add(self._lines.row_line, reason)
                if broken > MOST_BROKEN:
                    said = tr("{}: expected a table, but {}; choose a table saved as CSV")
                    raise HistoryFileError(said.format(self.name, self.unreadable)) from error
                self._lines.end_row_at_its_first_line()
                continue
            if any(map(str.strip, cells)):
                yield self._lines.row_line, cells


class _Lines:
    """Numbered lines, for a reader that takes several for one row, and may have to think again."""

    def __init__(self, lines: Iterator[str | None]) -> None:
        self._numbered = enumerate(lines, start=1)
        self._returned: deque[tuple[int, str | None]] = deque()
        self._row: list[tuple[int, str | None]] = []

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if len(self._row) == MOST_LINES_A_ROW:
            said = tr("a quote that is still open {} lines below")
            raise csv.Error(said.format(MOST_LINES_A_ROW))
        number, line = self._returned.popleft() if self._returned else next(self._numbered)
        self._row.append((number, line))
        if line is None:
            raise csv.Error(tr("a line of more than {:,} characters").format(LONGEST_LINE))
        if "\0" in line:
            raise csv.Error(tr("a NUL character"))
        return line

    @property
    def row_line(self) -> int:
        """The number of the present row's first line."""
        return self._row[0][0]

    def first(self) -> str:
        """The first line that is not blank."""
        for line in self:
            if line.strip():
                return line
            self.start_row()
        raise csv.Error(tr("an empty file"))

    def start_row(self) -> None:
        self._row.clear()

    def end_row_at_its_first_line(self) -> None:
        """What was taken below the first line of the present row will be read again."""
        self._returned.extendleft(reversed(self._row[1:]))


def _cells(line: str, delimiter: str) -> list[str]:
    return next(csv.reader([line], delimiter=delimiter))
