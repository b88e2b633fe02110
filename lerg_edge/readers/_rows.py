"""What makes a row usable, the same for every table, and what happens to one that is not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from lerg_edge.errors import InputError

__all__ = ["BadRow", "BadRowLog", "checked", "reason_for", "usable"]

_INT64_LIMIT = 2.0**63


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be used.

    Attributes:
        path: the file.
        line: the line on which the row starts, from 1, a header included; for Parquet the row, from 1.
        reason: what is wrong with it.
    """

    path: Path
    line: int
    reason: str


class BadRowLog:
    """Raises at the first bad row of a file, or counts them and tells a callback."""

    def __init__(
        self, path: Path, *, skip: bool, on_bad_row: Callable[[BadRow], None] | None, unit: str = "line"
    ) -> None:
        self._path = path
        self._skip = skip
        self._on_bad_row = on_bad_row
        self._unit = unit
        self.count = 0

    def add(self, line: int, reason: str) -> None:
        """Take note of one bad row.

        Raises:
            InputError: bad rows are not to be skipped.
        """
        if not self._skip:
            raise InputError(
                f"{self._path}: {self._unit} {line}: {reason}; mend the row or set skip_bad_rows"
            )
        self.count += 1
        if self._on_bad_row is not None:
            self._on_bad_row(BadRow(self._path, line, reason))


def checked(rows: pl.DataFrame) -> pl.DataFrame:
    """Ratings and timestamps as numbers, null where they are not numbers.

    Args:
        rows: columns user, item and, if the source has them, rating and timestamp, as read.

    Returns:
        user and item (String or Int64, null where missing), rating (Float64, finite), timestamp (Int64).
    """
    columns = {name: rows[name] for name in rows.columns}
    for role in ("user", "item"):
        if columns[role].dtype == pl.String and bool((columns[role].str.strip_chars() == "").any()):
            blank = columns[role].str.strip_chars() == ""
            columns[role] = columns[role].set(blank, None)
    if "rating" in columns:
        columns["rating"] = _finite(columns["rating"])
    if "timestamp" in columns:
        columns["timestamp"] = _whole(columns["timestamp"])
    return pl.DataFrame(columns)


def _finite(values: pl.Series) -> pl.Series:
    """``values`` as Float64, null for what is no finite number."""
    numbers = values.cast(pl.Float64, strict=False)
    if values.dtype == pl.String and numbers.null_count():
        numbers = values.str.strip_chars().cast(pl.Float64, strict=False)
    return numbers.set(~numbers.is_finite(), None)


def _whole(values: pl.Series) -> pl.Series:
    """``values`` as Int64, fractions rounded down; null for what is no number or does not fit."""
    if values.dtype.is_integer():
        return values.cast(pl.Int64, strict=False)
    # Straight to integers first: a float would round nanoseconds.
    whole = values.cast(pl.Int64, strict=False) if values.dtype == pl.String else None
    if whole is not None and not whole.null_count():
        return whole
    numbers = _finite(values).floor()
    numbers = numbers.set((numbers < -_INT64_LIMIT) | (numbers >= _INT64_LIMIT), None)
    floored = numbers.cast(pl.Int64, strict=False)
    return floored if whole is None else whole.fill_null(floored)


def usable(rows: pl.DataFrame) -> pl.Series:
    """Bool [n]: the rows of a ``checked`` frame in which nothing is null."""
    return rows.select(pl.all_horizontal(pl.all().is_not_null())).to_series()


def reason_for(raw: Mapping[str, Any]) -> str:
    """Why a row, by role as read, is not usable."""
    for role, value in raw.items():
        if value is None or (isinstance(value, str) and not value.strip()):
            return f"the {role} is missing"
    row = checked(pl.DataFrame({role: [value] for role, value in raw.items()}))
    wrong = next((role for role in ("rating", "timestamp") if role in raw and row[role][0] is None), None)
    if wrong is None:
        return "a field cannot be read"
    return f"the {wrong} {_shortened(raw[wrong])} is not a finite number"


def _shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:36]}...{text[-1]}"
