"""`Recommender.recommend` and `recommend_from_history`, from raw ids to raw ids."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from lerg_runtime._core import OpenBundle
from lerg_runtime._pairs import OnUnknown, check_on_unknown, unknown_id
from lerg_runtime.bundle._ids import IdMap, RawId
from lerg_runtime.errors import InputError

__all__ = ["for_history", "for_users", "raw_items"]

Ranking = tuple[np.ndarray, np.ndarray]


def for_users(
    bundle: OpenBundle,
    users: RawId | Sequence[RawId] | np.ndarray,
    *,
    k: int,
    include_seen: bool,
    on_unknown: OnUnknown,
) -> Ranking:
    """Raw items and scores of one user or of several; see `Recommender.recommend`.

    Raises:
        UnknownIdError: a user is unknown.
        InputError: neither an id nor several.
    """
    check_on_unknown(on_unknown)
    ids = bundle.entities.user_ids
    single = isinstance(users, (str, int, np.integer))
    if not single and (isinstance(users, bytes) or not isinstance(users, Iterable)):
        raise InputError(f"the users are {users!r}; give an id, a text or an integer, or several")
    wanted: Sequence[Any] = [users] if single else list(users)  # type: ignore[arg-type]
    indices = ids.find_many(wanted)
    if on_unknown == "raise" and bool((indices < 0).any()):
        raise unknown_id(ids, wanted[int(np.argmax(indices < 0))], kind="user")
    known = indices >= 0
    items = np.full((len(wanted), k), -1, dtype=np.int64)
    scores = np.full((len(wanted), k), -np.inf, dtype=np.float32)
    if known.any():
        items[known], scores[known] = bundle.serving().rank(indices[known], k=k, include_seen=include_seen)
    if single:
        return _of_one(bundle, items, scores)
    return raw_items(bundle.entities.item_ids, items), scores


def for_history(
    bundle: OpenBundle,
    history: Sequence[RawId] | np.ndarray,
    *,
    k: int,
    include_seen: bool,
    on_unknown: OnUnknown,
) -> Ranking:
    """Raw items and scores of who has touched `history`; see `Recommender.recommend_from_history`.

    Raises:
        UnknownIdError: an item is unknown.
        InputError: no list of items, or none in it that counts.
    """
    check_on_unknown(on_unknown)
    ids = bundle.entities.item_ids
    if isinstance(history, (str, bytes)) or not isinstance(history, Iterable):
        raise InputError(f"the history is {history!r}; give a list of item ids, such as [{history!r}]")
    wanted: list[Any] = list(history)
    if not wanted:
        raise InputError("the history is empty; give at least one item")
    indices = ids.find_many(wanted)
    if on_unknown == "raise" and bool((indices < 0).any()):
        raise unknown_id(ids, wanted[int(np.argmax(indices < 0))], kind="item")
    known = np.unique(indices[indices >= 0])
    if len(known) == 0:
        raise InputError(f"none of the {len(wanted)} items of the history is in this bundle; give others")
    return _of_one(bundle, *bundle.serving().rank_history(known, k=k, include_seen=include_seen))


def raw_items(ids: IdMap, items: np.ndarray) -> np.ndarray:
    """Raw ids of item indices; of an index below 0 it is -1, or None among ids that are text."""
    raw = ids.take(np.maximum(items, 0))
    raw[items < 0] = None if raw.dtype == object else -1
    return raw


def _of_one(bundle: OpenBundle, items: np.ndarray, scores: np.ndarray) -> Ranking:
    """The first row, without the places after the last item."""
    there = items[0] >= 0
    return raw_items(bundle.entities.item_ids, items[0][there]), scores[0][there]
