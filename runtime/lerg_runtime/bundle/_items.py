"""`items.arrays` of a personal bundle: which items there are, which row each has, how often it is touched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from lerg_runtime.bundle._arrays import Allocate, ArrayReader
from lerg_runtime.bundle._entities import read_slots
from lerg_runtime.bundle._id_arrays import id_bytes, id_reading_bytes, read_ids
from lerg_runtime.bundle._ids import IntegerIds, TextIds
from lerg_runtime.bundle._personal_shape import PersonalShape
from lerg_runtime.bundle._titles import Titles, read_titles, title_bytes, title_reading_bytes

__all__ = ["ItemSizes", "PersonalItems", "degrees_of", "item_sizes", "read_items"]

_STEPS_AN_OCTAVE = 8


@dataclass(frozen=True, slots=True, eq=False)
class PersonalItems:
    """Items of a personal bundle.

    Attributes:
        ids: raw ids in index order.
        slots: int32 [I], the row of each; those of placeholders are the last.
        degrees: uint8 [I], see `degrees_of`.
        titles: None where the bundle has none.
    """

    ids: IntegerIds | TextIds
    slots: np.ndarray
    degrees: np.ndarray
    titles: Titles | None = None


class ItemSizes(NamedTuple):
    """Bytes in memory of the id map; the most that is in memory besides while an array is read; of titles; of
    items that were added here.
    """

    id_bytes: int
    reading_bytes: int
    title_bytes: tuple[int, ...] = ()
    added_bytes: int = 0


def degrees_of(codes: np.ndarray) -> np.ndarray:
    """How many users have touched items, about, from the byte for it: 2^(b / 8), float64 [n] of uint8 [n]."""
    return np.exp2(codes.astype(np.float64) / _STEPS_AN_OCTAVE)


def item_sizes(arrays: ArrayReader, shape: PersonalShape, *, titled: int = 0) -> ItemSizes:
    """What reading the arrays takes, from their headers alone."""
    return ItemSizes(
        id_bytes(arrays, "item", shape.items),
        max(
            id_reading_bytes(arrays, "item", shape.items),
            title_reading_bytes(arrays) if titled else 0,
            *(arrays.reading_bytes(name) for name in arrays.names),
        ),
        title_bytes(arrays, shape.items) if titled else (),
    )


def read_items(
    arrays: ArrayReader, shape: PersonalShape, *, titled: int = 0, allocate: Allocate
) -> PersonalItems:
    """The arrays, checked against the sizes of the model; those of titles if so many items have one.

    Raises:
        BundleError: an array is absent or does not fit.
    """
    return PersonalItems(
        read_ids(arrays, "item", shape.items, allocate=allocate),
        read_slots(arrays, "item", shape.items, shape.own_rows, shape.placeholders, allocate=allocate),
        arrays.read("degrees", dtypes=("uint8",), shape=(shape.items,), allocate=allocate),
        read_titles(arrays, shape.items, titled=titled, allocate=allocate) if titled else None,
    )
