"""Ranking metrics over the full catalogue.

Recall@K and NDCG@K with binary relevance and training items left out; the ideal DCG has min(K, |test items|)
terms; averages are over the users that have test items.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse

from lerg_edge.errors import InputError


@dataclass(frozen=True, slots=True)
class Metrics:
    """Averages at one cut-off.

    Attributes:
        recall: Recall@K.
        ndcg: NDCG@K.
        users: number of users averaged over.
        k: the cut-off.
    """

    recall: float
    ndcg: float
    users: int
    k: int


def evaluate_embeddings(
    user_rows: np.ndarray | torch.Tensor,
    item_rows: np.ndarray | torch.Tensor,
    train: sparse.csr_matrix,
    test: sparse.csr_matrix,
    *,
    k: int = 20,
    batch: int = 128,
    users: np.ndarray | None = None,
) -> Metrics:
    """Rank all items for every user with test items by dot product and measure.

    Args:
        user_rows: float [U, d].
        item_rows: float [I, d].
        train: interactions [U, I] to leave out of the ranking.
        test: interactions [U, I] to find.
        k: cut-off, 1 <= k.
        batch: users scored at once; memory is batch * I floats.
        users: int [n], restrict to these; those without test items are skipped.

    Raises:
        InputError: ``k`` is below 1.
    """
    if k < 1:
        raise InputError(f"k is {k}; it must be at least 1")
    with_test = (
        np.flatnonzero(np.diff(test.indptr)) if users is None else users[np.diff(test.indptr)[users] > 0]
    )
    user_table, item_table = torch.as_tensor(user_rows), torch.as_tensor(item_rows)
    # One buffer for all batches: fresh memory of this size costs as much as the product itself.
    buffer = item_table.new_empty(min(batch, max(1, len(with_test))), item_table.shape[0])
    recall = ndcg = 0.0
    for start in range(0, len(with_test), batch):
        chosen = with_test[start : start + batch]
        scores = buffer[: len(chosen)]
        torch.mm(user_table[torch.from_numpy(chosen).to(user_table.device)], item_table.T, out=scores)
        seen = train[chosen]
        rows = torch.from_numpy(np.repeat(np.arange(len(chosen)), np.diff(seen.indptr))).to(scores.device)
        scores[rows, torch.from_numpy(seen.indices).long().to(scores.device)] = -torch.inf
        recalls, ndcgs = per_user_metrics(top_items(scores, k), test[chosen])
        recall += float(recalls.sum())
        ndcg += float(ndcgs.sum())
    count = max(1, len(with_test))
    return Metrics(recall / count, ndcg / count, len(with_test), k)


def ranking_metrics(top: np.ndarray, test: sparse.csr_matrix) -> Metrics:
    """Measure rankings that were made elsewhere.

    Args:
        top: int [B, K], items from best to worst, -1 where there is none.
        test: interactions [B, I], row for row.
    """
    recalls, ndcgs = per_user_metrics(top, test)
    users = int((np.diff(test.indptr) > 0).sum())
    count = max(1, users)
    return Metrics(float(recalls.sum()) / count, float(ndcgs.sum()) / count, users, top.shape[1])


def per_user_metrics(top: np.ndarray, test: sparse.csr_matrix) -> tuple[np.ndarray, np.ndarray]:
    """Recall and NDCG of each row, float64 [B]; both 0 for a row without test items."""
    count, k = top.shape
    relevant = np.diff(test.indptr).astype(np.int64)
    keys = np.repeat(np.arange(count, dtype=np.int64), relevant) * test.shape[1] + test.indices
    found = np.arange(count, dtype=np.int64)[:, None] * test.shape[1] + top
    hits = np.isin(found, keys) & (top >= 0)
    discounts = 1.0 / np.log2(np.arange(2, k + 2))
    ideal = np.concatenate([[0.0], np.cumsum(discounts)])[np.minimum(relevant, k)]
    recall = hits.sum(axis=1) / np.maximum(relevant, 1)
    return recall, (hits * discounts).sum(axis=1) / np.where(relevant > 0, ideal, 1.0)


def top_items(scores: torch.Tensor, k: int) -> np.ndarray:
    """Pick the K best columns of each row: score descending, equal scores by column ascending.

    >>> top_items(torch.tensor([[0.1, 0.5, 0.5, -torch.inf]]), 4)
    array([[ 1,  2,  0, -1]])

    Args:
        scores: float [B, I]; -inf marks a column that must not be picked.

    Returns:
        int64 [B, k]; -1 where a row has fewer than k candidates.
    """
    width = min(k + 1, scores.shape[1])
    values, columns = (part.cpu().numpy() for part in torch.topk(scores, width, dim=1))
    if width == k + 1:
        # torch.topk picks any of the equal scores at the border; only such rows are looked at again.
        for row in np.flatnonzero((values[:, k - 1] == values[:, k]) & (values[:, k] > -np.inf)):
            above = columns[row][values[row] > values[row, k]]
            equal = np.flatnonzero(scores[row].cpu().numpy() == values[row, k])
            columns[row, :k] = np.concatenate([above, equal[: k - len(above)]])
        values, columns = values[:, :k], columns[:, :k]
    by_column = np.argsort(columns, axis=1, kind="stable")
    columns = np.take_along_axis(columns, by_column, axis=1)
    values = np.take_along_axis(values, by_column, axis=1)
    by_value = np.argsort(-values, axis=1, kind="stable")
    columns = np.take_along_axis(columns, by_value, axis=1)
    columns[np.take_along_axis(values, by_value, axis=1) == -np.inf] = -1
    if width < k:
        columns = np.pad(columns, ((0, 0), (0, k - width)), constant_values=-1)
    return columns.astype(np.int64)
