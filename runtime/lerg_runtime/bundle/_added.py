"""Items that were added on a device, as its state keeps them: ids, rows, and who touched them first."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lerg_runtime._limits import MAX_ADDED_ITEMS, MAX_FIRST_USERS, MAX_ID_BYTES
from lerg_runtime.bundle._arrays import Allocate, ArrayReader, array_bytes
from lerg_runtime.bundle._id_arrays import id_arrays, id_bytes, id_reading_bytes, read_ids
from lerg_runtime.bundle._ids import IdMap, IntegerIds, RawId, TextIds, _Listed
from lerg_runtime.errors import BundleError, InputError

__all__ = [
    "AddedItems",
    "Catalogue",
    "ExportedIds",
    "added_bytes",
    "added_count",
    "check_added",
    "largest_added",
    "memory_bytes",
    "read_added",
]

_SIDE = "added"
_ROWS = "added_rows"
_ALIGNMENT = 64


@dataclass(frozen=True, slots=True, eq=False)
class AddedItems:
    """Items in the order in which they were added; their indices follow those of the bundle's items.

    Attributes:
        ids: raw ids.
        rows: float32 [n, d].
        users: int32 [m], user indices, ascending for each item: who has touched it.
        ends: int32 [n + 1], ascending from 0: item i has the users from ends[i] to ends[i + 1].
    """

    ids: IntegerIds | TextIds
    rows: np.ndarray
    users: np.ndarray
    ends: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def degrees(self) -> np.ndarray:
        """How many users have touched each item, int64 [n]."""
        return np.diff(self.ends).astype(np.int64)

    def touched_by(self, user: int) -> np.ndarray:
        """Which of them a user has touched, bool [n]."""
        found = np.zeros(len(self), dtype=bool)
        found[np.searchsorted(self.ends, np.flatnonzero(self.users == user), side="right") - 1] = True
        return found

    def arrays(self) -> dict[str, np.ndarray]:
        """As a state stores them."""
        ids = self.ids.take(np.arange(len(self)))
        return {
            **id_arrays(_SIDE, ids if ids.dtype != object else ids.tolist()),
            "added_rows": self.rows,
            "added_users": self.users,
            "added_ends": self.ends,
        }

    def without(self, place: int, *, allocate: Allocate) -> AddedItems | None:
        """These without the one at a place; None where none is left."""
        kept = [self._parts(at) for at in range(len(self)) if at != place]
        return _made(kept, allocate=allocate) if kept else None

    def _parts(self, at: int) -> tuple[RawId, np.ndarray, np.ndarray]:
        return self.ids[at], self.rows[at], self.users[self.ends[at] : self.ends[at + 1]]

    @staticmethod
    def with_item(
        before: AddedItems | None, raw: RawId, row: np.ndarray, users: np.ndarray, *, allocate: Allocate
    ) -> AddedItems:
        """Those of before and one more, which is the last; one of the same id goes.

        Args:
            raw: an integer or a text, as the ids of the bundle are.
            row: float32 [d].
            users: integers, user indices, ascending, each once.

        Raises:
            InputError: more than a state holds.
            BudgetError: they do not fit beside those of before.
        """
        others = [] if before is None else [before._parts(at) for at in range(len(before))]
        parts = [part for part in others if part[0] != raw]
        if len(parts) >= MAX_ADDED_ITEMS:
            raise InputError(
                f"{MAX_ADDED_ITEMS} items have been added here, which is all that a state holds; remove "
                "some, or export a new bundle"
            )
        if sum(len(part[2]) for part in parts) + len(users) > MAX_FIRST_USERS:
            raise InputError(
                f"the items that were added here have more than {MAX_FIRST_USERS} users together; give fewer"
            )
        return _made([*parts, (raw, row, users)], allocate=allocate)


def _made(parts: Sequence[tuple[RawId, np.ndarray, np.ndarray]], *, allocate: Allocate) -> AddedItems:
    """Items of their parts, at least one, in memory of `allocate`."""
    ends = np.cumsum([0, *(len(users) for _, _, users in parts)], dtype=np.int32)
    stored = array_bytes(
        {
            **id_arrays(_SIDE, [raw for raw, _, _ in parts]),
            "added_rows": np.stack([row for _, row, _ in parts]).astype(np.float32),
            "added_users": np.concatenate([users for _, _, users in parts]).astype(np.int32),
            "added_ends": ends,
        }
    )
    dim = len(parts[0][1])
    return _read(ArrayReader(io.BytesIO(stored), "the added items"), len(parts), dim, allocate=allocate)


def added_count(reader: ArrayReader, *, where: str) -> int:
    """How many items a state holds that were added. Raises BundleError for more than it may."""
    if _ROWS not in reader.names:
        return 0
    shape = reader.header(_ROWS)[1]
    if len(shape) != 2 or not 0 < shape[0] <= MAX_ADDED_ITEMS:
        raise BundleError(f"{where} has added items of shape {shape}; at most {MAX_ADDED_ITEMS} may be")
    return shape[0]


def added_bytes(reader: ArrayReader, count: int, dim: int) -> int:
    """What they take in memory, and while they are read."""
    if not count:
        return 0
    users = int(np.prod(reader.header("added_users")[1], dtype=object))
    ids = id_bytes(reader, _SIDE, count) + id_reading_bytes(reader, _SIDE, count)
    return ids + 4 * count * dim + 4 * users + 4 * (count + 1) + 10 * _ALIGNMENT


def memory_bytes(added: AddedItems | None) -> int:
    """What they take in memory, as `added_bytes` counts it."""
    if added is None:
        return 0
    stored = array_bytes(added.arrays())
    return added_bytes(ArrayReader(io.BytesIO(stored), "the added items"), len(added), added.rows.shape[1])


def largest_added(dim: int) -> int:
    """Upper bound of their bytes in a state."""
    return MAX_ADDED_ITEMS * (MAX_ID_BYTES + 4 * dim + 24) + 4 * MAX_FIRST_USERS


def read_added(
    reader: ArrayReader, count: int, *, dim: int, users: int, where: str, allocate: Allocate
) -> AddedItems | None:
    """The added items of a state; None where there are none.

    Args:
        count: by `added_count`.
        users: of the bundle; 0 where it is personal.

    Raises:
        BundleError: an array is absent or has a value that cannot be.
    """
    if not count:
        return None
    shape = reader.header("added_users")[1]
    if len(shape) != 1 or shape[0] > MAX_FIRST_USERS:
        raise BundleError(f"{where} has more than {MAX_FIRST_USERS} users of added items")
    found = _read(reader, count, dim, allocate=allocate)
    ends, touched = found.ends.tolist(), found.users
    ascend = np.diff(touched) > 0
    ascend[[end - 1 for end in ends[1:-1] if 0 < end < len(touched)]] = True
    if ends[0] != 0 or ends[-1] != len(touched) or bool((np.diff(found.ends) < 0).any()):
        raise BundleError(f"{where}: the users of added items do not add up; restore it from a copy")
    if len(touched) and (touched.min() < 0 or touched.max() >= users or not ascend.all()):
        raise BundleError(f"{where}: an added item has a user twice, or one that does not exist")
    if not bool(np.isfinite(found.rows).all()):
        raise BundleError(f"{where}: the row of an added item is not finite")
    return found


def _read(reader: ArrayReader, count: int, dim: int, *, allocate: Allocate) -> AddedItems:
    return AddedItems(
        read_ids(reader, _SIDE, count, allocate=allocate),
        reader.read(_ROWS, dtypes=("float32",), shape=(count, dim), allocate=allocate),
        reader.read("added_users", dtypes=("int32",), shape=(None,), allocate=allocate),
        reader.read("added_ends", dtypes=("int32",), shape=(count + 1,), allocate=allocate),
    )


def check_added(added: AddedItems | None, ids: IdMap, *, where: str) -> None:
    """See that added items are none of the bundle's, and have ids of the same kind. Raises BundleError."""
    if added is None:
        return
    raw = added.ids.take(np.arange(len(added)))
    if isinstance(added.ids, TextIds) == isinstance(ids, IntegerIds) or bool((ids.find_many(raw) >= 0).any()):
        raise BundleError(f"{where}: an added item is in the bundle already, or its id is of another kind")


class Catalogue(_Listed):
    """The ids of all items that may be recommended: those of the bundle, then those that were added here."""

    __slots__ = ("_added", "_ids")

    def __init__(self, ids: IdMap, added: AddedItems) -> None:
        self._ids, self._added = ids, added

    def __len__(self) -> int:
        return len(self._ids) + len(self._added)

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays behind the map."""
        return self._ids.nbytes + self._added.ids.nbytes

    def find(self, raw: object) -> int:
        """Index of a raw id, or -1."""
        found = self._ids.find(raw)
        if found >= 0:
            return found
        place = self._added.ids.find(raw)
        return place if place < 0 else len(self._ids) + place

    def find_many(self, raw: Sequence[object] | np.ndarray) -> np.ndarray:
        """int32 [n] indices of raw ids, -1 where unknown."""
        found = self._ids.find_many(raw)
        if bool((found < 0).any()):
            places = self._added.ids.find_many(raw)
            found = np.where((found < 0) & (places >= 0), len(self._ids) + places, found).astype(np.int32)
        return found

    def take(self, indices: np.ndarray) -> np.ndarray:
        """Raw ids of `indices`: int64, or an object array of str, of the same shape."""
        indices = np.asarray(indices)
        here = indices >= len(self._ids)
        found: np.ndarray = self._ids.take(np.where(here, 0, indices))
        if bool(here.any()):
            found[here] = self._added.ids.take(indices[here] - len(self._ids))
        return found


class ExportedIds(_Listed):
    """The ids of a bundle's own items, which refuse an added one in words of its own.

    Histories, fine-tuning, measuring and explanations need what only an export learns of an item.
    """

    __slots__ = ("_added", "_ids")

    def __init__(self, ids: IdMap, added: AddedItems) -> None:
        self._ids, self._added = ids, added

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays behind the map."""
        return self._ids.nbytes

    def find(self, raw: object) -> int:
        """Index of a raw id, or -1. Raises InputError for an item that was added here."""
        return int(self.find_many([raw])[0])

    def find_many(self, raw: Sequence[Any] | np.ndarray) -> np.ndarray:
        """int32 [n] indices of raw ids, -1 where unknown. Raises InputError for one that was added here."""
        found = self._ids.find_many(raw)
        unknown = np.flatnonzero(found < 0)
        if len(unknown):
            places = self._added.ids.find_many([raw[at] for at in unknown.tolist()])
            if bool((places >= 0).any()):
                item = self._added.ids[int(places[places >= 0][0])]
                raise InputError(
                    f"item {item!r} was added on this device; it can be recommended, scored and compared, "
                    "and takes part in histories, fine-tuning, measuring and explanations once a bundle is "
                    "exported with it"
                )
        return found

    def take(self, indices: np.ndarray) -> np.ndarray:
        """Raw ids of `indices`: int64, or an object array of str, of the same shape."""
        return self._ids.take(indices)
