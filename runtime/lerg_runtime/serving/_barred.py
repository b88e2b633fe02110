"""What may not come in a ranking, as the program takes it: a mask over all items."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

__all__ = ["Barred"]


class Barred(NamedTuple):
    """Items that one ranking leaves out.

    Attributes:
        never: item indices that may not come, as they lie in memory; they may repeat.
        only: int64 [n], the only ones that may come; None for all.
    """

    never: tuple[np.ndarray, ...] = ()
    only: np.ndarray | None = None

    def write(self, mask: np.ndarray) -> None:
        """Set a mask, bool or uint8 [I]: 1 for what may not come."""
        mask[:] = self.only is not None
        if self.only is not None:
            mask[self.only] = False
        for items in self.never:
            mask[items] = True
