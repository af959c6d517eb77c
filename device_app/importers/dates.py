"""The dates of a file, read together: whether 3/4 is in March or in April, one date alone does not say."""

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from typing import Final, Literal

LATEST: Final = int(datetime(2100, 1, 1, tzinfo=UTC).timestamp())
"""Unix seconds; later times are typing errors, as those before 1970 are."""

DayOrder = Literal["day first", "month first"]

_UNIX = re.compile(r"\d{9,10}|\d{13}")
_PARTS = re.compile(r"(\d{1,4})([/.-])(\d{1,2})\2(\d{1,4})(?:[ T].*)?")
_NOON = time(12, tzinfo=UTC)


def day_order(texts: Sequence[str]) -> DayOrder | None:
    """How the days of one file are written: None where its dates do not tell, or need no telling.

    The order in which more of the days exist (there is no 31st month), else the only one in which
    they go steadily forwards or backwards.
    """
    found = [parts for text in texts if (parts := _PARTS.fullmatch(text)) and len(parts[1]) < 3]
    if not found:
        return None
    if all(parts[2] == "." for parts in found):
        return "day first"
    orders: tuple[DayOrder, DayOrder] = ("day first", "month first")
    readings = {order: [_day(parts, order) for parts in found] for order in orders}
    known = {order: [day for day in days if day] for order, days in readings.items()}
    most = max(map(len, known.values()))
    fitting = [order for order in orders if len(known[order]) == most]
    if len(fitting) > 1:
        fitting = [order for order in orders if _in_order(known[order])]
    return fitting[0] if len(fitting) == 1 else None


def read_time(text: str, order: DayOrder | None) -> int | None:
    """Unix seconds, or None where a date is missing, absurd or could be two days.

    Understood are ISO 8601, unix seconds and milliseconds, 2023/12/31, and 31/12/2023 or 12/31/23
    where ``order`` says which number is the month. A day without a time is its noon in UTC, which
    is the same day nearly everywhere.
    """
    if _UNIX.fullmatch(text):
        seconds = int(text) // (1000 if len(text) == 13 else 1)
    elif moment := _moment(text, order):
        seconds = int(moment.timestamp())
    else:
        return None
    return seconds if 0 <= seconds < LATEST else None


def _moment(text: str, order: DayOrder | None) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        parts = _PARTS.fullmatch(text)
        day = _day(parts, order) if parts else None
        return datetime.combine(day, _NOON) if day else None
    if len(text) <= len("2023-12-31"):
        return datetime.combine(moment, _NOON)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _day(parts: re.Match[str], order: DayOrder | None) -> date | None:
    first, second, third = int(parts[1]), int(parts[3]), int(parts[4])
    if len(parts[1]) == 4:
        year, month, day = first, second, third
    elif order is None or len(parts[1]) == 3:
        return None
    else:
        day, month = (first, second) if order == "day first" else (second, first)
        year = third if len(parts[4]) > 2 else third + (1900 if third >= 70 else 2000)
    try:
        return date(year, month, day)
    except ValueError:
        return None


def _in_order(days: list[date]) -> bool:
    return days == sorted(days) or days == sorted(days, reverse=True)
