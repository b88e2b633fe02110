"""Tables made fit for coding, with the same scores: both sides of one size, and as wide as is wanted.

A codebook is shared by users and items, so their rows must be of one scale. A product u . i is the same of
a u and i / a, and so both sides get the same root mean square. Rows that are too wide are cut to what matters
most for scores: the best approximation of all scores by rows of D numbers is that of the D largest singular
values of U I' (Eckart and Young, Psychometrika 1(3), 1936), of which both sides get the root. Where rows are
still to be propagated, one map must serve both sides, so these are turned onto their principal axes instead.
Rows that are too narrow get columns of zeros.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["fitted"]

_Rows = NDArray[np.float32]


def fitted(users: _Rows, items: _Rows, *, dim: int, layers: int) -> tuple[_Rows, _Rows]:
    """Rows of `dim` numbers whose products are those of the given rows, or as near as so few can come.

    Args:
        users, items: float32 [U, d] and [I, d].
        dim: D.
        layers: how often the rows are still to be propagated.

    Returns:
        float32 [U, D] and [I, D].
    """
    if dim < items.shape[1]:
        users, items = _turned(users, items, dim) if layers else _halved(users, items, dim)
    if not layers:
        scale = float(np.sqrt(_size(items) / _size(users)))
        users, items = users * np.float32(scale), items / np.float32(scale)
    return _padded(users, dim), _padded(items, dim)


def _size(rows: _Rows) -> float:
    """The root mean square, or 1 of rows that are all zero."""
    return float(np.sqrt(np.square(rows, dtype=np.float64).mean())) or 1.0


def _halved(users: _Rows, items: _Rows, dim: int) -> tuple[_Rows, _Rows]:
    """Both halves of the truncated decomposition of U I', by way of their triangular factors."""
    (user_base, user_factor), (item_base, item_factor) = (
        np.linalg.qr(rows.astype(np.float64)) for rows in (users, items)
    )
    left, values, right = np.linalg.svd(user_factor @ item_factor.T, full_matrices=False)
    roots = np.sqrt(values[:dim])
    made = user_base @ (left[:, :dim] * roots), item_base @ (right[:dim].T * roots)
    return made[0].astype(np.float32), made[1].astype(np.float32)


def _turned(users: _Rows, items: _Rows, dim: int) -> tuple[_Rows, _Rows]:
    """Both sides on the principal axes of all rows together."""
    gram = sum(rows.T.astype(np.float64) @ rows for rows in (users, items))
    _, axes = np.linalg.eigh(gram)  # ascending
    first = axes[:, ::-1][:, :dim].astype(np.float32)
    return users @ first, items @ first


def _padded(rows: _Rows, dim: int) -> _Rows:
    return np.pad(rows, ((0, 0), (0, dim - rows.shape[1])))
