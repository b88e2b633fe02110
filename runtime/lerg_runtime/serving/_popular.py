"""The items that most users have touched: what is left to recommend where nothing is known of somebody."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lerg_runtime.pairs._items import Filter
from lerg_runtime.serving._best import Best

__all__ = ["most_popular"]

_ITEMS_AT_ONCE = 1 << 13


def most_popular(
    degrees: Callable[[int, int], np.ndarray], *, count: int, k: int, only: Filter
) -> tuple[np.ndarray, np.ndarray]:
    """The k items that most users have touched, by descending number and then ascending index.

    Args:
        degrees: how many users have touched the items from one index to another, [n].
        count: items.
        k: 1 .. count.
        only: what may come.

    Returns:
        int64 [k] item indices, -1 where there are no more, and float32 [k] numbers of users, -inf there.
    """
    best = Best(1, k)
    allowed = None if only.only is None else np.sort(only.only)
    barred = np.sort(only.never)
    for first in range(0, count, _ITEMS_AT_ONCE):
        last = min(first + _ITEMS_AT_ONCE, count)
        scores = degrees(first, last).astype(np.float32)
        if allowed is not None:
            scores[~_among(allowed, first, last)] = -np.inf
        scores[_among(barred, first, last)] = -np.inf
        best.offer(0, first, scores)
    return best.indices[0], best.scores[0]


def _among(items: np.ndarray, first: int, last: int) -> np.ndarray:
    """Which of the items from `first` to `last` are among these, which ascend: bool [last - first]."""
    there = np.zeros(last - first, dtype=bool)
    there[items[np.searchsorted(items, first) : np.searchsorted(items, last)] - first] = True
    return there
