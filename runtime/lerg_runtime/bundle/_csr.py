"""Interactions by user: compressed sparse rows in memory, degrees and gaps between item indices on disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lerg_runtime.bundle._limits import MAX_PAIRS
from lerg_runtime.bundle._npz import Allocate, smallest_unsigned
from lerg_runtime.errors import BundleError

__all__ = ["Interactions", "decode_interactions", "encode_interactions", "index_dtype"]

_ROWS_AT_ONCE = 1024


def index_dtype(count: int) -> str:
    """Type in memory of an index below `count`: uint8, uint16 or int32, which is what the kernels take."""
    return "uint8" if count <= 2**8 else "uint16" if count <= 2**16 else "int32"


@dataclass(frozen=True, slots=True)
class Interactions:
    """Who touched what.

    Attributes:
        indptr: int32 [U + 1], where each user's items start.
        items: uint8, uint16 or int32 [n], item indices, ascending and unique within a user.
        item_count: I.
    """

    indptr: np.ndarray
    items: np.ndarray
    item_count: int

    def __len__(self) -> int:
        return len(self.items)

    @property
    def user_count(self) -> int:
        """U."""
        return len(self.indptr) - 1

    def of_user(self, user: int) -> np.ndarray:
        """Item indices of one user, a view."""
        return self.items[self.indptr[user] : self.indptr[user + 1]]

    def users_of(self, positions: np.ndarray) -> np.ndarray:
        """int32 [n], the user of each position in `items`."""
        return (np.searchsorted(self.indptr, positions, side="right") - 1).astype(np.int32)

    def find(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Position of each pair in `items`, or -1 - (where it would be inserted); int64 [n].

        Args:
            users: int32 [n]; items: int32 [n].
        """
        found = np.empty(len(users), dtype=np.int64)
        for position, (user, item) in enumerate(zip(users.tolist(), items.tolist(), strict=True)):
            row = self.of_user(user)
            at = int(np.searchsorted(row, item))
            place = int(self.indptr[user]) + at
            found[position] = place if at < len(row) and int(row[at]) == item else -1 - place
        return found

    def with_pairs(
        self, users: np.ndarray, items: np.ndarray, *, allocate: Allocate = np.empty
    ) -> Interactions:
        """These and more pairs, which are new, sorted by (user, item) and unique.

        Args:
            users: int32 [n]; items: int32 [n].
            allocate: memory of the result.
        """
        places = -1 - self.find(users, items)
        count = len(self) + len(users)
        if count > MAX_PAIRS:
            raise BundleError(f"{count} interactions are more than the {MAX_PAIRS} that a bundle can hold")
        merged = allocate((count,), str(self.items.dtype))
        written = 0
        taken = 0
        for place, item in zip(places.tolist(), items.tolist(), strict=True):
            run = place - taken
            merged[written : written + run] = self.items[taken:place]
            merged[written + run] = item
            written, taken = written + run + 1, place
        merged[written:] = self.items[taken:]
        indptr = allocate((self.user_count + 1,), "int32")
        indptr[:] = self.indptr
        indptr[1:] += np.cumsum(np.bincount(users, minlength=self.user_count), dtype=np.int32)
        return Interactions(indptr, merged, self.item_count)


def encode_interactions(
    users: np.ndarray, items: np.ndarray, *, user_count: int, item_count: int
) -> dict[str, np.ndarray]:
    """Arrays `degrees` [U] and `gaps` [n] of pairs sorted by (user, item).

    Raises:
        BundleError: out of order, repeated, or an index out of range.
    """
    users, items = np.asarray(users, dtype=np.int64), np.asarray(items, dtype=np.int64)
    if users.shape != items.shape or users.ndim != 1 or len(users) > MAX_PAIRS:
        raise BundleError(f"interactions need as many users as items, at most {MAX_PAIRS}")
    if len(users) and not (
        int(users.min()) >= 0 <= int(items.min())
        and int(users.max()) < user_count
        and int(items.max()) < item_count
    ):
        raise BundleError("an interaction names a user or an item that does not exist")
    keys = users * item_count + items
    if not bool(np.all(keys[1:] > keys[:-1])):
        raise BundleError("interactions must be sorted by user and item, without repeats")
    degrees = np.bincount(users, minlength=user_count)
    gaps = items.copy()
    same_user = users[1:] == users[:-1]
    gaps[1:][same_user] -= items[:-1][same_user]
    return {
        "degrees": degrees.astype(smallest_unsigned(int(degrees.max(initial=0)))),
        "gaps": gaps.astype(smallest_unsigned(int(gaps.max(initial=0)))),
    }


def decode_interactions(
    degrees: np.ndarray,
    gaps: np.ndarray,
    *,
    item_count: int,
    where: str,
    allocate: Allocate = np.empty,
) -> Interactions:
    """Rows from `degrees` and `gaps`, every one checked.

    Raises:
        BundleError: the degrees do not add up, an item repeats, or an index is out of range.
    """
    if int(degrees.sum(dtype=np.uint64)) != len(gaps) or len(gaps) > MAX_PAIRS:
        raise BundleError(f"{where}: the degrees do not add up to the number of interactions")
    indptr = allocate((len(degrees) + 1,), "int32")
    indptr[0] = 0
    np.cumsum(degrees, dtype=np.int32, out=indptr[1:])
    items = allocate((len(gaps),), index_dtype(item_count))
    # A few rows at a time, so that the wide numbers needed for checking stay small.
    for first in range(0, len(degrees), _ROWS_AT_ONCE):
        rows = indptr[first : first + _ROWS_AT_ONCE + 1]
        low, high = int(rows[0]), int(rows[-1])
        items[low:high] = _block(gaps[low:high], rows - low, item_count, _refuse(where))
    return Interactions(indptr, items, item_count)


def _block(
    gaps: np.ndarray, rows: np.ndarray, item_count: int, refuse: Callable[[str], BundleError]
) -> np.ndarray:
    if len(gaps) == 0:
        return gaps
    if int(gaps.max()) >= item_count:
        raise refuse("an item index is out of range")
    starts = rows[:-1][np.diff(rows) > 0]
    inner = np.ones(len(gaps), dtype=bool)
    inner[starts] = False
    if not bool(np.all(gaps[inner] > 0)):
        raise refuse("an item repeats within a user")
    running = np.cumsum(gaps, dtype=np.int64)
    before = np.concatenate(([0], running))[rows[:-1]]
    items = running - np.repeat(before, np.diff(rows))
    if int(items.max()) >= item_count:
        raise refuse("an item index is out of range")
    return items


def _refuse(where: str) -> Callable[[str], BundleError]:
    return lambda reason: BundleError(f"{where}: {reason}; export the bundle again")
