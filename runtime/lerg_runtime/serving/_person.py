"""A personal bundle from raw ids to raw ids: observing, recommending, and telling what is kept."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np

from lerg_runtime.bundle._ids import IdMap, RawId
from lerg_runtime.errors import InputError
from lerg_runtime.pairs._given import id_list
from lerg_runtime.pairs._resolved import OnUnknown, check_on_unknown, index_of, unknown_id
from lerg_runtime.serving._personal import PersonalBundle
from lerg_runtime.serving._recommend import history_items, raw_items

__all__ = ["for_history", "for_person", "forget", "kept", "observe"]

Given = RawId | Sequence[RawId] | np.ndarray
Ranking = tuple[np.ndarray, np.ndarray]
_LATEST = 2**62  # seconds: what int64 holds with room to compare


def observe(bundle: PersonalBundle, items: Given, when: object, *, on_unknown: OnUnknown) -> int:
    """Put items at the end of the history, or at their time in it; see `Recommender.observe`.

    Raises:
        UnknownIdError: an item is unknown.
        InputError: the time is none.
    """
    check_on_unknown(on_unknown)
    indices = _indices(bundle.item_ids, items, what="items", on_unknown=on_unknown)
    moment = _seconds(when)
    for index in indices.tolist():
        bundle.set_history(
            lambda history, item=index: history.with_item(item, moment, most=bundle.max_history)  # type: ignore[misc]
        )
    return len(indices)


def forget(bundle: PersonalBundle, items: Given) -> None:
    """Take items out of the history; see `Recommender.forget`. Raises UnknownIdError."""
    for index in _indices(bundle.item_ids, items, what="items", on_unknown="raise").tolist():
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
    items: Sequence[RawId] | np.ndarray | None,
    exclude: Sequence[RawId] | np.ndarray | None,
    on_unknown: OnUnknown,
) -> Ranking:
    """Raw items and scores for the history that is kept here; see `Recommender.recommend`.

    Raises:
        UnknownIdError: an item is unknown.
        InputError: the history is empty.
    """
    check_on_unknown(on_unknown)
    history = bundle.state.history.items
    if not len(history):
        raise InputError(
            "the history is empty, so there is nothing to recommend by; observe an item first, or give "
            "one to recommend_from_history"
        )
    barred = np.zeros(bundle.item_count, dtype=bool)
    if items is not None:
        barred[:] = True
        barred[_indices(bundle.item_ids, items, what="items", on_unknown=on_unknown)] = False
    if exclude is not None:
        barred[_indices(bundle.item_ids, exclude, what="items to exclude", on_unknown=on_unknown)] = True
    if not include_seen:
        barred[history] = True
    return _answer(bundle, history, k=k, barred=barred)


def for_history(
    bundle: PersonalBundle,
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
    known = history_items(bundle.item_ids, history, in_order=bundle.is_in_order, on_unknown=on_unknown)
    barred = None
    if not include_seen:
        barred = np.zeros(bundle.item_count, dtype=bool)
        barred[known] = True
    return _answer(bundle, known, k=k, barred=barred)


def _answer(bundle: PersonalBundle, history: np.ndarray, *, k: int, barred: np.ndarray | None) -> Ranking:
    indices, scores = bundle.rank(history, k=k, barred=barred)
    return raw_items(bundle.item_ids, indices), scores


def _indices(ids: IdMap, given: object, *, what: str, on_unknown: OnUnknown) -> np.ndarray:
    """Indices of raw ids, int64 [n], those that are unknown left out where that is asked for."""
    wanted, single = id_list(given, what=what, ordered=False)
    if single and on_unknown == "raise":
        return np.array([index_of(ids, wanted[0], kind="item")])
    found = ids.find_many(wanted) if len(wanted) else np.empty(0, np.int64)
    if on_unknown == "raise" and bool((found < 0).any()):
        raise unknown_id(
            ids,
            wanted[int(np.argmax(found < 0))],
            kind="item",
            advice="pass on_unknown='skip' to leave such items out",
        )
    known: np.ndarray = np.asarray(found, np.int64)[np.asarray(found) >= 0]
    return known


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
