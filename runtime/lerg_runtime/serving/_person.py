"""A personal bundle from raw ids to raw ids: observing, recommending, and telling what is kept."""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime

import numpy as np

from lerg_runtime.bundle._ids import RawId
from lerg_runtime.errors import InputError
from lerg_runtime.pairs._items import Filter, Given, ItemFilter, filters_of, history_items, known_items
from lerg_runtime.pairs._resolved import OnUnknown, OnUnknownUser, check_on_unknown
from lerg_runtime.serving._answer import Ranking, raw_ids
from lerg_runtime.serving._barred import Barred
from lerg_runtime.serving._personal import PersonalBundle

__all__ = ["for_history", "for_person", "forget", "kept", "observe"]

_LATEST = 2**62  # seconds: what int64 holds with room to compare


def observe(bundle: PersonalBundle, items: Given, when: object, *, on_unknown: OnUnknown) -> int:
    """Put items at the end of the history, or at their time in it; see `Recommender.observe`.

    Raises:
        UnknownIdError: an item is unknown.
        InputError: the time is none.
    """
    check_on_unknown(on_unknown)
    indices = known_items(bundle.item_ids, items, what="items", on_unknown=on_unknown)
    moment = _seconds(when)
    for index in indices.tolist():
        bundle.set_history(
            lambda history, item=index: history.with_item(item, moment, most=bundle.max_history)  # type: ignore[misc]
        )
    return len(indices)


def forget(bundle: PersonalBundle, items: Given) -> None:
    """Take items out of the history; see `Recommender.forget`. Raises UnknownIdError."""
    for index in known_items(bundle.item_ids, items, what="items", on_unknown="raise").tolist():
        bundle.set_history(lambda history, item=index: history.without(item))  # type: ignore[misc]


def kept(bundle: PersonalBundle) -> list[tuple[RawId, int]]:
    """Raw item ids and seconds since 1970, the oldest first."""
    history = bundle.state.history
    raw = bundle.item_ids.take(history.items.astype(np.int64)).tolist() if len(history) else []
    return list(zip(raw, history.times.tolist(), strict=True))


def for_person(
    bundle: PersonalBundle,
    *,
    k: int,
    include_seen: bool,
    items: ItemFilter | None,
    exclude: ItemFilter | None,
    on_unknown: OnUnknownUser,
) -> Ranking:
    """Raw items and scores for the history that is kept here; see `Recommender.recommend`.

    Raises:
        UnknownIdError: an item is unknown.
        InputError: the history is empty, or a filter is no list of items.
    """
    check_on_unknown(on_unknown, popular=True)
    history = bundle.state.history.items
    if not len(history) and on_unknown != "popular":
        raise InputError(
            "the history is empty, so there is nothing to recommend by; observe an item first, give one to "
            "recommend_from_history, or pass on_unknown='popular'"
        )
    only = filters_of(bundle.item_ids, None, items=items, exclude=exclude, on_unknown=on_unknown)(0)
    return _answer(bundle, history, only, k=k, include_seen=include_seen)


def for_history(
    bundle: PersonalBundle,
    history: Given,
    *,
    k: int,
    include_seen: bool,
    items: Given | None,
    exclude: Given | None,
    on_unknown: OnUnknownUser,
) -> Ranking:
    """Raw items and scores of who has touched `history`; see `Recommender.recommend_from_history`.

    Raises:
        UnknownIdError: an item is unknown.
        InputError: no list of items, or none in the history that counts.
    """
    check_on_unknown(on_unknown, popular=True)
    ids = bundle.item_ids
    known = history_items(ids, history, in_order=bundle.is_in_order, on_unknown=on_unknown)
    only = filters_of(ids, None, items=items, exclude=exclude, on_unknown=on_unknown)(0)
    return _answer(bundle, known, only, k=k, include_seen=include_seen)


def _answer(
    bundle: PersonalBundle, history: np.ndarray, only: Filter, *, k: int, include_seen: bool
) -> Ranking:
    if len(history):
        seen = () if include_seen else (history,)
        indices, scores = bundle.rank(history, k=k, barred=Barred(seen, *only))
    else:
        indices, scores = bundle.most_popular(only, k=k)
        indices, scores = indices[indices >= 0], scores[indices >= 0]
    return raw_ids(bundle.item_ids, indices), scores


def _seconds(when: object) -> int:
    """Seconds since 1970 of now, a number of them, or a datetime, which counts as UTC if it has no zone."""
    if when is None:
        return int(time.time())
    if isinstance(when, datetime):
        return math.floor((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp())
    number = isinstance(when, (int, float, np.integer, np.floating)) and not isinstance(when, bool)
    seconds = float(when) if number else math.nan  # type: ignore[arg-type]
    if math.isfinite(seconds) and abs(seconds) < _LATEST:
        return math.floor(seconds)
    raise InputError(f"when is {when!r}; give seconds since 1970, a datetime, or nothing for now")
