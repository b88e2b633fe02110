"""Losses over whole tables, with gradients that are sparse products.

A BPR batch is a sparse matrix with two entries for each triple. Its gradient towards the users is that matrix
times the item rows, and towards the items its transpose times the user rows, so that no [B, d] gradient is
ever scattered and the sums are made in a fixed order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import sparse

from lerg_edge.sampling import Triples
from lerg_edge.sparse_rows import SparseRows


@dataclass(frozen=True, slots=True, eq=False)
class TripleBatch:
    """Triples with the index structures that their gradient needs, on a device.

    Shapes:
        users, positives, negatives: int32 [B], sorted by user.
        user_offsets: int32 [U + 1], where a user's entries begin among the 2B entries, two for each triple.
        item_users: int32 [2B], the users of the entries, sorted by item.
        item_entries: int32 [2B], which entry each of them is.
        item_offsets: int32 [I + 1].
        counts: float32 [U + I], how often each entity occurs.
    """

    users: torch.Tensor
    positives: torch.Tensor
    negatives: torch.Tensor
    user_offsets: torch.Tensor
    item_users: torch.Tensor
    item_entries: torch.Tensor
    item_offsets: torch.Tensor
    counts: torch.Tensor

    @classmethod
    def from_triples(
        cls, triples: Triples, *, user_count: int, item_count: int, device: torch.device | str = "cpu"
    ) -> TripleBatch:
        """Index a mini-batch."""
        size = len(triples)
        per_user = np.bincount(triples.users, minlength=user_count)
        offsets = np.zeros(user_count + 1, np.int32)
        np.cumsum(2 * per_user, out=offsets[1:])
        items = np.stack([triples.positives, triples.negatives], axis=1).reshape(-1)
        by_item = sparse.csr_matrix(
            (np.arange(2 * size, dtype=np.int32), items, offsets), shape=(user_count, item_count)
        ).tocsc()
        counts = np.concatenate([per_user, np.diff(by_item.indptr)]).astype(np.float32)
        arrays = (
            triples.users,
            triples.positives,
            triples.negatives,
            offsets,
            by_item.indices.astype(np.int32, copy=False),
            by_item.data,
            by_item.indptr.astype(np.int32, copy=False),
            counts,
        )
        return cls(*(torch.from_numpy(np.ascontiguousarray(array)).to(device) for array in arrays))

    def __len__(self) -> int:
        return len(self.users)


class _Bpr(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, users: torch.Tensor, items: torch.Tensor, batch: TripleBatch) -> torch.Tensor:
        difference = items.index_select(0, batch.negatives)
        difference -= items.index_select(0, batch.positives)
        margins = difference.mul_(users.index_select(0, batch.users)).sum(dim=1)
        ctx.save_for_backward(users, items, margins)
        ctx.batch = batch
        return torch.nn.functional.softplus(margins).mean()

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        users, items, margins = ctx.saved_tensors
        batch: TripleBatch = ctx.batch
        slope = torch.sigmoid(margins) * (grads[0] / len(batch))
        weights = torch.stack([-slope, slope], dim=1).reshape(-1)
        entries = torch.stack([batch.positives, batch.negatives], dim=1).reshape(-1)
        by_user = SparseRows(entries, batch.user_offsets, weights)
        by_item = SparseRows(
            batch.item_users, batch.item_offsets, weights.index_select(0, batch.item_entries)
        )
        return by_user.product(items), by_item.product(users), None


def bpr(users: torch.Tensor, items: torch.Tensor, batch: TripleBatch) -> torch.Tensor:
    """Mean over a batch of softplus(h_u . h_n - h_u . h_p).

    Source: BPR, arXiv 1205.2618, equation 4.

    Args:
        users: [U, d] propagated rows.
        items: [I, d] propagated rows.
        batch: the triples.
    """
    return _Bpr.apply(users, items, batch)


class _RowPenalty(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: torch.Tensor, batch: TripleBatch) -> torch.Tensor:
        ctx.save_for_backward(rows)
        ctx.batch = batch
        lengths = torch.linalg.vector_norm(rows, dim=1)
        return (lengths * lengths * batch.counts).sum() / (2 * len(batch))

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None]:
        (rows,) = ctx.saved_tensors
        return rows * (ctx.batch.counts * (grads[0] / len(ctx.batch))).unsqueeze(1), None


def row_penalty(rows: torch.Tensor, batch: TripleBatch) -> torch.Tensor:
    """Half the mean over a batch of |x_u|^2 + |x_p|^2 + |x_n|^2, from all layer-0 rows [U + I, d]."""
    return _RowPenalty.apply(rows, batch)
