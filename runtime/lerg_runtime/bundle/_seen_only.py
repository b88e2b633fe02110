"""Pairs that count as seen and that nothing is learned from: held out for testing, or rated low."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lerg_runtime._limits import MAX_PAIRS
from lerg_runtime.bundle._csr import InteractionRows, encode_interactions
from lerg_runtime.errors import BundleError

__all__ = ["SEEN_ONLY", "SeenOnly", "check_disjoint", "encode_seen_only"]

SEEN_ONLY = ("held_out", "disliked")
"""Names of the sets: a set NAME lies in the array `NAME_pairs`."""
_USERS_AT_ONCE = 1024

Pairs = tuple[np.ndarray, np.ndarray]
"""Users and items, integers [n], sorted by (user, item), unique."""


@dataclass(frozen=True, slots=True)
class SeenOnly:
    """What users have seen beside the interactions that the model was trained on.

    Attributes:
        held_out: cut out of the data to measure on; None if nothing was.
        disliked: rated below the threshold of the export; None if nothing was.
    """

    held_out: InteractionRows | None = None
    disliked: InteractionRows | None = None

    def of_user(self, user: int, *, candidates: np.ndarray | None = None) -> np.ndarray:
        """Item indices of one user, in no order.

        Args:
            user: user index.
            candidates: item indices on which the user is measured: of those, what was held out is not
                among the result.
        """
        parts = [part.of_user(user) for part in (self.held_out, self.disliked) if part is not None]
        if candidates is not None and self.held_out is not None:
            parts[0] = np.setdiff1d(parts[0], candidates, assume_unique=True)
        return np.concatenate(parts) if parts else np.empty(0, dtype=np.int32)


def encode_seen_only(sets: Mapping[str, Pairs], *, user_count: int, item_count: int) -> dict[str, np.ndarray]:
    """Arrays of the sets that hold a pair; an empty set has none.

    Raises:
        BundleError: a set is out of order, has repeats, or an index out of range.
    """
    arrays: dict[str, np.ndarray] = {}
    for name in SEEN_ONLY:
        users, items = sets.get(name, (np.empty(0, np.int32),) * 2)
        if len(users):
            code = encode_interactions(users, items, user_count=user_count, item_count=item_count)
            arrays[f"{name}_pairs"] = code
    return arrays


def check_disjoint(sets: Mapping[str, InteractionRows | None], *, where: str) -> None:
    """Refuse sets that share a pair, or that hold too many together.

    Raises:
        BundleError: names two sets, or the number of pairs.
    """
    there = [(name, pairs) for name, pairs in sets.items() if pairs is not None]
    total = sum(len(pairs) for _, pairs in there)
    if total > MAX_PAIRS:
        raise BundleError(f"{where}: {total} pairs are more than the {MAX_PAIRS} that a bundle can hold")
    for place, (name, pairs) in enumerate(there):
        for other_name, other in there[:place]:
            # Some users at a time, so that the wide numbers needed for comparing stay small.
            for first in range(0, pairs.user_count, _USERS_AT_ONCE):
                if len(np.intersect1d(_keys(pairs, first), _keys(other, first), assume_unique=True)):
                    raise BundleError(
                        f"{where}: a pair is among {other_name} and {name}; export the bundle again"
                    )


def _keys(pairs: InteractionRows, first: int) -> np.ndarray:
    rows = pairs.indptr[first : first + _USERS_AT_ONCE + 1]
    users = np.repeat(np.arange(len(rows) - 1, dtype=np.int64), np.diff(rows))
    return users * pairs.item_count + pairs.items[rows[0] : rows[-1]]
