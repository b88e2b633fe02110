"""The rows that users are ranked by: those that `encode` made, or one hop from what they have touched."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lerg_runtime.bundle._csr import Interactions
from lerg_runtime.bundle._reader import Entities
from lerg_runtime.bundle._shape import ModelShape

__all__ = ["UserRows", "gathered_shape"]

_ITEMS_AT_ONCE = 256
_PAIRS_AT_ONCE = 1 << 16

_Allocate = Callable[[tuple[int, ...], str], np.ndarray]


def gathered_shape(shape: ModelShape) -> tuple[int, int]:
    """Of the memory in which rows of items stand while they are added up."""
    return min(_ITEMS_AT_ONCE, shape.items), shape.dim


class UserRows:
    """Makes the row of a user: the table's, or h_u = sum over the history of h_i / sqrt(deg_u deg_i).

    That sum is one hop of the propagation rule (LightGCN, arXiv 2002.02126, equation 3) from the rows of the
    item table as they are, placeholders included. deg_u is the length of the history and deg_i the number
    of users who have touched item i. It is the same to the last bit for a user alone and among others.

    Args:
        shape: of the model.
        entities: slots of both sides.
        interactions: what everyone has touched.
        user_table: float32 [m_u + r_u, d].
        item_arrays: item table [m_i + r_i, d], and its scales if it is int8.
        pruned_users: `history` makes the rows of pruned users from what they have touched; those who have
            touched nothing, and all of them with `placeholder`, get their placeholder.
        allocate: memory of the items' degrees and of gathered rows.
    """

    def __init__(
        self,
        shape: ModelShape,
        entities: Entities,
        interactions: Interactions,
        *,
        user_table: np.ndarray,
        item_arrays: tuple[np.ndarray, ...],
        pruned_users: str,
        allocate: _Allocate,
    ) -> None:
        self._entities = entities
        self._interactions = interactions
        self._user_table = user_table
        self._item_table, self._scales = item_arrays[0], item_arrays[1] if len(item_arrays) > 1 else None
        self._from_history = shape.retained_users if pruned_users == "history" else shape.user_slots
        self._degrees: np.ndarray = allocate((shape.items,), "int32")
        self._gathered: np.ndarray = allocate(gathered_shape(shape), str(self._item_table.dtype))
        self._degrees[:] = 0
        for start in range(0, len(interactions), _PAIRS_AT_ONCE):
            touched = interactions.items[start : start + _PAIRS_AT_ONCE]
            self._degrees += np.bincount(touched, minlength=shape.items).astype(np.int32)

    def of_users(self, users: np.ndarray, out: np.ndarray) -> None:
        """The rows of users of the bundle.

        Args:
            users: integer [B] user indices.
            out: float32 [B, d] to write to.
        """
        slots = self._entities.user_slots[users]
        np.take(self._user_table, slots, axis=0, out=out, mode="clip")
        for row in np.flatnonzero(slots >= self._from_history).tolist():
            items = self._interactions.of_user(users[row])
            if len(items):
                self._add_up(items, out[row], newcomers=0)

    def of_history(self, items: np.ndarray, out: np.ndarray) -> None:
        """The row of somebody unknown to the bundle, who counts among the users of each item as well.

        Args:
            items: integer [n] item indices, n >= 1, unique.
            out: float32 [d] to write to.
        """
        self._add_up(items, out, newcomers=1)

    def _add_up(self, items: np.ndarray, out: np.ndarray, *, newcomers: int) -> None:
        out[:] = 0
        at_once = len(self._gathered)
        for start in range(0, len(items), at_once):
            part = items[start : start + at_once]
            slots = self._entities.item_slots[part]
            degrees = self._degrees[part].astype(np.float64) + newcomers
            weights = (1.0 / np.sqrt(len(items) * degrees)).astype(np.float32)
            if self._scales is not None:
                weights *= self._scales[slots]
            rows = self._gathered[: len(part)]
            np.take(self._item_table, slots, axis=0, out=rows, mode="clip")
            # Not a matrix product: those add up in an order that depends on the library and its threads.
            out += np.einsum("nd,n->d", rows, weights, dtype=np.float32)
