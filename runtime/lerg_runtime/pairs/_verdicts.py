"""Pairs that a file rates both low and high: the latest row decides, as at an export."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lerg_runtime.errors import InputError
from lerg_runtime.interactions_file import InteractionsFile, PairChunk
from lerg_runtime.pairs._keys import found_in
from lerg_runtime.reading._columns import ColumnNames
from lerg_runtime.reading._rows import BadRow
from lerg_runtime.reading._times import Moments

__all__ = ["last_words"]

Allocate = Callable[..., np.ndarray]
_NONE, _LOW, _HIGH = -1, 0, 1


def last_words(
    file: InteractionsFile,
    disputed: np.ndarray,
    key_of: Callable[[PairChunk], np.ndarray],
    *,
    usual: ColumnNames,
    allocate: Allocate,
) -> tuple[np.ndarray, np.ndarray]:
    """Read the file again, for the pairs on which its rows disagree.

    The row with the latest timestamp decides, of equally late ones and without timestamps the last.

    Args:
        file: that was read before.
        disputed: int64 [n], ascending: keys of the pairs.
        key_of: int64 keys of a chunk's rows, -1 for unknown ids.
        usual: names of columns to prefer.
        allocate: memory that grows with `disputed`.

    Returns:
        Bool [n] each: which are low in the end, and which are high. A pair whose rows have all been skipped
        is neither.

    Raises:
        InputError: the file cannot be read twice, or a timestamp not at all.
    """
    if not file.repeatable:
        raise InputError(
            f"{file.path} rates {len(disputed)} pairs both low and high, and cannot be read a second time to "
            "see what came last; save it as a plain file first"
        )
    count = len(disputed)
    wholes, parts = allocate((count,), "int64"), allocate((count,), "int32")
    verdicts: np.ndarray = allocate((count,), "int8")
    verdicts[:] = _NONE
    moments = Moments()
    for chunk in file.chunks(usual=usual, quiet=True):
        if chunk.times is not None and not moments.settled:
            _settle(moments, chunk)
        keys = key_of(chunk)
        for row in np.flatnonzero(found_in(keys, disputed)).tolist():
            try:
                whole, part = (0, 0) if chunk.times is None else moments.read(chunk.times[row])
            except BadRow as reason:
                file.bad_row(
                    chunk.places[row],
                    f"{reason}, and the pair's other rows are rated otherwise",
                    remedy="correct it, skip bad rows or leave the timestamp column out",
                )
                continue
            at = int(np.searchsorted(disputed, keys[row]))
            if verdicts[at] == _NONE or (whole, part) >= (int(wholes[at]), int(parts[at])):
                wholes[at], parts[at] = whole, part
                verdicts[at] = _HIGH if chunk.liked is None or chunk.liked[row] else _LOW
    return verdicts == _LOW, verdicts == _HIGH


def _settle(moments: Moments, chunk: PairChunk) -> None:
    """See whether the column holds numbers or dates, as its first readable value does."""
    for text in chunk.times or ():
        try:
            moments.read(text)
        except BadRow:
            continue
        return
