"""The rows that users are ranked by: those that `encode` made, or one hop from what they have touched."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from lerg_runtime.bundle._csr import InteractionRows
from lerg_runtime.bundle._entities import Entities
from lerg_runtime.bundle._shape import ModelShape
from lerg_runtime.bundle._ways import HistoryRule, ServingWays

__all__ = ["UserRows"]

_PAIRS_AT_ONCE = 1 << 16

_Allocate = Callable[[tuple[int, ...], str], np.ndarray]


class UserRows:
    """Makes the row of a user: the table's, or h_u = M sum over the history of w_i h_i / sqrt(deg_u deg_i).

    Without M and w that sum is one hop of the propagation rule (LightGCN, arXiv 2002.02126, equation 3) from
    the rows of the item table as they are, placeholders included. deg_u is the length of the history and
    deg_i the number of users who have touched item i. M is a metric of `make_metrics`, and w_i = 2^(-rank /
    half-life), the latest item's rank being 0. The row is the same to the last bit for a user alone and among
    others.

    Args:
        shape: of the model.
        entities: slots of both sides.
        interactions: what everyone has touched.
        user_table: float32 [m_u + r_u, d].
        item_arrays: item table [m_i + r_i, d], and its scales if it is int8.
        ways: by what people are ranked; users who have touched nothing are ranked by the table.
        metrics: by ridge, float32 [d, d].
        allocate: memory of the items' degrees.

    Attributes:
        degrees: int32 [I], how many users have touched each item.

    It is only read once it is made: `gathered` of each call, of `gathered_shape` and the item table's dtype,
    is the caller's own.
    """

    def __init__(
        self,
        shape: ModelShape,
        entities: Entities,
        interactions: InteractionRows,
        *,
        user_table: np.ndarray,
        item_arrays: tuple[np.ndarray, ...],
        ways: ServingWays,
        metrics: Mapping[float, np.ndarray],
        allocate: _Allocate,
    ) -> None:
        self._entities = entities
        self._interactions = interactions
        self._user_table = user_table
        self._item_table, self._scales = item_arrays[0], item_arrays[1] if len(item_arrays) > 1 else None
        self._ways, self._metrics = ways, metrics
        self._first_pruned = shape.retained_users
        self.degrees: np.ndarray = allocate((shape.items,), "int32")
        self.degrees[:] = 0
        for start in range(0, len(interactions), _PAIRS_AT_ONCE):
            touched = interactions.items[start : start + _PAIRS_AT_ONCE]
            self.degrees += np.bincount(touched, minlength=shape.items).astype(np.int32)

    def of_users(
        self, users: np.ndarray, out: np.ndarray, *, gathered: np.ndarray, compared: bool = True
    ) -> None:
        """The rows of users of the bundle.

        Args:
            users: integer [B] user indices.
            out: float32 [B, d] to write to.
            gathered: where rows of items stand while they are added up.
            compared: multiply rows from histories by their metric, as scores ask.
        """
        slots = self._entities.user_slots[users]
        np.take(self._user_table, slots, axis=0, out=out, mode="clip")
        pruned = slots >= self._first_pruned
        by_history = np.where(
            pruned, self._ways.pruned_users == "history", self._ways.retained_users == "history"
        )
        rows = np.flatnonzero(by_history)
        starts = self._interactions.indptr[users[rows]]
        counts = self._interactions.indptr[users[rows] + 1] - starts
        rows, starts, counts = (of_row[counts > 0] for of_row in (rows, starts, counts))
        for part in _together(counts, most=len(gathered)):
            self._sum_up(rows[part], starts[part], counts[part], out, gathered)
        for row in rows.tolist() if compared else ():
            self._compare(out[row], self._ways.known)

    def of_history(self, items: np.ndarray, out: np.ndarray, *, gathered: np.ndarray) -> None:
        """The row of somebody unknown to the bundle, who counts among the users of each item as well.

        Args:
            items: integer [n] item indices, n >= 1, unique, the oldest first.
            out: float32 [d] to write to.
            gathered: where rows of items stand while they are added up.
        """
        recency = _recency(len(items), self._ways.unknown)
        if recency is None:
            items = np.sort(items)  # a sum's last bits depend on its order, and here no order is meant
        self._sum_long(items, out, gathered, newcomers=1, recency=recency)
        self._compare(out, self._ways.unknown)

    def way_of(self, user: int) -> str:
        """By what a user is ranked: `history`, `table` for a row of their own, or `placeholder`."""
        pruned = self._entities.user_slots[user] >= self._first_pruned
        way = self._ways.pruned_users if pruned else self._ways.retained_users
        if way == "history" and not len(self._interactions.of_user(user)):
            return "placeholder" if pruned else "table"
        return way

    def items_of(self, user: int) -> np.ndarray:
        """Item indices of what a user of the bundle has touched, ascending."""
        return self._interactions.of_user(user)

    def shares(
        self, history: np.ndarray, item: int, *, rule: HistoryRule, newcomers: int, gathered: np.ndarray
    ) -> np.ndarray:
        """What each item of a history adds to the score of `item`: w_i h' M h_i / sqrt(deg_u deg_i).

        Args:
            history: integer [n] item indices, n >= 1, the oldest first.
            item: index of the item with the row h.
            rule: M and w.
            newcomers: 1 for somebody unknown to the bundle, who counts among the users of each item, else 0.
            gathered: where rows of items stand while they are worked with.

        Returns:
            float64 [n].
        """
        slot = self._entities.item_slots[item]
        target = self._item_table[slot].astype(np.float64)
        if self._scales is not None:
            target *= self._scales[slot]
        if rule.ridge is not None:
            target = np.einsum("d,de->e", target, self._metrics[rule.ridge], dtype=np.float64)
        recency = _recency(len(history), rule)
        shares = np.empty(len(history), dtype=np.float64)
        for start in range(0, len(history), len(gathered)):
            part = history[start : start + len(gathered)]
            sizes = np.full(len(part), len(history))
            found, weights = self._gather(part, sizes, gathered, newcomers=newcomers)
            shares[start : start + len(part)] = weights * np.einsum(
                "nd,d->n", found, target, dtype=np.float64
            )
        return shares if recency is None else shares * recency

    def item_rows(self, first: int, last: int, out: np.ndarray) -> np.ndarray:
        """The rows of the items from `first` to `last` as the table has them, in `out` [n, d]."""
        rows = out[: last - first]
        slots = self._entities.item_slots[first:last]
        return np.take(self._item_table, slots, axis=0, out=rows, mode="clip")

    def _compare(self, row: np.ndarray, rule: HistoryRule) -> None:
        """The metric of a rule times a row, in its place."""
        if rule.ridge is not None:
            row[:] = np.einsum("de,e->d", self._metrics[rule.ridge], row, dtype=np.float32)

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

    def _sum_long(
        self,
        items: np.ndarray,
        out: np.ndarray,
        gathered: np.ndarray,
        *,
        newcomers: int,
        recency: np.ndarray | None = None,
    ) -> None:
        """One row from any number of items, each of which counts as `recency` says."""
        out[:] = 0
        total = np.empty_like(out)
        for start in range(0, len(items), len(gathered)):
            part = items[start : start + len(gathered)]
            sizes = np.full(len(part), len(items))
            found, weights = self._gather(part, sizes, gathered, newcomers=newcomers)
            if recency is not None:
                weights *= recency[start : start + len(part)]
            _weighted_sum(found, weights, out=total)
            out += total

    def _gather(
        self, items: np.ndarray, sizes: np.ndarray, gathered: np.ndarray, *, newcomers: int = 0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Rows of items, and what each counts in a history of so many items: [n, d] and float32 [n]."""
        slots = self._entities.item_slots[items]
        degrees = self.degrees[items].astype(np.float64) + newcomers
        weights = (1.0 / np.sqrt(sizes * degrees)).astype(np.float32)
        if self._scales is not None:
            weights *= self._scales[slots]
        found = gathered[: len(items)]
        np.take(self._item_table, slots, axis=0, out=found, mode="clip")
        return found, weights


def _recency(count: int, rule: HistoryRule) -> np.ndarray | None:
    """What each item of a history counts for its place, float32 [count]; None where all count alike."""
    if rule.half_life is None:
        return None
    return np.exp2(-np.arange(count - 1, -1, -1) / rule.half_life).astype(np.float32)


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
