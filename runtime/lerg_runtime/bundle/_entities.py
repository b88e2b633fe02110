"""`entities.arrays`: the ids of both sides, and which row of its side's table each entity has."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lerg_runtime.bundle._arrays import Allocate, ArrayReader
from lerg_runtime.bundle._id_arrays import read_ids
from lerg_runtime.bundle._ids import IdMap, IntegerIds, TextIds
from lerg_runtime.bundle._shape import ModelShape
from lerg_runtime.bundle._titles import Titles, read_titles
from lerg_runtime.errors import BundleError

__all__ = ["Entities", "read_entities", "read_slots"]

_UNSIGNED = ("uint8", "uint16", "uint32")
_BYTES_AT_ONCE = 1 << 10  # of bits, eight entities each


@dataclass(frozen=True, slots=True)
class Entities:
    """Ids and slots of both sides.

    A slot is a row of a side's table: a retained entity's rank among the retained, or for a pruned one the
    number of retained entities plus its placeholder.

    Attributes:
        user_ids, item_ids: raw ids in index order.
        user_slots: int32 [U]; item_slots: int32 [I].
        titles: of the items; None where the bundle has none.
    """

    user_ids: IntegerIds | TextIds
    item_ids: IdMap
    user_slots: np.ndarray
    item_slots: np.ndarray
    titles: Titles | None = None


def read_entities(arrays: ArrayReader, shape: ModelShape, *, titled: int = 0, allocate: Allocate) -> Entities:
    """Ids, slots and titles, checked against the sizes of the model.

    Args:
        arrays: of `entities.arrays`.
        shape: of the model.
        titled: items that have a title; of 0 titles are not looked for.
        allocate: memory of the arrays.

    Raises:
        BundleError: an array is absent or does not fit.
    """
    sides = [
        (
            read_ids(arrays, side, count, allocate=allocate),
            read_slots(arrays, side, count, retained, placeholders, allocate=allocate),
        )
        for side, count, retained, placeholders in (
            ("user", shape.users, shape.retained_users, shape.user_placeholders),
            ("item", shape.items, shape.retained_items, shape.item_placeholders),
        )
    ]
    (user_ids, user_slots), (item_ids, item_slots) = sides
    titles = read_titles(arrays, shape.items, titled=titled, allocate=allocate) if titled else None
    return Entities(user_ids, item_ids, user_slots, item_slots, titles)


def read_slots(
    arrays: ArrayReader, side: str, count: int, retained: int, placeholders: int, *, allocate: Allocate
) -> np.ndarray:
    """The slots of one side, int32 [count].

    Args:
        arrays: with `retained_…s` and `…_placeholder` of the side.
        side: `user` or `item`.
        count: entities of the side.
        retained, placeholders: rows of its table.

    Raises:
        BundleError: an array is absent or does not fit.
    """
    packed = arrays.read(f"retained_{side}s", dtypes=("uint8",), shape=((count + 7) // 8,), allocate=allocate)
    marked = sum(
        int(
            np.unpackbits(
                packed[start : start + _BYTES_AT_ONCE], count=min(8 * _BYTES_AT_ONCE, count - 8 * start)
            ).sum()
        )
        for start in range(0, len(packed), _BYTES_AT_ONCE)
    )
    if marked != retained:
        raise BundleError(f"{marked} {side}s are marked as retained and the manifest says {retained}")
    index = arrays.read(f"{side}_placeholder", dtypes=_UNSIGNED, shape=(count - retained,), allocate=allocate)
    if len(index) and int(index.max()) >= placeholders:
        raise BundleError(f"a pruned {side} has placeholder {int(index.max())} and there are {placeholders}")
    slots = allocate((count,), "int32")
    ranked = 0
    # A part at a time: whatever is made on the way stays small.
    for start in range(0, len(packed), _BYTES_AT_ONCE):
        part = slots[8 * start : 8 * (start + _BYTES_AT_ONCE)]
        kept = np.unpackbits(packed[start : start + _BYTES_AT_ONCE], count=len(part)).view(np.bool_)
        here = int(kept.sum())
        pruned = 8 * start - ranked
        part[kept] = np.arange(ranked, ranked + here, dtype=np.int32)
        part[~kept] = index[pruned : pruned + len(part) - here].astype(np.int32) + retained
        ranked += here
    return slots
