"""Lists of items as callers give them, resolved to indices: histories, and which items may come."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from lerg_runtime.bundle._ids import IdMap, RawId, id_text
from lerg_runtime.errors import InputError
from lerg_runtime.pairs._given import id_list
from lerg_runtime.pairs._resolved import OnUnknownUser, index_of, unknown_id

__all__ = [
    "Filter",
    "Given",
    "ItemFilter",
    "ItemIndices",
    "filters_of",
    "history_items",
    "known_items",
]

Given = RawId | Sequence[RawId] | np.ndarray | AbstractSet[RawId]
ItemFilter = Given | Mapping[RawId, Given]
"""Items for everybody, or for each of some users by raw id."""

_SKIP = "pass on_unknown='skip' to leave such items out"


@dataclass(frozen=True, slots=True)
class ItemIndices:
    """Items that have been looked up already, in place of their raw ids, which take more memory.

    Attributes:
        indices: int64 [n].
    """

    indices: np.ndarray


class Filter(NamedTuple):
    """Which items may come in one ranking.

    Attributes:
        only: int64 [n] item indices, the only ones that may; None for all.
        never: int64 [n] item indices that may not.
    """

    only: np.ndarray | None
    never: np.ndarray


def filters_of(
    ids: IdMap,
    users: Sequence[object] | np.ndarray | None,
    *,
    user_ids: IdMap | None = None,
    items: ItemFilter | None,
    exclude: ItemFilter | None,
    on_unknown: OnUnknownUser,
) -> Callable[[int], Filter]:
    """What may come for each user, by their place in `users`.

    Args:
        ids: of the items.
        users: raw ids, whom mappings may name; None where there is one ranking and nobody to name.
        user_ids: of the bundle, for keys of a mapping; None where there are none.
        items: the only ones that may come; of a mapping, for the users that it names. None for all.
        exclude: those that may not, likewise.
        on_unknown: `raise` refuses unknown items, and unknown users in a mapping; else they are left out.

    Raises:
        UnknownIdError: an id is unknown.
        InputError: no list of items, or a mapping where there are no users.
    """
    wanted = None if users is None else {id_text(user) for user in users}

    def resolve(given: ItemFilter | None, what: str) -> Callable[[object], np.ndarray | None]:
        if given is None:
            return lambda user: None
        if not isinstance(given, Mapping):
            everyone = known_items(ids, given, what=what, on_unknown=on_unknown)
            return lambda user: everyone
        if wanted is None or user_ids is None:
            raise InputError(f"the {what} are a {type(given).__name__}, by user; give one list here")
        _check_users(user_ids, given, what=what, on_unknown=on_unknown)
        by_user = {
            text: known_items(ids, listed, what=what, on_unknown=on_unknown)
            for user, listed in given.items()
            if (text := id_text(user)) is not None and text in wanted
        }
        return lambda user: by_user.get(id_text(user) or "")

    only, never = resolve(items, "items"), resolve(exclude, "items to exclude")
    nothing = np.empty(0, np.int64)

    def at(place: int) -> Filter:
        user = None if users is None else users[place]
        barred = never(user)
        return Filter(only(user), nothing if barred is None else barred)

    return at


def known_items(ids: IdMap, given: object, *, what: str, on_unknown: OnUnknownUser) -> np.ndarray:
    """Indices of raw item ids, int64 [n], those that are unknown left out where that is asked for.

    Raises:
        UnknownIdError: one is unknown and `on_unknown` is `raise`.
        InputError: it is a table.
    """
    if isinstance(given, ItemIndices):
        return given.indices
    wanted, single = id_list(given, what=what, ordered=False)
    if single and on_unknown == "raise":
        return np.array([index_of(ids, wanted[0], kind="item")])
    found = np.asarray(ids.find_many(wanted) if len(wanted) else [], np.int64)
    if on_unknown == "raise" and bool((found < 0).any()):
        raise unknown_id(ids, wanted[int(np.argmax(found < 0))], kind="item", advice=_SKIP)
    known: np.ndarray = found[found >= 0]
    return known


def history_items(ids: IdMap, history: object, *, in_order: bool, on_unknown: OnUnknownUser) -> np.ndarray:
    """The known items of a history, each once, where it comes last: int64 [n].

    Args:
        ids: of the items.
        history: raw ids.
        in_order: whether the order counts, so that a set will not do.
        on_unknown: what becomes of unknown ones; with `popular` there may be no item at all.

    Raises:
        UnknownIdError: an item is unknown.
        InputError: no list of items, or none in it that counts.
    """
    wanted, single = id_list(history, what="items of the history", ordered=in_order)
    if single:
        raise InputError(f"the history is {history!r}; give a list of item ids, such as [{history!r}]")
    if not len(wanted) and on_unknown != "popular":
        raise InputError("the history is empty; give at least one item")
    known = _last_ones(known_items(ids, wanted, what="items of the history", on_unknown=on_unknown))
    if not len(known) and on_unknown != "popular":
        raise InputError(f"none of the {len(wanted)} items of the history is in this bundle; give others")
    return known


def _check_users(
    user_ids: IdMap, given: Mapping[RawId, Given], *, what: str, on_unknown: OnUnknownUser
) -> None:
    if on_unknown != "raise":
        return
    for user in given:
        if user_ids.find(user) < 0:
            advice = f"the {what} name them; pass on_unknown='skip' to leave such users out"
            raise unknown_id(user_ids, user, kind="user", advice=advice)


def _last_ones(items: np.ndarray) -> np.ndarray:
    """Each item once, where it comes last."""
    _, from_the_end = np.unique(items[::-1], return_index=True)
    kept: np.ndarray = items[len(items) - 1 - np.sort(from_the_end)[::-1]]
    return kept
