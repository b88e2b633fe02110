"""Compositional embedding: entity rows as weighted sums of meta-embeddings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from scipy import sparse

from lerg_edge.assignment import Assignment
from lerg_edge.sparse_rows import SparseRows


class Composition(Protocol):
    """What entities are made of: an assignment, or folded rows."""

    @property
    def entity_count(self) -> int: ...

    @property
    def code_count(self) -> int: ...

    def matrix(self) -> sparse.csr_matrix:
        """Float32 [N, c]: entity rows are its product with the codebook."""


@dataclass(frozen=True, slots=True, eq=False)
class CompositionalEmbedding:
    """The assignment S [N, c] and its transpose, ready to be multiplied.

    Source: LEGCF, arXiv 2403.18479, equation 1.
    """

    rows: SparseRows
    columns: SparseRows

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
        )

    def compose(self, codebook: torch.Tensor) -> torch.Tensor:
        """Build the layer-0 rows X = S E, [N, d], from a codebook [c, d], differentiably."""
        return _Compose.apply(codebook, self)


class _Compose(torch.autograd.Function):
    """X = S E and its adjoint, dE = S^T dX."""

    @staticmethod
    def forward(ctx: Any, codebook: torch.Tensor, embedding: CompositionalEmbedding) -> torch.Tensor:
        ctx.embedding = embedding
        return embedding.rows.product(codebook)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None]:
        return ctx.embedding.columns.product(grads[0].contiguous()), None


def compose_rows(assignment: Assignment, codebook: np.ndarray) -> np.ndarray:
    """Build all layer-0 rows outside of training: float32 [N, d] from a codebook [c, d]."""
    table = torch.from_numpy(np.ascontiguousarray(codebook, np.float32))
    return CompositionalEmbedding.from_assignment(assignment).compose(table).numpy()
