"""Peers that store rows: implicit's alternating least squares and BPR, rounded once they are trained."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from benchmarks.peer_storage import StoredRows, columns_that_fit
from lerg_edge.errors import InputError
from lerg_exporter.study.peers import fitted_factors, has_implicit

__all__ = ["Als", "Bpr", "Rows"]

_ROUNDS = 15
_EPOCHS = 100
_FACTOR_BYTES = 4


class Rows:
    """Rows of users and items, and what of them is stored."""

    def __init__(self, users: np.ndarray, items: np.ndarray, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        self._users, self._items = users, items

    def scores(self, users: np.ndarray) -> np.ndarray:
        """Float32 [B, I]."""
        found: np.ndarray = self._users[users] @ self._items.T
        return found

    @classmethod
    def rounded(cls, users: np.ndarray, items: np.ndarray, *, bits: int) -> Rows:
        """Both sides rounded; a scale for each item, none for users, whose length changes no ranking."""
        stored = StoredRows.of(users, bits=bits, scaled=False), StoredRows.of(items, bits=bits, scaled=True)
        return cls(stored[0].rows(), stored[1].rows(), stored[0].size_bytes + stored[1].size_bytes)


class _Factors:
    """What both models of implicit are made of."""

    def __init__(self, matrix: sparse.csr_matrix, budget_bytes: int, *, seed: int) -> None:
        if not has_implicit():
            name = type(self).__name__.lower()
            raise InputError(f"the peer {name} needs implicit; install it with pip install implicit")
        self._matrix, self._budget, self._seed = matrix.tocsr(), budget_bytes, seed


class Als(_Factors):
    """implicit's alternating least squares (Hu, Koren and Volinsky, ICDM 2008).

    Attributes:
        stages: `confidence` of what was touched is implicit's alpha. Rows of users are `stored`, or solved
            for on the device: `folded in` from what they touched and the rounded rows of items, which then
            have all bytes.
    """

    stages = (
        {
            "users": ("stored",),
            "bits": (4,),
            "confidence": (1.0, 3.0, 10.0, 30.0),
            "penalty": (1.0, 10.0, 50.0),
        },
        {"users": ("stored", "folded in"), "bits": (4, 8)},
    )

    def fit(self, *, users: str, bits: int, confidence: float, penalty: float) -> Rows:
        """Train as many columns as fit, and round."""
        user_count, items = self._matrix.shape
        rows, factor = (items + user_count, 0) if users == "stored" else (items, _FACTOR_BYTES)
        model = fitted_factors(
            "als:AlternatingLeastSquares",
            self._matrix,
            columns=columns_that_fit(self._budget - factor, rows=rows, scales=items, bits=bits),
            seed=self._seed,
            regularization=penalty,
            alpha=confidence,
            iterations=_ROUNDS,
            num_threads=1,
        )
        if users == "stored":
            return Rows.rounded(model.user_factors, model.item_factors, bits=bits)
        kept = StoredRows.of(model.item_factors, bits=bits, scaled=True)
        # Confidence and penalty weigh errors of scores near 1: rows are brought back to their length.
        found = kept.rows()
        found *= np.float32(_best_factor(found, model.item_factors))
        model.item_factors = found
        known = model.recalculate_user(np.arange(user_count), self._matrix)
        return Rows(known, found, kept.size_bytes + factor)


class Bpr(_Factors):
    """implicit's Bayesian personalised ranking (Rendle et al., UAI 2009); one column is the items' bias."""

    stages = (
        {"bits": (4,), "rate": (0.005, 0.01, 0.02, 0.05), "penalty": (0.0005, 0.002, 0.02)},
        {"bits": (4, 8)},
    )

    def fit(self, *, bits: int, rate: float, penalty: float) -> Rows:
        """Train as many columns as fit, and round."""
        users, items = self._matrix.shape
        columns = columns_that_fit(self._budget, rows=users + items, scales=items, bits=bits)
        if columns < 2:
            raise InputError(
                f"{self._budget:,} bytes hold the bias of BPR and nothing else; compare with a larger bundle"
            )
        model = fitted_factors(
            "bpr:BayesianPersonalizedRanking",
            self._matrix,
            columns=columns - 1,
            seed=self._seed,
            learning_rate=rate,
            regularization=penalty,
            iterations=_EPOCHS,
            num_threads=1,
        )
        return Rows.rounded(model.user_factors, model.item_factors, bits=bits)


def _best_factor(rounded: np.ndarray, rows: np.ndarray) -> float:
    """What brings rounded rows nearest to those they stand for."""
    own = float(np.square(rounded, dtype=np.float64).sum())
    return float((rounded.astype(np.float64) * rows).sum()) / own if own else 1.0
