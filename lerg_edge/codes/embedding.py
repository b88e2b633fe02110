"""Compositional embedding: entity rows as weighted sums of meta-embeddings, or as blocks of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from scipy import sparse

from lerg_edge.codes.assignment import Assignment
from lerg_edge.codes.compositions import check_blocks
from lerg_edge.propagation.sparse_rows import SparseRows


class Composition(Protocol):
    """What entities are made of: an assignment, or folded rows."""

    @property
    def entity_count(self) -> int: ...

    @property
    def codebook_rows(self) -> int: ...

    @property
    def blocks(self) -> int:
        """Equal parts that a row is cut into, b; 1 if it is one piece."""

    def matrix(self) -> sparse.csr_matrix:
        """Float32 [N * b, c * b]: rows [N * b, d / b] are its product with a codebook [c * b, d / b]."""


@dataclass(frozen=True, slots=True, eq=False)
class CompositionalEmbedding:
    """The assignment S and its transpose, ready to be multiplied.

    With rows of b blocks S is [N * b, c * b] with one entry in each row, and the codebook [c, d] is read as
    c * b narrow rows, which is how it lies in memory: no table is built and nothing is copied for the blocks.
    ``identity`` says that S is one: a full table.

    Source: LEGCF, arXiv 2403.18479, equation 1.
    """

    rows: SparseRows
    columns: SparseRows
    blocks: int = 1
    identity: bool = False

    @classmethod
    def from_assignment(
        cls,
        assignment: Composition,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> CompositionalEmbedding:
        """Place an assignment on a device."""
        matrix = assignment.matrix()
        return cls(
            SparseRows.from_csr(matrix, device=device, dtype=dtype),
            SparseRows.from_csr(matrix.T.tocsr(), device=device, dtype=dtype),
            assignment.blocks,
            _is_identity(matrix),
        )

    def compose(self, codebook: torch.Tensor) -> torch.Tensor:
        """Build the layer-0 rows X = S E, [N, d], from a codebook [c, d], differentiably.

        Raises:
            InputError: d is not a multiple of the number of blocks.
        """
        return codebook if self.identity else _Compose.apply(codebook, self)

    def product(self, codebook: torch.Tensor) -> torch.Tensor:
        """X = S E without a gradient: [N, d] from [c, d]; errors of :meth:`compose`."""
        return self._by_blocks(self.rows, codebook)

    def adjoint(self, rows: torch.Tensor) -> torch.Tensor:
        """S^T X without a gradient: [c, d] from [N, d]; errors of :meth:`compose`."""
        return self._by_blocks(self.columns, rows.contiguous())

    def _by_blocks(self, matrix: SparseRows, table: torch.Tensor) -> torch.Tensor:
        dim = table.shape[1]
        check_blocks(self.blocks, dim)
        return matrix.product(table.reshape(-1, dim // self.blocks)).view(-1, dim)


def _is_identity(matrix: sparse.csr_matrix) -> bool:
    """Whether a full table's own rows are what is composed: then there is nothing to compute."""
    count = matrix.shape[0]
    return bool(
        matrix.shape == (count, count)
        and matrix.nnz == count
        and (matrix.indices == np.arange(count)).all()
        and (matrix.data == 1.0).all()
        and (np.diff(matrix.indptr) == 1).all()
    )


class _Compose(torch.autograd.Function):
    """X = S E and its adjoint, dE = S^T dX."""

    @staticmethod
    def forward(ctx: Any, codebook: torch.Tensor, embedding: CompositionalEmbedding) -> torch.Tensor:
        ctx.embedding = embedding
        return embedding.product(codebook)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None]:
        return ctx.embedding.adjoint(grads[0]), None


def compose_rows(assignment: Assignment, codebook: np.ndarray) -> np.ndarray:
    """Build all layer-0 rows outside of training: float32 [N, d] from a codebook [c, d]."""
    table = torch.from_numpy(np.ascontiguousarray(codebook, np.float32))
    return CompositionalEmbedding.from_assignment(assignment).compose(table).numpy()
