"""A personal bundle from raw ids to raw ids: observing, recommending, and telling what is kept."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np

from lerg_runtime.bundle._added import AddedItems
from lerg_runtime.bundle._ids import IdMap, RawId
from lerg_runtime.errors import InputError
from lerg_runtime.pairs._items import Filter, Given, ItemFilter, filters_of, history_items, known_items
from lerg_runtime.pairs._resolved import OnUnknown, OnUnknownUser, check_on_unknown
from lerg_runtime.serving._added import Extra, own_filters
from lerg_runtime.serving._answer import Answer, Ranking, raw_ids
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
    indices = known_items(bundle.exported_ids(on_unknown), items, what="items", on_unknown=on_unknown)
    moment = _seconds(when)
    for index in indices.tolist():
        bundle.set_history(
            lambda history, item=index: history.with_item(item, moment, most=bundle.max_history)  # type: ignore[misc]
        )
    return len(indices)


def forget(bundle: PersonalBundle, items: Given) -> None:
    """Take items out of the history; see `Recommender.forget`. Raises UnknownIdError."""
    for index in known_items(bundle.exported_ids("raise"), items, what="items", on_unknown="raise").tolist():
        bundle.set_history(lambda history, item=index: history.without(item))  # type: ignore[misc]


def kept(bundle: PersonalBundle) -> list[tuple[RawId, int]]:
    """Raw item ids and seconds since 1970, the oldest first."""
    history = bundle.state.history
    raw = bundle.items.ids.take(history.items.astype(np.int64)).tolist() if len(history) else []
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
    catalogue = bundle.catalogue()
    filters = filters_of(catalogue[0], None, items=items, exclude=exclude, on_unknown=on_unknown)
    return _answer(bundle, history, filters, *catalogue, k=k, include_seen=include_seen)


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
    ids = bundle.exported_ids(on_unknown)
    known = history_items(ids, history, in_order=bundle.is_in_order, on_unknown=on_unknown)
    catalogue = bundle.catalogue()
    filters = filters_of(catalogue[0], None, items=items, exclude=exclude, on_unknown=on_unknown)
    return _answer(bundle, known, filters, *catalogue, k=k, include_seen=include_seen)


def _answer(
    bundle: PersonalBundle,
    history: np.ndarray,
    filters: Callable[[int], Filter],
    ids: IdMap,
    added: AddedItems | None,
    *,
    k: int,
    include_seen: bool,
) -> Ranking:
    count = bundle.item_count
    only, most = own_filters(filters, count)(0), min(k, count)
    if len(history):
        seen = () if include_seen else (history,)
        indices, scores = bundle.rank(history, k=most, barred=Barred(seen, *only))
    else:
        indices, scores = bundle.most_popular(only, k=most)
        indices, scores = indices[indices >= 0], scores[indices >= 0]
    if added is None:
        return raw_ids(ids, indices), scores
    answer, extra = Answer(ids, 1, k), Extra(added, count)
    answer.put(np.zeros(1, np.intp), slice(0, len(indices)), indices[None], scores[None])
    if len(history):
        extra.merge(answer, 0, bundle.row(history), filters(0))
    else:
        extra.merge_popular(answer, 0, filters(0))
    return answer.of_one()


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
