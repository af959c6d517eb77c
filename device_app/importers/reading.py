"""A file of somebody's history, recognised by what is in it."""

from pathlib import Path
from typing import Final

from device_app.importers import (
    goodreads,
    letterboxd,
    movielens,
    netflix,
    own_export,
    plain,
    sources,
)
from device_app.importers.lines import starts_as_json
from device_app.importers.plain import Columns
from device_app.importers.rows import History, HistoryFileError
from device_app.importers.sources import Source
from device_app.importers.table import Table
from device_app.language import tr

_FORMATS: Final = (
    (letterboxd.recognises, letterboxd.read),
    (goodreads.recognises, goodreads.read),
    (netflix.recognises, netflix.read),
)


def read(
    path: Path,
    *,
    user: str | None = None,
    columns: Columns | None = None,
    best: float | None = None,
) -> History:
    """The history in a file: our own export, MovieLens, Letterboxd, Goodreads, Netflix or any CSV.

    Args:
        user: whose ratings to read, where a MovieLens file has those of several people.
        columns: what the columns hold, for a CSV of no known format; guessed from their names
            where it is None.
        best: the highest rating of such a CSV's scale; told by its ratings where it is None.

    Raises:
        HistoryFileError: the file is none of these, or holds nothing that can be read.
    """
    source = sources.find(path)
    with source.open() as stream:
        if starts_as_json(stream):
            history = own_export.read(str(source), stream)
        else:
            history = _read_table(source, Table(str(source), stream), user, columns, best)
    if not history.rows:
        found = str(history.unreadable) if history.unreadable else tr("none")
        said = tr("{}: expected at least one row of a history, found {}; choose another file")
        raise HistoryFileError(said.format(source, found))
    return history


def header(path: Path) -> tuple[str, ...]:
    """The names of a CSV file's columns, to choose from; `plain.guess` proposes a choice.

    Raises:
        HistoryFileError: the file is no table.
    """
    source = sources.find(path)
    with source.open() as stream:
        return Table(str(source), stream).header


def _read_table(
    source: Source, table: Table, user: str | None, columns: Columns | None, best: float | None
) -> History:
    if columns is not None:
        return plain.read(table, columns, best)
    if movielens.recognises(table):
        return _read_movielens(source, table, user)
    for recognises, read_format in _FORMATS:
        if recognises(table):
            return read_format(table)
    return plain.read(table, plain.guess(table.header), best)


def _read_movielens(source: Source, table: Table, user: str | None) -> History:
    beside = source.beside(movielens.TITLES)
    if not beside.exists():
        said = tr(
            "{}: expected the titles of the films, found no such file; copy {} of the same data "
            "set there"
        )
        raise HistoryFileError(said.format(beside, movielens.TITLES))
    with beside.open() as stream:
        titles = movielens.read_titles(Table(str(beside), stream))
    return movielens.read(table, titles, user)
