"""Recall and NDCG of an open bundle on held-out interactions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from lerg_runtime._core import OpenBundle
from lerg_runtime._metrics import Metrics, RankingSums
from lerg_runtime._pairs import ResolvedPairs
from lerg_runtime.errors import InputError

__all__ = ["evaluate"]

_PLACES_AT_ONCE = 1 << 16  # of rankings in memory, beside the budget


def evaluate(
    bundle: OpenBundle,
    test: ResolvedPairs,
    *,
    k: int,
    on_progress: Callable[[int, int], object] | None = None,
) -> Metrics:
    """Rank the whole catalogue, seen items left out, for each user with test items.

    Pairs that the bundle has learned from, and those that were rated low, are never recommended: they are
    counted and not measured. A pair that the export held out is a candidate where it is in `test`, and
    nowhere else.

    Args:
        bundle: an open bundle.
        test: held-out interactions; they take 16 bytes each on top of the budget.
        k: length of a ranking.
        on_progress: called with users done and users in all.

    Raises:
        InputError: nothing is left to measure.
    """
    with bundle.serving() as serving:
        seen = serving.interactions.find(test.users, test.items) >= 0
        for low in (bundle.seen_only.disliked, serving.disliked):
            if low is not None:
                seen |= low.find(test.users, test.items) >= 0
        left_users, left_items = test.users[~seen], test.items[~seen]
        if len(left_users) == 0:
            raise InputError(
                f"nothing is left to measure: of {test.rows + test.below_threshold} rows {int(seen.sum())} "
                f"are pairs that the bundle has seen already, {test.duplicates} repeat one, {test.unknown} "
                f"are unknown and {test.below_threshold} rated below the threshold; give pairs that it was "
                "not trained on"
            )
        sums = RankingSums(left_users, left_items, item_count=bundle.folder.manifest.model.items, k=k)
        users, starts = np.unique(left_users, return_index=True)
        ends = np.append(starts[1:], len(left_users))
        of_user = {user: slice(*ends) for user, *ends in zip(users.tolist(), starts, ends, strict=True)}
        at_once = max(1, min(serving.users_at_once, _PLACES_AT_ONCE // k))
        top = np.empty((at_once, k), dtype=np.int64)
        for start in range(0, len(users), at_once):
            batch = users[start : start + at_once]
            for piece in serving.rank(batch, k=k, measured=lambda user: left_items[of_user[user]]):
                top[piece.users, piece.ranks] = piece.items
            sums.add(batch, top[: len(batch)])
            if on_progress is not None:
                on_progress(start + len(batch), len(users))
    return replace(
        sums.averages(),
        rows=test.rows + test.below_threshold,
        unknown=test.unknown,
        below_threshold=test.below_threshold,
        duplicates=test.duplicates,
        already_seen=int(seen.sum()),
    )
