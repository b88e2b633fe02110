"""Interactions that are in memory already: tables with named columns, and sparse matrices.

No table library is imported for it: pandas, polars, pyarrow and whatever else has named columns are read by
their names, and a matrix of scipy by its own methods.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Mapping, Sequence, Set
from typing import Any

import numpy as np
import polars as pl

from lerg_edge.data.readers._columns import ColumnNames, find_columns
from lerg_edge.data.readers._encode import EncodedIds, PairBuffer
from lerg_edge.data.readers._rows import BadRowLog
from lerg_edge.data.readers._typed import read_typed
from lerg_edge.errors import InputError

__all__ = ["called", "column_of", "is_in_memory", "is_matrix", "names_of", "read_matrix", "read_table"]

_FORMS = (
    "give a path, a table with columns such as user and item (pandas, polars, pyarrow, a mapping of "
    "columns), a scipy sparse matrix, or Interactions.from_raw(users, items)"
)


def is_in_memory(source: object) -> bool:
    """False for what names a file or a folder."""
    return not isinstance(source, (str, os.PathLike))


def is_matrix(source: object) -> bool:
    """True for a sparse matrix or array of scipy."""
    return hasattr(source, "tocoo") and hasattr(source, "shape")


def called(source: object) -> str:
    """What to call a source: its path, or such as `the pandas DataFrame`."""
    if isinstance(source, (str, os.PathLike)):
        return str(os.fspath(source))
    kind = type(source)
    library = kind.__module__.partition(".")[0]
    return f"the {kind.__name__ if library == 'builtins' else f'{library} {kind.__name__}'}"


def names_of(table: object) -> list[Any] | None:
    """The names of a table's columns; None for what is no table."""
    if isinstance(table, Mapping):
        return list(table)
    if isinstance(table, np.ndarray):
        return None if table.dtype.names is None else list(table.dtype.names)
    if isinstance(table, pl.LazyFrame):
        return table.collect_schema().names()
    for attribute in ("column_names", "columns"):
        found = getattr(table, attribute, None)
        if found is not None and hasattr(table, "__getitem__") and not callable(found):
            return list(found)
    return None


def read_table(
    table: Any, names: ColumnNames, *, rating_threshold: float | None, log: BadRowLog
) -> PairBuffer:
    """Read a table.  Strings stay strings, even if they look like integers.

    Raises:
        InputError: it is no table, a column is missing or of a wrong type, or there is a bad row that is not
            to be skipped.
    """
    source = called(table)
    found = names_of(table)
    if found is None:
        raise InputError(f"{source} holds no interactions that are read here; {_FORMS}")
    if not isinstance(table, pl.LazyFrame):
        header = [name if isinstance(name, str) else repr(name) for name in found]
        wanted = find_columns(header, names, path=source)
        positions = wanted.positions(rating=rating_threshold is not None or wanted.rating is not None)
        columns = {
            header[at]: column_of(table, found[at], source=source) for at in sorted({*positions.values()})
        }
        lengths = {name: len(column) for name, column in columns.items()}
        if len(set(lengths.values())) > 1:
            told = ", ".join(f"{name!r} has {length:,}" for name, length in lengths.items())
            raise InputError(f"{source} has columns of several lengths ({told}); give one value per row each")
        table = pl.DataFrame(columns).lazy()
    return read_typed(table, names, rating_threshold=rating_threshold, log=log, source=source)


def column_of(table: Any, name: Any, *, source: str) -> pl.Series:
    """A column of a table, of whatever library.

    Raises:
        InputError: it is no flat column, or holds values of which nothing can be read.
    """
    try:
        column = (table.collect() if isinstance(table, pl.LazyFrame) else table)[name]
    except Exception as error:  # whatever the table's library raises
        raise InputError(
            f"{source}: column {name!r} cannot be read ({type(error).__name__}); {_FORMS}"
        ) from None
    if isinstance(column, (str, bytes, Mapping, Set)) or getattr(column, "ndim", 1) != 1:
        raise InputError(f"{source}: {name!r} is no flat column of values; {_FORMS}")
    if isinstance(column, pl.Series):
        return column
    if hasattr(column, "__arrow_c_stream__"):
        try:
            return pl.Series(column)
        except Exception:  # mixed values, which Arrow has no type for, are read one by one
            pass
    if not isinstance(column, (list, tuple)):
        if hasattr(column, "to_pylist"):
            column = column.to_pylist()
        else:
            array = np.asarray(column)
            if array.ndim != 1:
                raise InputError(f"{source}: {name!r} is no flat column of values; {_FORMS}")
            if array.dtype.kind in "iufM":
                return pl.Series(array)
            column = array.tolist()
    return _of_values(column, f"{source}: column {name!r}")


def _of_values(values: Sequence[Any], where: str) -> pl.Series:
    """Values one by one: integers, or texts if one of them is a text; missing ones become null."""
    given = [None if _is_missing(value) else value for value in values]
    kinds = {type(value) for value in given} - {type(None)}
    if any(issubclass(kind, (datetime.datetime, datetime.date)) for kind in kinds):
        try:
            return pl.Series(given)
        except Exception as error:
            raise InputError(f"{where}: its dates cannot be read ({type(error).__name__})") from None
    if all(issubclass(kind, (int, np.integer)) and kind is not bool for kind in kinds):
        whole = [None if value is None else int(value) for value in given]
        fits = all(value is None or -(2**63) <= value < 2**63 for value in whole)
        return pl.Series(whole, dtype=pl.Int64) if fits else pl.Series([*map(_text, whole)], dtype=pl.String)
    if all(issubclass(kind, (int, np.integer, str)) and kind is not bool for kind in kinds):
        return pl.Series([*map(_text, given)], dtype=pl.String)
    if all(issubclass(kind, (int, float, np.integer, np.floating)) and kind is not bool for kind in kinds):
        return pl.Series([None if value is None else float(value) for value in given], dtype=pl.Float64)
    kind = sorted(each.__name__ for each in kinds)
    raise InputError(f"{where} holds values of type {' and '.join(kind)}; give integers or texts")


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _is_missing(value: object) -> bool:
    """None, NaN, and what a library has for a value that is not there."""
    if value is None:
        return True
    try:
        return bool(value != value)
    except TypeError:  # pandas.NA, whose comparisons are neither true nor false
        return True


def read_matrix(matrix: Any, names: ColumnNames, *, rating_threshold: float | None) -> PairBuffer:
    """Read a sparse matrix [users, items]: an entry is an interaction, its value a rating.

    Ids are the positions of rows and columns, and those without an entry are known too. Entries at one place
    are added up, and without a threshold a stored zero is no interaction.

    Raises:
        InputError: columns are named, which a matrix has none of; or a value is not finite.
    """
    source = called(matrix)
    if names.any_given:
        raise InputError.naming("{} has no columns to name; leave {user_column} and the like out", source)
    if len(matrix.shape) != 2:
        raise InputError(f"{source} has {len(matrix.shape)} dimensions; give users by items")
    rows = matrix.tocsr(copy=True)
    rows.sum_duplicates()
    if rows.dtype.kind not in "biuf" or not bool(np.isfinite(rows.data).all()):
        raise InputError(f"{source} holds values that are no finite numbers; leave such entries out")
    entries = rows.tocoo()
    kept = np.ones(len(entries.data), bool) if rating_threshold is not None else entries.data != 0
    buffer = PairBuffer(EncodedIds(from_text=False), EncodedIds(from_text=False))
    frame = pl.DataFrame(
        {
            "user": np.asarray(entries.row)[kept].astype(np.int64),
            "item": np.asarray(entries.col)[kept].astype(np.int64),
            "rating": np.asarray(entries.data)[kept].astype(np.float64),
        }
    )
    buffer.add(frame, rating_threshold=rating_threshold)
    for side, count in ((buffer.users, matrix.shape[0]), (buffer.items, matrix.shape[1])):
        side.distinct.append(pl.Series(np.arange(count, dtype=np.int64)))
        side.codes.append(np.zeros(0, np.uint32))
    return buffer
