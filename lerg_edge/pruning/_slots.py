"""Slots: how programs speak of an entity of one side."""

from __future__ import annotations

import numpy as np


def slots_of(retained: np.ndarray, placeholder: np.ndarray) -> np.ndarray:
    """The slot of each entity of one side, int32 [n].

    Args:
        retained: bool [n].
        placeholder: int [n], the index of a pruned entity's placeholder.

    Returns:
        The rank among the retained, or their number plus the placeholder's index.
    """
    rank = np.cumsum(retained) - 1
    return np.where(retained, rank, int(retained.sum()) + placeholder).astype(np.int32)
