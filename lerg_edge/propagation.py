"""LightGCN propagation over the two halves of the bipartite graph.

Source: LightGCN, arXiv 2002.02126, equations 7 and 8, with equal layer weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from scipy import sparse

from lerg_edge.graph import normalised_bipartite
from lerg_edge.sparse_rows import SparseRows


@dataclass(frozen=True, slots=True, eq=False)
class BipartiteGraph:
    """The normalised interaction graph, once by user and once by item.

    Shapes:
        by_user: B [U, I]; by_item: B^T [I, U]; both with entries 1 / sqrt(deg_u deg_i).
    """

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
        return cls(
            SparseRows.from_csr(half, device=device, dtype=dtype),
            SparseRows.from_csr(half.T.tocsr(), device=device, dtype=dtype),
            matrix.shape[0],
            matrix.shape[1],
        )


def mean_of_layers(
    graph: BipartiteGraph, users: torch.Tensor, items: torch.Tensor, *, layers: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Evaluate 1/(L+1) sum over l of A^l X in Horner form: T <- X + A T, L times, then the mean.

    No layer is kept, so the working memory is two tables whatever the depth. The operator is symmetric and
    therefore its own adjoint. Not differentiable; see :func:`propagate`.

    Args:
        graph: the normalised graph.
        users: [U, d].
        items: [I, d], same dtype.
        layers: L >= 0.

    Returns:
        The propagated [U, d] and [I, d].
    """
    user_rows, item_rows = users, items
    for _ in range(layers):
        user_rows, item_rows = (
            graph.by_user.product(item_rows).add_(users),
            graph.by_item.product(user_rows).add_(items),
        )
    share = 1.0 / (layers + 1)
    return user_rows * share, item_rows * share


class _Propagate(torch.autograd.Function):
    """Forward and backward are the same symmetric operator."""

    @staticmethod
    def forward(
        ctx: Any, users: torch.Tensor, items: torch.Tensor, graph: BipartiteGraph, layers: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        ctx.graph, ctx.layers = graph, layers
        return mean_of_layers(graph, users, items, layers=layers)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None, None]:
        users, items = mean_of_layers(
            ctx.graph, grads[0].contiguous(), grads[1].contiguous(), layers=ctx.layers
        )
        return users, items, None, None


def propagate(
    graph: BipartiteGraph, users: torch.Tensor, items: torch.Tensor, *, layers: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Propagate layer-0 rows over the graph, differentiably.

    H = 1/(L+1) * sum over l = 0..L of A^l X, with X the stacked ``users`` [U, d] and ``items`` [I, d].

    Returns:
        The two halves of H, [U, d] and [I, d].
    """
    return _Propagate.apply(users, items, graph, layers)
