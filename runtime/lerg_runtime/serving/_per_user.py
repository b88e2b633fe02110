"""The figures of each user by themselves, from which intervals and comparisons are made."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lerg_runtime.bundle._ids import IdMap

__all__ = ["FIGURES", "UserFigures"]

FIGURES = ("precision", "recall", "hit_rate", "mrr", "map", "ndcg", "novelty", "popularity")
"""What is measured for each user at each k; the last is compared with `own_popularity`."""


@dataclass(frozen=True, slots=True, eq=False)
class UserFigures:
    """One row a user, by ascending user index, in memory that the budget of the bundle counts.

    Attributes:
        ks: lengths of rankings, K of them, ascending.
        ids: raw ids of the bundle's users.
        users: int32 [n] indices of those measured.
        tests: int32 [n], how many pairs each was measured on.
        figures: float32 [n, K, 8], in the order of `FIGURES`.
        own_popularity: float32 [n], mean number of users who have touched an item of the user's own, 0
            without one.
    """

    ks: tuple[int, ...]
    ids: IdMap
    users: np.ndarray
    tests: np.ndarray
    figures: np.ndarray
    own_popularity: np.ndarray

    def __len__(self) -> int:
        return len(self.users)

    @property
    def nbytes(self) -> int:
        """Bytes that stay in memory with these figures, once their bundle is closed: the ids among them."""
        arrays = (self.users, self.tests, self.figures, self.own_popularity)
        return self.ids.nbytes + sum(array.nbytes for array in arrays)

    def at_longest(self, name: str) -> np.ndarray:
        """One figure of each user, of `FIGURES`, at the greatest k: float32 [n], a view."""
        return self.figures[:, -1, FIGURES.index(name)]
