"""What one person has touched, as a personal bundle keeps it in its state: on this device only."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from lerg_runtime._numbers import distinct
from lerg_runtime.bundle._arrays import ArrayReader
from lerg_runtime.errors import BundleError

__all__ = ["History", "read_history"]

_NAMES = ("history_items", "history_times")


def _none(dtype: str) -> np.ndarray:
    return np.empty(0, dtype=dtype)


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """Items in the order of time, the oldest first, each once.

    Attributes:
        items: int32 [n], item indices.
        times: int64 [n], when each was touched last, in seconds since 1970; never falling.
    """

    items: np.ndarray = field(default_factory=lambda: _none("int32"))
    times: np.ndarray = field(default_factory=lambda: _none("int64"))

    def __len__(self) -> int:
        return len(self.items)

    def with_item(self, item: int, when: int, *, most: int) -> History:
        """This history and one item more, which leaves its place where it was there; the oldest go first.

        Args:
            item: index.
            when: seconds since 1970; among equal times the new one comes last.
            most: items that are kept.
        """
        others = self.without(item)
        place = int(np.searchsorted(others.times, when, side="right"))
        items, times = np.insert(others.items, place, item), np.insert(others.times, place, when)
        return History(items[-most:].astype(np.int32), times[-most:].astype(np.int64))

    def without(self, item: int) -> History:
        """This history without an item; the same where it is not there."""
        kept = self.items != item
        return History(self.items[kept], self.times[kept])

    def arrays(self) -> dict[str, np.ndarray]:
        """As a state stores it; nothing where it is empty."""
        if not len(self):
            return {}
        return {
            "history_items": self.items.astype(np.int32, copy=False),
            "history_times": self.times.astype(np.int64, copy=False),
        }


def read_history(reader: ArrayReader, *, most: int, items: int, where: str) -> History:
    """The history in a state; an empty one where there is none.

    Args:
        reader: of the state's arrays.
        most: items that the bundle keeps.
        items: of the catalogue.
        where: the file, for messages.

    Raises:
        BundleError: longer than the bundle keeps, half of it is absent, or it has a value that cannot be.
    """
    there = [name in reader.names for name in _NAMES]
    if not any(there):
        return History()
    if not all(there):
        raise BundleError(f"{where} has one of {' and '.join(_NAMES)} alone; restore it from a copy")
    count = reader.header(_NAMES[0])[1]
    if len(count) != 1 or not 0 < count[0] <= most:
        raise BundleError(f"{where} has a history of {count} items and the bundle keeps {most}")
    history = History(
        reader.read("history_items", dtypes=("int32",), shape=count),
        reader.read("history_times", dtypes=("int64",), shape=count),
    )
    if history.items.min() < 0 or history.items.max() >= items:
        raise BundleError(f"{where}: the history names an item that does not exist")
    if len(distinct(history.items)) != len(history) or bool((np.diff(history.times) < 0).any()):
        raise BundleError(f"{where}: the history has an item twice, or is not in the order of time")
    return history
