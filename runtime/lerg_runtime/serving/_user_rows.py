"""The rows that users are ranked by: those that `encode` made, or one hop from what they have touched."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from lerg_runtime.bundle._csr import Interactions
from lerg_runtime.bundle._reader import Entities
from lerg_runtime.bundle._shape import ModelShape

__all__ = ["UserRows"]

_PAIRS_AT_ONCE = 1 << 16

_Allocate = Callable[[tuple[int, ...], str], np.ndarray]


class UserRows:
    """Makes the row of a user: the table's, or h_u = sum over the history of h_i / sqrt(deg_u deg_i).

    That sum is one hop of the propagation rule (LightGCN, arXiv 2002.02126, equation 3) from the rows of the
    item table as they are, placeholders included. deg_u is the length of the history and deg_i the number
    of users who have touched item i. It is the same to the last bit for a user alone and among others.

    Args:
        shape: of the model.
        entities: slots of both sides.
        interactions: what everyone has touched.
        user_table: float32 [m_u + r_u, d].
        item_arrays: item table [m_i + r_i, d], and its scales if it is int8.
        pruned_users: `history` makes the rows of pruned users from what they have touched; those who have
            touched nothing, and all of them with `placeholder`, get their placeholder.
        allocate: memory of the items' degrees.

    It is only read once it is made: `gathered` of each call, of `gathered_shape` and the item table's dtype,
    is the caller's own.
    """

    def __init__(
        self,
        shape: ModelShape,
        entities: Entities,
        interactions: Interactions,
        *,
        user_table: np.ndarray,
        item_arrays: tuple[np.ndarray, ...],
        pruned_users: str,
        allocate: _Allocate,
    ) -> None:
        self._entities = entities
        self._interactions = interactions
        self._user_table = user_table
        self._item_table, self._scales = item_arrays[0], item_arrays[1] if len(item_arrays) > 1 else None
        self._from_history = shape.retained_users if pruned_users == "history" else shape.user_slots
        self._degrees: np.ndarray = allocate((shape.items,), "int32")
        self._degrees[:] = 0
        for start in range(0, len(interactions), _PAIRS_AT_ONCE):
            touched = interactions.items[start : start + _PAIRS_AT_ONCE]
            self._degrees += np.bincount(touched, minlength=shape.items).astype(np.int32)

    def of_users(self, users: np.ndarray, out: np.ndarray, *, gathered: np.ndarray) -> None:
        """The rows of users of the bundle.

        Args:
            users: integer [B] user indices.
            out: float32 [B, d] to write to.
            gathered: where rows of items stand while they are added up.
        """
        slots = self._entities.user_slots[users]
        np.take(self._user_table, slots, axis=0, out=out, mode="clip")
        rows = np.flatnonzero(slots >= self._from_history)
        starts = self._interactions.indptr[users[rows]]
        counts = self._interactions.indptr[users[rows] + 1] - starts
        rows, starts, counts = (of_row[counts > 0] for of_row in (rows, starts, counts))
        for part in _together(counts, most=len(gathered)):
            self._sum_up(rows[part], starts[part], counts[part], out, gathered)

    def of_history(self, items: np.ndarray, out: np.ndarray, *, gathered: np.ndarray) -> None:
        """The row of somebody unknown to the bundle, who counts among the users of each item as well.

        Args:
            items: integer [n] item indices, n >= 1, unique.
            out: float32 [d] to write to.
            gathered: where rows of items stand while they are added up.
        """
        self._sum_long(items, out, gathered, newcomers=1)

    def _sum_up(
        self,
        rows: np.ndarray,
        starts: np.ndarray,
        counts: np.ndarray,
        out: np.ndarray,
        gathered: np.ndarray,
    ) -> None:
        """`out[rows]` from the items at `starts` of the interactions, `counts` of them each."""
        ends = np.cumsum(counts)
        if ends[-1] > len(gathered):
            items = self._interactions.items[starts[0] : starts[0] + counts[0]]
            self._sum_long(items, out[rows[0]], gathered, newcomers=0)
            return
        positions = np.arange(ends[-1]) + np.repeat(starts - (ends - counts), counts)
        items = self._interactions.items[positions]
        found, weights = self._gather(items, np.repeat(counts, counts), gathered)
        begin = 0
        for row, end in zip(rows.tolist(), ends.tolist(), strict=True):
            _weighted_sum(found[begin:end], weights[begin:end], out=out[row])
            begin = end

    def _sum_long(self, items: np.ndarray, out: np.ndarray, gathered: np.ndarray, *, newcomers: int) -> None:
        """One row from any number of items."""
        out[:] = 0
        total = np.empty_like(out)
        for start in range(0, len(items), len(gathered)):
            part = items[start : start + len(gathered)]
            sizes = np.full(len(part), len(items))
            found, weights = self._gather(part, sizes, gathered, newcomers=newcomers)
            _weighted_sum(found, weights, out=total)
            out += total

    def _gather(
        self, items: np.ndarray, sizes: np.ndarray, gathered: np.ndarray, *, newcomers: int = 0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Rows of items, and what each counts in a history of so many items: [n, d] and float32 [n]."""
        slots = self._entities.item_slots[items]
        degrees = self._degrees[items].astype(np.float64) + newcomers
        weights = (1.0 / np.sqrt(sizes * degrees)).astype(np.float32)
        if self._scales is not None:
            weights *= self._scales[slots]
        found = gathered[: len(items)]
        np.take(self._item_table, slots, axis=0, out=found, mode="clip")
        return found, weights


def _together(counts: np.ndarray, *, most: int) -> Iterator[slice]:
    """Runs of histories that have at most so many items together; a longer one stands alone."""
    ends = np.cumsum(counts, dtype=np.int64)
    first = 0
    while first < len(counts):
        before = int(ends[first] - counts[first])
        last = max(first + 1, int(np.searchsorted(ends, before + most, side="right")))
        yield slice(first, last)
        first = last


def _weighted_sum(rows: np.ndarray, weights: np.ndarray, *, out: np.ndarray) -> None:
    # Not a matrix product: those add up in an order that depends on the library and its threads.
    np.einsum("nd,n->d", rows, weights, out=out, dtype=np.float32)
