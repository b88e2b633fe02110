"""The bootstrap over users (Efron, 1979): sums of columns over users that are drawn with replacement.

Rows come a block at a time and each block once, so that nothing but the sums grows with users or draws: how
many draws fall into a block is binomial, given how many have fallen before it.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from lerg_runtime._numbers import quantiles

__all__ = ["percentile_interval", "resampled_sums"]

_TOGETHER = 32  # resamples of a block at a time
_TAIL = 0.025  # on either side of an interval of 95 %


def resampled_sums(
    blocks: Iterable[np.ndarray], count: int, columns: int, *, resamples: int, seed: int
) -> np.ndarray:
    """Sums of the columns in each resample of all rows.

    Args:
        blocks: float64 [b, C] each, whose rows are `count` together.
        count: rows, and draws of a resample.
        columns: C.
        resamples: how many, R.
        seed: the same seed gives the same draws for as many rows.

    Returns:
        float64 [R, C].
    """
    random = np.random.default_rng(seed)
    sums = np.zeros((resamples, columns))
    left, rows_left = np.full(resamples, count), count
    for block in blocks:
        rows = len(block)
        drawn = left if rows == rows_left else random.binomial(left, rows / rows_left)
        left, rows_left = left - drawn, rows_left - rows
        for start in range(0, resamples, _TOGETHER):
            draws = drawn[start : start + _TOGETHER]
            first = np.repeat(np.arange(len(draws)) * rows, draws)
            places = random.integers(0, rows, size=len(first)) + first
            weights = np.bincount(places, minlength=len(draws) * rows).reshape(len(draws), rows)
            sums[start : start + len(draws)] += weights.astype(np.float64) @ block
    return sums


def percentile_interval(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The bounds of 95 % of the resamples' values, float64 [R, ...]; NaN where one of them is."""
    low, high = quantiles(values, (_TAIL, 1 - _TAIL))
    return low, high
