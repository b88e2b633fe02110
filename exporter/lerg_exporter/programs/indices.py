"""The smallest integers that hold an index."""

from __future__ import annotations

import numpy as np

from lerg_edge.errors import InputError

__all__ = ["index_bytes", "smallest_index"]


def smallest_index(values: np.ndarray, *, count: int) -> np.ndarray:
    """`values`, all below `count`, as uint8, uint16 or int32: the types that the kernels index with.

    Raises:
        InputError: `count` does not fit int32.
    """
    if count > np.iinfo(np.int32).max:
        raise InputError(f"{count} indices do not fit 32 bits; use a smaller data set")
    kind = {1: np.uint8, 2: np.uint16, 4: np.int32}[index_bytes(count)]
    return np.ascontiguousarray(values, dtype=kind)


def index_bytes(count: int) -> int:
    """Bytes of one index below `count`: 1, 2 or 4."""
    return 1 if count <= 1 << 8 else 2 if count <= 1 << 16 else 4
