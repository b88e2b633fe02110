"""Distinct pairs, collected in memory that grows with them and not with the rows that they come from."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lerg_runtime.errors import BudgetError

__all__ = ["PairKeys", "found_in"]

_FIRST = 1 << 8
_CHUNK = 1 << 14


def found_in(keys: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Bool [n]: which of `keys` are in `among`, int64 and ascending."""
    if len(among) == 0:
        return np.zeros(len(keys), dtype=bool)
    places = np.minimum(np.searchsorted(among, keys), len(among) - 1)
    return among[places] == keys


class PairKeys:
    """A set of int64 keys in one array: appended to, and sorted and freed of repeats when it is full.

    Args:
        allocate: makes arrays from a shape and a dtype.

    Attributes:
        refused: bytes of the last array that was refused.
    """

    def __init__(self, allocate: Callable[..., np.ndarray]) -> None:
        self._allocate = allocate
        self.refused = 0
        self._keys = np.empty(0, np.int64)
        self._used = 0
        self._keys = self._array(_FIRST, "int64")

    def add(self, keys: np.ndarray) -> None:
        """Take keys, int64 [n], in any order and with repeats.

        Raises:
            BudgetError: there is no room for them.
        """
        while len(keys):
            taken = keys[: len(self._keys) - self._used]
            self._keys[self._used : self._used + len(taken)] = taken
            self._used += len(taken)
            keys = keys[len(taken) :]
            if self._used == len(self._keys):
                self._compact()

    def pairs(self, width: int) -> tuple[np.ndarray, np.ndarray]:
        """Every key as (key // width, key % width): int32 [n] each, ascending.

        Raises:
            BudgetError: there is no room for them.
        """
        self._sort()
        users, items = self._array(self._used, "int32"), self._array(self._used, "int32")
        for start in range(0, self._used, _CHUNK):
            end = min(start + _CHUNK, self._used)
            users[start:end], items[start:end] = np.divmod(self._keys[start:end], width)
        return users, items

    def sorted(self) -> np.ndarray:
        """The keys, ascending and distinct: a view, for as long as none is added."""
        self._sort()
        return self._keys[: self._used]

    def discard(self, keys: np.ndarray) -> None:
        """Forget these, int64 [n], ascending and distinct."""
        mine, kept = self.sorted(), 0
        for start in range(0, len(mine), _CHUNK):
            part = mine[start : start + _CHUNK]
            part = part[~found_in(part, keys)]
            mine[kept : kept + len(part)] = part
            kept += len(part)
        self._used = kept

    def shared(self, other: PairKeys) -> np.ndarray:
        """int64 [n], ascending: the keys that are in both, in memory of the order."""
        mine, theirs = self.sorted(), other.sorted()
        parts = range(0, len(mine), _CHUNK)
        count = sum(int(found_in(mine[start : start + _CHUNK], theirs).sum()) for start in parts)
        both, taken = self._array(count, "int64"), 0
        for start in parts:
            part = mine[start : start + _CHUNK]
            part = part[found_in(part, theirs)]
            both[taken : taken + len(part)] = part
            taken += len(part)
        return both

    @property
    def nbytes(self) -> int:
        """Bytes of the keys' array."""
        return int(self._keys.nbytes)

    @staticmethod
    def most_bytes(distinct: int) -> int:
        """The most that so many distinct pairs take while they are collected: they grow by half when three
        quarters full, the old ones being there still, or become two arrays of int32."""
        return 27 * distinct + 8 * _FIRST * 3

    def _compact(self) -> None:
        self._sort()
        if self._used > len(self._keys) * 3 // 4:
            larger = self._array(len(self._keys) * 3 // 2, "int64")
            larger[: self._used] = self._keys[: self._used]
            self._keys = larger

    def _sort(self) -> None:
        """Sort in place, and move the first of each run of equal keys to the front, some at a time."""
        keys = self._keys[: self._used]
        keys.sort()
        kept = min(1, self._used)
        for start in range(1, self._used, _CHUNK):
            end = min(start + _CHUNK, self._used)
            # What stands at `start - 1` is still as it was: only places before `kept` have been written.
            fresh = keys[start:end][keys[start:end] != keys[start - 1 : end - 1]]
            keys[kept : kept + len(fresh)] = fresh
            kept += len(fresh)
        self._used = kept

    def _array(self, size: int, dtype: str) -> np.ndarray:
        try:
            return self._allocate((size,), dtype)
        except BudgetError as error:
            size_bytes = size * np.dtype(dtype).itemsize
            self.refused = size_bytes
            raise BudgetError(
                f"{size} interactions take {size_bytes} bytes, more than the memory "
                f"budget leaves ({error}); give a larger budget or fewer interactions at a time",
                items=error.items,
                needed_bytes=error.needed_bytes,
                budget_bytes=error.budget_bytes,
            ) from None
