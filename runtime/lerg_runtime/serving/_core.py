"""One open bundle: its arrays, its programs, and who may use them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from lerg_runtime.bundle import IdMap, copy_bundle, save_state
from lerg_runtime.bundle._added import AddedItems, Catalogue, ExportedIds, check_added, memory_bytes
from lerg_runtime.bundle._csr import InteractionRows
from lerg_runtime.bundle._entities import Entities
from lerg_runtime.bundle._manifest import Manifest
from lerg_runtime.bundle._reader import BundleFolder
from lerg_runtime.bundle._seen_only import SeenOnly
from lerg_runtime.bundle._state import STATE_FILE, State
from lerg_runtime.bundle._stored_sizes import StoredSizes
from lerg_runtime.bundle._titles import Titles
from lerg_runtime.engine._engine import Engine
from lerg_runtime.errors import BudgetError, BundleError
from lerg_runtime.pairs._resolved import OnUnknown, Pairs, ResolvedPairs, resolve_pairs
from lerg_runtime.planning._fitting import Share, check_phase, share_out
from lerg_runtime.planning._phases import MemoryPlan, Phase, PlanItem, Workload
from lerg_runtime.planning._plan import plan_memory
from lerg_runtime.serving._desk import Desk
from lerg_runtime.serving._lanes import Lane, Lanes
from lerg_runtime.serving._snapshot import Snapshot
from lerg_runtime.serving._tables import Serving

__all__ = ["OpenBundle"]


class OpenBundle:
    """What every operation of a Recommender works on, in any number of threads.

    Tables are made when they are first needed and dropped when the weights have moved. Where the budget does
    not hold them beside training, calls of other threads are refused while that goes on.

    Args:
        folder: whose files have been hashed.
        budget_bytes: most memory to take, None for no limit.
        threads: that are answered at the same time, at most.

    Attributes:
        folder, budget_bytes, threads: as given.
        manifest: the folder's, but for ways that `serve_users` has changed.
        engine: programs and the allocator.
        sizes: of the bundle's arrays.
        entities: ids and slots.
        seen_only: what users have seen beside the interactions.
        saving: held while a state is saved; `stamp` and `generation` belong to it.
        stamp: of the saved state that this one goes on from.
        generation: how often the state has been saved.

    Raises:
        BudgetError: opening and recommending for one user do not fit; nothing large has been allocated.
        BundleError: something in the bundle does not fit the rest.
    """

    def __init__(self, folder: BundleFolder, *, budget_bytes: int | None, threads: int = 1) -> None:
        self.folder = folder
        self.manifest: Manifest = folder.manifest
        self.budget_bytes = budget_bytes
        self.threads = threads
        self.saving = threading.Lock()
        self.sizes: StoredSizes = folder.stored_sizes()
        self._adding = threading.Lock()
        with folder.open_state() as kept:
            self.sizes = replace(self.sizes, added_bytes=kept.added_bytes)
            self.stamp = kept.stamp
            self.generation = kept.generation
            plan = plan_memory(
                folder.manifest,
                self.sizes,
                local=kept.local,
                disliked=kept.disliked,
                remainder=kept.remainder,
                workload=self.workload(users_at_once=1),
            )
            for phase in ("open", "encode", "recommend"):
                check_phase(plan.phase(phase), budget_bytes, doing="opening this bundle")
            self.engine = Engine(folder, budget_bytes=budget_bytes)
            empty = self.engine.budget.empty
            state = kept.read(allocate=empty)
        self._added, state = state.added, replace(state, added=None)
        self.entities: Entities = folder.read_entities(allocate=empty)
        check_added(self._added, self.entities.item_ids, where=str(folder.path / STATE_FILE))
        stored = folder.read_interactions(allocate=empty)
        self.engine.open_program(self.entities, stored)
        self.seen_only: SeenOnly = folder.read_seen_only(stored, allocate=empty)
        interactions = self._with_local(state, stored)
        del stored
        self.desk = Desk(Snapshot(state, interactions, self.rated_low(state)), maker=self)

    @property
    def item_ids(self) -> IdMap:
        """Raw item ids in index order, those of added items last."""
        return self.catalogue()[0]

    def catalogue(self) -> tuple[IdMap, AddedItems | None]:
        """The ids of all items and the added ones among them, which belong together."""
        ids, added = self.entities.item_ids, self._added
        return (ids, None) if added is None else (Catalogue(ids, added), added)

    def exported_ids(self, on_unknown: str) -> IdMap:
        """The ids of the bundle's own items, which refuse an added one unless unknown ones are skipped."""
        ids, added = self.entities.item_ids, self._added
        return ids if added is None or on_unknown != "raise" else ExportedIds(ids, added)

    def change_added(self, change: Callable[[AddedItems | None], AddedItems | None]) -> None:
        """Replace the added items by what a function makes of them; nothing is written before it is saved.

        Raises:
            BudgetError: they do not fit beside those of before, which stay.
        """
        with self._adding:
            self.desk.check_open()
            self._added = change(self._added)
            self.sizes = replace(self.sizes, added_bytes=memory_bytes(self._added))

    @property
    def titles(self) -> Titles | None:
        """Titles of the items, None without them."""
        return self.entities.titles

    @property
    def state(self) -> State:
        """Weights and local interactions as the thread that asks sees them."""
        return replace(self.desk.snapshot().state, generation=self.generation, added=self._added)

    @property
    def interactions(self) -> InteractionRows:
        """Everything that users have seen, as the thread that asks sees it."""
        return self.desk.snapshot().interactions

    def workload(self, *, users_at_once: int | None = None, **changes: Any) -> Workload:
        """The manifest's defaults with some fields of `Workload` changed."""
        usual = Workload.usual(self.manifest)
        if users_at_once is not None:
            changes["users_at_once"] = users_at_once
        return replace(usual, **changes)

    def plan(self, workload: Workload) -> MemoryPlan:
        """What a workload needs."""
        return self._plan(self.manifest, workload)

    def _plan(self, manifest: Manifest, workload: Workload) -> MemoryPlan:
        state = self.desk.snapshot().state
        return plan_memory(
            manifest,
            self.sizes,
            local=len(state.users),
            disliked=len(state.disliked_users),
            remainder=len(state.remainder) > 0,
            workload=workload,
        )

    def rated_low(self, state: State) -> InteractionRows | None:
        """The pairs of a state that were rated low, by user; None if there are none."""
        if len(state.disliked_users) == 0:
            return None
        shape = self.manifest.model
        return InteractionRows.of_sorted(
            state.disliked_users,
            state.disliked_items,
            user_count=shape.users,
            item_count=shape.items,
            allocate=self.engine.budget.empty,
        )

    def serve_users(self, *, pruned: str | None, retained: str | None) -> None:
        """Rank users of the bundle otherwise; see `Recommender.serve_users`."""
        with self.desk.turn("changed"):
            ways = self.manifest.ways.otherwise(pruned=pruned, retained=retained)
            if ways == self.manifest.ways:
                return
            changed = replace(self.manifest, ways=ways)
            plan = self._plan(changed, self.workload(users_at_once=1))
            for phase in ("encode", "recommend"):
                check_phase(plan.phase(phase), self.budget_bytes, doing="serving users so")
            self.desk.make_room(None, wait=True)  # tables and lanes, which are sized by how users are served
            self.manifest = changed
            self.desk.publish(replace(self.desk.snapshot()))  # another one, whose tables are made anew

    @contextmanager
    def serving(self) -> Iterator[Serving]:
        """Tables of one snapshot and lanes to rank in, which stay as they are while the block lasts.

        Raises:
            BudgetError: they do not fit beside what is in memory, or beside the learning that goes on.
        """
        with self.desk.serving() as serving:
            yield serving

    def close(self) -> None:
        """Refuse new calls; memory is freed when those under way have ended."""
        self.desk.close()

    def empty(self, shape: tuple[int, ...], dtype: str) -> np.ndarray:
        """An array that the budget counts; tables and lanes that nobody is on make room for it.

        Raises:
            BudgetError: it does not fit beside what is in use.
        """
        try:
            array: np.ndarray = self.engine.budget.empty(shape, dtype)
        except BudgetError:
            if not self.desk.free_idle():
                raise
            array = self.engine.budget.empty(shape, dtype)
        return array

    def resolved(self, pairs: Pairs, on_unknown: OnUnknown, *, low_will_do: bool = False) -> ResolvedPairs:
        """Indices of raw pairs, in memory that the budget counts; see `resolve_pairs`."""
        return resolve_pairs(
            pairs,
            replace(self.entities, item_ids=self.exported_ids(on_unknown)),
            on_unknown=on_unknown,
            usual=self.manifest.columns,
            allocate=self.empty,
            low_will_do=low_will_do,
        )

    def save(self, path: str | os.PathLike[str] | None) -> None:
        """Store the state as the thread that asks sees it; see `Recommender.save`. One save at a time."""
        with self.saving:
            saved = replace(self.state, generation=self.generation + 1)

            def on_saved(stamp: bytes) -> None:
                self.stamp, self.generation = stamp, saved.generation

            if path is None or Path(path).resolve() == self.folder.path.resolve():
                save_state(
                    self.folder.path, saved, digest=self.folder.digest, over=self.stamp, on_saved=on_saved
                )
            else:
                copy_bundle(self.folder, path, saved)

    def share(self, *, beside_bytes: int | None = None) -> Share | None:
        """How wide lanes are and how many there are.

        Args:
            beside_bytes: in use by something else, the resident arrays included; None for these alone.

        Returns:
            None if not even one lane fits.
        """
        state = self.desk.snapshot().state
        return share_out(
            self.manifest,
            self.sizes,
            local=len(state.users),
            disliked=len(state.disliked_users),
            remainder=len(state.remainder) > 0,
            budget_bytes=self.budget_bytes,
            threads=self.threads,
            beside_bytes=beside_bytes,
        )

    @property
    def calls_at_once(self) -> int:
        """Calls that are worked on at a time, by what opening was told or by what the budget holds."""
        share = self.share()
        return share.lanes if share is not None else 1

    def check_answers_fit(self) -> None:
        """Refuse to go on where tables and one lane do not fit beside what has been given and is in memory.

        Raises:
            BudgetError: names each item, and the budget that is enough.
        """
        plan = self.plan(self.workload(users_at_once=1))
        given = int(self.engine.budget.used) - sum(item.size_bytes for item in plan.resident)
        beside = (PlanItem("given with the question", given),) * (given > 0)
        for name in ("encode", "recommend"):
            phase = Phase(name, (*plan.phase(name).items, *beside))
            check_phase(phase, self.budget_bytes, doing="recommending")

    def make_room(self, total_bytes: int, *, doing: str) -> None:
        """In a turn at the desk, before its memory is taken: see that calls and learning fit together.

        Without a budget calls go on as before. With one, those under way are waited for; then others are
        answered in as many lanes as fit beside the learning, and refused until it is over if none does.

        Args:
            total_bytes: of the plan for what is about to start.
            doing: how to call it, such as `fine-tuned`.
        """
        if self.budget_bytes is None:
            self.desk.make_room(None, wait=False)
            return
        share = self.share(beside_bytes=total_bytes)
        if share is not None:
            self.desk.make_room(self._lanes(share), wait=True)
            return
        budget_bytes, needed = self.budget_bytes, total_bytes + self._least_serving_bytes()

        def refusal() -> BudgetError:
            return BudgetError(
                f"this Recommender is being {doing} and its memory budget of {budget_bytes} bytes does not "
                f"hold that and answers at the same time; ask again when it has returned, or give at least "
                f"{needed} bytes",
                items=((doing, total_bytes), ("answers meanwhile", needed - total_bytes)),
                needed_bytes=needed,
                budget_bytes=budget_bytes,
            )

        self.desk.make_room(None, wait=True, refusal=refusal)

    def _least_serving_bytes(self) -> int:
        plan = self.plan(self.workload(users_at_once=1))
        resident = sum(item.size_bytes for item in plan.resident)
        return max(plan.phase(name).total_bytes for name in ("encode", "recommend")) - resident

    def make_serving(self, snapshot: Snapshot, lanes: Lanes) -> Serving:
        """Tables of a snapshot; for the desk."""
        return Serving(
            self.engine,
            self.manifest.model,
            self.entities,
            snapshot,
            self.seen_only,
            ways=self.manifest.ways,
            lanes=lanes,
        )

    def make_lanes(self) -> Lanes:
        """Lanes for a time when nobody learns; for the desk."""
        # Made when nobody has any: what is in use is resident, or pairs that are measured or learned from.
        beside = int(self.engine.budget.used)
        return self._lanes(self.share(beside_bytes=beside) or Share(users_at_once=1, lanes=1))

    def _lanes(self, share: Share) -> Lanes:
        manifest = self.manifest
        raises = manifest.ways.local_counts > 0
        make = partial(Lane, self.engine, manifest.model, users=share.users_at_once, raises=raises)
        return Lanes(make, most=share.lanes, users=share.users_at_once)

    def _with_local(self, state: State, stored: InteractionRows) -> InteractionRows:
        users, items = state.users, state.items
        if len(users) == 0:
            return stored
        if stored.has_any(users, items):
            where = self.folder.path / STATE_FILE
            raise BundleError(
                f"{where}: a local interaction is in the bundle already; restore it from a copy"
            )
        return stored.with_pairs(users, items, allocate=self.engine.budget.empty)
