"""Interactions between users and items, and what came of reading them.

Nothing heavier than numpy is imported here, so that tools which only handle data stay quick to start.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lerg_edge.data._arrays import distinct_sorted
from lerg_edge.data._ids import IdMap
from lerg_edge.data.features import ItemFeatures
from lerg_edge.data.titles import ItemTitles
from lerg_edge.errors import InputError

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["Dataset", "IdMap", "Interactions", "ReadReport", "SplitReport"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadReport:
    """What happened between the rows of a source and the pairs of an ``Interactions``.

    Attributes:
        rows_read: rows (in the ``user item item ...`` form: items) met, bad ones not counted.
        duplicates_merged: rows that repeated a pair; the latest one stands for all.
        bad_rows_skipped: rows left out because they could not be read.
        below_threshold: rows that are no positives because of their rating.
        users_without: users that have no pair.
        items_without: items that have no pair.
        form: how the file was read, in words; None for what was read from no file.
        columns: by role (user, item, rating, timestamp) the name that the file gives to the column; empty for
            what has no header.
        timestamp_unit: ``s``, ``ms``, ``us`` or ``ns`` since 1970; None without timestamps.
    """

    rows_read: int = 0
    duplicates_merged: int = 0
    bad_rows_skipped: int = 0
    below_threshold: int = 0
    users_without: int = 0
    items_without: int = 0
    form: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    timestamp_unit: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Interactions:
    """Distinct (user, item) pairs, sorted by user and then item.

    Attributes:
        users: int32 [n], user indices.
        items: int32 [n], item indices.
        user_ids: ids of the U users, those without a pair included.
        item_ids: ids of the I items, those without a pair included.
        timestamps: int64 [n] in the unit of the source, or None.
        rows: int64 [n], the source's row (from 0) that stands for each pair; only beside timestamps, and None
            where the order of the source is not known.
        report: how the pairs came about.

    Raises:
        InputError: the arrays differ in length or type, or the pairs are unsorted, repeated or out of range.
    """

    users: NDArray[np.int32]
    items: NDArray[np.int32]
    user_ids: IdMap
    item_ids: IdMap
    timestamps: NDArray[np.int64] | None = None
    rows: NDArray[np.int64] | None = None
    report: ReadReport = field(default_factory=ReadReport)

    def __post_init__(self) -> None:
        if self.users.dtype != np.int32 or self.items.dtype != np.int32 or self.users.ndim != 1:
            raise InputError("users and items must be flat int32 arrays; use Interactions.from_pairs")
        if self.users.shape != self.items.shape:
            raise InputError(f"{self.users.size} users came with {self.items.size} items; give one per pair")
        times = self.timestamps
        if times is not None and (times.shape != self.users.shape or times.dtype != np.int64):
            raise InputError("timestamps must be an int64 array with one value per pair")
        rows = self.rows
        if rows is not None and (rows.shape != self.users.shape or rows.dtype != np.int64):
            raise InputError("rows must be an int64 array with one value per pair")
        _check_range(self.users, len(self.user_ids), name="user")
        _check_range(self.items, len(self.item_ids), name="item")
        keys = self._keys()
        if not bool(np.all(keys[:-1] < keys[1:])):
            raise InputError("pairs must be sorted and unique; use Interactions.from_pairs")

    @classmethod
    def from_pairs(
        cls,
        users: NDArray[Any],
        items: NDArray[Any],
        *,
        user_ids: IdMap,
        item_ids: IdMap,
        timestamps: NDArray[Any] | None = None,
        rows: NDArray[np.int64] | None = None,
        report: ReadReport | None = None,
    ) -> Interactions:
        """Sort index pairs and merge repeated ones: the latest row stands for all, and of equals the last.

        Args:
            users: integer [n], indices into ``user_ids``.
            items: integer [n], indices into ``item_ids``.
            timestamps: integer [n], or None.
            rows: int64 [n], ascending, the source's row of each; None if they are all rows in their order.
            report: counts so far; those of merged rows and of entities without a pair are filled in here.

        Raises:
            InputError: lengths differ or an index is out of range.
        """
        if users.shape != items.shape or (timestamps is not None and timestamps.shape != users.shape):
            raise InputError("users, items and timestamps must have one value per pair each")
        _check_range(users, len(user_ids), name="user")
        _check_range(items, len(item_ids), name="item")
        keys = users.astype(np.int64) * max(len(item_ids), 1) + items
        times: NDArray[np.int64] | None = None
        places: NDArray[np.int64] | None = None
        if timestamps is None:
            distinct = distinct_sorted(keys)
        else:
            order = np.lexsort((timestamps, keys))  # stable: equally late rows stay in their order
            latest = order[np.flatnonzero(np.diff(keys[order], append=-1))]
            distinct, times = keys[latest], timestamps[latest].astype(np.int64)
            places = latest.astype(np.int64) if rows is None else rows[latest]
        user_column, item_column = np.divmod(distinct, max(len(item_ids), 1))
        base = report if report is not None else ReadReport(rows_read=users.size)
        return cls(
            user_column.astype(np.int32),
            item_column.astype(np.int32),
            user_ids,
            item_ids,
            times,
            places,
            replace(base, duplicates_merged=base.duplicates_merged + keys.size - distinct.size),
        )._counted()

    @classmethod
    def from_raw(
        cls, users: Iterable[Any], items: Iterable[Any], *, timestamps: Iterable[int] | None = None
    ) -> Interactions:
        """Interactions of raw ids, one user and one item per pair (and one integer timestamp, if given).

        Raises:
            InputError: lengths differ, there is no pair, or an id is neither an integer nor a string.
        """
        user_list, item_list = list(users), list(items)
        if len(user_list) != len(item_list):
            raise InputError(f"{len(user_list)} users came with {len(item_list)} items; give one per pair")
        if not user_list:
            raise InputError("there are no interactions; give at least one user and item")
        user_ids, item_ids = IdMap.from_values(user_list), IdMap.from_values(item_list)
        return cls.from_pairs(
            user_ids.indices_of(user_list),
            item_ids.indices_of(item_list),
            user_ids=user_ids,
            item_ids=item_ids,
            timestamps=None if timestamps is None else np.array(list(timestamps), dtype=np.int64),
        )

    @property
    def user_count(self) -> int:
        """U, users without a pair included."""
        return len(self.user_ids)

    @property
    def item_count(self) -> int:
        """I, items without a pair included."""
        return len(self.item_ids)

    @property
    def pair_count(self) -> int:
        """n, the number of distinct pairs."""
        return int(self.users.size)

    def matrix(self) -> csr_matrix:
        """The pairs as scipy CSR, float32 [U, I] of ones, indices sorted; it shares no memory with this."""
        from scipy.sparse import csr_matrix

        indptr = np.zeros(self.user_count + 1, dtype=np.int32)
        np.cumsum(np.bincount(self.users, minlength=self.user_count), out=indptr[1:])
        ones = np.ones(self.pair_count, dtype=np.float32)
        return csr_matrix((ones, self.items.copy(), indptr), shape=(self.user_count, self.item_count))

    def subset(self, keep: NDArray[np.bool_]) -> Interactions:
        """The pairs where ``keep`` (bool [n]) is true, over the same users and items."""
        return replace(
            self,
            users=self.users[keep],
            items=self.items[keep],
            timestamps=None if self.timestamps is None else self.timestamps[keep],
            rows=None if self.rows is None else self.rows[keep],
        )._counted()

    def reordered(self, users: NDArray[np.integer], items: NDArray[np.integer]) -> Interactions:
        """The same pairs of the same ids under other indices.

        Args:
            users, items: the indices of all entities of a side, in their new order.
        """
        place_of_user, place_of_item = _places(users), _places(items)
        new_users, new_items = place_of_user[self.users], place_of_item[self.items]
        order = np.lexsort((new_items, new_users))
        return replace(
            self,
            users=new_users[order],
            items=new_items[order],
            user_ids=IdMap(self.user_ids.values[users]),
            item_ids=IdMap(self.item_ids.values[items]),
            timestamps=None if self.timestamps is None else self.timestamps[order],
            rows=None if self.rows is None else self.rows[order],
        )

    def union(self, other: Interactions) -> Interactions:
        """These pairs and others over the same users and items; none may be in both.

        Raises:
            InputError: a pair is in both.
        """
        order = np.argsort(np.concatenate([self._keys(), other._keys()]), kind="stable")

        def joined(mine: NDArray[Any] | None, theirs: NDArray[Any] | None) -> NDArray[Any] | None:
            return None if mine is None or theirs is None else np.concatenate([mine, theirs])[order]

        return replace(
            self,
            users=np.concatenate([self.users, other.users])[order],
            items=np.concatenate([self.items, other.items])[order],
            timestamps=joined(self.timestamps, other.timestamps),
            rows=joined(self.rows, other.rows),
        )._counted()

    def _counted(self) -> Interactions:
        """This, with the entities without a pair counted in the report."""
        users_with = np.count_nonzero(np.bincount(self.users, minlength=self.user_count))
        items_with = np.count_nonzero(np.bincount(self.items, minlength=self.item_count))
        report = replace(
            self.report,
            users_without=self.user_count - int(users_with),
            items_without=self.item_count - int(items_with),
        )
        return replace(self, report=report)

    def _keys(self) -> NDArray[np.int64]:
        """One int64 per pair, ascending in (user, item) order."""
        return self.users.astype(np.int64) * max(self.item_count, 1) + self.items


def _check_range(indices: NDArray[Any], count: int, *, name: str) -> None:
    if indices.size and (int(indices.min()) < 0 or int(indices.max()) >= count):
        raise InputError(f"a {name} index is outside 0..{count - 1}; indices must point into the {name} ids")


def _places(order: NDArray[np.integer]) -> NDArray[np.int32]:
    """Where each index stands in an order of all of them."""
    places = np.empty(len(order), dtype=np.int32)
    places[order] = np.arange(len(order), dtype=np.int32)
    return places


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitReport:
    """How a test set came about.

    Attributes:
        kind: ``given`` with the data; cut out of it: ``ratio``, ``last`` or ``time``; or ``none``.
        reason: why this one, for people.
        share: part of the pairs that was to be held out; None where no share is drawn.
        seed: of what was drawn; None where nothing was.
        tied_users: with ``last``, users whose latest pair is not their only one of that time.
        ties_by: what decided for them, ``file order`` or ``seed``; None without ties.
        kept_users: with ``time``, users whose pairs are all later than the cut, and who keep the earliest.
    """

    kind: str
    reason: str
    share: float | None = None
    seed: int | None = None
    tied_users: int = 0
    ties_by: str | None = None
    kept_users: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Training pairs, held-out test pairs and pairs rated low, all over the same users and items.

    Attributes:
        train: the pairs to learn from.
        test: the pairs to measure on, none of them in ``train``; None if nothing was held out.
        pairs_in_both: pairs of a given test set that the data has too, and that were left out of the test.
        disliked: pairs rated below the threshold, in neither of the others; None without a threshold. They
            count as seen, and nothing is learned from them.
        rating_threshold: what made them so.
        split: how ``test`` came about; None stands for a given one.
        titles: what the items are called, where that was read.
        features: what is known of the items beside it, where that was read.
    """

    train: Interactions
    test: Interactions | None = None
    pairs_in_both: int = 0
    disliked: Interactions | None = None
    rating_threshold: float | None = None
    split: SplitReport | None = None
    titles: ItemTitles | None = None
    features: ItemFeatures | None = None

    @property
    def held_out(self) -> Interactions | None:
        """The test pairs if they were cut out of the data: people have seen them. None if they were given."""
        return self.test if self.split is not None and self.split.kind != "given" else None

    def reordered(self, users: NDArray[np.integer], items: NDArray[np.integer]) -> Dataset:
        """The same pairs under other indices, see ``Interactions.reordered``."""

        def moved(pairs: Interactions | None) -> Interactions | None:
            return None if pairs is None else pairs.reordered(users, items)

        return replace(
            self,
            train=self.train.reordered(users, items),
            test=moved(self.test),
            disliked=moved(self.disliked),
            titles=None if self.titles is None else self.titles.reordered(items),
            features=None if self.features is None else self.features.reordered(items),
        )

    def whole(self) -> Dataset:
        """With the pairs that were cut out put back into ``train``, and no test set."""
        if self.held_out is None:
            return replace(self, test=None)
        return replace(self, train=self.train.union(self.held_out), test=None)
