"""Holding pairs out of a set of interactions for a test set.

Every split is a pair of ``Interactions`` over the same users and items; nobody loses all of their pairs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lerg_edge.errors import InputError
from lerg_edge.interactions import Interactions

__all__ = ["split_leave_last_out", "split_ratio"]


def split_ratio(
    interactions: Interactions, *, test_share: float, seed: int
) -> tuple[Interactions, Interactions]:
    """Hold out a share of each user's pairs, drawn at random.

    A user with n pairs gives round(test_share · n) of them, at most n - 1.

    Args:
        test_share: between 0 and 1, both excluded.
        seed: not negative; the same seed draws the same pairs.

    Returns:
        Training and test pairs.

    Raises:
        InputError: the share or seed is out of range, or no user has enough pairs to give one.
    """
    held_out = _drawn(interactions, test_share, seed)
    if not held_out.any():
        raise InputError(
            f"no user has enough pairs to hold out a test_share of {test_share}; raise it or give a test set"
        )
    return interactions.subset(~held_out), interactions.subset(held_out)


def split_leave_last_out(interactions: Interactions) -> tuple[Interactions, Interactions]:
    """Hold out each user's latest pair; of equally late ones, that with the largest item index.

    A user with a single pair keeps it for training.

    Returns:
        Training and test pairs.

    Raises:
        InputError: there are no timestamps, or no user has two pairs.
    """
    if interactions.timestamps is None:
        raise InputError("leave-last-out needs timestamps and there are none; split by ratio instead")
    order = np.lexsort((interactions.items, interactions.timestamps, interactions.users))
    ends = np.cumsum(np.bincount(interactions.users, minlength=interactions.user_count))
    has_two = np.diff(ends, prepend=0) >= 2
    held_out = np.zeros(interactions.pair_count, dtype=np.bool_)
    held_out[order[ends[has_two] - 1]] = True
    if not held_out.any():
        raise InputError("no user has two pairs, so no last one can be held out; give a test set")
    return interactions.subset(~held_out), interactions.subset(held_out)


def _drawn(interactions: Interactions, share: float, seed: int) -> NDArray[np.bool_]:
    """Bool [n]: the pairs drawn."""
    if not 0.0 < share < 1.0:
        raise InputError(f"test_share is {share}; it must be above 0 and below 1")
    if seed < 0:
        raise InputError(f"seed is {seed}; it must not be negative")
    generator = np.random.default_rng(seed)
    users = interactions.users
    counts = np.bincount(users, minlength=interactions.user_count)
    quota = np.minimum(np.floor(counts * share + 0.5).astype(np.int64), np.maximum(counts - 1, 0))
    order = np.lexsort((generator.random(users.size), users))
    starts = np.cumsum(counts) - counts
    rank_in_user = np.arange(users.size) - np.repeat(starts, counts)
    held_out = np.zeros(users.size, dtype=np.bool_)
    held_out[order] = rank_in_user < np.repeat(quota, counts)
    return held_out
