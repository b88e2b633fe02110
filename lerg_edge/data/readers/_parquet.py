"""Parquet files."""

from __future__ import annotations

import io
from pathlib import Path

import polars as pl

from lerg_edge.data.readers._columns import ColumnNames
from lerg_edge.data.readers._encode import PairBuffer
from lerg_edge.data.readers._rows import BadRowLog
from lerg_edge.data.readers._typed import read_typed
from lerg_edge.errors import InputError

__all__ = ["read_parquet"]


def read_parquet(
    path: Path, names: ColumnNames, *, rating_threshold: float | None, log: BadRowLog
) -> PairBuffer:
    """Read a Parquet file, batch by batch.  Strings stay strings, even if they look like integers.

    Raises:
        InputError: the file is damaged, or as ``read_typed``.
    """
    try:
        rows = pl.scan_parquet(path if _is_utf8(path) else io.BytesIO(path.read_bytes()), glob=False)
        return read_typed(rows, names, rating_threshold=rating_threshold, log=log, source=path)
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(f"{path}: cannot be read as Parquet ({reason}); write the file again") from error


def _is_utf8(path: Path) -> bool:
    """False for a path that polars cannot be given."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True
