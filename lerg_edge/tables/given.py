"""Trained tables as they were given: a row for each user and each item, and whose they are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lerg_edge.data.interactions import IdMap
from lerg_edge.errors import InputError

__all__ = ["GivenTables"]


@dataclass(frozen=True, slots=True, eq=False)
class GivenTables:
    """Somebody else's trained model, whose scores are products of a user's row and an item's.

    Attributes:
        items: float32 [I, d].
        users: float32 [U, d], or None where there are rows of items alone.
        item_ids, user_ids: of the rows, in their order; None for their numbers, from 0.
        layers: how often rows are still to be propagated over the interactions before they are multiplied, as
            LightGCN does; None where the source does not say.
        form: what they were read as, for people.

    Raises:
        InputError: a table without rows or columns, with a number that is not finite, of another width than
            the other, or with another number of ids than rows.
    """

    items: NDArray[np.float32]
    users: NDArray[np.float32] | None = None
    item_ids: IdMap | None = None
    user_ids: IdMap | None = None
    layers: int | None = 0
    form: str = "arrays"

    def __post_init__(self) -> None:
        for name, rows, ids in (("user", self.users, self.user_ids), ("item", self.items, self.item_ids)):
            if rows is not None:
                _check(rows, name)
                if ids is not None and len(ids) != len(rows):
                    raise InputError.naming(
                        f"there are {len(rows):,} rows of {name}s and {len(ids):,} ids; give one for each in "
                        f"{{{name}_ids}}"
                    )
        if self.users is not None and self.users.shape[1] != self.items.shape[1]:
            raise InputError(
                f"rows of users have {self.users.shape[1]} numbers and rows of items {self.items.shape[1]}; "
                "give tables of one model"
            )

    @property
    def dim(self) -> int:
        """Numbers in a row."""
        return int(self.items.shape[1])

    def with_ids(self, *, users: IdMap | None = None, items: IdMap | None = None) -> GivenTables:
        """The same rows under other ids; None leaves a side as it is."""
        return replace(
            self,
            user_ids=self.user_ids if users is None else users,
            item_ids=self.item_ids if items is None else items,
        )


def as_rows(array: NDArray[Any], what: str) -> NDArray[np.float32]:
    """A table's numbers as float32 [n, d].

    Args:
        what: names the table in messages.

    Raises:
        InputError: it is no table of real numbers.
    """
    if array.ndim != 2 or array.dtype.kind not in "fiu":
        raise InputError(
            f"{what} is {array.dtype} of the shape {array.shape}; it must be a row of real numbers for each "
            "entity"
        )
    return np.ascontiguousarray(array, dtype=np.float32)


def _check(rows: NDArray[np.float32], name: str) -> None:
    if rows.ndim != 2 or rows.dtype != np.float32:
        raise InputError(f"the table of {name}s must be float32 of two dimensions; it is {rows.dtype}")
    if not rows.size:
        raise InputError(f"the table of {name}s has the shape {rows.shape}; there must be something in it")
    finite = np.isfinite(rows).all(axis=1)
    if not finite.all():
        raise InputError(
            f"row {int(np.argmin(finite))} of the table of {name}s, counted from 0, holds a number that is "
            "not finite; give a model whose training went well"
        )
