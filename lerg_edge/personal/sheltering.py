"""Rows that are nobody's: items that few people have touched share one.

The row of an item that a single person has touched says what that person is like. So an item with fewer
than `least` different users has no row of its own: such items are clustered by their rows, and each is served
by the mean row of its cluster, a placeholder, which `least` different users have shaped at least.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

__all__ = ["Sheltered", "degree_codes", "degrees_of", "shelter"]

_ITEMS_A_PLACEHOLDER = 12
_STEPS_AN_OCTAVE = 8


@dataclass(frozen=True, slots=True, eq=False)
class Sheltered:
    """Rows of items, those of the rare ones pooled.

    Attributes:
        slots: int32 [I], the row of each item: items with a row of their own first, in item order, and then
            placeholders.
        rows: float32 [S, d].
        counts: int64 [r], items of each placeholder.
    """

    slots: np.ndarray
    rows: np.ndarray
    counts: np.ndarray

    @property
    def own(self) -> int:
        """Items with a row of their own."""
        return len(self.rows) - len(self.counts)


def shelter(rows: np.ndarray, matrix: sparse.csr_matrix, *, least: int, seed: int) -> Sheltered:
    """Pool the items that fewer than `least` users have touched.

    Where all of these together have fewer users than that, they are served by the mean row of all items.

    Args:
        rows: float32 [I, d].
        matrix: the interactions [U, I] that they were learned from.
        least: 1 gives every item that somebody has touched a row of its own.
        seed: of the clusters.
    """
    touched = matrix.tocsc()
    rare = np.flatnonzero(np.diff(touched.indptr) < least)
    kept = np.setdiff1d(np.arange(len(rows)), rare)
    slots = np.empty(len(rows), np.int32)
    slots[kept] = np.arange(len(kept))
    if not len(rare):
        return Sheltered(slots, np.ascontiguousarray(rows, np.float32), np.zeros(0, np.int64))
    of_rare = touched[:, rare]
    if _users(of_rare) < least:
        groups, centres = np.zeros(len(rare), np.int64), rows.mean(axis=0, keepdims=True)
    else:
        groups = _merged(_clusters(rows[rare], seed=seed), rows[rare], of_rare, least=least)
        counts = np.bincount(groups)
        centres = np.zeros((len(counts), rows.shape[1]), np.float64)
        np.add.at(centres, groups, rows[rare])
        centres /= counts[:, None]
    slots[rare] = len(kept) + groups
    pooled = np.concatenate([rows[kept], centres]).astype(np.float32)
    return Sheltered(slots, pooled, np.bincount(groups).astype(np.int64))


def degree_codes(degrees: np.ndarray, *, least: int) -> np.ndarray:
    """A byte for the number of users of each item, which says nothing of numbers below `least`; uint8 [I].

    >>> degrees_of(degree_codes(np.array([0, 3, 5, 100, 1_000]), least=5)).round().tolist()
    [5.0, 5.0, 5.0, 99.0, 1024.0]
    """
    floor = np.maximum(degrees, max(least, 1)).astype(np.float64)
    return np.minimum(np.rint(_STEPS_AN_OCTAVE * np.log2(floor)), 255).astype(np.uint8)


def degrees_of(codes: np.ndarray) -> np.ndarray:
    """The degrees that a device takes for the bytes, float64 [I]: 2^(b / 8)."""
    return np.exp2(codes.astype(np.float64) / _STEPS_AN_OCTAVE)


def _users(matrix: sparse.csc_matrix) -> int:
    return len(np.unique(matrix.indices))


def _clusters(rows: np.ndarray, *, seed: int) -> np.ndarray:
    """A group for each row, int64 [n], by k-means."""
    # Half a second that nobody waits for who has no rare item.
    from sklearn.cluster import KMeans

    wanted = max(1, len(rows) // _ITEMS_A_PLACEHOLDER)
    distinct = min(wanted, len(np.unique(rows, axis=0)))
    found = KMeans(distinct, n_init=1, random_state=seed % 2**32).fit(rows)
    return np.unique(found.labels_, return_inverse=True)[1].astype(np.int64)


def _merged(groups: np.ndarray, rows: np.ndarray, touched: sparse.csc_matrix, *, least: int) -> np.ndarray:
    """Groups that too few people have shaped joined to those nearest to them, until none is left."""
    while True:
        count = int(groups.max()) + 1
        users = [_users(touched[:, groups == group]) for group in range(count)]
        short = int(np.argmin(users))
        if users[short] >= least or count == 1:
            return groups
        centres = np.stack([rows[groups == group].mean(axis=0) for group in range(count)])
        distances = np.square(centres - centres[short]).sum(axis=1)
        distances[short] = np.inf
        groups = np.where(groups == short, int(np.argmin(distances)), groups)
        groups = np.unique(groups, return_inverse=True)[1].astype(np.int64)
