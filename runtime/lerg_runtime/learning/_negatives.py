"""Negative items: uniform over what a user has not touched, or the hardest of several such."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lerg_runtime.bundle._csr import InteractionRows
from lerg_runtime.bundle._entities import Entities
from lerg_runtime.bundle._shape import ModelShape
from lerg_runtime.engine._engine import Engine, native

__all__ = ["Negatives"]

_Allocate = Callable[[tuple[int, ...], str], np.ndarray]


class Negatives:
    """Draws one item for each user of a batch.

    With several candidates the one that scores highest is taken, so that training spends itself on items
    that are in the way and not on those that rank low already: dynamic negative sampling (Zhang, Chen, Wang
    and Yu, SIGIR 2013). Scores are those of the tables of the last `refresh`.

    Args:
        interactions: what nobody is given as a negative.
        entities: slots of both sides.
        shape: of the model.
        batch: most users of a draw.
        candidates: items drawn for each; 1 draws uniformly and needs no tables.
        allocate: memory of the draw and of the tables.
    """

    def __init__(
        self,
        interactions: InteractionRows,
        entities: Entities,
        shape: ModelShape,
        *,
        batch: int,
        candidates: int,
        allocate: _Allocate,
    ) -> None:
        self._interactions = interactions
        self._entities = entities
        self._shape = shape
        self._drawn: np.ndarray = allocate((candidates * batch,), "int32")
        self._candidates = candidates
        self._tables: list[np.ndarray] = []
        if candidates > 1:
            arrays = (("float32", (shape.user_slots, shape.dim)), *shape.item_arrays)
            self._slots: np.ndarray = allocate((candidates * batch,), "int32")
            self._tables = [allocate(size, dtype) for dtype, size in arrays]

    @property
    def uses_tables(self) -> bool:
        """Whether `refresh` is needed before the first draw."""
        return bool(self._tables)

    def refresh(self, engine: Engine, codebook: np.ndarray, step: np.ndarray) -> None:
        """Make the tables of these weights, packed as `encode` takes them.

        Raises:
            BudgetError: the program `encode` does not fit beside what is in memory.
        """
        engine.load("encode").execute(engine.packed_codebook(codebook), step, outputs=self._tables)

    def draw(self, users: np.ndarray, random: Any) -> np.ndarray:
        """A negative item of each user.

        Args:
            users: int32 [n] user indices.
            random: numpy Generator.

        Returns:
            int32 [n] item indices, -1 for who has touched every item.
        """
        drawn = self._drawn[: self._candidates * len(users)].reshape(self._candidates, len(users))
        for row in drawn:
            native().sample_negatives(
                users,
                self._interactions.indptr,
                self._interactions.items,
                self._shape.items,
                int(random.integers(2**63)),
                row,
            )
        if not self._tables:
            return drawn[0]
        hardest = np.empty(len(users), dtype=np.int32)
        slots = self._slots[: drawn.size].reshape(drawn.shape)
        # Of -1 too: whose row it is does not matter.
        np.take(self._entities.item_slots, drawn, out=slots, mode="wrap")
        users_table, items_table, *scales = self._tables
        native().hardest_candidates(
            users_table,
            items_table,
            scales[0] if scales else None,
            self._entities.user_slots[users],
            slots,
            hardest,
        )
        return np.take_along_axis(drawn, hardest[None].astype(np.intp), axis=0)[0]
