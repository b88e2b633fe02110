"""Ranking metrics over the whole catalogue, binary relevance.

Recall@K = hits / |test items|; NDCG@K = DCG / ideal DCG with 1 / log2(rank + 1) and the ideal over
min(K, |test items|); both averaged over the users that have test items.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lerg_runtime.bundle._csr import Interactions

__all__ = ["Metrics", "RankingSums"]


@dataclass(frozen=True, slots=True)
class Metrics:
    """Averages over users, and what became of the rows that were given.

    `rows` is the sum of `pairs`, `unknown`, `below_threshold`, `duplicates` and `already_seen`.

    Attributes:
        recall, ndcg: at k.
        users: that have a measured pair.
        k: length of a ranking.
        pairs: distinct pairs that were measured.
        rows: rows, or pairs of a sequence, that could be read.
        unknown: of them, skipped because the user or the item is unknown.
        below_threshold: of them, left out because of their rating.
        duplicates: of them, repeats of a pair.
        already_seen: pairs that were not measured, as they can't be recommended: the bundle learned from
            them, or the user rated them low.
    """

    recall: float
    ndcg: float
    users: int
    k: int
    pairs: int = 0
    rows: int = 0
    unknown: int = 0
    below_threshold: int = 0
    duplicates: int = 0
    already_seen: int = 0

    def as_dict(self) -> dict[str, float | int]:
        """`recall@K`, `ndcg@K`, and the counts by their names."""
        counts = ("users", "pairs", "rows", "unknown", "below_threshold", "duplicates", "already_seen")
        return {
            f"recall@{self.k}": self.recall,
            f"ndcg@{self.k}": self.ndcg,
            **{name: getattr(self, name) for name in counts},
        }


class RankingSums:
    """Adds up the metrics of rankings that come in batches.

    Args:
        tests: the test pairs; nothing that grows with them is taken beside.
        k: length of a ranking.
    """

    def __init__(self, tests: Interactions, *, k: int) -> None:
        self._tests = tests
        self._k = k
        self._discounts = 1.0 / np.log2(np.arange(2, k + 2))
        self._ideal = np.concatenate(([0.0], np.cumsum(self._discounts)))
        self._recall = self._ndcg = 0.0
        self._users = 0

    def add(self, users: np.ndarray, top: np.ndarray) -> None:
        """Count rankings.

        Args:
            users: int32 [B], each with at least one test item and added once.
            top: int64 [B, k], item indices from best to worst, -1 for none.
        """
        asked = np.repeat(users, top.shape[1]), top.reshape(-1)
        hits = self._tests.contains(*asked).reshape(top.shape)
        relevant = self._tests.indptr[users + 1] - self._tests.indptr[users]
        self._recall += float((hits.sum(axis=1) / relevant).sum())
        self._ndcg += float(
            ((hits * self._discounts).sum(axis=1) / self._ideal[np.minimum(relevant, self._k)]).sum()
        )
        self._users += len(users)

    def averages(self) -> Metrics:
        """The metrics of all rankings so far."""
        count = max(1, self._users)
        return Metrics(self._recall / count, self._ndcg / count, self._users, self._k, len(self._tests))
