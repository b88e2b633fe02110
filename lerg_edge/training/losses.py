"""Losses over whole tables, with gradients that are sparse products.

The gradient of a batch towards the rows of all entities is a symmetric sparse matrix times these rows,
with one entry each way for a positive and one for each of its negatives. So no [B, d] gradient is ever
scattered, the sums are made in a fixed order, and nothing of a batch's size times d is alive at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import sparse

from lerg_edge.propagation.sparse_rows import SparseRows
from lerg_edge.training.sampling import Triples

# Rows that are gathered at a time: they stay in a core's cache, where a whole batch would be paged in anew.
_ROWS_AT_ONCE = 4096


@dataclass(frozen=True, slots=True, eq=False)
class TripleBatch:
    """Pairs with their negatives and the index structures that their gradient needs, on a device.

    An *entry* is a positive or a negative of a pair: pair by pair the positive, then its k negatives.

    Shapes:
        users, positives: int32 [P], sorted by user; negatives: int32 [P, k].
        neighbours: int32 [2 P (k + 1)], rows of the table [U + I, d] that each entity's gradient takes up.
        offsets: int32 [U + I + 1], where each entity's neighbours begin.
        item_entries: int32 [P (k + 1)], which entry each neighbour of the items is.
        counts: float32 [U + I], how often each entity occurs in the P k triples.
    """

    user_count: int
    users: torch.Tensor
    positives: torch.Tensor
    negatives: torch.Tensor
    neighbours: torch.Tensor
    offsets: torch.Tensor
    item_entries: torch.Tensor
    counts: torch.Tensor

    @classmethod
    def from_triples(
        cls, triples: Triples, *, user_count: int, item_count: int, device: torch.device | str = "cpu"
    ) -> TripleBatch:
        """Index a mini-batch."""
        each = triples.per_positive
        users, positives = triples.users[::each], triples.positives[::each]
        negatives = triples.negatives.reshape(-1, each)
        per_user = np.bincount(users, minlength=user_count)
        user_offsets = np.zeros(user_count + 1, np.int32)
        np.cumsum((each + 1) * per_user, out=user_offsets[1:])
        items = np.column_stack([positives, negatives]).reshape(-1)
        by_item = sparse.csr_matrix(
            (np.arange(len(items), dtype=np.int32), items, user_offsets), shape=(user_count, item_count)
        ).tocsc()
        occurrences = np.bincount(positives, minlength=item_count) * (each - 1) + np.diff(by_item.indptr)
        arrays = (
            users,
            positives,
            negatives,
            np.concatenate([items + np.int32(user_count), by_item.indices.astype(np.int32, copy=False)]),
            np.concatenate([user_offsets, by_item.indptr[1:].astype(np.int32) + np.int32(len(items))]),
            by_item.data,
            np.concatenate([per_user * each, occurrences]).astype(np.float32),
        )
        return cls(
            user_count, *(torch.from_numpy(np.ascontiguousarray(array)).to(device) for array in arrays)
        )

    def __len__(self) -> int:
        """Number of triples."""
        return self.negatives.numel()


class _Bpr(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: torch.Tensor, batch: TripleBatch) -> torch.Tensor:
        margins = _margins(rows, batch)
        ctx.save_for_backward(rows, margins)
        ctx.batch = batch
        return torch.nn.functional.softplus(margins).mean()

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None]:
        rows, margins = ctx.saved_tensors
        slope = torch.sigmoid(margins).mul_(grads[0] / len(ctx.batch))
        return _row_gradient(rows, ctx.batch, slope), None


class _SampledSoftmax(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: torch.Tensor, batch: TripleBatch) -> torch.Tensor:
        # The positive's own margin is 0.
        margins = torch.nn.functional.pad(_margins(rows, batch), (1, 0))
        ctx.save_for_backward(rows, margins)
        ctx.batch = batch
        return torch.logsumexp(margins, dim=1).mean()

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None]:
        rows, margins = ctx.saved_tensors
        slope = torch.softmax(margins, dim=1)[:, 1:] * (grads[0] / len(margins))
        return _row_gradient(rows, ctx.batch, slope), None


def _row_gradient(rows: torch.Tensor, batch: TripleBatch, slope: torch.Tensor) -> torch.Tensor:
    """Gradient [U + I, d] of a loss whose derivative by each margin is ``slope`` [P, k]."""
    entries = torch.cat([-slope.sum(dim=1, keepdim=True), slope], dim=1).reshape(-1)
    weights = torch.cat([entries, entries.index_select(0, batch.item_entries)])
    return SparseRows(batch.neighbours, batch.offsets, weights).product(rows)


def _margins(rows: torch.Tensor, batch: TripleBatch) -> torch.Tensor:
    """h_u . h_n - h_u . h_p of every triple, [P, k]."""
    users, items = rows[: batch.user_count], rows[batch.user_count :]
    pairs, each = batch.negatives.shape
    margins = rows.new_empty(pairs, each)
    at_once = max(1, pairs if rows.is_cuda else _ROWS_AT_ONCE // each)
    for start in range(0, pairs, at_once):
        part = slice(start, start + at_once)
        own = users.index_select(0, batch.users[part])
        wanted = items.index_select(0, batch.positives[part]).mul_(own).sum(dim=1, keepdim=True)
        others = items.index_select(0, batch.negatives[part].reshape(-1)).view(len(own), each, -1)
        torch.sub(others.mul_(own.unsqueeze(1)).sum(dim=2), wanted, out=margins[part])
    return margins


def bpr(rows: torch.Tensor, batch: TripleBatch) -> torch.Tensor:
    """Mean over a batch of softplus(h_u . h_n - h_u . h_p).

    Source: BPR, arXiv 1205.2618, equation 4.

    Args:
        rows: [U + I, d] propagated rows, users first.
        batch: the triples.
    """
    return _Bpr.apply(rows, batch)


def sampled_softmax(rows: torch.Tensor, batch: TripleBatch) -> torch.Tensor:
    """Mean over a batch's pairs of -log softmax of h_u . h_p among itself and the pair's k negatives.

    Negatives that score high pull most, which BPR's mean over them does not do; with one negative the two
    are the same.

    Source: Jean et al., arXiv 1412.2007, section 3, with uniform negatives of each pair's own.

    Args:
        rows: [U + I, d] propagated rows, users first.
        batch: the triples.
    """
    return _SampledSoftmax.apply(rows, batch)


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
