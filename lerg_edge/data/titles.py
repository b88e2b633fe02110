"""Titles of items, for people."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

__all__ = ["ItemTitles"]


@dataclass(frozen=True, slots=True)
class ItemTitles:
    """What the items of a data set are called.

    Attributes:
        texts: by item index; None for an item without a title.
        unknown: titles of the file whose item is not in the data.
    """

    texts: tuple[str | None, ...]
    unknown: int = 0

    @property
    def titled(self) -> int:
        """How many items have a title."""
        return sum(text is not None for text in self.texts)

    def reordered(self, items: NDArray[np.integer]) -> ItemTitles:
        """The same titles of the same items under other indices, given in their new order."""
        return replace(self, texts=tuple(self.texts[item] for item in items.tolist()))
