"""People held out of training altogether, on whom serving of the unknown is chosen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from lerg_edge.data.interactions import Interactions
from lerg_edge.histories.rule import Histories

__all__ = ["Newcomers", "hold_out_users", "ordered_histories"]

_SHARE = 0.2
_MOST = 2_000
_LEAST_PAIRS = 5  # four to be known by and one to find
_FIFTHS = 5


@dataclass(frozen=True, slots=True, eq=False)
class Newcomers:
    """Training pairs without some of the users, and these.

    Attributes:
        known: pairs of the users who stay, over the same ids.
        users: int64 [B], who was held out.
        draws: how often each of them is asked: in the rows below they stand one after the other, that often.
        histories: of B * draws rows, four fifths of what they touched, the oldest first; in a drawn order
            where no time is known.
        wanted: float32 [B * draws, I], the other fifth: the last one, and where no time is known another one
            in each draw.
        in_time: whether the order is that of time.
    """

    known: Interactions
    users: np.ndarray
    draws: int
    histories: Histories
    wanted: sparse.csr_matrix
    in_time: bool


def hold_out_users(
    train: Interactions, *, seed: int, count: int | None = None, draws: int | None = None
) -> Newcomers:
    """Take some users out of the training pairs, drawn among those who have five pairs at least.

    Args:
        seed: the same one draws the same users.
        count: how many; None for a fifth of all, at most 2,000.
        draws: 1 to 5, how many fifths of somebody's items are hidden in turn where no time is known; the
            more, the less a comparison depends on which. None for as many as keep to 2,000 rows. Where times
            are known there is one last fifth.
    """
    rng = np.random.default_rng([seed, 11])
    counts = np.bincount(train.users, minlength=train.user_count)
    eligible = np.flatnonzero(counts >= _LEAST_PAIRS)
    usual = min(_MOST, round(_SHARE * int(np.count_nonzero(counts))))
    number = min(len(eligible), usual if count is None else count)
    users = np.sort(rng.permutation(eligible)[:number])
    whole = ordered_histories(train, users, rng)
    in_time = train.timestamps is not None
    if in_time:
        draws = 1
    elif draws is None:
        draws = max(1, min(_FIFTHS, _MOST // max(number, 1)))
    histories, wanted = [], []
    for person in range(len(users)):
        items = whole.items[whole.starts[person] : whole.starts[person + 1]]
        edges = np.rint(np.linspace(len(items), 0, _FIFTHS + 1)).astype(np.int64)
        for draw in range(draws):
            hidden = slice(edges[draw + 1], edges[draw])
            histories.append(np.delete(items, hidden))
            wanted.append(items[hidden])
    return Newcomers(
        train.subset(~np.isin(train.users, users)),
        users,
        draws,
        Histories.of(histories),
        Histories.of(wanted).matrix(train.item_count).sorted_indices(),
        in_time,
    )


def ordered_histories(pairs: Interactions, users: np.ndarray, rng: np.random.Generator) -> Histories:
    """What users have touched in the order of time, ties in that of the source; in a drawn one without times.

    Args:
        users: int64 [B], ascending.
        rng: draws where no order is known.
    """
    chosen = np.flatnonzero(np.isin(pairs.users, users))
    ties = rng.random(len(chosen)) if pairs.rows is None else pairs.rows[chosen]
    keys = (ties,) if pairs.timestamps is None else (ties, pairs.timestamps[chosen])
    order = chosen[np.lexsort((*keys, pairs.users[chosen]))]
    lengths = np.bincount(pairs.users[chosen], minlength=pairs.user_count)[users]
    return Histories(
        pairs.items[order].astype(np.int64), np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    )
