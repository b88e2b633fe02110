"""Pairs that were rated low on the device, in the state of a bundle."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from lerg_runtime.bundle._csr import InteractionRows
from lerg_runtime.bundle._state import State
from lerg_runtime.pairs._resolved import ResolvedPairs
from lerg_runtime.serving._core import OpenBundle
from lerg_runtime.serving._snapshot import Snapshot

__all__ = ["Disliked", "sorted_pairs"]


@dataclass(frozen=True, slots=True)
class Disliked:
    """What becomes of the pairs rated low, when more pairs come.

    Attributes:
        users, items: int32 [m], all that are rated low from now on, sorted by (user, item), unique.
        added: of them, new ones that count as seen from now on.
        withdrawn: of those, learned from before.
        changed: whether they are others than before.
    """

    users: np.ndarray
    items: np.ndarray
    added: int
    withdrawn: int
    changed: bool

    @classmethod
    def after(cls, bundle: OpenBundle, before: Snapshot, pairs: ResolvedPairs | None) -> Disliked:
        """The pairs rated low so far, without those that are liked now, and with those that are not.

        What the export knows to be rated low is not stored again, unless it was liked here in between.
        """
        state = before.state
        if pairs is None:
            return cls(state.disliked_users, state.disliked_items, 0, 0, False)
        here, exported = before.disliked, bundle.seen_only.disliked
        users, items = pairs.low_users, pairs.low_items
        positive = before.interactions.find(users, items) >= 0
        known = _in(here, users, items) | (_in(exported, users, items) & ~positive)
        kept = np.ones(len(state.disliked_users), dtype=bool)
        if here is not None:
            found = here.find(pairs.users, pairs.items)
            kept[found[found >= 0]] = False
        all_users, all_items = sorted_pairs(
            (state.disliked_users[kept], users[~known]),
            (state.disliked_items[kept], items[~known]),
            item_count=bundle.folder.manifest.model.items,
        )
        return cls(
            all_users,
            all_items,
            added=int((~known).sum()),
            withdrawn=int((~known & positive).sum()),
            changed=not (bool(known.all()) and bool(kept.all())),
        )

    def put_into(self, state: State) -> State:
        """The state with these in place of its own."""
        return replace(state, disliked_users=self.users, disliked_items=self.items)


def sorted_pairs(
    users: tuple[np.ndarray, ...], items: tuple[np.ndarray, ...], *, item_count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Parts of users and of items, int32, as pairs sorted by (user, item)."""
    all_users, all_items = np.concatenate(users), np.concatenate(items)
    order = np.argsort(all_users.astype(np.int64) * item_count + all_items, kind="stable")
    return all_users[order], all_items[order]


def _in(among: InteractionRows | None, users: np.ndarray, items: np.ndarray) -> np.ndarray:
    return np.zeros(len(users), dtype=bool) if among is None else among.find(users, items) >= 0
