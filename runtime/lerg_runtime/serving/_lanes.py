"""Lanes: each is all that one thread needs to rank on its own, and no two threads have the same at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from lerg_runtime.bundle._shape import ModelShape
from lerg_runtime.engine._engine import Engine
from lerg_runtime.errors import BudgetError, BundleError
from lerg_runtime.planning._sizes import gathered_shape
from lerg_runtime.serving._barred import Barred, write_masks
from lerg_runtime.serving._local_counts import BestRaised, LocalCounts

__all__ = ["Lane", "Lanes"]


class Lane:
    """The program `recommend`, loaded, and the arrays of one call of it.

    Args:
        engine: where program and memory come from.
        shape: of the model.
        users: most in one call.
        raises: it is also ranked with items raised by local counts.

    Attributes:
        rows: float32 [users, d], the rows to rank by.
        gathered: rows of items while they are added up.

    Raises:
        BudgetError: it does not fit the budget.
    """

    def __init__(self, engine: Engine, shape: ModelShape, *, users: int, raises: bool = False) -> None:
        empty = engine.budget.empty
        self._shape = shape
        self._method = engine.load("recommend")
        self.rows: np.ndarray = empty((users, shape.dim), "float32")
        self.gathered: np.ndarray = empty(gathered_shape(shape), shape.item_arrays[0][0])
        self._seen = engine.empty_seen(users)
        self._ranks: np.ndarray = empty((shape.max_k,), "int64")
        self._ranks[:] = np.arange(shape.max_k)
        largest = (shape.max_users, shape.max_k)
        self._outputs: list[np.ndarray | None] = [empty(largest, "int64"), empty(largest, "float32")]
        self._barred: np.ndarray | None = None
        if raises:
            self._barred = engine.empty_seen(users)
            self._best = BestRaised(users, shape.max_k, allocate=empty)

    def rank(
        self,
        count: int,
        *tables: np.ndarray,
        k: int,
        barred: Sequence[Barred],
        counts: LocalCounts | None = None,
    ) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
        """Rank for the first `count` of `rows`, as many items at a time as the program gives.

        Args:
            tables: the item table, its scales if it is int8, and the slots of the items.
            k: items of each user.
            barred: what is left out, one a row.
            counts: raises items; the lane must have been made for it.

        Yields:
            Which ranks, int64 [count, ranks] item indices, -1 where there are no more, and float32 scores,
            -inf there. The arrays are written again for the next.
        """
        left_out = self._seen[:count]
        if counts is not None and self._barred is not None:
            left_out = self._barred[:count]
        write_masks(barred, left_out)
        for start in range(0, k, self._shape.max_k):
            ranks = self._ranks[: min(self._shape.max_k, k - start)]
            if counts is None:
                found, points = self._call(count, tables, ranks)
            else:
                found, points = self._raised(count, tables, ranks, left_out, counts)
            end = start + len(ranks)
            yield slice(start, end), found, points
            if end < k:
                # More than the program gives at once: what it gave counts as seen for the next call.
                given = np.nonzero(found >= 0)
                left_out[given[0], found[given]] = True

    def _call(
        self, count: int, tables: tuple[np.ndarray, ...], ranks: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """What the program finds that is not masked in `_seen`."""
        found, points = self._method.execute(
            self.rows[:count], *tables, self._seen[:count], ranks, outputs=self._outputs
        )
        if found.size and not (found.min() >= -1 and found.max() < self._shape.items):
            raise BundleError("recommend gave an item that does not exist; export the bundle again")
        return found, points

    def _raised(
        self,
        count: int,
        tables: tuple[np.ndarray, ...],
        ranks: np.ndarray,
        left_out: np.ndarray,
        counts: LocalCounts,
    ) -> tuple[np.ndarray, np.ndarray]:
        """The best by raised scores: of the items of each number of doublings by itself, merged."""
        per_doubling = counts.per_doubling(self.rows[:count])
        masks = self._seen[:count]
        self._best.clear()
        for number in counts.numbers:
            for mask, others in zip(masks, left_out, strict=True):
                np.not_equal(counts.doublings, number, out=mask)
                np.logical_or(mask, others, out=mask)
            found, points = self._call(count, tables, ranks)
            self._best.merge(found, points, number * per_doubling)
        return self._best.found(count, len(ranks))


class Lanes:
    """Hands lanes out, makes them when they are first needed, and lets callers wait when all are taken.

    Args:
        make: one more lane.
        most: there may be at a time, at least 1.
        users: most in one call of each.

    Attributes:
        users, most: as given.
    """

    def __init__(self, make: Callable[[], Lane], *, most: int, users: int) -> None:
        self.users, self.most = users, most
        self._make = make
        self._changed = threading.Condition()
        self._idle: list[Lane] = []
        self._made = 0

    @contextmanager
    def lane(self) -> Iterator[Lane]:
        """One lane for the thread that calls, for as long as the block lasts.

        Raises:
            BudgetError: there is none, and none fits the budget.
        """
        lane = self._take()
        try:
            yield lane
        except BaseException:
            # What failed or was interrupted in the middle may not be fit to run again.
            with self._changed:
                self._made -= 1
                self._changed.notify()
            raise
        with self._changed:
            self._idle.append(lane)
            self._changed.notify()

    def drop_idle(self) -> bool:
        """Free the lanes that nobody has; whether there were any."""
        with self._changed:
            dropped, self._idle = self._idle, []
            self._made -= len(dropped)
            self._changed.notify_all()
        return bool(dropped)

    def make_first(self) -> None:
        """Have at least one lane.

        Raises:
            BudgetError: none fits the budget.
        """
        with self.lane():
            pass

    def _take(self) -> Lane:
        while True:
            with self._changed:
                while not self._idle and self._made >= self.most:
                    self._changed.wait()
                if self._idle:
                    return self._idle.pop()
                self._made += 1
            try:
                return self._make()
            except BaseException as error:
                with self._changed:
                    self._made -= 1
                    self._changed.notify_all()
                    if not isinstance(error, BudgetError) or self._made == 0:
                        raise
                    # Somebody else has the memory for now; one of the lanes that are there will do.
                    while not self._idle and self._made > 0:
                        self._changed.wait()
