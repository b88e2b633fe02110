"""`Recommender.explain`: what each item of a history adds to the score of an item."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lerg_runtime.bundle._ids import IdMap, RawId
from lerg_runtime.bundle._ways import HistoryRule
from lerg_runtime.errors import InputError
from lerg_runtime.pairs._given import id_list
from lerg_runtime.pairs._items import Filter, Given, history_items
from lerg_runtime.pairs._resolved import OnUnknown, check_on_unknown, index_of
from lerg_runtime.serving._answer import raw_ids
from lerg_runtime.serving._barred import Barred
from lerg_runtime.serving._core import OpenBundle
from lerg_runtime.serving._personal import PersonalBundle
from lerg_runtime.serving._recommend import user_indices

__all__ = ["Explanation", "in_person", "in_shared"]


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """Why an item has its score. The shares, what local counts add and the rest are the score together.

    Attributes:
        item: raw id.
        score: as `recommend` ranks by.
        items: raw ids of the history, int64 or object [n], by descending share.
        shares: float64 [n], what each adds to the score; below 0 it takes away.
        rest: what is left of the score. `served_by` says what that is.
        served_by: `history` if the row is a sum over the history: then the shares are all of the score, and
            the rest is what rounding leaves, a few last bits, or with an int8 item table the rounding of the
            person's row. `table` if it is a row of the user's own, made by propagation: the shares are one
            hop of it, h_i' h / sqrt(deg_u deg_i), and the rest is the user's own codes and whatever comes
            from further away. `placeholder` if pruned users share it: no item of the history is in it, the
            shares are 0 and the rest is the score.
        local: what the item is raised by because it was touched here, where the bundle does that; else 0.
    """

    item: RawId
    score: float
    items: np.ndarray
    shares: np.ndarray
    rest: float
    served_by: str
    local: float = 0.0


def in_shared(bundle: OpenBundle, who: Given | None, item: RawId, *, on_unknown: OnUnknown) -> Explanation:
    """For a user of a shared bundle or for a history; see `Recommender.explain`.

    Raises:
        UnknownIdError: an id is unknown.
        InputError: no list of items, or none in the history that counts.
    """
    check_on_unknown(on_unknown)
    ids, ways = bundle.exported_ids("raise"), bundle.folder.manifest.ways
    target = index_of(ids, item, kind="item")
    _, is_user = id_list(who, what="items of the history", ordered=ways.unknown.half_life is not None)
    only = Filter(np.array([target]), np.empty(0, np.int64))
    if is_user:
        advice = "give a list of items for somebody whom the bundle does not know"
        _, indices, _ = user_indices(bundle, who, on_unknown="raise", advice=advice)
        user, served_by = int(indices[0]), ""
    else:
        in_order = ways.unknown.half_life is not None
        known = bundle.exported_ids(on_unknown)
        history = history_items(known, who, in_order=in_order, on_unknown=on_unknown)
    with bundle.serving() as serving:
        rows = serving.user_rows
        if is_user:
            served_by, history = rows.way_of(user), rows.items_of(user).astype(np.int64)
            rule, newcomers = ways.known if served_by == "history" else HistoryRule(), 0
            pieces = serving.rank(indices, k=1, include_seen=True, filters=lambda place: only)
        else:
            served_by, rule, newcomers = "history", ways.unknown, 1
            pieces = serving.rank_history(history, k=1, include_seen=True, only=only)
        (score,) = [float(piece.scores[0, 0]) for piece in pieces]
        shares, local = np.zeros(len(history)), 0.0
        with serving.lanes.lane() as lane:
            if served_by != "placeholder" and len(history):
                shares = rows.shares(history, target, rule=rule, newcomers=newcomers, gathered=lane.gathered)
            if serving.counts is not None:
                if is_user:
                    rows.of_users(indices, lane.rows[:1], gathered=lane.gathered)
                else:
                    rows.of_history(history, lane.rows[0], gathered=lane.gathered)
                local = serving.counts.added(lane.rows[0], target)
    return _explanation(ids, target, score, history, shares, served_by, local=local)


def in_person(
    bundle: PersonalBundle, who: Given | None, item: RawId, *, on_unknown: OnUnknown
) -> Explanation:
    """For the history that a personal bundle keeps, or for another; see `Recommender.explain`.

    Raises:
        UnknownIdError: an item is unknown.
        InputError: no list of items, or none in the history that counts.
    """
    check_on_unknown(on_unknown)
    ids = bundle.exported_ids("raise")
    target = index_of(ids, item, kind="item")
    if who is None:
        history = bundle.state.history.items.astype(np.int64)
        if not len(history):
            raise InputError("the history is empty, so nothing can be explained by it; observe an item first")
    else:
        known = bundle.exported_ids(on_unknown)
        history = history_items(known, who, in_order=bundle.is_in_order, on_unknown=on_unknown)
    _, scores = bundle.rank(history, k=1, barred=Barred((), np.array([target])))
    score = float(scores[0]) if len(scores) else -np.inf
    return _explanation(ids, target, score, history, bundle.shares(history, target), "history")


def _explanation(
    ids: IdMap,
    item: int,
    score: float,
    history: np.ndarray,
    shares: np.ndarray,
    served_by: str,
    *,
    local: float = 0.0,
) -> Explanation:
    order = np.argsort(-shares, kind="stable")
    return Explanation(
        item=ids[item],
        score=score,
        items=raw_ids(ids, history[order]),
        shares=shares[order],
        rest=score - float(shares.sum()) - local,
        served_by=served_by,
        local=local,
    )
