"""Interactions by user: compressed sparse rows in memory, one code on disk."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lerg_runtime._limits import MAX_PAIRS
from lerg_runtime._native_module import native
from lerg_runtime.bundle._arrays import Allocate
from lerg_runtime.bundle._boundary import reading
from lerg_runtime.errors import BundleError

__all__ = [
    "CODE_HEADER_BYTES",
    "InteractionRows",
    "code_sizes",
    "decode_interactions",
    "encode_interactions",
    "index_dtype",
]

CODE_HEADER_BYTES = 20 + 8 * 64
"""Most bytes that the header of a code of pairs has."""
_ALIGNMENT = 64  # of what decoding works on

_PAIRS_AT_ONCE = 1 << 12
_MASKED_AT_ONCE = 1 << 16


def index_dtype(count: int) -> str:
    """Type in memory of an index below `count`: uint8, uint16 or int32, which is what the kernels take."""
    return "uint8" if count <= 2**8 else "uint16" if count <= 2**16 else "int32"


@dataclass(frozen=True, slots=True)
class InteractionRows:
    """Who touched what.

    Attributes:
        indptr: int32 [U + 1], where each user's items start.
        items: uint8, uint16 or int32 [n], item indices, ascending and unique within a user.
        item_count: I.
    """

    indptr: np.ndarray
    items: np.ndarray
    item_count: int

    @classmethod
    def of_sorted(
        cls,
        users: np.ndarray,
        items: np.ndarray,
        *,
        user_count: int,
        item_count: int,
        allocate: Allocate = np.empty,
    ) -> InteractionRows:
        """From pairs int32 [n] each, sorted by (user, item) and unique."""
        indptr = allocate((user_count + 1,), "int32")
        copied = allocate((len(items),), index_dtype(item_count))
        copied[:] = items
        return cls.of_pairs(users, copied, indptr=indptr, item_count=item_count)

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

    @classmethod
    def of_pairs(
        cls,
        users: np.ndarray,
        items: np.ndarray,
        *,
        indptr: np.ndarray,
        item_count: int,
    ) -> InteractionRows:
        """Pairs that are sorted by (user, item) and unique already, in little memory.

        Args:
            users: int32 [n]; items: int32 [n], kept as they are.
            indptr: int32 [U + 1], to be written.
        """
        for start in range(0, len(indptr), _PAIRS_AT_ONCE):
            rows = np.arange(start, min(start + _PAIRS_AT_ONCE, len(indptr)), dtype=users.dtype)
            indptr[rows] = np.searchsorted(users, rows)
        return cls(indptr, items, item_count)

    def find(self, users: np.ndarray, items: np.ndarray, *, allocate: Allocate = np.empty) -> np.ndarray:
        """Position of each pair in `items`, or -1 - (where it would be inserted); int32 [n].

        Args:
            users: int32 [n]; items: int32 [n].
            allocate: memory of the result.
        """
        found = allocate((len(users),), "int32")
        for start in range(0, len(users), _PAIRS_AT_ONCE):
            part = slice(start, start + _PAIRS_AT_ONCE)
            found[part] = self._find(users[part], items[part])
        return found

    def contains(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Whether each pair is here, bool [n]; of many pairs give some at a time.

        Args:
            users: int32 [n]; items: int32 [n].
        """
        there: np.ndarray = self._find(users, items) >= 0
        return there

    def count(self, users: np.ndarray, items: np.ndarray) -> int:
        """How many of these pairs are here, in little memory.

        Args:
            users: int32 [n]; items: int32 [n].
        """
        parts = (slice(start, start + _PAIRS_AT_ONCE) for start in range(0, len(users), _PAIRS_AT_ONCE))
        return sum(int(np.count_nonzero(self.contains(users[part], items[part]))) for part in parts)

    def list_users(self, *, allocate: Allocate = np.empty) -> np.ndarray:
        """int32 [n], the user of each item."""
        users = allocate((len(self),), "int32")
        for start in range(0, len(self), _PAIRS_AT_ONCE):
            end = min(start + _PAIRS_AT_ONCE, len(self))
            users[start:end] = self.users_of(np.arange(start, end, dtype=np.int32))
        return users

    def has_any(self, users: np.ndarray, items: np.ndarray) -> bool:
        """Whether any of these pairs is here, in little memory.

        Args:
            users: int32 [n]; items: int32 [n].
        """
        parts = (slice(start, start + _PAIRS_AT_ONCE) for start in range(0, len(users), _PAIRS_AT_ONCE))
        return any(bool((self._find(users[part], items[part]) >= 0).any()) for part in parts)

    def with_pairs(
        self, users: np.ndarray, items: np.ndarray, *, allocate: Allocate = np.empty
    ) -> InteractionRows:
        """These and more pairs, which are new, sorted by (user, item) and unique.

        Little memory is taken beside the result, however many they are.

        Args:
            users: int32 [n]; items: int32 [n].
            allocate: memory of the result.
        """
        count = len(self) + len(users)
        if count > MAX_PAIRS:
            raise BundleError(f"{count} interactions are more than the {MAX_PAIRS} that a bundle can hold")
        merged = allocate((count,), str(self.items.dtype))
        taken = 0
        for start in range(0, len(users), _PAIRS_AT_ONCE):
            part = slice(start, start + _PAIRS_AT_ONCE)
            places = -1 - self._find(users[part], items[part])
            last = int(places[-1])
            span = merged[taken + start : last + start + len(places)]
            _merge(span, self.items[taken:last], places - taken, items[part])
            taken = last
        merged[taken + len(users) :] = self.items[taken:]
        indptr = allocate((self.user_count + 1,), "int32")
        for start in range(0, self.user_count + 1, _PAIRS_AT_ONCE):
            rows = np.arange(start, min(start + _PAIRS_AT_ONCE, self.user_count + 1), dtype=users.dtype)
            indptr[rows] = self.indptr[rows] + np.searchsorted(users, rows)
        return InteractionRows(indptr, merged, self.item_count)

    def _find(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        """As `find`, for all at a time: a binary search in each pair's row, step by step."""
        low, high = self.indptr[users].astype(np.int64), self.indptr[users + 1].astype(np.int64)
        if len(self.items) == 0:
            return -1 - low
        end = high.copy()
        while bool((searching := low < high).any()):
            middle = (low + high) // 2
            less = searching & (self.items[np.minimum(middle, len(self.items) - 1)] < items)
            low = np.where(less, middle + 1, low)
            high = np.where(searching & ~less, middle, high)
        there = (low < end) & (self.items[np.minimum(low, len(self.items) - 1)] == items)
        return np.where(there, low, -1 - low)


def _merge(merged: np.ndarray, old: np.ndarray, places: np.ndarray, new: np.ndarray) -> None:
    """Put `new` before the elements of `old` at `places`, which ascend."""
    if len(merged) > _MASKED_AT_ONCE:
        # Few among many: runs of what was there are copied as they are.
        taken = 0
        for added, (place, item) in enumerate(zip(places.tolist(), new.tolist(), strict=True)):
            merged[taken + added : place + added] = old[taken:place]
            merged[place + added] = item
            taken = place
        return
    at = places + np.arange(len(places))
    of_old = np.ones(len(merged), dtype=bool)
    of_old[at] = False
    merged[at] = new
    merged[of_old] = old


def encode_interactions(
    users: np.ndarray, items: np.ndarray, *, user_count: int, item_count: int
) -> np.ndarray:
    """Pairs sorted by (user, item) as their code, uint8 [n].

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
    starts = np.zeros(user_count + 1, dtype=np.int32)
    np.cumsum(np.bincount(users, minlength=user_count), out=starts[1:])
    code = native().encode_pairs(starts, items.astype(np.int32), item_count)
    return np.frombuffer(code, dtype=np.uint8)


def code_sizes(start: np.ndarray, size: int, *, where: str) -> tuple[int, int]:
    """Pairs in a code of `size` bytes, and what decoding it takes beside its result.

    Args:
        start: uint8 [n], its first bytes, `CODE_HEADER_BYTES` of them or all.

    Raises:
        BundleError: it is no code of pairs.
    """
    with reading(where):
        _, _, pairs, scratch = native().pair_sizes(start, size)
    return pairs, scratch + _ALIGNMENT


def decode_interactions(
    code: np.ndarray,
    *,
    user_count: int,
    item_count: int,
    where: str,
    allocate: Allocate = np.empty,
) -> InteractionRows:
    """Rows from a code of pairs, uint8 [n].

    Raises:
        BundleError: it is no such code, or one of other users and items.
    """
    with reading(where):
        users, items, pairs, scratch_bytes = native().pair_sizes(code[:CODE_HEADER_BYTES], len(code))
        if (users, items) != (user_count, item_count):
            raise ValueError(f"its pairs are of {users} users and {items} items")
        starts, columns = allocate((users + 1,), "int32"), allocate((pairs,), index_dtype(items))
        scratch = allocate((scratch_bytes + _ALIGNMENT,), "uint8")
        begin = -scratch.ctypes.data % _ALIGNMENT
        native().decode_pairs(code, starts, columns, scratch[begin : begin + scratch_bytes])
    return InteractionRows(starts, columns, item_count)
