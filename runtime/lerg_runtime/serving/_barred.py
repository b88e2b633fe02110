"""What may not come in a ranking, as the program takes it: a mask over all items."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

__all__ = ["Barred", "write_masks"]

_NOTHING = np.empty(0, np.int64)


class Barred(NamedTuple):
    """Items that one ranking leaves out.

    Attributes:
        seen: item indices that may not come, as they lie in memory; they may repeat.
        only: int64 [n], the only ones that may come; None for all.
        never: int64 [n], more that may not come.
    """

    seen: tuple[np.ndarray, ...] = ()
    only: np.ndarray | None = None
    never: np.ndarray = _NOTHING


def write_masks(barred: Sequence[Barred], masks: np.ndarray) -> None:
    """Set masks, bool or uint8 [n, I]: 1 for what may not come in each ranking.

    Lists that several rankings have in common, the same arrays, are worked through once.
    """
    before: Barred | None = None
    for row, those in enumerate(barred):
        mask = masks[row]
        if before is not None and those.only is before.only and those.never is before.never:
            mask[:] = masks[row - 1]
        else:
            mask[:] = those.only is not None
            if those.only is not None:
                mask[those.only] = False
            mask[those.never] = True
        before = those
    for row, those in enumerate(barred):
        for items in those.seen:
            masks[row, items] = True
