"""Training pairs as a device meets them: known at export, happened there since, and touched after that."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lerg_edge.data.interactions import Interactions

__all__ = ["Later", "split_later"]

_LATE_SHARE = 0.2  # half of it happens on the device, the other half is asked for
_LEAST_PAIRS = 5  # of a user whose own time is cut
_MOST_PEOPLE = 2_000


@dataclass(frozen=True, slots=True, eq=False)
class Later:
    """Pairs in three parts by time, over the same ids.

    Attributes:
        known: what an export would have seen.
        local: what happened on the device since.
        wanted: what people of `known` touched after that.
        people: who have pairs in `wanted`.
        by: how time was cut, for people.
    """

    known: Interactions
    local: Interactions
    wanted: Interactions
    people: int
    by: str


def split_later(train: Interactions, *, seed: int, least: int) -> Later | None:
    """Cut training pairs by time: the last tenth is asked for, the tenth before it is local.

    The cut is at two moments, the same for everybody, where that leaves `least` people with pairs before the
    first and after the second; else each user's own last fifth is cut in two. At most 2,000 people, drawn,
    are asked for.

    Args:
        seed: the same one draws the same people.
        least: people without whom nothing can be told.

    Returns:
        None without timestamps, or where neither way leaves enough people.
    """
    if train.timestamps is None or train.pair_count == 0:
        return None
    for parts, by in (
        (_at_moments(train.timestamps), "one moment"),
        (_by_user(train, train.timestamps), "each user's time"),
    ):
        known, local, wanted = parts
        has_known = np.bincount(train.users[known], minlength=train.user_count) > 0
        wanted &= has_known[train.users]
        people = np.unique(train.users[wanted])
        if len(people) >= least and local.any():
            chosen = np.random.default_rng([seed, 17]).permutation(people)[:_MOST_PEOPLE]
            wanted &= np.isin(train.users, chosen)
            return Later(train.subset(known), train.subset(local), train.subset(wanted), len(chosen), by)
    return None


_Parts = tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]


def _at_moments(times: NDArray[np.int64]) -> _Parts:
    """Known, local and wanted pairs, bool [n] each, by moments that leave the shares after them."""
    ordered = np.sort(times)
    first, second = (
        ordered[min(len(ordered) - 1, round((1.0 - share) * len(ordered)))]
        for share in (_LATE_SHARE, _LATE_SHARE / 2)
    )
    return times < first, (times >= first) & (times < second), times >= second


def _by_user(train: Interactions, times: NDArray[np.int64]) -> _Parts:
    """Likewise by the order of each user's own pairs, of those who have five and more than one time."""
    ties = np.arange(train.pair_count) if train.rows is None else train.rows
    order = np.lexsort((ties, times, train.users))
    users = train.users[order]
    counts = np.bincount(train.users, minlength=train.user_count)
    ends = np.cumsum(counts)
    until_last = ends[users] - 1 - np.arange(len(order))
    late = np.maximum(2, np.rint(_LATE_SHARE * counts)).astype(np.int64)
    spread = np.zeros(train.user_count, bool)
    there = counts > 0
    spread[there] = times[order[(ends - counts)[there]]] < times[order[ends[there] - 1]]
    cut = np.where(spread & (counts >= _LEAST_PAIRS), late, 0)[users]
    known, wanted = (np.empty(train.pair_count, bool) for _ in range(2))
    known[order] = until_last >= cut
    wanted[order] = until_last < cut // 2
    return known, ~known & ~wanted, wanted
