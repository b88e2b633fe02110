"""`items.arrays` of a personal bundle: which items there are, which row each has, how often it is touched."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from lerg_runtime.bundle._arrays import Allocate, ArrayReader
from lerg_runtime.bundle._id_arrays import read_ids
from lerg_runtime.bundle._ids import IntegerIds, TextIds
from lerg_runtime.bundle._personal_shape import PersonalShape

__all__ = ["PersonalItems", "degrees_of", "read_items"]

_STEPS_AN_OCTAVE = 8


@dataclass(frozen=True, slots=True, eq=False)
class PersonalItems:
    """Items of a personal bundle.

    Attributes:
        ids: raw ids in index order.
        slots: int32 [I], the row of each; those of placeholders are the last.
        degrees: uint8 [I], see `degrees_of`.
    """

    ids: IntegerIds | TextIds
    slots: np.ndarray
    degrees: np.ndarray


def degrees_of(codes: np.ndarray) -> np.ndarray:
    """How many users have touched items, about, from the byte for it: 2^(b / 8), float64 [n] of uint8 [n]."""
    return np.exp2(codes.astype(np.float64) / _STEPS_AN_OCTAVE)


def read_items(
    arrays: ArrayReader,
    shape: PersonalShape,
    *,
    read_slots: Callable[..., np.ndarray],
    allocate: Allocate,
) -> PersonalItems:
    """The arrays, checked against the sizes of the model.

    Args:
        read_slots: reader of one side of a bundle of any form.

    Raises:
        BundleError: an array is absent or does not fit.
    """
    side: tuple[Any, ...] = (arrays, "item", shape.items)
    return PersonalItems(
        read_ids(arrays, "item", shape.items, allocate=allocate),
        read_slots(*side, shape.own_rows, shape.placeholders, allocate),
        arrays.read("degrees", dtypes=("uint8",), shape=(shape.items,), allocate=allocate),
    )
