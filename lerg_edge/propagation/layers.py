"""LightGCN propagation over the bipartite graph.

Source: LightGCN, arXiv 2002.02126, equations 7 and 8, with equal layer weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from scipy import sparse

from lerg_edge.propagation.graph import normalised_bipartite
from lerg_edge.propagation.sparse_rows import SparseRows


@dataclass(frozen=True, slots=True, eq=False)
class BipartiteGraph:
    """The normalised interaction graph: whole, and each half of it.

    Shapes:
        adjacency: A = [[0, B], [B^T, 0]], [U + I, U + I]; by_user: B [U, I]; by_item: B^T [I, U]; entries
            1 / sqrt(deg_u deg_i).
    """

    adjacency: SparseRows
    by_user: SparseRows
    by_item: SparseRows
    user_count: int
    item_count: int

    @classmethod
    def from_interactions(
        cls,
        matrix: sparse.csr_matrix,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> BipartiteGraph:
        """Normalise an interaction matrix [U, I] by its own degrees and place it on a device."""
        half = normalised_bipartite(matrix)
        by_user = SparseRows.from_csr(half, device=device, dtype=dtype)
        by_item = SparseRows.from_csr(half.T.tocsr(), device=device, dtype=dtype)
        whole = SparseRows(
            torch.cat([by_user.indices + matrix.shape[0], by_item.indices]),
            torch.cat([by_user.offsets, by_item.offsets[1:] + matrix.nnz]),
            torch.cat([by_user.weights, by_item.weights]),
        )
        return cls(whole, by_user, by_item, matrix.shape[0], matrix.shape[1])


def mean_of_layers(graph: BipartiteGraph, rows: torch.Tensor, *, layers: int) -> torch.Tensor:
    """Evaluate 1/(L+1) sum over l of A^l X in Horner form: T <- X + A T, L times, then the mean.

    No layer is kept, so the working memory is two tables whatever the depth. The operator is symmetric and
    therefore its own adjoint. Not differentiable; see :func:`propagate`.

    Args:
        graph: the normalised graph.
        rows: X, [U + I, d], users first.
        layers: L >= 0.

    Returns:
        The propagated [U + I, d], in memory of its own.
    """
    if not layers:
        return rows.detach().clone()
    total = rows
    for _ in range(layers):
        total = graph.adjacency.product(total).add_(rows)
    return total.mul_(1.0 / (layers + 1))


class _Propagate(torch.autograd.Function):
    """Forward and backward are the same symmetric operator."""

    @staticmethod
    def forward(ctx: Any, rows: torch.Tensor, graph: BipartiteGraph, layers: int) -> torch.Tensor:
        ctx.graph, ctx.layers = graph, layers
        return mean_of_layers(graph, rows, layers=layers)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        return mean_of_layers(ctx.graph, grads[0].contiguous(), layers=ctx.layers), None, None


def propagate(graph: BipartiteGraph, rows: torch.Tensor, *, layers: int) -> torch.Tensor:
    """Propagate layer-0 rows over the graph, differentiably.

    H = 1/(L+1) * sum over l = 0..L of A^l X, with X = ``rows`` [U + I, d], users first.

    Returns:
        H, [U + I, d].
    """
    return _Propagate.apply(rows, graph, layers)
