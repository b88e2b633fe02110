"""What serves one person from a history: items, and how a history becomes a row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lerg_edge.errors import InputError
from lerg_edge.histories.rule import HistoryRule
from lerg_edge.personal.coded_items import CodedItems
from lerg_edge.personal.sheltering import degrees_of

__all__ = ["PersonalModel"]


@dataclass(frozen=True, slots=True, eq=False)
class PersonalModel:
    """Items, and nothing that belongs to a user.

    Attributes:
        items: rows by slot, [S, d], as they are stored.
        slots: int32 [I], the slot of each item; the placeholders are the last slots.
        counts: int64 [r], items of each placeholder.
        degree_codes: uint8 [I], see `lerg_edge.personal.sheltering.degree_codes`.
        rule: how a history becomes a row.

    Raises:
        InputError: parts that do not fit together.
    """

    items: CodedItems
    slots: np.ndarray
    counts: np.ndarray
    degree_codes: np.ndarray
    rule: HistoryRule

    def __post_init__(self) -> None:
        count, slots = len(self.slots), self.items.item_count
        if self.degree_codes.shape != (count,) or len(self.counts) > slots:
            raise InputError(
                f"there are {count} items, {len(self.degree_codes)} degrees, {slots} rows and "
                f"{len(self.counts)} placeholders; they do not fit together."
            )
        if count and not 0 <= int(self.slots.min()) <= int(self.slots.max()) < slots:
            raise InputError(f"a slot is not between 0 and {slots - 1}.")

    @property
    def item_count(self) -> int:
        """Items, I."""
        return len(self.slots)

    def item_rows(self) -> np.ndarray:
        """Rows by item as a device has them, float32 [I, d]."""
        rows: np.ndarray = self.items.rows()[self.slots]
        return rows

    def degrees(self) -> np.ndarray:
        """Users of each item as a device takes them, float64 [I]."""
        return degrees_of(self.degree_codes)
