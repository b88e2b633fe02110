"""One open bundle: its arrays, its weights as they are now, and the tables made from them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from lerg_runtime._engine import Engine
from lerg_runtime._plan import MemoryPlan, Workload, check_phase, plan_memory
from lerg_runtime._serving import Serving
from lerg_runtime.bundle._csr import Interactions
from lerg_runtime.bundle._reader import BundleFolder, Entities, StoredSizes
from lerg_runtime.bundle._seen_only import SeenOnly
from lerg_runtime.bundle._state import STATE_FILE, State, state_stamp
from lerg_runtime.errors import BundleError

__all__ = ["OpenBundle"]


class OpenBundle:
    """What every operation of a Recommender works on.

    Tables are made when they are first needed and dropped when the weights move, so that training and
    tables are in memory at the same time only if the caller asks for both.

    Args:
        folder: whose files have been hashed.
        budget_bytes: most memory to take, None for no limit.

    Attributes:
        folder, budget_bytes: as given.
        engine: programs and the allocator.
        sizes: of the bundle's arrays.
        entities: ids and slots.
        interactions: what is learned from and histories are made of, local interactions included.
        seen_only: what users have seen beside them.
        state: weights and local interactions as they are now.
        stamp: of the saved state that `state` goes on from.

    Raises:
        BudgetError: opening and recommending for one user do not fit; nothing large has been allocated.
        BundleError: something in the bundle does not fit the rest.
    """

    def __init__(self, folder: BundleFolder, *, budget_bytes: int | None) -> None:
        self.folder = folder
        self.budget_bytes = budget_bytes
        self.sizes: StoredSizes = folder.stored_sizes()
        # Before it is read: what is saved in between is then found out.
        self.stamp = state_stamp(folder.path)
        self.state: State = folder.read_state()
        plan = self.plan(self.workload(users_at_once=1))
        for phase in ("open", "encode", "recommend"):
            check_phase(plan.phase(phase), budget_bytes, doing="opening this bundle")
        self.engine = Engine(folder, budget_bytes=budget_bytes)
        empty = self.engine.budget.empty
        self.entities: Entities = folder.read_entities(allocate=empty)
        stored = folder.read_interactions(allocate=empty)
        self.seen_only: SeenOnly = folder.read_seen_only(stored, allocate=empty)
        self.interactions: Interactions = self._with_local(stored)
        del stored
        self.state = replace(self.state, codebook=_held(self.state.codebook, empty))
        self._serving: Serving | None = None

    def workload(self, *, users_at_once: int | None = None, **changes: Any) -> Workload:
        """The manifest's defaults with some fields of `Workload` changed."""
        usual = Workload.usual(self.folder.manifest)
        if users_at_once is not None:
            changes["users_at_once"] = users_at_once
        return replace(usual, **changes)

    def plan(self, workload: Workload) -> MemoryPlan:
        """What a workload needs."""
        return plan_memory(self.folder.manifest, self.sizes, local=len(self.state.users), workload=workload)

    def serving(self) -> Serving:
        """Tables of the weights as they are now, and the program that ranks.

        Raises:
            BudgetError: they do not fit beside what is in memory.
        """
        if self._serving is None:
            self._serving = Serving(
                self.engine,
                self.folder.manifest.model,
                self.entities,
                self.interactions,
                self.seen_only,
                pruned_users=self.folder.manifest.pruned_users,
                codebook=self.state.codebook,
                step=self.state.step,
                users_at_once=self._users_at_once(),
            )
        return self._serving

    def drop_serving(self) -> None:
        """Free tables and program; they are made again when needed."""
        self._serving = None

    @contextmanager
    def restored_on_failure(self) -> Iterator[None]:
        """Weights and interactions are put back if the block fails, Ctrl-C included."""
        before = self.state, self.interactions
        try:
            yield
        except BaseException:
            self.state, self.interactions = before
            self.drop_serving()
            raise

    def _users_at_once(self) -> int:
        users = self.folder.manifest.model.max_users
        if self.budget_bytes is None:
            return users
        while users > 1:
            needed = self.plan(self.workload(users_at_once=users)).phase("recommend").total_bytes
            if needed <= self.budget_bytes:
                break
            users //= 2
        return users

    def _with_local(self, stored: Interactions) -> Interactions:
        users, items = self.state.users, self.state.items
        if len(users) == 0:
            return stored
        if bool((stored.find(users, items) >= 0).any()):
            where = self.folder.path / STATE_FILE
            raise BundleError(
                f"{where}: a local interaction is in the bundle already; restore it from a copy"
            )
        return stored.with_pairs(users, items, allocate=self.engine.budget.empty)


def _held(array: np.ndarray, empty: Any) -> np.ndarray:
    """A copy in memory that the budget counts."""
    held: np.ndarray = empty(array.shape, str(array.dtype))
    held[...] = array
    return held
