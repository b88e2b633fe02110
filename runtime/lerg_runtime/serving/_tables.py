"""Entity tables of one snapshot, and ranking over them by any number of threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from lerg_runtime.bundle._entities import Entities
from lerg_runtime.bundle._seen_only import SeenOnly
from lerg_runtime.bundle._shape import ModelShape
from lerg_runtime.bundle._ways import ServingWays
from lerg_runtime.engine._engine import Engine
from lerg_runtime.pairs._items import Filter
from lerg_runtime.serving._barred import Barred
from lerg_runtime.serving._best import Best
from lerg_runtime.serving._lanes import Lane, Lanes
from lerg_runtime.serving._likeness import nearest
from lerg_runtime.serving._local_counts import LocalCounts
from lerg_runtime.serving._metric import make_metrics
from lerg_runtime.serving._popular import most_popular
from lerg_runtime.serving._snapshot import Snapshot
from lerg_runtime.serving._user_rows import UserRows

__all__ = ["Piece", "Serving"]

_LIKE_AT_ONCE = 64  # users whose rows are held while all others are gone through


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a ranking. Its arrays are the program's own and are written again for the next part.

    Attributes:
        users: which of the users asked for.
        ranks: which places of their rankings.
        items: int64 [users, ranks] item indices, -1 where there are no more.
        scores: float32 [users, ranks], -inf where there are no more.
        rows: float32 [users, d], what the users are ranked by.
        last: whether no more places of these users come.
    """

    users: slice
    ranks: slice
    items: np.ndarray
    scores: np.ndarray
    rows: np.ndarray
    last: bool


class Serving:
    """Ranks items for users, and entities by likeness, over tables that `encode` made of one snapshot.

    Any number of threads may call it: tables are only read, and each call ranks in a lane of its own.

    Args:
        engine: where programs and memory come from.
        shape: of the model.
        entities: slots of both sides.
        snapshot: weights, and the interactions that each user is ranked by.
        seen_only: what each user has seen beside them.
        ways: by what people are ranked.
        lanes: where calls are ranked.

    Attributes:
        interactions, disliked: of the snapshot.
        user_table, item_arrays: what `encode` has made.
        lanes: as given.
        counts: raises items that were touched here; None where none is raised.
        user_rows: by what users are ranked.

    Raises:
        BudgetError: tables or the first lane do not fit the budget.
    """

    def __init__(
        self,
        engine: Engine,
        shape: ModelShape,
        entities: Entities,
        snapshot: Snapshot,
        seen_only: SeenOnly,
        *,
        ways: ServingWays,
        lanes: Lanes,
    ) -> None:
        empty = engine.budget.empty
        self._entities = entities
        self.interactions = snapshot.interactions
        self.disliked = snapshot.disliked
        self._seen_only = seen_only
        self.user_table: np.ndarray = empty((shape.user_slots, shape.dim), "float32")
        self.item_arrays: tuple[np.ndarray, ...] = tuple(
            empty(size, dtype) for dtype, size in shape.item_arrays
        )
        encode = engine.load("encode")
        codes = engine.packed_codebook(snapshot.state.codebook)
        encode.execute(codes, snapshot.state.step, outputs=[self.user_table, *self.item_arrays])
        del encode  # its arenas must be free before those of recommend are taken
        metrics = make_metrics(ways.ridges, shape, self.item_arrays, entities.item_slots, allocate=empty)
        self.counts: LocalCounts | None = None
        if ways.local_counts and len(snapshot.state.items):
            self.counts = LocalCounts(
                snapshot.state,
                snapshot.disliked,
                weight=ways.local_counts,
                item_arrays=self.item_arrays,
                item_slots=entities.item_slots,
                allocate=empty,
            )
        self.lanes = lanes
        lanes.make_first()
        self.user_rows = UserRows(
            shape,
            entities,
            snapshot.interactions,
            user_table=self.user_table,
            item_arrays=self.item_arrays,
            ways=ways,
            metrics=metrics,
            allocate=empty,
        )

    @property
    def item_degrees(self) -> np.ndarray:
        """int32 [I], how many users have touched each item."""
        return self.user_rows.degrees

    @property
    def users_at_once(self) -> int:
        """Most users in one call of the program."""
        return self.lanes.users

    def rank(
        self,
        users: np.ndarray,
        *,
        k: int,
        include_seen: bool = False,
        measured: Callable[[int], np.ndarray] | None = None,
        filters: Callable[[int], Filter] | None = None,
    ) -> Iterator[Piece]:
        """The best items of each user, by descending score and then ascending item index.

        Args:
            users: integer [B] user indices.
            k: 1 .. I.
            include_seen: do not leave out what each user has seen.
            measured: gives the item indices that a user is measured on; of what was held out they alone are
                candidates.
            filters: gives what may come for a user, by their place in `users`; None for everything.

        Yields:
            Part after part: of some users all places, then of the next ones.
        """
        for start in range(0, len(users), self.users_at_once):
            batch = users[start : start + self.users_at_once]
            barred = [
                self._barred(
                    () if include_seen else self._seen_by(user, measured),
                    None if filters is None else filters(start + row),
                )
                for row, user in enumerate(batch.tolist())
            ]
            with self.lanes.lane() as lane:
                self.user_rows.of_users(batch, lane.rows[: len(batch)], gathered=lane.gathered)
                for ranks, items, scores in self._rank(lane, len(batch), k=k, barred=barred):
                    users_there = slice(start, start + len(batch))
                    rows = lane.rows[: len(batch)]
                    yield Piece(users_there, ranks, items, scores, rows, last=ranks.stop == k)

    def rank_history(
        self, history: np.ndarray, *, k: int, include_seen: bool = False, only: Filter | None = None
    ) -> Iterator[Piece]:
        """The best items of somebody unknown to the bundle who has touched these.

        Args:
            history: integer [n] item indices, n >= 1, unique, the oldest first.
            k: 1 .. I.
            include_seen: do not leave out the history.
            only: what may come; None for everything.

        Yields:
            As `rank` for one user.
        """
        with self.lanes.lane() as lane:
            self.user_rows.of_history(history, lane.rows[0], gathered=lane.gathered)
            barred = [self._barred(() if include_seen else (history,), only)]
            for ranks, items, scores in self._rank(lane, 1, k=k, barred=barred):
                yield Piece(slice(0, 1), ranks, items, scores, lane.rows[:1], last=ranks.stop == k)

    def most_popular(self, only: Filter | None, *, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The items that most users have touched; see `most_popular`.

        Args:
            only: what may come; None for everything.
            k: 1 .. I.
        """
        degrees = self.item_degrees
        return most_popular(
            lambda first, last: degrees[first:last],
            count=len(degrees),
            k=k,
            only=only or Filter(None, degrees[:0]),
        )

    def similar_items(self, items: np.ndarray, k: int, added: np.ndarray | None = None) -> Best:
        """The items nearest to each of these by cosine of their rows, itself left out; see `nearest`.

        Args:
            items: integer [q] item indices, those of added items from I on.
            k: 1 .. I + n - 1.
            added: float32 [n, d], rows of items that were added here; None for none.
        """
        count = len(self._entities.item_slots)
        with self.lanes.lane() as lane:
            return nearest(
                lambda first, last: self.user_rows.item_rows(first, last, lane.gathered),
                count=count,
                at_once=len(lane.gathered),
                wanted=items,
                # Views. The scales of an int8 table leave a cosine as it is.
                wanted_rows=[
                    self.item_arrays[0][self._entities.item_slots[item]]
                    if item < count
                    else added[item - count]  # type: ignore[index]
                    for item in items.tolist()
                ],
                k=k,
                more=added,
            )

    def similar_users(self, users: np.ndarray, k: int) -> Best:
        """The users nearest to each of these by cosine of the rows that they are ranked by.

        Args:
            users: integer [q] user indices.
            k: 1 .. U - 1.
        """
        found = Best(len(users), k)
        for start in range(0, len(users), _LIKE_AT_ONCE):
            part = slice(start, start + _LIKE_AT_ONCE)
            with self.lanes.lane() as lane:
                best = self._like(users[part], lane, k=k)
            found.indices[part], found.scores[part] = best.indices, best.scores
        return found

    def users(self) -> np.ndarray:
        """The row that each user is ranked by, float32 [U, d]; the caller's own."""
        count = len(self._entities.user_slots)
        found = np.empty((count, self.user_table.shape[1]), dtype=np.float32)
        with self.lanes.lane() as lane:
            for start in range(0, count, _LIKE_AT_ONCE):
                part = np.arange(start, min(start + _LIKE_AT_ONCE, count))
                self.user_rows.of_users(part, found[start : start + len(part)], gathered=lane.gathered)
        return found

    def row_of_users(self, users: np.ndarray) -> np.ndarray:
        """The row of an item that these users alone have touched, by one hop, float32 [d]; as long as the
        items' rows are in the quadratic mean.

        Args:
            users: integer [n] user indices, n >= 1.
        """
        total = np.zeros(self.user_table.shape[1], dtype=np.float64)
        degrees = np.maximum(np.diff(self.interactions.indptr), 1)[users]
        weights = 1.0 / np.sqrt(degrees.astype(np.float64) * len(users))
        with self.lanes.lane() as lane:
            for start in range(0, len(users), len(lane.rows)):
                part = users[start : start + len(lane.rows)]
                rows = lane.rows[: len(part)]
                self.user_rows.of_users(part, rows, gathered=lane.gathered, compared=False)
                total += np.einsum("nd,n->d", rows, weights[start : start + len(part)])
            wanted = self._item_length(lane)
        own = float(np.sqrt(total @ total))
        return (total * (wanted / own if own > 0 else 1.0)).astype(np.float32)

    def _item_length(self, lane: Lane) -> float:
        """Length of the items' rows in the quadratic mean."""
        count, total = len(self._entities.item_slots), 0.0
        for first in range(0, count, len(lane.gathered)):
            last = min(first + len(lane.gathered), count)
            rows = self.user_rows.item_rows(first, last, lane.gathered)
            squares = np.einsum("nd,nd->n", rows, rows, dtype=np.float64)
            for scales in self.item_arrays[1:]:
                squares *= scales[self._entities.item_slots[first:last]].reshape(-1).astype(np.float64) ** 2
            total += float(squares.sum())
        return float(np.sqrt(total / count))

    def items(self) -> np.ndarray:
        """The row of each item, scales of an int8 table multiplied in, float32 [I, d]; the caller's own."""
        slots = self._entities.item_slots
        found = self.item_arrays[0][slots].astype(np.float32, copy=False)
        for scales in self.item_arrays[1:]:
            found *= scales[slots].reshape(-1, 1)
        return found

    def _like(self, users: np.ndarray, lane: Lane, *, k: int) -> Best:
        def rows(some: np.ndarray, out: np.ndarray) -> np.ndarray:
            self.user_rows.of_users(some, out, gathered=lane.gathered)
            return out

        own = np.empty((len(users), lane.rows.shape[1]), dtype=np.float32)
        return nearest(
            lambda first, last: rows(np.arange(first, last), lane.rows[: last - first]),
            count=len(self._entities.user_slots),
            at_once=len(lane.rows),
            wanted=users,
            wanted_rows=rows(users, own),
            k=k,
        )

    def _seen_by(self, user: int, measured: Callable[[int], np.ndarray] | None) -> tuple[np.ndarray, ...]:
        others = self._seen_only.of_user(user, candidates=None if measured is None else measured(user))
        low = () if self.disliked is None else (self.disliked.of_user(user),)
        return (self.interactions.of_user(user), others, *low)

    def _rank(
        self, lane: Lane, count: int, *, k: int, barred: list[Barred]
    ) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
        return lane.rank(count, *self._tables, k=k, barred=barred, counts=self.counts)

    @staticmethod
    def _barred(seen: tuple[np.ndarray, ...], filter_: Filter | None) -> Barred:
        return Barred(seen) if filter_ is None else Barred(seen, *filter_)

    @property
    def _tables(self) -> tuple[np.ndarray, ...]:
        return (*self.item_arrays, self._entities.item_slots)
