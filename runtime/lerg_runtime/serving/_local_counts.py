"""Raising items by how often they were touched here since the export: a prior that costs no training.

An item that n people touched here has weight · s · ln 2 · doublings(n) added to its score, doublings(n) being
log2(1 + n) rounded to a whole number, and s the standard deviation of the person's scores over a sample of
the catalogue, so that the weight means the same whatever the scale of a model's scores. Items of one number
of doublings keep the order that `recommend` gives them, and so a ranking of each number by itself, merged by
raised scores, is exact without another input of the program.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from lerg_runtime.bundle._csr import InteractionRows
from lerg_runtime.bundle._state import State
from lerg_runtime.planning._sizes import sample_size

__all__ = ["BestRaised", "LocalCounts"]

_PAIRS_AT_ONCE = 1 << 16

_Allocate = Callable[[tuple[int, ...], str], np.ndarray]


class LocalCounts:
    """How far each item is raised.

    Args:
        state: whose local interactions are counted.
        disliked: pairs that were rated low here and do not count; None without any.
        weight: of the manifest.
        item_arrays: item table [m_i + r_i, d], and its scales if it is int8.
        item_slots: int32 [I].
        allocate: memory of the order.

    Attributes:
        doublings: uint8 [I].
        numbers: of doublings that occur, ascending, 0 among them.
    """

    def __init__(
        self,
        state: State,
        disliked: InteractionRows | None,
        *,
        weight: float,
        item_arrays: tuple[np.ndarray, ...],
        item_slots: np.ndarray,
        allocate: _Allocate,
    ) -> None:
        items = len(item_slots)
        counts = allocate((items,), "int32")
        counts[:] = 0
        for start in range(0, len(state.items), _PAIRS_AT_ONCE):
            part = slice(start, start + _PAIRS_AT_ONCE)
            touched = state.items[part]
            if disliked is not None:
                touched = touched[~disliked.contains(state.users[part], touched)]
            counts += np.bincount(touched, minlength=items).astype(np.int32)
        self.doublings: np.ndarray = allocate((items,), "uint8")
        for start in range(0, items, _PAIRS_AT_ONCE):
            part = slice(start, start + _PAIRS_AT_ONCE)
            self.doublings[part] = np.rint(np.log2(1.0 + counts[part]))
        self.numbers: tuple[int, ...] = tuple(np.flatnonzero(np.bincount(self.doublings)).tolist())
        if 0 not in self.numbers:
            self.numbers = (0, *self.numbers)
        chosen = item_slots[np.arange(sample_size(items)) * items // sample_size(items)]
        self._sample: np.ndarray = allocate((len(chosen), item_arrays[0].shape[1]), "float32")
        self._sample[:] = item_arrays[0][chosen]
        for scales in item_arrays[1:]:
            self._sample *= scales[chosen].reshape(-1, 1)
        self._doubling = weight * math.log(2.0)

    def per_doubling(self, rows: np.ndarray) -> np.ndarray:
        """What one doubling adds to a score, float64 [B]; the same for a row alone and among others.

        Args:
            rows: float32 [B, d], the rows that people are ranked by.
        """
        found = np.empty(len(rows))
        for place, row in enumerate(rows):
            scores = np.einsum("nd,d->n", self._sample, row, dtype=np.float64)
            found[place] = scores.std()
        return found * self._doubling

    def added(self, row: np.ndarray, item: int) -> float:
        """What is added to the score of one item for somebody with a row float32 [d]."""
        return float(self.per_doubling(row[None])[0] * self.doublings[item])


class BestRaised:
    """The best items of several rankings, merged by their raised scores.

    Args:
        users, ranks: most of each.
        allocate: memory of the order.

    Attributes:
        items: int64 [users, ranks] item indices, -1 where there are no more.
        scores: float32 [users, ranks], -inf there.
    """

    def __init__(self, users: int, ranks: int, *, allocate: _Allocate) -> None:
        self.items: np.ndarray = allocate((users, ranks), "int64")
        self.scores: np.ndarray = allocate((users, ranks), "float32")
        self._raised: np.ndarray = allocate((users, ranks), "float64")

    def clear(self) -> None:
        """Begin with no items."""
        self.items[:], self._raised[:] = -1, -np.inf

    def merge(self, items: np.ndarray, scores: np.ndarray, raised_by: np.ndarray) -> None:
        """Take in one more ranking, whose items are in no other.

        Args:
            items: int64 [B, K], -1 where there are no more; scores: float32 [B, K], -inf there.
            raised_by: float64 [B].
        """
        width = items.shape[1]
        for row in range(len(items)):
            both = np.concatenate([self.items[row, :width], items[row]])
            raised = np.concatenate([self._raised[row, :width], scores[row] + raised_by[row]])
            best = np.lexsort((both, -raised))[:width]
            self.items[row, :width], self._raised[row, :width] = both[best], raised[best]

    def found(self, users: int, ranks: int) -> tuple[np.ndarray, np.ndarray]:
        """Items and scores of the first of each, views; scores are as float32 what they were merged by."""
        self.scores[:users, :ranks] = self._raised[:users, :ranks]
        return self.items[:users, :ranks], self.scores[:users, :ranks]
