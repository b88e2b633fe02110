"""`Recommender.score` and `score_from_history`: what `recommend` ranks by, for the items that are named.

The scores are those of the program `recommend`, which is asked for these items alone, so that they are the
same to the last bit as those beside a recommendation, whatever the lowering and the item table.
"""

from __future__ import annotations

import numpy as np

from lerg_runtime.bundle._added import AddedItems
from lerg_runtime.bundle._ids import IdMap
from lerg_runtime.errors import InputError
from lerg_runtime.pairs._given import id_list
from lerg_runtime.pairs._items import Filter, Given, history_items
from lerg_runtime.pairs._resolved import OnUnknown, check_on_unknown, unknown_id
from lerg_runtime.serving._barred import Barred
from lerg_runtime.serving._core import OpenBundle
from lerg_runtime.serving._personal import PersonalBundle
from lerg_runtime.serving._recommend import user_indices

__all__ = ["of_history", "of_person", "of_users"]


def of_users(
    bundle: OpenBundle, users: Given | None, items: Given, *, on_unknown: OnUnknown
) -> np.ndarray | float:
    """Scores of items for users of a shared bundle; see `Recommender.score`.

    Raises:
        UnknownIdError: an id is unknown.
        InputError: a set or a table of ids.
    """
    check_on_unknown(on_unknown)
    asked = _Asked(*bundle.catalogue(), items, on_unknown=on_unknown)
    advice = "use score_from_history for somebody whom the bundle does not know, or pass on_unknown='skip'"
    _, indices, single = user_indices(bundle, users, on_unknown=on_unknown, advice=advice)
    known = np.flatnonzero(indices >= 0)
    scores = asked.nothing(len(indices))
    if len(known) and asked.any:
        with bundle.serving() as serving:
            for piece in serving.rank(
                indices[known],
                k=max(1, len(asked.distinct)),
                include_seen=True,
                filters=lambda place: asked.filter,
            ):
                asked.put(scores, known[piece.users], piece.items, piece.scores)
                if piece.last:
                    for place, row in zip(known[piece.users].tolist(), piece.rows, strict=True):
                        asked.put_added(scores, place, row)
    return asked.answer(scores, single=single)


def of_history(
    bundle: OpenBundle | PersonalBundle, history: Given, items: Given, *, on_unknown: OnUnknown
) -> np.ndarray | float:
    """Scores of items for who has touched `history`; see `Recommender.score_from_history`.

    Raises:
        UnknownIdError: an id is unknown.
        InputError: no list of items, or none in the history that counts.
    """
    check_on_unknown(on_unknown)
    asked = _Asked(*bundle.catalogue(), items, on_unknown=on_unknown)
    ids = bundle.exported_ids(on_unknown)
    known = history_items(ids, history, in_order=_in_order(bundle), on_unknown=on_unknown)
    if isinstance(bundle, PersonalBundle):
        return _by_history(bundle, known, asked)
    scores, row = asked.nothing(1), np.zeros(1, np.intp)
    if asked.any:
        with bundle.serving() as serving:
            k = max(1, len(asked.distinct))
            for piece in serving.rank_history(known, k=k, include_seen=True, only=asked.filter):
                asked.put(scores, row, piece.items, piece.scores)
                if piece.last:
                    asked.put_added(scores, 0, piece.rows[0])
    return asked.answer(scores, single=True)


def of_person(bundle: PersonalBundle, items: Given, *, on_unknown: OnUnknown) -> np.ndarray | float:
    """Scores of items for the history that is kept here; see `Recommender.score`.

    Raises:
        UnknownIdError: an item is unknown.
        InputError: the history is empty.
    """
    check_on_unknown(on_unknown)
    history = bundle.state.history.items
    if not len(history):
        raise InputError("the history is empty, so nothing has a score; observe an item first")
    return _by_history(bundle, history, _Asked(*bundle.catalogue(), items, on_unknown=on_unknown))


def _by_history(bundle: PersonalBundle, history: np.ndarray, asked: _Asked) -> np.ndarray | float:
    scores = asked.nothing(1)
    if len(asked.distinct):
        found, points = bundle.rank(history, k=len(asked.distinct), barred=Barred((), asked.distinct))
        asked.put(scores, np.zeros(1, np.intp), found[None], points[None])
    if len(asked.added):
        asked.put_added(scores, 0, bundle.row(history))
    return asked.answer(scores, single=True)


def _in_order(bundle: OpenBundle | PersonalBundle) -> bool:
    if isinstance(bundle, PersonalBundle):
        return bundle.is_in_order
    return bundle.folder.manifest.ways.unknown.half_life is not None


class _Asked:
    """The items that scores are asked of, and where each score goes.

    Attributes:
        distinct: int64 [m], the known items of the bundle, ascending.
        added: int64 [a], places among the added items of those that are asked.
        filter: lets `distinct` come and no other.
    """

    def __init__(self, ids: IdMap, added: AddedItems | None, items: Given, *, on_unknown: OnUnknown) -> None:
        wanted, self._single = id_list(items, what="items")
        found = np.asarray(ids.find_many(wanted) if len(wanted) else [], np.int64)
        if on_unknown == "raise" and bool((found < 0).any()):
            raise unknown_id(
                ids,
                wanted[int(np.argmax(found < 0))],
                kind="item",
                advice="pass on_unknown='skip' to give it no score",
            )
        self._count = len(found)
        known = np.flatnonzero(found >= 0)
        distinct, first, which = np.unique(found[known], return_index=True, return_inverse=True)
        self._first = known[first]  # the column of each distinct item, those of added ones last
        exported = int(np.searchsorted(distinct, len(ids) - (0 if added is None else len(added))))
        self.distinct, self.added = distinct[:exported], distinct[exported:] - len(ids)
        self._rows = None if added is None else added.rows[self.added]
        self._repeats = (known, self._first[which]) if len(known) > len(first) else None
        self.filter = Filter(self.distinct, self.distinct[:0])

    def nothing(self, rows: int) -> np.ndarray:
        """float32 [rows, n] without a score in it."""
        return np.full((rows, self._count), np.nan, dtype=np.float32)

    def put(self, scores: np.ndarray, rows: np.ndarray, items: np.ndarray, points: np.ndarray) -> None:
        """Write what a ranking of `rows` has found, item indices and their scores [rows, ranks]."""
        there = items >= 0
        columns = self._first[np.searchsorted(self.distinct, items[there])]
        scores[np.broadcast_to(rows[:, None], items.shape)[there], columns] = points[there]

    @property
    def any(self) -> bool:
        """Whether a known item is asked at all."""
        return len(self.distinct) + len(self.added) > 0

    def put_added(self, scores: np.ndarray, place: int, row: np.ndarray) -> None:
        """Write the scores of added items for the row at a place."""
        if self._rows is not None:
            columns = self._first[len(self.distinct) :]
            scores[place, columns] = np.einsum("nd,d->n", self._rows, row, dtype=np.float32)

    def answer(self, scores: np.ndarray, *, single: bool) -> np.ndarray | float:
        """What a caller gets: a dimension less where one user stood alone, and where one item did."""
        if self._repeats is not None:
            columns, same_as = self._repeats
            scores[:, columns] = scores[:, same_as]
        if single:
            scores = scores[0]
        if not self._single:
            return scores
        alone: np.ndarray = scores[..., 0]
        return float(alone) if single else alone
