"""Items that were added on this device, in every answer: scored here and merged with what the program ranks.

The score of an added item is the product of the row that somebody is ranked by and its own, in float32. The
program does not know added items, and what it ranks is exact; so the best of both lists together are the best
of all, ties by index, the added items last.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lerg_runtime.bundle._added import AddedItems
from lerg_runtime.pairs._items import Filter
from lerg_runtime.serving._answer import Answer

__all__ = ["Extra", "own_filters"]

_LISTS_AT_ONCE = 64


@dataclass(frozen=True, slots=True, eq=False)
class Extra:
    """The added items of one call.

    Attributes:
        added: as they are when the call begins.
        items: of the bundle, I: the added ones have the indices from there on.
    """

    added: AddedItems
    items: int

    def merge(
        self,
        answer: Answer,
        place: int,
        row: np.ndarray,
        filter_: Filter | None,
        *,
        unseen_by: int | None = None,
    ) -> None:
        """Put the added items into the ranking at a place of an answer.

        Args:
            row: float32 [d], what somebody is ranked by.
            filter_: what may come; None for everything.
            unseen_by: user whom those that they have touched are kept from; None for nobody.
        """
        which = self._allowed(filter_)
        if unseen_by is not None:
            which &= ~self.added.touched_by(unseen_by)
        places = np.flatnonzero(which)
        answer.merge(place, self.items + places, self.scores(row)[places])

    def merge_popular(self, answer: Answer, place: int, filter_: Filter | None) -> None:
        """Put them into a ranking by the number of users."""
        places = np.flatnonzero(self._allowed(filter_))
        answer.merge(place, self.items + places, self.added.degrees[places].astype(np.float32))

    def scores(self, row: np.ndarray) -> np.ndarray:
        """Of the added items, float32 [n]."""
        found: np.ndarray = np.einsum("nd,d->n", self.added.rows, row, dtype=np.float32)
        return found

    def _allowed(self, filter_: Filter | None) -> np.ndarray:
        count = len(self.added)
        if filter_ is None:
            return np.ones(count, dtype=bool)
        which = np.full(count, filter_.only is None)
        if filter_.only is not None:
            which[filter_.only[filter_.only >= self.items] - self.items] = True
        which[filter_.never[filter_.never >= self.items] - self.items] = False
        return which


def own_filters(filters: Callable[[int], Filter], items: int) -> Callable[[int], Filter]:
    """Filters of the bundle's own items alone, as the program takes them.

    Args:
        filters: by place, of all items.
        items: of the bundle.
    """
    cut: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def own(listed: np.ndarray) -> np.ndarray:
        if not bool((listed >= items).any()):
            return listed
        # Of one list for everybody there stays one array: masks are written once for that.
        if id(listed) not in cut:
            if len(cut) >= _LISTS_AT_ONCE:
                cut.clear()
            cut[id(listed)] = (listed, listed[listed < items])
        return cut[id(listed)][1]

    def at(place: int) -> Filter:
        only, never = filters(place)
        return Filter(None if only is None else own(only), own(never))

    return at
