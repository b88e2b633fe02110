"""`Recommender.user_embeddings` and `item_embeddings`: the rows that a device ranks by, in index order."""

from __future__ import annotations

import numpy as np

from lerg_runtime.serving._core import OpenBundle
from lerg_runtime.serving._personal import PersonalBundle

__all__ = ["item_embeddings", "user_embeddings"]


def user_embeddings(bundle: OpenBundle) -> np.ndarray:
    """Float32 [U, d]; see `Recommender.user_embeddings`.

    Raises:
        BudgetError: tables and a lane do not fit the budget.
    """
    with bundle.serving() as serving:
        return serving.users()


def item_embeddings(bundle: OpenBundle | PersonalBundle) -> np.ndarray:
    """Float32 [I + n, d] with n added items; see `Recommender.item_embeddings`.

    Raises:
        BudgetError: tables and a lane do not fit the budget.
    """
    if isinstance(bundle, PersonalBundle):
        rows = bundle.rows()
    else:
        with bundle.serving() as serving:
            rows = serving.items()
    added = bundle.catalogue()[1]
    return rows if added is None else np.concatenate((rows, added.rows))
