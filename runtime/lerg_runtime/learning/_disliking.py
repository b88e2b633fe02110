"""Pairs that were rated low on the device, in the state of a bundle."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from lerg_runtime.bundle._arrays import Allocate
from lerg_runtime.bundle._csr import InteractionRows
from lerg_runtime.bundle._state import State
from lerg_runtime.pairs._resolved import ResolvedPairs
from lerg_runtime.serving._core import OpenBundle
from lerg_runtime.serving._snapshot import Snapshot

__all__ = ["Disliked", "merged_pairs"]

_PAIRS_AT_ONCE = 1 << 12


@dataclass(frozen=True, slots=True)
class Disliked:
    """What becomes of the pairs rated low, when more pairs come; counted before any memory is taken.

    Attributes:
        added: new ones that count as seen from now on.
        withdrawn: of those, learned from before.
        liked_again: rated low here so far and liked now.
    """

    added: int
    withdrawn: int
    liked_again: int

    @classmethod
    def counted(cls, bundle: OpenBundle, before: Snapshot, pairs: ResolvedPairs | None) -> Disliked:
        """How many pairs come and go; see `merge`.

        What the export knows to be rated low is not stored again, unless it was liked here in between.
        """
        if pairs is None:
            return cls(0, 0, 0)
        added = withdrawn = 0
        for _, fresh, positive in _looked_up(bundle, before, pairs.low_users, pairs.low_items):
            added += int(np.count_nonzero(fresh))
            withdrawn += int(np.count_nonzero(fresh & positive))
        here = before.disliked
        return cls(added, withdrawn, 0 if here is None else here.count(pairs.users, pairs.items))

    @property
    def changed(self) -> bool:
        """Whether other pairs are rated low than before."""
        return self.added + self.liked_again > 0

    def merge(self, bundle: OpenBundle, before: Snapshot, pairs: ResolvedPairs) -> State:
        """The state with the pairs rated low so far, less those that are liked now, and those that are not.

        Raises:
            BudgetError: they do not fit, which the plan's phase `dislike` tells beforehand.
        """
        state, empty = before.state, bundle.empty
        users, items = state.disliked_users, state.disliked_items
        if before.disliked is not None and self.liked_again:
            kept = _unfound(before.disliked, pairs.users, pairs.items, allocate=empty)
            users, items = _chosen(users, items, kept, len(users) - self.liked_again, allocate=empty)
            del kept
        if self.added:
            users, items = merged_pairs(
                users,
                items,
                *self._fresh(bundle, before, pairs),
                user_count=bundle.folder.manifest.model.users,
                item_count=bundle.folder.manifest.model.items,
                allocate=empty,
            )
        return replace(state, disliked_users=users, disliked_items=items)

    def _fresh(
        self, bundle: OpenBundle, before: Snapshot, pairs: ResolvedPairs
    ) -> tuple[np.ndarray, np.ndarray]:
        """Of the pairs given as low those that are new; the arrays themselves if all are."""
        users, items = pairs.low_users, pairs.low_items
        if self.added == len(users):
            return users, items
        fresh = bundle.empty((self.added,), "int32"), bundle.empty((self.added,), "int32")
        end = 0
        for part, new, _ in _looked_up(bundle, before, users, items):
            start, end = end, end + int(np.count_nonzero(new))
            fresh[0][start:end], fresh[1][start:end] = users[part][new], items[part][new]
        return fresh


def merged_pairs(
    users: np.ndarray,
    items: np.ndarray,
    more_users: np.ndarray,
    more_items: np.ndarray,
    *,
    user_count: int,
    item_count: int,
    allocate: Allocate,
) -> tuple[np.ndarray, np.ndarray]:
    """Two sets of pairs as one, users and items int32 [n]; each sorted by (user, item), none in both.

    Args:
        user_count, item_count: of the bundle.
        allocate: memory of the result, and meanwhile of two pointers for each user.
    """
    if len(users) == 0:
        return more_users, more_items
    indptr = allocate((user_count + 1,), "int32")
    rows = InteractionRows.of_pairs(users, items, indptr=indptr, item_count=item_count)
    rows = rows.with_pairs(more_users, more_items, allocate=allocate)
    return rows.list_users(allocate=allocate), rows.items


def _looked_up(
    bundle: OpenBundle, before: Snapshot, users: np.ndarray, items: np.ndarray
) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    """Some pairs at a time, bool [n] which are not known to be rated low, and which are positives."""
    here, exported = before.disliked, bundle.seen_only.disliked
    for start in range(0, len(users), _PAIRS_AT_ONCE):
        part = slice(start, start + _PAIRS_AT_ONCE)
        some = users[part], items[part]
        positive = before.interactions.contains(*some)
        yield part, ~(_in(here, *some) | (_in(exported, *some) & ~positive)), positive


def _in(among: InteractionRows | None, users: np.ndarray, items: np.ndarray) -> np.ndarray:
    return np.zeros(len(users), dtype=bool) if among is None else among.contains(users, items)


def _unfound(
    rows: InteractionRows, users: np.ndarray, items: np.ndarray, *, allocate: Allocate
) -> np.ndarray:
    """Bool [n] for the pairs of `rows`: which are not among these."""
    unfound = allocate((len(rows),), "bool")
    unfound[:] = True
    for start in range(0, len(users), _PAIRS_AT_ONCE):
        part = slice(start, start + _PAIRS_AT_ONCE)
        found = rows.find(users[part], items[part])
        unfound[found[found >= 0]] = False
    return unfound


def _chosen(
    users: np.ndarray, items: np.ndarray, which: np.ndarray, count: int, *, allocate: Allocate
) -> tuple[np.ndarray, np.ndarray]:
    chosen, end = (allocate((count,), "int32"), allocate((count,), "int32")), 0
    for start in range(0, len(users), _PAIRS_AT_ONCE):
        part = slice(start, start + _PAIRS_AT_ONCE)
        first, end = end, end + int(np.count_nonzero(which[part]))
        chosen[0][first:end], chosen[1][first:end] = users[part][which[part]], items[part][which[part]]
    return chosen
