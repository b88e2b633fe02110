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
from lerg_runtime.serving._lanes import Lanes
from lerg_runtime.serving._metric import make_metrics
from lerg_runtime.serving._snapshot import Snapshot
from lerg_runtime.serving._user_rows import UserRows

__all__ = ["Piece", "Serving"]


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a ranking. Its arrays are the program's own and are written again for the next part.

    Attributes:
        users: which of the users asked for.
        ranks: which places of their rankings.
        items: int64 [users, ranks] item indices, -1 where there are no more.
        scores: float32 [users, ranks], -inf where there are no more.
    """

    users: slice
    ranks: slice
    items: np.ndarray
    scores: np.ndarray


class Serving:
    """Ranks items for users, and items by likeness, over tables that `encode` made of one snapshot.

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
        self.lanes = lanes
        lanes.make_first()
        self._user_rows = UserRows(
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
        return self._user_rows.degrees

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
    ) -> Iterator[Piece]:
        """The best items of each user, by descending score and then ascending item index.

        Args:
            users: integer [B] user indices.
            k: 1 .. I.
            include_seen: do not leave out what each user has seen.
            measured: gives the item indices that a user is measured on; of what was held out they alone are
                candidates.

        Yields:
            Part after part: of some users all places, then of the next ones.
        """
        for start in range(0, len(users), self.users_at_once):
            batch = users[start : start + self.users_at_once]
            seen = None if include_seen else [self._seen_by(user, measured) for user in batch.tolist()]
            with self.lanes.lane() as lane:
                self._user_rows.of_users(batch, lane.rows[: len(batch)], gathered=lane.gathered)
                for ranks, items, scores in lane.rank(len(batch), *self._tables, k=k, seen=seen):
                    yield Piece(slice(start, start + len(batch)), ranks, items, scores)

    def rank_history(self, history: np.ndarray, *, k: int, include_seen: bool = False) -> Iterator[Piece]:
        """The best items of somebody unknown to the bundle who has touched these.

        Args:
            history: integer [n] item indices, n >= 1, unique, the oldest first.
            k: 1 .. I.
            include_seen: do not leave out the history.

        Yields:
            As `rank` for one user.
        """
        with self.lanes.lane() as lane:
            self._user_rows.of_history(history, lane.rows[0], gathered=lane.gathered)
            seen = None if include_seen else [history]
            for ranks, items, scores in lane.rank(1, *self._tables, k=k, seen=seen):
                yield Piece(slice(0, 1), ranks, items, scores)

    def _seen_by(self, user: int, measured: Callable[[int], np.ndarray] | None) -> np.ndarray:
        others = self._seen_only.of_user(user, candidates=None if measured is None else measured(user))
        low = () if self.disliked is None else (self.disliked.of_user(user),)
        return np.concatenate((self.interactions.of_user(user), others, *low))

    @property
    def _tables(self) -> tuple[np.ndarray, ...]:
        return (*self.item_arrays, self._entities.item_slots)

    def similar(self, item: int, *, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The items nearest to `item` by cosine of their embeddings, itself left out.

        Args:
            item: item index.
            k: 1 .. I - 1.

        Returns:
            int64 [k] item indices, by descending cosine and then ascending index, and float32 [k] cosines.
        """
        # Once a slot, so that items that share a placeholder have equal cosines to the last bit. The scales
        # of an int8 table leave a cosine as it is.
        table = self.item_arrays[0]
        norms = np.sqrt(np.einsum("sd,sd->s", table, table, dtype=np.float32))
        row = table[self._entities.item_slots[item]]
        products = np.einsum("sd,d->s", table, row, dtype=np.float32)
        cosines = products / np.maximum(
            norms * norms[self._entities.item_slots[item]], np.finfo(np.float32).tiny
        )
        of_items = cosines[self._entities.item_slots].astype(np.float32)
        of_items[item] = -np.inf
        order = np.argsort(-of_items, kind="stable")[:k]
        return order.astype(np.int64), of_items[order]
