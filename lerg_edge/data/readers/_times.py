"""Timestamps as text or numbers: seconds, milliseconds, microseconds or nanoseconds since 1970, or ISO dates.

A column holds numbers or dates, as its first readable value does. Numbers are in one unit, told by the
largest: nothing below 10^11 seconds is later than the year 5138, and as milliseconds it would be before 1973.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lerg_edge.data.readers._formats import BLANKS

__all__ = ["NUMBER", "TimeColumn", "Times"]

NUMBER = r"^[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$"
MAX_NUMBER_CHARACTERS = 400
_DATE = (
    r"^([0-9]{4}-[0-9]{2}-[0-9]{2})(?:[Tt ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]+))?)?"
    r" ?(?:[Zz]|([+-])([0-9]{2}):?([0-9]{2})?)?)?$"
)
_INT64_LIMIT = 2.0**63
_UNITS = (("s", 10**11), ("ms", 10**14), ("us", 10**17))
_MICROSECONDS = {"s": 10**6, "ms": 10**3}


@dataclass(slots=True)
class TimeColumn:
    """Reads one column batch by batch.

    Attributes:
        kind: ``number`` or ``date``, None before the first readable value.
    """

    kind: str | None = None

    def read(self, values: pl.Series) -> tuple[pl.Series, pl.Series]:
        """Whole units as Int64 and millionths of one as Int32; null for what cannot be read.

        Dates are in microseconds, UTC where they name no zone.
        """
        if values.dtype.is_integer():
            return values.cast(pl.Int64, strict=False), pl.zeros(len(values), pl.Int32, eager=True)
        if values.dtype != pl.String:
            return _split(values.cast(pl.Float64))
        texts = values.str.strip_chars(BLANKS)
        whole, part = _numbers(texts)
        if whole.null_count() == texts.null_count() and self.kind != "date":
            self.kind = self.kind or ("number" if whole.null_count() < len(whole) else None)
            return whole, part
        dates = _dates(texts)
        if self.kind is None:
            first = (whole.is_not_null() | dates.is_not_null()).arg_max()
            if first is not None and (whole[first] is not None or dates[first] is not None):
                self.kind = "number" if whole[first] is not None else "date"
        if self.kind == "date":
            return dates, pl.zeros(len(dates), pl.Int32, eager=True)
        return whole, part


def _numbers(texts: pl.Series) -> tuple[pl.Series, pl.Series]:
    good = texts.str.contains(NUMBER) & (texts.str.len_chars() <= MAX_NUMBER_CHARACTERS)
    texts = texts.set(~good.fill_null(False), None)
    # Straight to integers first: a float would round nanoseconds.
    whole = texts.cast(pl.Int64, strict=False)
    part = pl.zeros(len(texts), pl.Int32, eager=True)
    if whole.null_count() == texts.null_count():
        return whole, part
    floored, parts = _split(texts.cast(pl.Float64, strict=False))
    parts = parts.zip_with(whole.is_null(), part)
    return whole.fill_null(floored), parts


def _split(numbers: pl.Series) -> tuple[pl.Series, pl.Series]:
    numbers = numbers.set(~numbers.is_finite().fill_null(False), None)
    floor = numbers.floor()
    floor = floor.set(((floor < -_INT64_LIMIT) | (floor >= _INT64_LIMIT)).fill_null(False), None)
    parts = ((numbers - floor) * 1e6).round().clip(0, 999_999).cast(pl.Int32)
    return floor.cast(pl.Int64, strict=False), parts


def _dates(texts: pl.Series) -> pl.Series:
    """Microseconds since 1970, Int64; null for what is no date of the calendar."""
    groups = texts.str.extract_groups(_DATE).struct.unnest()
    day, hour, minute, second, part, sign, zone_hour, zone_minute = (groups[name] for name in groups.columns)

    def number(column: pl.Series) -> pl.Series:
        return column.cast(pl.Int64, strict=False).fill_null(0)

    days = day.str.strptime(pl.Date, "%Y-%m-%d", strict=False).cast(pl.Int64)
    ahead = number(zone_hour) * 60 + number(zone_minute)
    ahead = ahead * (1 - 2 * (sign == "-").fill_null(False).cast(pl.Int64))
    hours, minutes, seconds = number(hour), number(minute), number(second)
    micros = part.fill_null("").str.pad_end(6, "0").str.slice(0, 6).cast(pl.Int64)
    found = (((days * 24 + hours) * 60 + minutes - ahead) * 60 + seconds) * 1_000_000 + micros
    possible = (
        (hours < 24)
        & (minutes < 60)
        & (seconds <= 60)
        & (number(zone_hour) < 24)
        & (number(zone_minute) < 60)
    )
    return found.set(~possible, None)


@dataclass(slots=True)
class Times:
    """The timestamps of a source as its batches come.

    Attributes:
        whole: int64 [rows] a batch, whole units.
        parts: int32 [rows] a batch, millionths of a unit.
    """

    whole: list[NDArray[np.int64]] = field(default_factory=list)
    parts: list[NDArray[np.int32]] = field(default_factory=list)

    def add(self, rows: pl.DataFrame) -> None:
        """Take the columns ``timestamp`` and ``timestamp_part`` of a batch, if it has them."""
        if "timestamp" in rows.columns:
            self.whole.append(rows["timestamp"].to_numpy())
            self.parts.append(rows["timestamp_part"].to_numpy())

    def joined(self, *, dates: bool) -> tuple[NDArray[np.int64], str] | None:
        """All of them, int64 [n], with their unit; None if there is none.

        Whole numbers stay as they are. Seconds or milliseconds with fractions come in microseconds.
        """
        if not self.whole:
            return None
        times = np.concatenate(self.whole)
        unit = "us" if dates else _unit(times)
        if unit in _MICROSECONDS and any(bool(part.any()) for part in self.parts):
            scale = _MICROSECONDS[unit]
            return times * scale + np.concatenate(self.parts).astype(np.int64) * scale // 10**6, "us"
        return times, unit


def _unit(times: NDArray[np.int64]) -> str:
    largest = max(abs(int(times.min())), abs(int(times.max()))) if times.size else 0
    return next((unit for unit, end in _UNITS if largest < end), "ns")
