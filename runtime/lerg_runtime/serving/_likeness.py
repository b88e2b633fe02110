"""What is nearest by cosine: one pass over all rows, some at a time, for whatever is asked at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from lerg_runtime.serving._best import Best

__all__ = ["nearest"]


def nearest(
    rows_of: Callable[[int, int], np.ndarray],
    *,
    count: int,
    at_once: int,
    wanted: np.ndarray,
    wanted_rows: Sequence[np.ndarray] | np.ndarray,
    k: int,
    more: np.ndarray | None = None,
) -> Best:
    """The entries whose rows are nearest to those of `wanted`, each itself left out.

    A cosine does not depend on what else is asked, to the last bit, and equal rows have equal ones. A row of
    zeros has the cosine 0 with every other.

    Args:
        rows_of: rows [n, d] of the entries from one index to another; any factor above 0 of a row will do.
        count: entries.
        at_once: most rows to ask for.
        wanted: integer [q] indices; wanted_rows: their rows, [q, d].
        k: 1 .. count + n - 1.
        more: float32 [n, d], rows of further entries, whose indices begin at `count`; None for none.

    Returns:
        Indices and cosines [q, k], by descending cosine and then ascending index.
    """
    best = Best(len(wanted), k)
    tiny = np.finfo(np.float32).tiny
    lengths = [_lengths(row[None])[0] for row in wanted_rows]
    for first, rows in _parts(rows_of, count, at_once, more):
        others = _lengths(rows)
        for place, (entry, row, length) in enumerate(zip(wanted.tolist(), wanted_rows, lengths, strict=True)):
            cosines = np.einsum("nd,d->n", rows, row, dtype=np.float32)
            cosines /= np.maximum(others * length, tiny)
            if first <= entry < first + len(rows):
                cosines[entry - first] = -np.inf
            best.offer(place, first, cosines)
    return best


def _parts(
    rows_of: Callable[[int, int], np.ndarray], count: int, at_once: int, more: np.ndarray | None
) -> Iterator[tuple[int, np.ndarray]]:
    for first in range(0, count, at_once):
        yield first, rows_of(first, min(first + at_once, count))
    if more is not None:
        yield count, more


def _lengths(rows: np.ndarray) -> np.ndarray:
    lengths: np.ndarray = np.sqrt(np.einsum("nd,nd->n", rows, rows, dtype=np.float32))
    return lengths
