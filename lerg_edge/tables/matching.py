"""Tables and interactions brought together: the same entities, in the same order, each with a row."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lerg_edge.data.interactions import Dataset, IdMap, Interactions, ReadReport, SplitReport
from lerg_edge.errors import InputError
from lerg_edge.propagation.graph import normalised_bipartite
from lerg_edge.tables.given import GivenTables

__all__ = ["Matched", "matched"]


@dataclass(frozen=True, slots=True, eq=False)
class Matched:
    """Rows and the interactions of those whom they belong to.

    Attributes:
        dataset: over the entities of the tables; without a pair where none were given.
        users: float32 [U, d], by index.
        items: float32 [I, d], likewise.
        left_out: pairs of entities without a row.
    """

    dataset: Dataset
    users: NDArray[np.float32]
    items: NDArray[np.float32]
    left_out: int = 0

    def reordered(self, users: NDArray[np.integer], items: NDArray[np.integer]) -> Matched:
        """The same under other indices, see :meth:`lerg_edge.data.interactions.Dataset.reordered`."""
        dataset = self.dataset.reordered(users, items)
        return replace(self, dataset=dataset, users=self.users[users], items=self.items[items])


def matched(tables: GivenTables, dataset: Dataset | None, *, skip_unknown: bool = False) -> Matched:
    """Find the row of everybody in the interactions.

    Without rows of users, those of the data are served by their training pairs: one hop of LightGCN's
    propagation from the rows of their items.

    Args:
        tables: the rows.
        dataset: interactions by raw id; None for none.
        skip_unknown: leave out, and count, pairs of users or items without a row.

    Raises:
        InputError: a pair has no row, or none has; or there are neither rows of users nor interactions.
    """
    item_ids = _numbered(tables.item_ids, len(tables.items))
    if dataset is None:
        if tables.users is None:
            raise InputError.naming(
                "there are rows of items alone; give {interactions}, which rows of users are made of"
            )
        user_ids = _numbered(tables.user_ids, len(tables.users))
        return Matched(_without_pairs(user_ids, item_ids), tables.users, tables.items)
    user_ids = (
        dataset.train.user_ids if tables.users is None else _numbered(tables.user_ids, len(tables.users))
    )
    places = (_places(user_ids, dataset.train.user_ids), _places(item_ids, dataset.train.item_ids))
    parts: dict[str, Interactions | None] = {}
    left_out = 0
    for name in ("train", "test", "disliked"):
        pairs: Interactions | None = getattr(dataset, name)
        parts[name] = None
        if pairs is not None:
            parts[name], missing = _moved(pairs, places, user_ids, item_ids, skip=skip_unknown)
            left_out += missing
    train, test = parts["train"], parts["test"]
    if train is None or (test is not None and dataset.test is not None and not test.pair_count):
        raise InputError.naming(
            "no test pair has rows in the tables; are {user_ids} and {item_ids} those of the model?"
        )
    if not train.pair_count and dataset.train.pair_count:
        raise InputError.naming(
            "no pair has rows in the tables; are {user_ids} and {item_ids} those of the model?"
        )
    users = tables.users
    if users is None:
        users = (normalised_bipartite(train.matrix()) @ tables.items).astype(np.float32)
    report = train.report
    train = replace(train, report=replace(report, bad_rows_skipped=report.bad_rows_skipped + left_out))
    found = replace(dataset, train=train, test=test, disliked=parts["disliked"], titles=None)
    return Matched(found, users, tables.items, left_out)


def _without_pairs(user_ids: IdMap, item_ids: IdMap) -> Dataset:
    nothing = np.empty(0, np.int32)
    pairs = Interactions.from_pairs(
        nothing, nothing, user_ids=user_ids, item_ids=item_ids, report=ReadReport()
    )
    return Dataset(pairs, split=SplitReport(kind="none", reason="no interactions were given"))


def _numbered(ids: IdMap | None, count: int) -> IdMap:
    return IdMap(np.arange(count, dtype=np.int64)) if ids is None else ids


def _places(ids: IdMap, others: IdMap) -> NDArray[np.int64]:
    """The index in `ids` of each of the other ids, -1 where there is none; 12 and "12" are the same id."""
    table = {str(value): index for index, value in enumerate(ids)}
    return np.fromiter((table.get(str(value), -1) for value in others), dtype=np.int64, count=len(others))


def _moved(
    pairs: Interactions,
    places: tuple[NDArray[np.int64], NDArray[np.int64]],
    user_ids: IdMap,
    item_ids: IdMap,
    *,
    skip: bool,
) -> tuple[Interactions, int]:
    """Pairs under the indices of the tables, and how many were left out."""
    users, items = places[0][pairs.users], places[1][pairs.items]
    known = (users >= 0) & (items >= 0)
    missing = len(known) - int(np.count_nonzero(known))
    if missing and not skip:
        first = int(np.argmin(known))
        side = "user" if users[first] < 0 else "item"
        raw = (pairs.user_ids if side == "user" else pairs.item_ids).values[getattr(pairs, f"{side}s")[first]]
        raise InputError.naming(
            f"{side} {{!r}} of the interactions has no row in the tables, and so {{:,}} of {{:,}} pairs have "
            f"none; give the ids of the rows by {{{side}_ids}}, or leave such pairs out by "
            "{skip_bad_rows:true}",
            raw,
            missing,
            len(known),
        )
    moved = Interactions.from_pairs(
        users[known],
        items[known],
        user_ids=user_ids,
        item_ids=item_ids,
        timestamps=None if pairs.timestamps is None else pairs.timestamps[known],
        rows=None if pairs.rows is None else pairs.rows[known],
        report=pairs.report,
    )
    return moved, missing
