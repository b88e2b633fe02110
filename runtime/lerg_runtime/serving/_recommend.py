"""`Recommender.recommend` and `recommend_from_history`, from raw ids to raw ids."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lerg_runtime.bundle._ids import IdMap, RawId
from lerg_runtime.errors import InputError, UnknownIdError
from lerg_runtime.pairs._given import id_list
from lerg_runtime.pairs._resolved import OnUnknown, check_on_unknown, unknown_id
from lerg_runtime.serving._core import OpenBundle
from lerg_runtime.serving._tables import Piece

__all__ = ["for_history", "for_users", "history_items", "raw_items"]

Ranking = tuple[np.ndarray, np.ndarray]


def for_users(
    bundle: OpenBundle,
    users: RawId | Sequence[RawId] | np.ndarray | None,
    *,
    k: int,
    include_seen: bool,
    on_unknown: OnUnknown,
) -> Ranking:
    """Raw items and scores of one user or of several; see `Recommender.recommend`.

    Raises:
        UnknownIdError: a user is unknown.
        InputError: the users are a set or a table.
    """
    check_on_unknown(on_unknown)
    ids = bundle.entities.user_ids
    wanted, single = id_list(users, what="users")
    indices = ids.find_many(wanted)
    if on_unknown == "raise" and bool((indices < 0).any()):
        unknown = wanted[int(np.argmax(indices < 0))]
        if single and not isinstance(unknown, (str, int, np.integer)):
            raise UnknownIdError(f"the users are {users!r}; give an id, a text or an integer, or several")
        raise unknown_id(
            ids,
            unknown,
            kind="user",
            advice="use recommend_from_history for somebody whom the bundle does not know, or pass "
            "on_unknown='skip'",
        )
    known = np.flatnonzero(indices >= 0)
    answer = _Answer(bundle.entities.item_ids, len(wanted), k)
    if len(known):
        with bundle.serving() as serving:
            for piece in serving.rank(indices[known], k=k, include_seen=include_seen):
                answer.put(known[piece.users], piece)
    return answer.of_one() if single else answer.of_all()


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
    ids = bundle.entities.item_ids
    in_order = bundle.folder.manifest.ways.unknown.half_life is not None
    known = history_items(ids, history, in_order=in_order, on_unknown=on_unknown)
    answer = _Answer(ids, 1, k)
    with bundle.serving() as serving:
        for piece in serving.rank_history(known, k=k, include_seen=include_seen):
            answer.put(np.zeros(1, np.intp), piece)
    return answer.of_one()


def history_items(
    ids: IdMap, history: Sequence[RawId] | np.ndarray, *, in_order: bool, on_unknown: OnUnknown
) -> np.ndarray:
    """The known items of a history, each once, where it comes last: int64 [n], n >= 1.

    Args:
        ids: of the items.
        history: raw ids.
        in_order: whether the order counts, so that a set will not do.
        on_unknown: what becomes of unknown ones.

    Raises:
        UnknownIdError: an item is unknown.
        InputError: no list of items, or none in it that counts.
    """
    check_on_unknown(on_unknown)
    wanted, single = id_list(history, what="items of the history", ordered=in_order)
    if single:
        raise InputError(f"the history is {history!r}; give a list of item ids, such as [{history!r}]")
    if not len(wanted):
        raise InputError("the history is empty; give at least one item")
    indices = ids.find_many(wanted)
    if on_unknown == "raise" and bool((indices < 0).any()):
        raise unknown_id(
            ids,
            wanted[int(np.argmax(indices < 0))],
            kind="item",
            advice="pass on_unknown='skip' to leave such items out",
        )
    known = _last_ones(indices[indices >= 0])
    if len(known) == 0:
        raise InputError(f"none of the {len(wanted)} items of the history is in this bundle; give others")
    return known


def _last_ones(items: np.ndarray) -> np.ndarray:
    """Each item once, where it comes last."""
    _, from_the_end = np.unique(items[::-1], return_index=True)
    kept: np.ndarray = items[len(items) - 1 - np.sort(from_the_end)[::-1]]
    return kept


def raw_items(ids: IdMap, items: np.ndarray) -> np.ndarray:
    """Raw ids of item indices; of an index below 0 it is -1, or None among ids that are text."""
    raw = ids.take(np.maximum(items, 0))
    raw[items < 0] = None if raw.dtype == object else -1
    return raw


class _Answer:
    """The two arrays that a caller gets, filled part by part: beside them nothing grows with their size.

    Args:
        ids: raw ids of the items.
        users: rows.
        k: columns.
    """

    def __init__(self, ids: IdMap, users: int, k: int) -> None:
        self._ids = ids
        nothing = raw_items(ids, np.full(1, -1)) if len(ids) else np.full(1, -1)
        self._items = np.full((users, k), nothing[0], dtype=nothing.dtype)
        self._scores = np.full((users, k), -np.inf, dtype=np.float32)
        self._texts: dict[int, object] = {}  # one object an item, however often it is recommended

    def put(self, rows: np.ndarray, piece: Piece) -> None:
        """Write a part of a ranking to these rows."""
        self._items[rows, piece.ranks] = self._raw(piece.items)
        self._scores[rows, piece.ranks] = piece.scores

    def of_all(self) -> Ranking:
        """Both arrays, [users, k]."""
        return self._items, self._scores

    def of_one(self) -> Ranking:
        """The first row, without the places after the last item."""
        there = self._scores[0] > -np.inf
        return self._items[0][there], self._scores[0][there]

    def _raw(self, items: np.ndarray) -> np.ndarray:
        if self._items.dtype != object:
            return raw_items(self._ids, items)
        distinct, places = np.unique(items, return_inverse=True)
        new = np.array([item for item in distinct.tolist() if item not in self._texts], dtype=np.int64)
        self._texts.update(zip(new.tolist(), raw_items(self._ids, new).tolist(), strict=True))
        texts = np.empty(len(distinct), dtype=object)
        texts[:] = [self._texts[item] for item in distinct.tolist()]
        return texts[places.reshape(items.shape)]
