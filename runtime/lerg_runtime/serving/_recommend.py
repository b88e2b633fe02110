"""`Recommender.recommend` for users, and `recommend_from_history`, from raw ids to raw ids."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from lerg_runtime.errors import UnknownIdError
from lerg_runtime.pairs._given import id_list
from lerg_runtime.pairs._items import Filter, Given, ItemFilter, filters_of, history_items
from lerg_runtime.pairs._resolved import OnUnknownUser, check_on_unknown, unknown_id
from lerg_runtime.serving import _person
from lerg_runtime.serving._added import Extra, own_filters
from lerg_runtime.serving._answer import Answer, Ranking
from lerg_runtime.serving._core import OpenBundle
from lerg_runtime.serving._personal import PersonalBundle

__all__ = ["for_history", "for_users", "user_indices"]


def for_users(
    bundle: OpenBundle,
    users: Given | None,
    *,
    k: int,
    include_seen: bool,
    items: ItemFilter | None,
    exclude: ItemFilter | None,
    on_unknown: OnUnknownUser,
) -> Ranking:
    """Raw items and scores of one user of a shared bundle or of several; see `Recommender.recommend`.

    Raises:
        UnknownIdError: an id is unknown.
        InputError: the users are a set or a table, or a filter is no list of items.
    """
    check_on_unknown(on_unknown, popular=True)
    entities = bundle.entities
    wanted, found, single = user_indices(
        bundle,
        users,
        on_unknown=on_unknown,
        advice="use recommend_from_history for somebody whom the bundle does not know, or pass "
        "on_unknown='popular' or 'skip'",
    )
    filters, (ids, added) = None, bundle.catalogue()
    if items is not None or exclude is not None:
        filters = filters_of(
            ids,
            wanted,
            user_ids=entities.user_ids,
            items=items,
            exclude=exclude,
            on_unknown=on_unknown,
        )
    known = np.flatnonzero(found >= 0)
    others = np.flatnonzero(found < 0) if on_unknown == "popular" else known[:0]
    answer = Answer(ids, len(wanted), k)
    if not len(known) and not len(others):
        return answer.of_one() if single else answer.of_all()
    count = len(entities.item_ids)
    extra, most = None if added is None else Extra(added, count), min(k, count)
    own = None if filters is None else own_filters(filters, count)
    of_known = None if own is None else lambda place: own(int(known[place]))
    with bundle.serving() as serving:
        for piece in serving.rank(found[known], k=most, include_seen=include_seen, filters=of_known):
            answer.put(known[piece.users], piece.ranks, piece.items, piece.scores)
            if extra is None or not piece.last:
                continue
            for place, row in zip(known[piece.users].tolist(), piece.rows, strict=True):
                user = None if include_seen else int(found[place])
                extra.merge(answer, place, row, None if filters is None else filters(place), unseen_by=user)
        for places, only in _by_filter(others, own):
            indices, scores = serving.most_popular(only, k=most)
            answer.put(places, slice(0, most), indices[None], scores[None])
        if extra is not None:
            for place in others.tolist():
                extra.merge_popular(answer, place, None if filters is None else filters(place))
    return answer.of_one() if single else answer.of_all()


def for_history(
    bundle: OpenBundle | PersonalBundle,
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
    if isinstance(bundle, PersonalBundle):
        return _person.for_history(
            bundle,
            history,
            k=k,
            include_seen=include_seen,
            items=items,
            exclude=exclude,
            on_unknown=on_unknown,
        )
    check_on_unknown(on_unknown, popular=True)
    ids, added = bundle.catalogue()
    in_order = bundle.folder.manifest.ways.unknown.half_life is not None
    known = history_items(bundle.exported_ids(on_unknown), history, in_order=in_order, on_unknown=on_unknown)
    filters = filters_of(ids, None, items=items, exclude=exclude, on_unknown=on_unknown)
    count = len(bundle.entities.item_ids)
    extra, only = None if added is None else Extra(added, count), own_filters(filters, count)(0)
    answer, most = Answer(ids, 1, k), min(k, count)
    row = np.zeros(1, np.intp)
    with bundle.serving() as serving:
        if len(known):
            for piece in serving.rank_history(known, k=most, include_seen=include_seen, only=only):
                answer.put(row, piece.ranks, piece.items, piece.scores)
                if extra is not None and piece.last:
                    extra.merge(answer, 0, piece.rows[0], filters(0))
        else:
            indices, scores = serving.most_popular(only, k=most)
            answer.put(row, slice(0, most), indices[None], scores[None])
            if extra is not None:
                extra.merge_popular(answer, 0, filters(0))
    return answer.of_one()


def _by_filter(
    places: np.ndarray, filters: Callable[[int], Filter] | None
) -> Iterator[tuple[np.ndarray, Filter | None]]:
    """Places of users for whom the same items may come, which are mostly all."""
    if filters is None:
        if len(places):
            yield places, None
        return
    alike: dict[tuple[int, int], tuple[list[int], Filter]] = {}
    for place in places.tolist():
        only = filters(place)
        alike.setdefault((id(only.only), id(only.never)), ([], only))[0].append(place)
    for listed, only in alike.values():
        yield np.array(listed), only


def user_indices(
    bundle: OpenBundle, users: Given | None, *, on_unknown: OnUnknownUser, advice: str
) -> tuple[Sequence[object] | np.ndarray, np.ndarray, bool]:
    """Raw ids of users as they were given, int32 [n] their indices, -1 if unknown, and whether it was one id.

    Raises:
        UnknownIdError: one is unknown and `on_unknown` is `raise`.
        InputError: they are a set or a table.
    """
    ids = bundle.entities.user_ids
    wanted, single = id_list(users, what="users")
    indices = ids.find_many(wanted)
    if on_unknown == "raise" and bool((indices < 0).any()):
        unknown = wanted[int(np.argmax(indices < 0))]
        if single and not isinstance(unknown, (str, int, np.integer)):
            raise UnknownIdError(f"the users are {users!r}; give an id, a text or an integer, or several")
        raise unknown_id(ids, unknown, kind="user", advice=advice)
    return wanted, indices, single
