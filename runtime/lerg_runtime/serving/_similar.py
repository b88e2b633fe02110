"""`Recommender.similar_items` and `similar_users`, from raw ids to raw ids."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from lerg_runtime.bundle._ids import IdMap
from lerg_runtime.pairs._given import id_list
from lerg_runtime.pairs._items import Given
from lerg_runtime.pairs._resolved import OnUnknown, check_on_unknown, unknown_id
from lerg_runtime.serving._answer import Answer, Ranking
from lerg_runtime.serving._best import Best
from lerg_runtime.serving._core import OpenBundle
from lerg_runtime.serving._personal import PersonalBundle

__all__ = ["similar_items", "similar_users"]


def similar_items(
    bundle: OpenBundle | PersonalBundle, items: Given, *, k: int, on_unknown: OnUnknown
) -> Ranking:
    """Raw ids and cosines of one item or of several; see `Recommender.similar_items`.

    Raises:
        UnknownIdError: an item is unknown.
        InputError: the items are a set or a table.
    """
    ids, added = bundle.catalogue()
    more = None if added is None else added.rows
    if isinstance(bundle, PersonalBundle):
        find = partial(bundle.similar, added=more)
        return _similar(ids, items, find, k=k, kind="item", on_unknown=on_unknown)
    with bundle.serving() as serving:
        find = partial(serving.similar_items, added=more)
        return _similar(ids, items, find, k=k, kind="item", on_unknown=on_unknown)


def similar_users(bundle: OpenBundle, users: Given, *, k: int, on_unknown: OnUnknown) -> Ranking:
    """Raw ids and cosines of one user or of several; see `Recommender.similar_users`.

    Raises:
        UnknownIdError: a user is unknown.
        InputError: the users are a set or a table.
    """
    ids = bundle.entities.user_ids
    with bundle.serving() as serving:
        return _similar(ids, users, serving.similar_users, k=k, kind="user", on_unknown=on_unknown)


def _similar(
    ids: IdMap,
    given: Given,
    find: Callable[[np.ndarray, int], Best],
    *,
    k: int,
    kind: str,
    on_unknown: OnUnknown,
) -> Ranking:
    check_on_unknown(on_unknown)
    wanted, single = id_list(given, what=f"{kind}s")
    indices = ids.find_many(wanted)
    if on_unknown == "raise" and bool((indices < 0).any()):
        unknown = wanted[int(np.argmax(indices < 0))]
        raise unknown_id(
            ids, unknown, kind=kind, advice="" if single else "pass on_unknown='skip' to give it nothing"
        )
    known = np.flatnonzero(indices >= 0)
    answer = Answer(ids, len(wanted), k)
    if len(known):
        best = find(indices[known], k)
        answer.put(known, slice(0, k), best.indices, best.scores)
    return answer.of_one() if single else answer.of_all()
