"""Rows whose columns have types, from Parquet or from memory: strings stay strings."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from lerg_edge.data.readers._columns import ColumnNames, find_columns
from lerg_edge.data.readers._encode import EncodedIds, PairBuffer
from lerg_edge.data.readers._rows import BadRowLog, checked, reason_for, usable
from lerg_edge.errors import InputError

__all__ = ["read_typed"]

_BATCH = 500_000


def read_typed(
    rows: pl.LazyFrame,
    names: ColumnNames,
    *,
    rating_threshold: float | None,
    log: BadRowLog,
    source: Path | str,
) -> PairBuffer:
    """Read a table batch by batch.

    Args:
        source: the file, or what the table is, to begin an error with.

    Raises:
        InputError: a column is missing or of the wrong type, or there is a bad row (a null, a rating or
            timestamp that is no finite number) that is not to be skipped.
    """
    schema = rows.collect_schema()
    header = schema.names()
    columns = find_columns(header, names, path=source)
    if rating_threshold is not None and columns.rating is None:
        raise InputError(
            f"{source}: a rating threshold needs a rating column; its columns are {', '.join(header)}"
        )
    selected: dict[str, pl.Expr] = {}
    for role, position in columns.positions(rating=rating_threshold is not None).items():
        select = _id if role in ("user", "item") else _number
        selected[role] = select(header[position], schema[header[position]], source=source, role=role)
    # Unsigned ids may pass int64; they come as digits then, and are integers again if all of them fit.
    user, item = (schema[header[position]].is_integer() for position in (columns.user, columns.item))
    buffer = PairBuffer(EncodedIds(from_text=user), EncodedIds(from_text=item))
    rows_before = 0
    for batch in rows.select(**selected).collect_batches(chunk_size=_BATCH):
        numbers = checked(batch, buffer.time_column)
        good = usable(numbers)
        for index in (~good).arg_true():
            log.add(rows_before + index + 1, reason_for(batch.row(index, named=True), buffer.time_column))
        buffer.add(numbers.filter(good), rating_threshold=rating_threshold)
        rows_before += len(batch)
    buffer.bad_rows_skipped = log.count
    buffer.columns = {role: header[position] for role, position in columns.positions().items()}
    return buffer


def _id(name: str, dtype: pl.DataType, *, source: Path | str, role: str) -> pl.Expr:
    """An id column as Int64 or String."""
    column = pl.col(name)
    if dtype in (pl.UInt64, pl.Int128):
        return column.cast(pl.String)
    if dtype.is_integer():
        return column.cast(pl.Int64)
    if dtype == pl.String or isinstance(dtype, (pl.Categorical, pl.Enum)):
        return column.cast(pl.String)
    raise InputError(f"{source}: column {name!r} holds {dtype}; {role} ids must be integers or strings")


def _number(name: str, dtype: pl.DataType, *, source: Path | str, role: str) -> pl.Expr:
    """A rating or timestamp column as numbers or text that may hold them."""
    column = pl.col(name)
    if role == "timestamp" and isinstance(dtype, (pl.Datetime, pl.Date)):
        return column.cast(pl.Datetime("us")).dt.epoch("us")
    if dtype.is_numeric() or dtype == pl.String:
        return column
    raise InputError(f"{source}: column {name!r} holds {dtype}; a {role} must be a number")
