"""Peers that store weights between items: cosines and EASE, the largest weights of each item alone.

An item scores the sum of the weights from what somebody touched; of equal scores the more touched item is
first, which the interactions tell.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from benchmarks.peer_storage import StoredLists, neighbours_that_fit
from lerg_edge.errors import InputError
from lerg_exporter.study.peers import EASE_ITEMS, ease_weights, too_large

__all__ = ["Cosines", "Ease", "Neighbours"]

_LISTS = ("sources", "targets")
_TIE = 1e-9


class Neighbours:
    """Lists as they are stored, and whom they rank for."""

    def __init__(self, lists: StoredLists, matrix: sparse.csr_matrix) -> None:
        self.size_bytes = lists.size_bytes
        self._weights = lists.matrix()
        self._matrix = matrix.astype(np.float64)
        touched = np.asarray(matrix.sum(0)).ravel()
        self._popularity = _TIE * touched / max(1.0, touched.max(initial=0.0))

    def scores(self, users: np.ndarray) -> np.ndarray:
        """Float64 [B, I]."""
        found: np.ndarray = (self._matrix[users] @ self._weights).toarray() + self._popularity
        return found


class Cosines:
    """w_ij = c_ij / (n_i^(1 - a) n_j^a + s), where c users touched both and n one of them.

    With a = 1/2 and s = 0 these are cosines of the columns of interactions; w_ij raises j for who touched i.

    Attributes:
        stages: `toward` is a, `shrinkage` s; lists have the `sources` of each item, or the `targets`.
    """

    stages = ({"toward": (0.15, 0.3, 0.5), "shrinkage": (0.0, 10.0, 30.0, 100.0), "lists": _LISTS},)

    def __init__(self, matrix: sparse.csr_matrix, budget_bytes: int, *, seed: int) -> None:
        self._matrix, self._count = matrix, neighbours_that_fit(budget_bytes, matrix.shape[1])
        both = (matrix.T @ matrix).tocsr()
        both.setdiag(0)
        both.eliminate_zeros()
        self._both = both.sorted_indices()

    def fit(self, *, toward: float, shrinkage: float, lists: str) -> Neighbours:
        """Weigh, keep the largest and round."""
        both = self._both
        touched = np.maximum(np.asarray(self._matrix.sum(0)).ravel(), 1.0)
        length = np.repeat(touched ** (1 - toward), np.diff(both.indptr)) * touched[both.indices] ** toward
        weights = sparse.csr_matrix(
            (both.data / (length + shrinkage), both.indices, both.indptr), shape=both.shape
        )
        return _stored(weights, self._matrix, count=self._count, lists=lists)


class Ease:
    """`lerg_exporter.study.peers.ease_weights`."""

    stages = ({"penalty": (50.0, 200.0, 1_000.0, 5_000.0), "lists": _LISTS},)

    def __init__(self, matrix: sparse.csr_matrix, budget_bytes: int, *, seed: int) -> None:
        items = matrix.shape[1]
        if too_large("ease", items):
            raise InputError(
                f"EASE inverts a matrix of all pairs of {items:,} items; the most are {EASE_ITEMS:,}"
            )
        self._matrix, self._count = matrix, neighbours_that_fit(budget_bytes, items)
        self._weights: tuple[float, sparse.csr_matrix] | None = None

    def fit(self, *, penalty: float, lists: str) -> Neighbours:
        """Solve, keep the largest and round."""
        if self._weights is None or self._weights[0] != penalty:
            self._weights = penalty, sparse.csr_matrix(ease_weights(self._matrix, penalty))
        return _stored(self._weights[1], self._matrix, count=self._count, lists=lists)


def _stored(weights: sparse.csr_matrix, matrix: sparse.csr_matrix, *, count: int, lists: str) -> Neighbours:
    kept = StoredLists.of(weights, count=count, of_targets=lists == "sources")
    return Neighbours(kept, matrix)
