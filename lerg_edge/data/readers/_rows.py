"""What makes a row usable, the same for every table, and what happens to one that is not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl

from lerg_edge.data.readers._formats import BLANKS
from lerg_edge.data.readers._times import MAX_NUMBER_CHARACTERS, NUMBER, TimeColumn
from lerg_edge.errors import InputError

__all__ = ["MAX_ID_BYTES", "BadRow", "BadRowLog", "checked", "id_problem", "reason_for", "usable"]

MAX_ID_BYTES = 4096


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be used.

    Attributes:
        path: the file, or what to call a table in memory.
        line: the line on which the row starts, from 1, a header included; of Parquet and of tables in memory
            the row, from 1.
        reason: what is wrong with it.
    """

    path: Path | str
    line: int
    reason: str


class BadRowLog:
    """Raises at the first bad row of a file, or counts them and tells a callback."""

    def __init__(
        self, path: Path | str, *, skip: bool, on_bad_row: Callable[[BadRow], None] | None, unit: str = "line"
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
            timed = reason.startswith("the timestamp")
            leave_out = ' or leave the column out with {timestamp_column:""}' if timed else ""
            raise InputError.naming(
                f"{{}}: {{}} {{}}: {{}}; mend the row{leave_out} or give {{skip_bad_rows:true}}",
                self._path,
                self._unit,
                line,
                reason,
            )
        self.count += 1
        if self._on_bad_row is not None:
            self._on_bad_row(BadRow(self._path, line, reason))


def checked(rows: pl.DataFrame, times: TimeColumn) -> pl.DataFrame:
    """Ids, ratings and timestamps, null where they cannot be used.

    Args:
        rows: columns user, item and, if they are asked for, rating and timestamp, as read.
        times: of the timestamps so far.

    Returns:
        user and item (String or Int64), rating (Float64, finite), timestamp (Int64), timestamp_part (Int32).
    """
    columns = {name: rows[name] for name in rows.columns}
    for role in ("user", "item"):
        if columns[role].dtype == pl.String:
            bad = (columns[role].str.strip_chars(BLANKS) == "") | (
                columns[role].str.len_bytes() > MAX_ID_BYTES
            )
            if bad.any():
                columns[role] = columns[role].set(bad.fill_null(False), None)
    if "rating" in columns:
        columns["rating"] = _finite(columns["rating"])
    if "timestamp" in columns:
        columns["timestamp"], columns["timestamp_part"] = times.read(columns["timestamp"])
    return pl.DataFrame(columns)


def _finite(values: pl.Series) -> pl.Series:
    """``values`` as Float64, null for what is no finite number."""
    if values.dtype == pl.String:
        values = values.str.strip_chars(BLANKS)
        good = values.str.contains(NUMBER) & (values.str.len_chars() <= MAX_NUMBER_CHARACTERS)
        values = values.set(~good.fill_null(False), None)
    numbers = values.cast(pl.Float64, strict=False)
    return numbers.set(~numbers.is_finite().fill_null(False), None)


def id_problem(text: str, *, role: str, size: int | None = None) -> str | None:
    """What is wrong with an id of a file, if anything; bytes that were not UTF-8 are lone surrogates in it.

    Args:
        size: its bytes in the file; None counts them.
    """
    if not text.strip(BLANKS):
        return f"the {role} is missing"
    if size is None:
        size = len(text.encode("utf-8", "surrogateescape"))
    if size > MAX_ID_BYTES:
        return f"the {role} has more than {MAX_ID_BYTES} bytes; is the separator right?"
    wide = any("\ud800" <= character <= "\udfff" for character in text)
    return f"the {role} is not UTF-8 text" if wide else None


def usable(rows: pl.DataFrame) -> pl.Series:
    """Bool [n]: the rows of a ``checked`` frame in which nothing is null."""
    return rows.select(pl.all_horizontal(pl.all().is_not_null())).to_series()


def reason_for(raw: Mapping[str, Any], times: TimeColumn) -> str:
    """Why a row, by role as read, is not usable; ``times`` has read the rows before it."""
    for role, value in raw.items():
        if value is None or (isinstance(value, str) and not value.strip(BLANKS)):
            return f"the {role} is missing"
        if role in ("user", "item") and isinstance(value, str):
            wrong = id_problem(value, role=role)
            if wrong is not None:
                return wrong
    row = checked(pl.DataFrame({role: [value] for role, value in raw.items()}), replace(times))
    found = next((role for role in ("rating", "timestamp") if role in raw and row[role][0] is None), None)
    if found is None:
        return "a field cannot be read"
    what = "a finite number"
    if found == "timestamp" and times.kind == "date":
        what = "a date as those before it, such as 2024-05-31T12:00:00Z"
    elif found == "timestamp":
        what += " as those before it" if times.kind else " or a date such as 2024-05-31T12:00:00Z"
    return f"the {found} {_shortened(raw[found])} is not {what}"


def _shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:36]}...{text[-1]}"
