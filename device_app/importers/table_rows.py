"""Records of a table read into rows, their dates together and each row for itself."""

from collections.abc import Callable, Sequence

from device_app.importers.dates import day_order, read_time
from device_app.importers.rows import Imported, Unreadable

Record = tuple[int, list[str]]
"""A line and its cells, as `Table.records` gives them."""


def read_rows(
    records: Sequence[Record],
    unreadable: Unreadable,
    read_row: Callable[..., Imported],
    *,
    dates: int,
) -> tuple[Imported, ...]:
    """What ``read_row(line, timestamp, *cells)`` makes of each record.

    The first ``dates`` cells of a record are dates, of which the first that can be read counts;
    the others are handed on. A record for which ``read_row`` raises ValueError is left out and
    added to ``unreadable``.
    """
    order = day_order([cell for _, cells in records for cell in cells[:dates]])
    rows = []
    for line, cells in records:
        times = (read_time(cell, order) for cell in cells[:dates])
        timestamp = next((time for time in times if time is not None), None)
        try:
            rows.append(read_row(line, timestamp, *cells[dates:]))
        except ValueError as error:
            unreadable.add(line, str(error))
    return tuple(rows)
