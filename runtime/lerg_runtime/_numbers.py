"""What numpy has too, but imports its masked arrays for: a megabyte and some milliseconds on a device."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["distinct", "quantiles"]


def distinct(values: np.ndarray) -> np.ndarray:
    """The values of an array [n] in ascending order, each once, as `numpy.unique` gives them."""
    ascending = np.sort(values)
    first = np.ones(len(ascending), dtype=bool)
    first[1:] = ascending[1:] != ascending[:-1]
    kept: np.ndarray = ascending[first]
    return kept


def quantiles(values: np.ndarray | Sequence[float], shares: Sequence[float]) -> np.ndarray:
    """Where these shares of the values lie below, with straight lines between two values.

    Args:
        values: numbers [n, ...], n >= 1.
        shares: between 0 and 1.

    Returns:
        float64 [shares, ...], as `numpy.quantile` along the first axis; NaN where one of the values is.
    """
    ascending = np.sort(np.asarray(values, dtype=np.float64), axis=0)
    places = np.asarray(shares, dtype=np.float64) * (len(ascending) - 1)
    below = np.floor(places).astype(np.int64)
    above = np.minimum(below + 1, len(ascending) - 1)
    beyond = (places - below).reshape(-1, *[1] * (ascending.ndim - 1))
    found = ascending[below] + (ascending[above] - ascending[below]) * beyond
    # What is no number comes last in an order.
    whole: np.ndarray = np.where(np.isnan(ascending[-1]), np.nan, found)
    return whole
