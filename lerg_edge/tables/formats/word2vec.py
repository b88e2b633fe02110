"""word2vec's text format, as gensim's `KeyedVectors.save_word2vec_format` writes it: rows of items alone.

The first line has the number of rows and their width; each other line an id and its numbers.
"""

from __future__ import annotations

import re

import numpy as np

from lerg_edge.errors import InputError
from lerg_edge.tables._arrays import unreadable
from lerg_edge.tables._source import Source
from lerg_edge.tables.given import GivenTables
from lerg_edge.tables.ids import id_map

__all__ = ["NAME", "read", "recognises"]

NAME = "word2vec's text format"
_SIZES = re.compile(rb"([0-9]{1,10}) ([0-9]{1,6})\r?\n")
_LEAST_BYTES = 2  # of a number and the space before it


def recognises(source: Source) -> bool:
    """Whether the first line is that of sizes."""
    return _SIZES.match(source.head) is not None


def read(source: Source) -> GivenTables:
    """Rows and their ids.

    Raises:
        InputError: a line is not an id and so many numbers, an id is there twice, or rows are missing.
    """
    path = source.path
    sizes = _SIZES.match(source.head)
    if sizes is None:
        raise InputError(f"{path}: does not begin with the number of rows and their width; write it again")
    count, width = int(sizes[1]), int(sizes[2])
    if count * (width * _LEAST_BYTES + 2) > path.stat().st_size + 1:
        raise InputError(
            f"{path}: states {count:,} rows of {width} and is too small for them; write it again"
        )
    rows = np.empty((count, width), np.float32)
    ids: list[str] = []
    with unreadable(path, "a text of vectors"), open(path, "rb") as stream:
        stream.readline()
        for number, line in enumerate(stream, start=2):
            parts = line.rstrip(b"\r\n ").rsplit(b" ", width)
            if len(ids) == count or len(parts) != width + 1:
                raise _bad(path, number, f"it must be an id and {width} numbers, one of {count:,} such lines")
            try:
                ids.append(parts[0].decode())
                rows[len(ids) - 1] = np.array(parts[1:], dtype=np.float32)
            except ValueError as error:
                raise _bad(path, number, "binary files are saved again with binary=False") from error
    if len(ids) < count:
        raise InputError(f"{path}: states {count:,} rows and has {len(ids):,}; write it again")
    return GivenTables(rows, item_ids=id_map(ids, str(path)), form=NAME)


def _bad(path: object, line: int, rule: str) -> InputError:
    return InputError(f"{path}, line {line}: is not an id and its numbers; {rule}")
