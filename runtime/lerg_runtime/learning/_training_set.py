"""Which interactions an epoch goes over, and the triples of its batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from lerg_runtime.bundle._csr import InteractionRows
from lerg_runtime.bundle._entities import Entities
from lerg_runtime.bundle._shape import ModelShape
from lerg_runtime.learning._negatives import Negatives

__all__ = ["TrainingSet"]

_CHUNK = 1 << 13

_Allocate = Callable[[tuple[int, ...], str], np.ndarray]


class TrainingSet:
    """New interactions, and earlier ones of which some are gone over again so that they are not forgotten.

    An interaction of a pruned user with a pruned item has no gradient and is left out.

    Args:
        interactions: all of them, the new ones included.
        entities: slots of both sides.
        shape: of the model.
        new: int32 [n], positions of the new ones in `interactions`, ascending; it is kept and written to.
        replay: how many of the others an epoch takes; None for all.
        disliked: pairs that are no positives any more; none of them is new.
        allocate: memory of the order.
        hold_out: how many of the new ones that can be trained on an epoch leaves out; drawn by `seed`.
        seed: see there.

    Attributes:
        new: new interactions that can be trained on.
        held_out: of them, left out.
        replayed: earlier interactions in an epoch.
    """

    def __init__(
        self,
        interactions: InteractionRows,
        entities: Entities,
        shape: ModelShape,
        *,
        new: np.ndarray,
        replay: int | None,
        allocate: _Allocate,
        disliked: InteractionRows | None = None,
        hold_out: Callable[[int], int] = lambda count: 0,
        seed: int = 0,
    ) -> None:
        self._interactions = interactions
        self._entities = entities
        self._shape = shape
        self._earlier: np.ndarray = allocate((len(interactions),), "int32")
        count = 0
        for start in range(0, len(interactions), _CHUNK):
            positions = np.arange(start, min(start + _CHUNK, len(interactions)), dtype=np.int32)
            keep = self._trainable(positions)
            if disliked is not None:
                low = disliked.find(interactions.users_of(positions), interactions.items[positions]) >= 0
                keep &= ~low
            # Bounds of another type than the places would have all of those converted.
            bounds = np.array((start, min(start + _CHUNK, len(interactions))), dtype=new.dtype)
            first, last = np.searchsorted(new, bounds)
            keep[new[first:last] - start] = False
            kept = positions[keep]
            self._earlier[count : count + len(kept)] = kept
            count += len(kept)
        self._earlier = self._earlier[:count]
        self.new = self._keep_trainable(new)
        self.replayed = count if replay is None else min(count, replay)
        self.held_out: int = hold_out(self.new)
        if self.held_out:
            np.random.default_rng([seed, 2]).shuffle(new[: self.new])
        self._fresh, self._left_out = (
            new[: self.new - self.held_out],
            new[self.new - self.held_out : self.new],
        )
        self._order: np.ndarray = allocate((len(self._fresh) + self.replayed,), "int32")

    def __len__(self) -> int:
        """Interactions in an epoch."""
        return len(self._order)

    def batches(
        self, size: int, random: Any, negatives: Negatives
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """One epoch of (user slots, positive item slots, negative item slots), int64 [B], 2 <= B <= size.

        Args:
            size: triples of a batch; only the last may have fewer.
            random: numpy Generator; decides which earlier ones, their order, and the negatives.
            negatives: draws them; made for batches of `size` at least.
        """
        random.shuffle(self._earlier)
        self._order[: len(self._fresh)] = self._fresh
        self._order[len(self._fresh) :] = self._earlier[: self.replayed]
        random.shuffle(self._order)
        for start in range(0, len(self._order), size):
            triples = self._triples(self._order[start : start + size], random, negatives)
            if triples is not None:
                yield triples

    def held_out_triples(
        self, random: Any, negatives: Negatives
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """As `batches`, one of those that epochs leave out; None if nobody among them has a negative."""
        return self._triples(self._left_out, random, negatives)

    def _triples(
        self, positions: np.ndarray, random: Any, negatives: Negatives
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        users = self._interactions.users_of(positions)
        items = self._interactions.items[positions]
        drawn = negatives.draw(users, random)
        # Someone who has touched every item has no negative.
        keep = drawn >= 0
        count = int(keep.sum())
        if count == 0:
            return None
        # The program takes two or more; the mean over a triple and its copy is that of the triple.
        copies = 2 if count == 1 else 1
        user_table, item_table = self._entities.user_slots, self._entities.item_slots
        return (
            np.repeat(user_table[users[keep]].astype(np.int64), copies),
            np.repeat(item_table[items[keep]].astype(np.int64), copies),
            np.repeat(item_table[drawn[keep]].astype(np.int64), copies),
        )

    def _keep_trainable(self, positions: np.ndarray) -> int:
        """Move those with a gradient to the front, some at a time, and tell how many they are."""
        count = 0
        for start in range(0, len(positions), _CHUNK):
            part = positions[start : start + _CHUNK]
            kept = part[self._trainable(part)]
            positions[count : count + len(kept)] = kept
            count += len(kept)
        return count

    def _trainable(self, positions: np.ndarray) -> np.ndarray:
        users = self._entities.user_slots[self._interactions.users_of(positions)]
        items = self._entities.item_slots[self._interactions.items[positions]]
        return (users < self._shape.retained_users) | (items < self._shape.retained_items)
