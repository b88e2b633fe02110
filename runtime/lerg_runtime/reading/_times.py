"""Timestamps of a table's rows, in an order: numbers since 1970, or ISO dates."""

from __future__ import annotations

import datetime
import math
import re

from lerg_runtime.reading._layout import BLANKS
from lerg_runtime.reading._rows import MAX_NUMBER, NUMBER, BadRow

__all__ = ["Moments"]

_DATE = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:[Tt ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]+))?)?"
    r" ?(?:[Zz]|([+-])([0-9]{2}):?([0-9]{2})?)?)?",
    re.ASCII,
)
_SHOWN = 40
_LIMIT = 2**63


class Moments:
    """Reads one column row by row. It holds numbers or dates, as its first readable value does."""

    def __init__(self) -> None:
        self._dates: bool | None = None

    @property
    def settled(self) -> bool:
        """Whether a readable value has come."""
        return self._dates is not None

    def read(self, text: str) -> tuple[int, int]:
        """When it was: whole units, which fit int64, and millionths of one; dates in microseconds.

        Raises:
            BadRow: it is neither, or the other kind than those before it.
        """
        stripped = text.strip(BLANKS)
        if not stripped:
            raise BadRow("the timestamp is missing")
        number, date = _number(stripped), _date(stripped)
        if self._dates is None and (number is not None or date is not None):
            self._dates = number is None
        found = date if self._dates else number
        if found is None:
            shown = ascii(stripped if len(stripped) <= _SHOWN else f"{stripped[: _SHOWN - 3]}...")
            kind = {None: "a number or a date", True: "a date", False: "a number"}[self._dates]
            raise BadRow(f"the timestamp {shown} is not {kind}, such as 2024-05-31T12:00:00Z or 1717156800")
        return found


def _number(text: str) -> tuple[int, int] | None:
    if len(text) > MAX_NUMBER or not NUMBER.fullmatch(text):
        return None
    if text.lstrip("+-").isdigit():  # straight to integers: a float would round nanoseconds
        whole, part = int(text), 0
        return (whole, part) if -_LIMIT <= whole < _LIMIT else None
    value = float(text)
    if not math.isfinite(value):
        return None
    whole = math.floor(value)
    return (whole, min(round((value - whole) * 1e6), 999_999)) if -_LIMIT <= whole < _LIMIT else None


def _date(text: str) -> tuple[int, int] | None:
    match = _DATE.fullmatch(text)
    if match is None:
        return None
    day, hour, minute, second, part, sign, zone_hour, zone_minute = match.groups()
    hours, minutes, seconds, ahead_hours, ahead_minutes = (
        int(group or 0) for group in (hour, minute, second, zone_hour, zone_minute)
    )
    if hours > 23 or minutes > 59 or seconds > 60 or ahead_hours > 23 or ahead_minutes > 59:
        return None
    try:
        days = datetime.date.fromisoformat(day).toordinal()
    except ValueError:
        return None
    ahead = (ahead_hours * 60 + ahead_minutes) * (-1 if sign == "-" else 1)
    micros = int((part or "").ljust(6, "0")[:6])
    return (((days * 24 + hours) * 60 + minutes - ahead) * 60 + seconds) * 10**6 + micros, 0
