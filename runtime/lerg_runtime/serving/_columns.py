"""Rankings as columns of a table, which every library of frames takes as they are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lerg_runtime.errors import InputError
from lerg_runtime.pairs._given import id_list
from lerg_runtime.serving._answer import Ranking

__all__ = ["ranking_columns"]


def ranking_columns(
    ranking: Ranking, users: object | None = None, *, of: str = "user"
) -> dict[str, np.ndarray]:
    """A ranking as columns, a row a place: `pandas.DataFrame` and `polars.DataFrame` take them as they are.

        >>> from lerg_runtime import Recommender, ranking_columns
        >>> rec = Recommender.open(bundle)  # the path of a folder
        >>> users = ["user-0007", "user-0008"]
        >>> columns = ranking_columns(rec.recommend(users, k=3), users)
        >>> list(columns), len(columns["item"]), columns["rank"].tolist()
        (['user', 'item', 'rank', 'score'], 6, [1, 2, 3, 1, 2, 3])

    Places that are empty because the items ran out are left out.

    Args:
        ranking: what `recommend`, `recommend_from_history`, `similar_items` or `similar_users` returned.
        users: what it was asked for, as it was given; None leaves the column out.
        of: the name of their column.

    Returns:
        `user` (raw ids), `item` (raw ids), `rank` (int64, from 1) and `score` (float32).

    Raises:
        InputError: the ranking is not of so many users, or the column has the name of another.
    """
    if of in ("item", "rank", "score"):
        raise InputError(f"of is {of!r}, which another column is called; give another name")
    found, scores = ranking
    places = np.broadcast_to(np.arange(1, scores.shape[-1] + 1), scores.shape)
    there = scores > -np.inf
    columns = {"item": found[there], "rank": places[there], "score": scores[there]}
    if users is None:
        return columns
    ids, alone = id_list(users, what="users")
    if scores.shape[:-1] != (() if alone else (len(ids),)):
        shape = list(scores.shape)
        raise InputError(f"the ranking is of shape {shape}, which {len(ids)} users do not give")
    return {of: _array(ids)[np.nonzero(np.atleast_2d(there))[0]], **columns}


def _array(ids: Sequence[object] | np.ndarray) -> np.ndarray:
    """Raw ids as an array: int64, or objects where one is a text."""
    if isinstance(ids, np.ndarray) and ids.dtype.kind in "iuO":
        return ids
    listed = list(ids)
    if listed and all(isinstance(each, int | np.integer) for each in listed):
        return np.array(listed, dtype=np.int64)
    array = np.empty(len(listed), dtype=object)
    array[:] = listed
    return array
