"""Folded propagation: the propagation matrix itself, cut down to a few weighted codes an entity.

Propagation is linear and its graph fixed, so H = P E with P = 1/(L+1) * sum over l = 0..L of A^l S, an
N x c matrix that is known before training. :class:`FoldedRows` holds k entries of each row, as indices and
quantised weights; what it costs then does not depend on the graph any more. :func:`largest_entries` takes
the k largest entries of P; :mod:`lerg_edge.folding.dictionary` chooses entries and codebook together, so that
H itself is met.

This form is this project's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse

from lerg_edge.codes.assignment import Assignment
from lerg_edge.codes.compositions import COMPOSITIONS
from lerg_edge.errors import InputError
from lerg_edge.propagation.layers import BipartiteGraph, mean_of_layers

__all__ = ["DEFAULT_MEMORY_LIMIT", "SCALES", "FoldedRows", "largest_entries", "propagation_blocks"]

DEFAULT_MEMORY_LIMIT = 1 << 30
SCALES = 256
_HIGH = 127
_LAST_CODE = 0x7FFFFFFF
_FLOAT = 4
_TABLES = 6  # of one block: layer 0 by side, two of Horner's form, the mean, and its copy by row


@dataclass(frozen=True, slots=True, eq=False)
class FoldedRows:
    """A sparse matrix [n, c] with k entries in each row, as it is stored.

    Entry j of row i is ``weights[i, j] * scale_table[scales[i]]`` at column ``codes[i, j]``. A scale is a
    byte: the table's values lie evenly on a logarithmic axis, so a row loses at most the table's ratio in
    range and nothing in exactness, as its weights are rounded to the scale that it has got.

    Shapes:
        codes: int32 [n, k], ascending in a row; no code twice but for entries of weight 0.
        weights: int8 [n, k], -127 .. 127.
        scales: uint8 [n].
        scale_table: float32 [256], ascending.
    """

    codes: np.ndarray
    weights: np.ndarray
    scales: np.ndarray
    scale_table: np.ndarray
    codebook_rows: int

    def __post_init__(self) -> None:
        shape = self.codes.shape
        if self.weights.shape != shape or self.scales.shape != shape[:1]:
            raise InputError(
                f"codes are {shape}, weights {self.weights.shape} and scales {self.scales.shape}; "
                "there must be one weight a code and one scale a row."
            )
        if self.codes.size and not 0 <= self.codes.min() <= self.codes.max() < self.codebook_rows:
            raise InputError(f"a code is not between 0 and {self.codebook_rows - 1}.")
        if (np.diff(self.codes, axis=1) < 0).any():
            raise InputError("codes must ascend in each row.")

    @classmethod
    def quantised(cls, codes: np.ndarray, weights: np.ndarray, *, codebook_rows: int) -> FoldedRows:
        """Round float weights [n, k] to 8 bits, each row by the smallest scale that clips nothing."""
        order = np.argsort(codes, axis=1, kind="stable")
        codes, weights = (np.take_along_axis(part, order, axis=1) for part in (codes, weights))
        largest = np.abs(weights).max(axis=1, initial=0.0)
        table = _scale_table(largest[largest > 0] / _HIGH)
        scales = np.minimum(np.searchsorted(table, largest / _HIGH), SCALES - 1).astype(np.uint8)
        rounded = np.rint(weights / table[scales][:, None])
        return cls(
            np.ascontiguousarray(codes, np.int32),
            np.clip(rounded, -_HIGH, _HIGH).astype(np.int8),
            scales,
            table,
            codebook_rows,
        )

    @property
    def entity_count(self) -> int:
        """Rows, n."""
        return self.codes.shape[0]

    @property
    def entries(self) -> int:
        """Entries of a row, k."""
        return self.codes.shape[1]

    @property
    def blocks(self) -> int:
        """Parts that a row is cut into; it is one piece."""
        return 1

    def values(self) -> np.ndarray:
        """Weights as numbers, float32 [n, k]."""
        return self.weights.astype(np.float32) * self.scale_table[self.scales][:, None]

    def matrix(self) -> sparse.csr_matrix:
        """The matrix itself, float32 [n, c]; entries of a row in stored order."""
        count, width = self.codes.shape
        starts = np.arange(0, count * width + 1, width, dtype=np.int64)
        return sparse.csr_matrix(
            (self.values().reshape(-1), self.codes.reshape(-1), starts), shape=(count, self.codebook_rows)
        )

    def take(self, rows: np.ndarray) -> FoldedRows:
        """Some of the rows, by index or mask."""
        return FoldedRows(
            self.codes[rows], self.weights[rows], self.scales[rows], self.scale_table, self.codebook_rows
        )

    def to_stage(self) -> dict[str, np.ndarray]:
        """Its arrays, for :class:`lerg_edge.workdir.WorkDir`."""
        return {
            "row_codes": self.codes,
            "row_weights": self.weights,
            "row_scales": self.scales,
            "scale_table": self.scale_table,
        }

    @classmethod
    def from_stage(cls, tensors: Mapping[str, np.ndarray], *, codebook_rows: int) -> FoldedRows:
        """Put together what :meth:`to_stage` took apart."""
        return cls(
            tensors["row_codes"],
            tensors["row_weights"],
            tensors["row_scales"],
            tensors["scale_table"],
            codebook_rows,
        )

    def compose(self, codebook: np.ndarray) -> np.ndarray:
        """Rows times a codebook [c, d]; float32 [n, d]."""
        table = torch.from_numpy(np.ascontiguousarray(codebook, np.float32))
        rows = torch.nn.functional.embedding_bag(
            torch.from_numpy(self.codes),
            table,
            per_sample_weights=torch.from_numpy(self.values()),
            mode="sum",
        )
        result: np.ndarray = rows.numpy()
        return result


def propagation_blocks(
    matrix: sparse.csr_matrix,
    assignment: Assignment,
    *,
    layers: int,
    memory_limit: int = DEFAULT_MEMORY_LIMIT,
) -> Iterator[tuple[int, np.ndarray]]:
    """Compute P a block of columns at a time.

    Columns do not meet in A^l S, so a block costs a propagation of its own width and nothing twice.

    Args:
        matrix: interactions [U, I].
        assignment: S over all U + I entities.
        layers: L.
        memory_limit: most bytes of working memory beside graph and assignment; blocks are as wide as it
            allows.

    Yields:
        The first column of a block and the block, float32 [U + I, width].

    Raises:
        InputError: the limit does not hold one column, or the assignment's rows are blocks, whose P would
            have a column for each block of each code.
    """
    if not COMPOSITIONS[assignment.composition].weighted:
        raise InputError(
            f"P has entries for weighted sums only, and the assignment composes by {assignment.composition}; "
            f"approximate the propagated rows instead"
        )
    entities = sum(matrix.shape)
    width = min(memory_limit // (_TABLES * _FLOAT * max(entities, 1)), assignment.codebook_rows)
    if width < 1:
        raise InputError(
            f"memory_limit is {memory_limit} bytes; one column of P takes {_TABLES * _FLOAT * entities}"
        )
    graph = BipartiteGraph.from_interactions(matrix)
    columns = assignment.matrix().tocsc()
    for first in range(0, assignment.codebook_rows, width):
        start = torch.from_numpy(columns[:, first : first + width].toarray(order="C"))
        yield first, mean_of_layers(graph, start, layers=layers).numpy()


def largest_entries(
    matrix: sparse.csr_matrix,
    assignment: Assignment,
    *,
    layers: int,
    entries: int,
    memory_limit: int = DEFAULT_MEMORY_LIMIT,
) -> FoldedRows:
    """Keep the k largest entries of each row of P, ties by column.

    P has no negative entry, and its rows are never held together: see :func:`propagation_blocks`.

    Args:
        entries: k, at most the number of codes.

    Raises:
        InputError: k outside its range, or a limit that does not hold one column.
    """
    if not 1 <= entries <= assignment.codebook_rows:
        raise InputError(
            f"entries is {entries}; it must lie between 1 and codebook_rows, {assignment.codebook_rows}"
        )
    kept = torch.zeros(sum(matrix.shape), 0, dtype=torch.int64)
    for first, block in propagation_blocks(matrix, assignment, layers=layers, memory_limit=memory_limit // 2):
        kept = _merged(kept, torch.from_numpy(block), first, entries, memory_limit=memory_limit // 2)
    values = (kept >> 32).to(torch.int32).view(torch.float32)
    codes = _LAST_CODE - (kept & _LAST_CODE)
    return FoldedRows.quantised(codes.numpy(), values.numpy(), codebook_rows=assignment.codebook_rows)


def _merged(
    kept: torch.Tensor, block: torch.Tensor, first: int, entries: int, *, memory_limit: int
) -> torch.Tensor:
    """The largest keys of each row among those kept and a block's; int64 [n, at most k], descending.

    The bits of floats that are not negative order as the floats do. With the column's complement below them
    every key of a row differs, so that neither blocks nor the sorting show in the result.
    """
    columns = _LAST_CODE - torch.arange(first, first + block.shape[1])
    width = kept.shape[1] + block.shape[1]
    size = max(1, memory_limit // (3 * 8 * width))
    parts = []
    for rows in range(0, len(block), size):
        keys = (block[rows : rows + size].view(torch.int32).to(torch.int64) << 32) | columns
        candidates = torch.cat([kept[rows : rows + size], keys], dim=1)
        parts.append(torch.topk(candidates, min(entries, width), dim=1).values)
    return torch.cat(parts)


def _scale_table(needed: np.ndarray) -> np.ndarray:
    """256 scales from the smallest to the largest that rows need, even on a logarithmic axis."""
    if not needed.size:
        return np.ones(SCALES, np.float32)
    low, high = float(needed.min()), float(needed.max())
    # The top must not fall below `high` by rounding: what needs it would be clipped.
    return np.geomspace(low, max(high * (1 + 1e-6), low * 1.0001), SCALES).astype(np.float32)
