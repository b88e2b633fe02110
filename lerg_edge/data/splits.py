"""Holding pairs out of a set of interactions for a test set.

Every split is a pair of ``Interactions`` over the same users and items; nobody loses all of their pairs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lerg_edge.data.interactions import Dataset, Interactions, SplitReport
from lerg_edge.errors import InputError

__all__ = [
    "CUTS",
    "DEFAULT_SHARE",
    "cut",
    "cut_as_suits",
    "split_folds",
    "split_leave_last_out",
    "split_ratio",
    "split_time",
]

CUTS = ("ratio", "last", "time", "none")
DEFAULT_SHARE = 0.2
_LEAST_TELLING = 0.5  # of the users with two pairs: that many must have pairs of more than one time


def cut(
    interactions: Interactions, kind: str, *, share: float | None = None, seed: int, reason: str = "asked for"
) -> Dataset:
    """Cut a test set out of all pairs.

    Args:
        kind: one of ``CUTS``.
        share: of ``ratio`` and ``time``; None for a fifth.
        seed: of ``ratio``, and of ties that the order of the source does not break.
        reason: why this kind, for people.

    Raises:
        InputError: nothing can be held out in this way, or a share was given and has no effect.
    """
    if share is not None and kind not in ("ratio", "time"):
        raise InputError.naming(
            "{test_share} has no effect with {split:{}}; leave it out or give {split:ratio}", kind
        )
    part = DEFAULT_SHARE if share is None else share
    if kind == "ratio":
        train, test = split_ratio(interactions, test_share=part, seed=seed)
        return Dataset(train, test, split=SplitReport(kind=kind, reason=reason, share=part, seed=seed))
    if kind == "time":
        train, test, kept = _by_time(interactions, part)
        return Dataset(train, test, split=SplitReport(kind=kind, reason=reason, share=part, kept_users=kept))
    if kind == "last":
        train, test = split_leave_last_out(interactions, seed=seed)
        tied = _tied_users(interactions)
        by_order = interactions.rows is not None
        return Dataset(
            train,
            test,
            split=SplitReport(
                kind=kind,
                reason=reason,
                seed=seed if tied and not by_order else None,
                tied_users=tied,
                ties_by=None if not tied else "file order" if by_order else "seed",
            ),
        )
    return Dataset(interactions, split=SplitReport(kind="none", reason=reason))


def cut_as_suits(interactions: Interactions, *, share: float | None = None, seed: int) -> Dataset:
    """Leave-last-out where timestamps tell which pair is the last, else a ratio, and nothing where none can.

    Timestamps tell it where at least half of the users with two pairs have pairs of more than one time: dumps
    that stamp every row alike do not.

    Raises:
        InputError: ``share`` was given and nothing can be held out by it.
    """
    kind, reason = _suiting(interactions, share)
    try:
        return cut(interactions, kind, share=share, seed=seed, reason=reason)
    except InputError:
        counts = np.bincount(interactions.users, minlength=interactions.user_count)
        if share is not None or (kind == "last" and int(counts.max(initial=0)) >= 2):
            raise
        most = int(counts.max(initial=0))
        reason = f"nobody has enough pairs to give one up: {most} at most"
        return cut(interactions, "none", seed=seed, reason=reason)


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
        raise InputError.naming(
            "no user has enough pairs to hold out {test_share:{}}; raise it, give a test set, or measure "
            "nothing with {split:none}",
            test_share,
        )
    return interactions.subset(~held_out), interactions.subset(held_out)


def split_leave_last_out(interactions: Interactions, *, seed: int = 0) -> tuple[Interactions, Interactions]:
    """Hold out each user's latest pair; of equally late ones the last of the source.

    A user with a single pair keeps it for training.

    Args:
        seed: where the order of the source is not known, one of equally late pairs is drawn.

    Returns:
        Training and test pairs.

    Raises:
        InputError: there are no timestamps, or no user has two pairs.
    """
    order = _in_time(interactions, seed)
    ends = np.cumsum(np.bincount(interactions.users, minlength=interactions.user_count))
    has_two = np.diff(ends, prepend=0) >= 2
    held_out = np.zeros(interactions.pair_count, dtype=np.bool_)
    held_out[order[ends[has_two] - 1]] = True
    if not held_out.any():
        raise InputError(
            "no user has two pairs, so no last one can be held out; give a test set, or measure nothing with "
            "the split 'none'"
        )
    return interactions.subset(~held_out), interactions.subset(held_out)


def split_folds(
    interactions: Interactions, *, folds: int, seed: int
) -> tuple[tuple[Interactions, Interactions], ...]:
    """Deal each user's pairs into folds and hold out one at a time, for cross-validation.

    Every pair of a user with two or more is held out by one fold; a user with a single pair keeps it. The
    folds of a user differ by one pair at most.

    Args:
        folds: 2 or more.
        seed: not negative; the same seed deals alike.

    Returns:
        Training and test pairs of each fold.

    Raises:
        InputError: folds or seed are out of range, or a fold would hold nothing out.
    """
    if folds < 2 or seed < 0:
        raise InputError(f"folds is {folds} and seed {seed}; give 2 folds or more and a seed from 0")
    generator = np.random.default_rng(seed)
    users = interactions.users
    counts = np.bincount(users, minlength=interactions.user_count)
    order = np.lexsort((generator.random(users.size), users))
    rank_in_user = np.arange(users.size) - np.repeat(np.cumsum(counts) - counts, counts)
    # Each user begins at a fold of their own, or the first ones would get all that does not divide.
    begin = np.repeat(generator.integers(0, folds, counts.size), counts)
    dealt = np.full(users.size, -1, dtype=np.int64)
    dealt[order] = np.where(np.repeat(counts, counts) < 2, -1, (rank_in_user + begin) % folds)
    sizes = np.bincount(dealt[dealt >= 0], minlength=folds)
    if not sizes.all():
        raise InputError(
            f"{int(sizes.sum()):,} pairs of users with two or more do not fill {folds} folds; give fewer"
        )
    return tuple(
        (interactions.subset(dealt != fold), interactions.subset(dealt == fold)) for fold in range(folds)
    )


def split_time(interactions: Interactions, *, test_share: float) -> tuple[Interactions, Interactions]:
    """Hold out what came after one moment, the same for everybody: at most a share of all pairs.

    Pairs of the same time stay together. A user whose pairs are all later keeps the earliest of them.

    Args:
        test_share: between 0 and 1, both excluded.

    Returns:
        Training and test pairs.

    Raises:
        InputError: there are no timestamps, the share is out of range, or no moment parts the pairs.
    """
    train, test, _ = _by_time(interactions, test_share)
    return train, test


def _by_time(interactions: Interactions, share: float) -> tuple[Interactions, Interactions, int]:
    """Training and test pairs, and how many users keep a pair that is later than the cut."""
    if not 0.0 < share < 1.0:
        raise InputError.naming("{test_share} is {}; it must be above 0 and below 1", share)
    order, times = _in_time(interactions, 0), _times(interactions)
    ordered = np.sort(times)
    # The first moment after which no more than the share is left; where that is nothing, the last moment.
    start = min(int(np.ceil(ordered.size * (1.0 - share))), ordered.size - 1) if ordered.size else 0
    cut_at = ordered[start] if ordered.size else 0
    if start and ordered[start - 1] == cut_at and cut_at != ordered[-1]:
        cut_at = ordered[np.searchsorted(ordered, cut_at, side="right")]
    late = times >= cut_at
    counts = np.bincount(interactions.users, minlength=interactions.user_count)
    ends = np.cumsum(counts)
    first_of_user = order[(ends - counts)[counts > 0]]
    kept = first_of_user[late[first_of_user]]
    late[kept] = False
    if not late.any() or cut_at == ordered[0]:
        raise InputError(
            "no moment has pairs before it and pairs to hold out after it; split by ratio instead"
        )
    return interactions.subset(~late), interactions.subset(late), len(kept)


def _suiting(interactions: Interactions, share: float | None) -> tuple[str, str]:
    """A kind of cut and why."""
    if interactions.timestamps is None:
        return "ratio", "there are no timestamps"
    if share is not None:
        return "ratio", "a share was asked for"
    users, times = interactions.users, interactions.timestamps
    starts = np.flatnonzero(np.diff(users, prepend=-1))
    counts = np.diff(starts, append=users.size)
    several = counts >= 2
    spread = np.maximum.reduceat(times, starts) > np.minimum.reduceat(times, starts)
    telling = int(np.count_nonzero(spread & several))
    if telling < _LEAST_TELLING * np.count_nonzero(several):
        return "ratio", (
            f"{np.count_nonzero(several) - telling} of {np.count_nonzero(several)} users have all their "
            "pairs at one time, so timestamps do not tell the last"
        )
    return "last", "there are timestamps"


def _in_time(interactions: Interactions, seed: int) -> NDArray[np.int64]:
    """Positions of the pairs by user, then time, then their place in the source or by chance."""
    times, ties = _times(interactions), interactions.rows
    if ties is None:
        if seed < 0:
            raise InputError(f"seed is {seed}; it must not be negative")
        ties = np.random.default_rng(seed).permutation(interactions.pair_count)
    return np.lexsort((ties, times, interactions.users))


def _times(interactions: Interactions) -> NDArray[np.int64]:
    if interactions.timestamps is None:
        raise InputError.naming("this split needs timestamps and there are none; give {split:ratio} instead")
    return interactions.timestamps


def _tied_users(interactions: Interactions) -> int:
    """Users with two pairs or more of their latest time."""
    order = _in_time(interactions, 0)
    users, times = interactions.users[order], _times(interactions)[order]
    is_last = np.diff(users, append=-1) != 0
    same = (users[:-1] == users[1:]) & (times[:-1] == times[1:])
    return int(np.count_nonzero(is_last[1:] & same))


def _drawn(interactions: Interactions, share: float, seed: int) -> NDArray[np.bool_]:
    """Bool [n]: the pairs drawn."""
    if not 0.0 < share < 1.0:
        raise InputError.naming("{test_share} is {}; it must be above 0 and below 1", share)
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
