"""Rows that are sums of other rows, cut into pieces that stock operators add up without waste.

ExecuTorch's stock kernels have no sparse product. What they do fast is `embedding`, which copies rows, and
`sum` over the middle dimension of [rows, width, d], which is vectorised. So the rows of a sparse matrix of
ones stand in runs of falling length and are cut into chunks of neighbouring rows, each padded to its longest
one: an index array [rows, width] a chunk.

Bounds: a chunk has at most `most` entries, so its gathered rows take at most `most * d * 4` bytes, whatever
the size of the graph. Since lengths fall from chunk to chunk, all padding together is at most
`most * (1 + ln(longest))` entries a run.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["FIRST_GROUP", "SECOND_GROUP", "GatherPlan", "chunk_entries", "longest_first", "transposed"]

CHUNK_BYTES = 1 << 20
"""Gathered rows of one chunk. Smaller ones measured no faster and make longer programs; larger ones fall out
of the second-level cache."""

FIRST_GROUP, SECOND_GROUP = 32, 8
"""Entries, and then groups, that the adjoint of folded rows adds up at a time; see `portable_fold`. Wider
groups are padded more, narrower ones leave more sums in memory and to a scatter."""


def chunk_entries(dim: int) -> int:
    """Entries of a chunk whose gathered float32 rows of `dim` values fill `CHUNK_BYTES`; at least 16."""
    return max(16, CHUNK_BYTES // (4 * dim))


def longest_first(lengths: np.ndarray) -> np.ndarray:
    """The rows by falling length, equal ones in their order; int64 [n]."""
    return np.argsort(-lengths.astype(np.int64), kind="stable")


@dataclass(frozen=True, slots=True, eq=False)
class GatherPlan:
    """A sparse matrix of ones as index chunks.

    Attributes:
        chunks: int64 [rows, width] each: indices into a table; its last row, `table_rows`, is zero and pads.
        parts: how many consecutive chunks add up to one group of rows; more than one for a row that is
            longer than a chunk may be.
        empty: rows without an entry, which are the last ones.
        table_rows: rows of the table that is gathered from, without its zero row.
    """

    chunks: tuple[np.ndarray, ...]
    parts: tuple[int, ...]
    empty: int
    table_rows: int

    @classmethod
    def of(cls, indptr: np.ndarray, indices: np.ndarray, *, table_rows: int, most: int) -> GatherPlan:
        """Cut rows that stand in runs of falling length, empty ones last.

        Args:
            indptr: [n + 1]; indices: [entries], below `table_rows`.
            table_rows: rows of the table without its zero row.
            most: entries of a chunk, padding included.

        Raises:
            ValueError: an empty row stands before one with entries.
        """
        lengths = np.diff(indptr.astype(np.int64))
        filled = int(np.count_nonzero(lengths))
        if np.any(lengths[:filled] == 0):
            raise ValueError("rows without entries must come last")
        # Where a run ends: a chunk does not go on into longer rows.
        rises = np.append(np.flatnonzero(lengths[1:] > lengths[:-1]) + 1, filled)
        chunks: list[np.ndarray] = []
        parts: list[int] = []
        row = 0
        while row < filled:
            width = int(lengths[row])
            run = int(rises[np.searchsorted(rises, row, side="right")])
            end = row + 1 if width > most else min(run, row + most // width)
            entries = indices[indptr[row] : indptr[end]].astype(np.int64)
            if width > most:
                pieces = np.array_split(entries, -(-width // most))
                chunks += [piece[None, :] for piece in pieces]
                parts.append(len(pieces))
            else:
                block = np.full((end - row, width), table_rows, np.int64)
                block[np.arange(width) < lengths[row:end, None]] = entries
                chunks.append(block)
                parts.append(1)
            row = end
        return cls(tuple(chunks), tuple(parts), len(lengths) - filled, table_rows)

    @property
    def reach(self) -> int:
        """All indices lie below it: the table's rows, and its zero row where a chunk is padded."""
        return self.table_rows + any(bool((chunk == self.table_rows).any()) for chunk in self.chunks)

    @property
    def entries(self) -> int:
        """Entries of all chunks, padding included."""
        return sum(chunk.size for chunk in self.chunks)


def transposed(indptr: np.ndarray, indices: np.ndarray, *, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """`indptr` [columns + 1] and `indices` of the transposed matrix, rows ascending within a column."""
    counts = np.bincount(indices, minlength=columns)
    row_of_entry = np.repeat(np.arange(len(indptr) - 1, dtype=np.int64), np.diff(indptr))
    return np.concatenate(([0], np.cumsum(counts))), row_of_entry[np.argsort(indices, kind="stable")]
