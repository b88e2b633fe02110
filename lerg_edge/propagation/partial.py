"""Propagated rows of a few entities, at the cost of their own edges.

A training step reads the rows of a batch alone. The last layer is then computed for these members only, and
its gradient leaves them only along their own edges: with one layer a step over 2,048 pairs of gowalla's 810
thousand passes an eighth of the graph's edges forward and back. Layers before the last are computed in full.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import sparse

from lerg_edge.propagation.layers import BipartiteGraph
from lerg_edge.propagation.sparse_rows import SparseRows

__all__ = ["Members", "propagate_members"]


@dataclass(frozen=True, slots=True, eq=False)
class Members:
    """Entities whose propagated rows are wanted, and their edges.

    Shapes:
        entities: int64 [n], ascending, no repeats; users first, items from U on.
        incoming: their rows of A, [n, U + I]; outgoing: its transpose, [U + I, n]. None without a layer.
    """

    entities: torch.Tensor
    incoming: SparseRows | None
    outgoing: SparseRows | None

    @classmethod
    def of(
        cls,
        entities: np.ndarray,
        adjacency: sparse.csr_matrix,
        *,
        layers: int,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> Members:
        """Cut the edges of some entities out of A.

        Args:
            entities: int [n], ascending, no repeats.
            adjacency: A, float32 [U + I, U + I]; see ``propagation.graph``.
            layers: L; without one no edge is cut out.
        """
        chosen = torch.from_numpy(entities.astype(np.int64)).to(device)
        if not layers:
            return cls(chosen, None, None)
        part = adjacency[entities]
        return cls(
            chosen,
            SparseRows.from_csr(part, device=device, dtype=dtype),
            SparseRows.from_csr(part.T.tocsr(), device=device, dtype=dtype),
        )


class _PropagateMembers(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, rows: torch.Tensor, graph: BipartiteGraph, members: Members, layers: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        ctx.graph, ctx.members, ctx.layers = graph, members, layers
        own = rows.index_select(0, members.entities)
        if members.incoming is None:
            return own.clone(), own
        total = rows
        for _ in range(layers - 1):
            total = graph.adjacency.product(total).add_(rows)
        return members.incoming.product(total).add_(own).mul_(1.0 / (layers + 1)), own

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None, None, None]:
        graph, members, layers = ctx.graph, ctx.members, ctx.layers
        by_propagated, by_own = grads
        share = by_propagated * (1.0 / (layers + 1))
        if members.outgoing is None:
            total = share.new_zeros(graph.user_count + graph.item_count, share.shape[1])
            return total.index_add_(0, members.entities, share + by_own), None, None, None
        # The gradient of what the last layer read; it and the members' share reach layer 0 in full.
        last = members.outgoing.product(share.contiguous())
        total = last
        for _ in range(layers - 1):
            total = graph.adjacency.product(total).add_(last)
        return total.index_add_(0, members.entities, share + by_own), None, None, None


def propagate_members(
    graph: BipartiteGraph, rows: torch.Tensor, members: Members, *, layers: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows of H = 1/(L+1) * sum over l = 0..L of A^l X for some entities, differentiably.

    Args:
        graph: the normalised graph.
        rows: X, [U + I, d], users first.
        members: whose rows, cut out for as many layers.
        layers: L >= 0.

    Returns:
        The members' rows of H and of X, both [n, d].
    """
    return _PropagateMembers.apply(rows, graph, members, layers)
