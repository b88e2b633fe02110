"""Tables of an open personal bundle, as `encode` makes them, and what is answered from them."""

from __future__ import annotations

import numpy as np

from lerg_runtime.bundle._personal_shape import PersonalShape
from lerg_runtime.bundle._state import State
from lerg_runtime.engine._engine import Engine, LoadedMethod
from lerg_runtime.errors import BundleError
from lerg_runtime.planning._sizes import sample_size
from lerg_runtime.serving._barred import Barred, write_masks
from lerg_runtime.serving._best import Best
from lerg_runtime.serving._likeness import nearest

__all__ = ["PersonalTables"]

_ROWS_AT_ONCE = 128  # of items, copied while they are compared


class PersonalTables:
    """Item table and metric, as `encode` has made them, and the program that ranks with them.

    Args:
        shape: of the model.
        slots: of each item.
        state: whose weights are encoded.
        engine: where programs and memory come from.

    Raises:
        BudgetError: they do not fit the budget.
    """

    def __init__(self, shape: PersonalShape, slots: np.ndarray, state: State, *, engine: Engine) -> None:
        empty = engine.budget.empty
        self._shape, self._slots = shape, slots
        self._table: np.ndarray = empty((shape.slots, shape.dim), "float32")
        self._metric: np.ndarray = empty((shape.dim, shape.dim), "float32")
        encode = engine.load("encode")
        encode.execute(
            engine.packed_codebook(state.codebook), state.step, outputs=[self._table, self._metric]
        )
        del encode  # its arenas must be free before those of recommend are taken
        self._method: LoadedMethod = engine.load("recommend")
        self._history: np.ndarray = empty((shape.max_history,), "int64")
        self._weights: np.ndarray = empty((shape.max_history,), "float32")
        self._barred = engine.empty_seen(1)
        self._ranks: np.ndarray = empty((shape.max_k,), "int64")
        self._ranks[:] = np.arange(shape.max_k)
        self._outputs: list[np.ndarray | None] = [
            empty((1, shape.max_k), "int64"),
            empty((1, shape.max_k), "float32"),
        ]

    def rank(
        self, history: np.ndarray, weights: np.ndarray, *, k: int, barred: Barred
    ) -> tuple[np.ndarray, np.ndarray]:
        """See `PersonalBundle.rank`."""
        count = len(history)
        self._history[:count] = self._slots[history]
        self._weights[:count] = weights
        write_masks([barred], self._barred)
        items, scores = [], []
        for start in range(0, k, self._shape.max_k):
            ranks = self._ranks[: min(self._shape.max_k, k - start)]
            found, points = self._method.execute(
                self._table,
                self._metric,
                self._slots,
                self._history[:count],
                self._weights[:count],
                self._barred,
                ranks,
                outputs=self._outputs,
            )
            if found.size and not (found.min() >= -1 and found.max() < self._shape.items):
                raise BundleError("recommend gave an item that does not exist; export the bundle again")
            there = found[0] >= 0
            items.append(found[0][there].copy())
            scores.append(points[0][there].copy())
            if not there.all():
                break
            # More than the program gives at once: what it gave may not come again.
            self._barred[0, items[-1]] = True
        return np.concatenate(items), np.concatenate(scores)

    def row(self, history: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """See `PersonalBundle.row`."""
        total = np.zeros(self._table.shape[1], dtype=np.float32)
        for start in range(0, len(history), _ROWS_AT_ONCE):
            part = slice(start, start + _ROWS_AT_ONCE)
            total += np.einsum("nd,n->d", self._table[self._slots[history[part]]], weights[part])
        found: np.ndarray = np.einsum("de,e->d", self._metric, total, dtype=np.float32)
        return found

    def similar(self, items: np.ndarray, *, k: int, added: np.ndarray | None) -> Best:
        """See `PersonalBundle.similar`."""
        count = len(self._slots)
        return nearest(
            lambda first, last: self._table[self._slots[first:last]],
            count=count,
            at_once=_ROWS_AT_ONCE,
            wanted=items,
            wanted_rows=[
                self._table[self._slots[item]] if item < count else added[item - count]  # type: ignore[index]
                for item in items.tolist()
            ],
            k=k,
            more=added,
        )

    def comparison(self, history: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, float]:
        """See `PersonalBundle.comparison`."""
        row = np.einsum("n,nd->d", weights, self._table[self._slots[history]], dtype=np.float64)
        asked = np.einsum("d,de->e", row, self._metric, dtype=np.float64)
        count = sample_size(len(self._slots))
        sample = self._table[self._slots[np.arange(count) * len(self._slots) // count]]
        return self._metric, float(np.einsum("nd,d->n", sample, asked, dtype=np.float64).std())

    def distance(self, history: np.ndarray, weights: np.ndarray, late: np.ndarray) -> float:
        """See `PersonalBundle.distance`."""
        row = np.einsum("n,nd->d", weights, self._table[self._slots[history]], dtype=np.float64)
        asked = np.einsum("d,de->e", row, self._metric, dtype=np.float64)
        own = np.einsum("nd,d->n", self._table[self._slots[late]], asked, dtype=np.float64)
        before = np.zeros(len(late))
        known = np.concatenate((history, late))
        for start in range(0, len(self._slots), _ROWS_AT_ONCE):
            items = np.arange(start, min(start + _ROWS_AT_ONCE, len(self._slots)))
            others = items[~np.isin(items, known)]
            scores = np.einsum("nd,d->n", self._table[self._slots[others]], asked, dtype=np.float64)
            before += (scores[:, None] > own).sum(0)
        return float(np.log2(2.0 + before).mean())

    def rows(self) -> np.ndarray:
        """See `PersonalBundle.rows`."""
        return self._table[self._slots]

    def shares(self, history: np.ndarray, weights: np.ndarray, item: int) -> np.ndarray:
        """See `PersonalBundle.shares`."""
        row = self._table[self._slots[item]]
        target = np.einsum("de,e->d", self._metric, row, dtype=np.float64)
        rows = self._table[self._slots[history]]
        return np.einsum("nd,d->n", rows, target, dtype=np.float64) * weights
