"""The ``user item item ...`` form: a line a user, fields separated by spaces or tabs."""

from __future__ import annotations

from itertools import repeat
from pathlib import Path

import numpy as np
import polars as pl

from lerg_edge.readers._encode import PairBuffer
from lerg_edge.readers._formats import byte_lines
from lerg_edge.readers._rows import BadRowLog

__all__ = ["read_lines"]

_BATCH = 500_000


def read_lines(path: Path, *, log: BadRowLog) -> PairBuffer:
    """Read a file of user lines; a user alone on a line is known and has no interactions.

    Raises:
        InputError: the file cannot be read, or a line is not UTF-8 and bad rows are not to be skipped.
    """
    buffer = PairBuffer.of_text()
    users: list[bytes] = []
    items: list[bytes] = []
    alone: list[bytes] = []
    for number, line in enumerate(byte_lines(path), start=1):
        if not _is_text(line):
            log.add(number, "the line is not UTF-8 text")
            continue
        # bytes.split knows ASCII blanks only, so that an id may hold a no-break space.
        fields = line.split()
        if len(fields) > 1:
            users.extend(repeat(fields[0], len(fields) - 1))
            items.extend(fields[1:])
        else:
            alone.extend(fields)
        if len(items) >= _BATCH:
            buffer.add(_frame(users, items))
            users, items = [], []
    buffer.add(_frame(users, items))
    buffer.users.add(_text(alone), keep=np.zeros(len(alone), dtype=np.bool_))
    buffer.bad_rows_skipped = log.count
    return buffer


def _is_text(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _text(ids: list[bytes]) -> pl.Series:
    return pl.Series(ids, dtype=pl.Binary).cast(pl.String)


def _frame(users: list[bytes], items: list[bytes]) -> pl.DataFrame:
    return pl.DataFrame({"user": _text(users), "item": _text(items)})
