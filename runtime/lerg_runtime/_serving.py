"""Entity tables and the program `recommend`: what answers requests while weights stand still."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lerg_runtime._engine import Engine
from lerg_runtime._user_rows import UserRows
from lerg_runtime.bundle._csr import Interactions
from lerg_runtime.bundle._reader import Entities
from lerg_runtime.bundle._seen_only import SeenOnly
from lerg_runtime.bundle._shape import ModelShape

__all__ = ["Serving"]


class Serving:
    """Ranks items for users, and items by likeness, over tables that `encode` made.

    Args:
        engine: where programs and memory come from.
        shape: of the model.
        entities: slots of both sides.
        interactions: what each user has seen and is ranked by.
        seen_only: what each user has seen beside it.
        pruned_users: `history` or `placeholder`, what users who are not retained are ranked by.
        codebook: packed integers, as `encode` takes them.
        step: float32 [1] or [c].
        users_at_once: most users in one call of the program.

    Raises:
        BudgetError: tables or program do not fit the budget.
    """

    def __init__(
        self,
        engine: Engine,
        shape: ModelShape,
        entities: Entities,
        interactions: Interactions,
        seen_only: SeenOnly,
        *,
        pruned_users: str,
        codebook: np.ndarray,
        step: np.ndarray,
        users_at_once: int,
    ) -> None:
        empty = engine.budget.empty
        self._shape = shape
        self._entities = entities
        self._interactions = interactions
        self._seen_only = seen_only
        self.user_table: np.ndarray = empty((shape.user_slots, shape.dim), "float32")
        self.item_arrays: tuple[np.ndarray, ...] = tuple(
            empty(size, dtype) for dtype, size in shape.item_arrays
        )
        encode = engine.load("encode")
        encode.execute(codebook, step, outputs=[self.user_table, *self.item_arrays])
        del encode  # its arenas must be free before those of recommend are taken
        self._method = engine.load("recommend")
        self.users_at_once = users_at_once
        self._user_rows = UserRows(
            shape,
            entities,
            interactions,
            user_table=self.user_table,
            item_arrays=self.item_arrays,
            pruned_users=pruned_users,
            allocate=empty,
        )
        self._rows: np.ndarray = empty((users_at_once, shape.dim), "float32")
        self._seen: np.ndarray = empty((users_at_once, shape.items), "bool")
        self._ranks: np.ndarray = empty((shape.max_k,), "int64")
        self._ranks[:] = np.arange(shape.max_k)

    def rank(
        self,
        users: np.ndarray,
        *,
        k: int,
        include_seen: bool = False,
        measured: Callable[[int], np.ndarray] | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """The best items of each user, by descending score and then ascending item index.

        Args:
            users: integer [B] user indices.
            k: 1 .. I.
            include_seen: do not leave out what each user has seen.
            measured: gives the item indices that a user is measured on; of what was held out they alone are
                candidates.

        Returns:
            int64 [B, k] item indices, -1 where there are no more, and float32 [B, k] scores, -inf there.
        """
        items = np.empty((len(users), k), dtype=np.int64)
        scores = np.empty((len(users), k), dtype=np.float32)
        for start in range(0, len(users), self.users_at_once):
            batch = users[start : start + self.users_at_once]
            rows = slice(start, start + len(batch))
            self._user_rows.of_users(batch, self._rows[: len(batch)])
            seen = None if include_seen else [self._seen_by(user, measured) for user in batch.tolist()]
            self._fill(items[rows], scores[rows], seen=seen)
        return items, scores

    def rank_history(
        self, history: np.ndarray, *, k: int, include_seen: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """The best items of somebody unknown to the bundle who has touched these.

        Args:
            history: integer [n] item indices, n >= 1, unique.
            k: 1 .. I.
            include_seen: do not leave out the history.

        Returns:
            As `rank` of one user: int64 [1, k] and float32 [1, k].
        """
        items = np.empty((1, k), dtype=np.int64)
        scores = np.empty((1, k), dtype=np.float32)
        self._user_rows.of_history(history, self._rows[0])
        self._fill(items, scores, seen=None if include_seen else [history])
        return items, scores

    def _seen_by(self, user: int, measured: Callable[[int], np.ndarray] | None) -> np.ndarray:
        others = self._seen_only.of_user(user, candidates=None if measured is None else measured(user))
        return np.concatenate((self._interactions.of_user(user), others))

    def _fill(self, items: np.ndarray, scores: np.ndarray, *, seen: list[np.ndarray] | None) -> None:
        """Rank for the first of `self._rows`, as many as `items` and `scores` have.

        Args:
            seen: item indices that are left out, one array a row; None leaves out nothing.
        """
        count, k = items.shape
        rows, left_out = self._rows[:count], self._seen[:count]
        left_out[:] = False
        for row, indices in enumerate(seen or ()):
            left_out[row, indices] = True
        for start in range(0, k, self._shape.max_k):
            ranks = self._ranks[: min(self._shape.max_k, k - start)]
            found, points = self._method.execute(
                rows, *self.item_arrays, self._entities.item_slots, left_out, ranks
            )
            end = start + len(ranks)
            items[:, start:end], scores[:, start:end] = found, points
            if end < k:
                # More than the program gives at once: what it gave counts as seen for the next call.
                given = np.nonzero(found >= 0)
                left_out[given[0], found[given]] = True
            del found, points  # counted memory, which the next call takes again

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
