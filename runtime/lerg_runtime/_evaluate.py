"""Recall and NDCG of an open bundle on held-out interactions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lerg_runtime._core import OpenBundle
from lerg_runtime._metrics import Metrics, RankingSums
from lerg_runtime._pairs import ResolvedPairs

__all__ = ["evaluate"]


def evaluate(
    bundle: OpenBundle,
    test: ResolvedPairs,
    *,
    k: int,
    on_progress: Callable[[int, int], object] | None = None,
) -> Metrics:
    """Rank the whole catalogue, seen items left out, for each user with test items.

    Args:
        bundle: an open bundle.
        test: held-out interactions; they take 16 bytes each on top of the budget.
        k: length of a ranking.
        on_progress: called with users done and users in all.
    """
    serving = bundle.serving()
    sums = RankingSums(test.users, test.items, item_count=bundle.folder.manifest.model.items, k=k)
    users = np.unique(test.users)
    for start in range(0, len(users), serving.users_at_once):
        batch = users[start : start + serving.users_at_once]
        top, _ = serving.rank(batch, k=k)
        sums.add(batch, top)
        if on_progress is not None:
            on_progress(start + len(batch), len(users))
    return sums.averages()
