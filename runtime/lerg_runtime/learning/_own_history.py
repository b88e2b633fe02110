"""What a personal bundle learns from: each item of its history, told from others by the rest of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from lerg_runtime.bundle._arrays import Allocate
from lerg_runtime.errors import InputError

__all__ = ["LEAST_ITEMS", "OwnHistory"]

LEAST_ITEMS = 3
"""Two of them leave one item to be told by one other, and nothing else."""
_LEAST_TO_HOLD_OUT = 5  # fewer items are all learned from
_HELD_OUT_SHARE = 0.2
_DRAWS = 20
_NEGATIVES = 8  # of each item that is held out


class OwnHistory:
    """Batches of items of a history, each with the weights of all others and an item that was not touched.

    An epoch goes over every item, and where they are fewer than a batch as often as fills one. Of five
    items and more the latest fifth is held out: it is told by the others, and not learned from.

    Args:
        history: int64 [n] item indices, the oldest first, n >= `LEAST_ITEMS`, each once.
        weights: float [n], what each counts but for the length of the history.
        slots: int32 [I].
        metric: float32 [d, d].
        scale: of all scores, so that the loss tells them apart.
        batch: most items of a step.
        allocate: memory of the inputs.

    Attributes:
        held_out: items that are held out.
        items, late: int64, indices of those that are learned from, and of those held out.

    Raises:
        InputError: the history holds every item, so that there is nothing to tell its items from.
    """

    def __init__(
        self,
        history: np.ndarray,
        weights: np.ndarray,
        *,
        slots: np.ndarray,
        metric: np.ndarray,
        scale: float,
        batch: int,
        allocate: Allocate,
    ) -> None:
        if len(history) >= len(slots):
            raise InputError("the history holds every item, so there is nothing to tell its items from")
        self.held_out = 0
        if len(history) >= _LEAST_TO_HOLD_OUT:
            self.held_out = max(1, round(_HELD_OUT_SHARE * len(history)))
        learned = len(history) - self.held_out
        self.items, self.late = history[:learned], history[learned:]
        self._weights = weights[:learned] * scale
        self._slots, self._metric, self._batch = slots, metric, batch
        self._touched: np.ndarray = allocate((learned,), "int64")
        self._touched[:] = slots[self.items]
        self._matrix: np.ndarray = allocate((batch, learned), "float32")
        self._barred: np.ndarray = allocate((len(slots),), "uint8")
        self._barred[:] = 0
        self._barred[history] = 1
        self._repeats = max(1, batch // learned)

    def __len__(self) -> int:
        return self._repeats * len(self.items)

    def batches(self, size: int, random: Any, negatives: object = None) -> Iterator[tuple[np.ndarray, ...]]:
        """One epoch of (positives, negatives, history, weights, metric), as the program takes them.

        Args:
            size: items of a batch, at most as many as the object was made for.
            random: numpy Generator.
        """
        order = np.tile(np.arange(len(self.items)), self._repeats)
        random.shuffle(order)
        for start in range(0, len(order), size):
            places = order[start : start + size]
            if len(places) == 1:
                places = np.repeat(places, 2)  # the program takes two or more; the mean is the same
            rows = self._matrix[: len(places)]
            rows[:] = self._weights / np.sqrt(len(self.items) - 1)
            rows[np.arange(len(places)), places] = 0.0
            yield self._inputs(self.items[places], rows, random)

    def held_out_triples(self, random: Any, negatives: object = None) -> tuple[np.ndarray, ...] | None:
        """Likewise for what is held out, told by all that is learned from; None where nothing is."""
        if not self.held_out:
            return None
        positives = np.tile(self.late, max(_NEGATIVES, 2))[: self._batch]
        rows = self._matrix[: len(positives)]
        rows[:] = self._weights / np.sqrt(len(self.items))
        # The matrix is written again for the next batch, and this one is asked for once more.
        return self._inputs(positives, rows.copy(), random)

    def _inputs(self, positives: np.ndarray, rows: np.ndarray, random: Any) -> tuple[np.ndarray, ...]:
        others = self._drawn(len(positives), random)
        slots = (self._slots[items].astype(np.int64) for items in (positives, others))
        return (*slots, self._touched, rows, self._metric)

    def _drawn(self, count: int, random: Any) -> np.ndarray:
        """Item indices that are not in the history, uniformly."""
        drawn: np.ndarray = random.integers(len(self._slots), size=count)
        for _ in range(_DRAWS):
            again = np.flatnonzero(self._barred[drawn])
            if not len(again):
                return drawn
            drawn[again] = random.integers(len(self._slots), size=len(again))
        again = np.flatnonzero(self._barred[drawn])
        drawn[again] = random.choice(np.flatnonzero(self._barred == 0), size=len(again))
        return drawn
