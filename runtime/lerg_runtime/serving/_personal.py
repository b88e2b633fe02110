"""One open personal bundle: items, the history that this device keeps, and the answers that it gives.

A history becomes weights, w_r = 2^(-rank / half-life) / sqrt(n (deg_r + 1)), the latest item having rank 0,
and the program does the rest. An answer after an observation costs what any answer costs: nothing is trained.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from lerg_runtime.bundle import IdMap, copy_bundle, save_state
from lerg_runtime.bundle._added import AddedItems, Catalogue, ExportedIds, check_added, memory_bytes
from lerg_runtime.bundle._history import History
from lerg_runtime.bundle._items import PersonalItems, degrees_of
from lerg_runtime.bundle._reader import BundleFolder
from lerg_runtime.bundle._state import STATE_FILE, State
from lerg_runtime.bundle._titles import Titles
from lerg_runtime.engine._engine import Engine
from lerg_runtime.errors import LergRuntimeError
from lerg_runtime.pairs._items import Filter
from lerg_runtime.planning._fitting import check_phase
from lerg_runtime.planning._personal import plan_personal
from lerg_runtime.planning._phases import MemoryPlan
from lerg_runtime.serving._barred import Barred
from lerg_runtime.serving._best import Best
from lerg_runtime.serving._personal_tables import PersonalTables
from lerg_runtime.serving._popular import most_popular

__all__ = ["PersonalBundle"]


class PersonalBundle:
    """What every call of a `Recommender` works on whose bundle is personal, one call at a time.

    Args:
        folder: whose files have been hashed.
        budget_bytes: most memory to take, None for no limit.

    Attributes:
        folder, budget_bytes: as given.
        engine: programs and the allocator.
        items: ids, slots and degrees.

    Raises:
        BudgetError: opening and recommending do not fit; nothing large has been allocated.
        BundleError: something in the bundle does not fit the rest.
    """

    def __init__(self, folder: BundleFolder, *, budget_bytes: int | None) -> None:
        self.folder = folder
        self._shape = folder.personal.model
        self._lock = threading.RLock()
        self._closed = False
        self._sizes = folder.item_sizes()
        self.budget_bytes = budget_bytes
        with folder.open_state() as kept:
            self._sizes = self._sizes._replace(added_bytes=kept.added_bytes)
            self._stamp = kept.stamp
            plan = plan_personal(folder.personal, sizes=self._sizes, learned=kept.learned)
            for phase in ("open", "encode", "recommend"):
                check_phase(plan.phase(phase), budget_bytes, doing="opening this bundle")
            self.engine = Engine(folder, budget_bytes=budget_bytes).open_program()
            empty = self.engine.budget.empty
            self._state = kept.read(allocate=empty)
        self.items: PersonalItems = folder.read_items(allocate=empty)
        check_added(self._state.added, self.items.ids, where=str(folder.path / STATE_FILE))
        self._tables: PersonalTables | None = None

    @property
    def item_ids(self) -> IdMap:
        """Raw item ids in index order, those of added items last."""
        return self.catalogue()[0]

    def catalogue(self) -> tuple[IdMap, AddedItems | None]:
        """The ids of all items and the added ones among them, which belong together."""
        ids, added = self.items.ids, self._state.added
        return (ids, None) if added is None else (Catalogue(ids, added), added)

    def exported_ids(self, on_unknown: str) -> IdMap:
        """The ids of the bundle's own items, which refuse an added one unless unknown ones are skipped."""
        ids, added = self.items.ids, self._state.added
        return ids if added is None or on_unknown != "raise" else ExportedIds(ids, added)

    def change_added(self, change: Callable[[AddedItems | None], AddedItems | None]) -> None:
        """Replace the added items by what a function makes of them; nothing is written before it is saved.

        Raises:
            BudgetError: they do not fit beside those of before, which stay.
        """
        with self._lock:
            self._check_open()
            self._state = replace(self._state, added=change(self._state.added))
            self._sizes = self._sizes._replace(added_bytes=memory_bytes(self._state.added))

    def empty(self, shape: tuple[int, ...], dtype: str) -> np.ndarray:
        """An array that the budget counts. Raises BudgetError where it does not fit beside what is in use."""
        array: np.ndarray = self.engine.budget.empty(shape, dtype)
        return array

    @property
    def titles(self) -> Titles | None:
        """Titles of the items, None without them."""
        return self.items.titles

    @property
    def item_count(self) -> int:
        """Items, I."""
        return self._shape.items

    @property
    def max_history(self) -> int:
        """Most items of the history."""
        return self._shape.max_history

    @property
    def is_in_order(self) -> bool:
        """Whether the order of a history counts."""
        return self._shape.half_life is not None

    @property
    def calls_at_once(self) -> int:
        """One call is worked on at a time."""
        return 1

    def plan(self, *, moments: int = 2, batch: int | None = None) -> MemoryPlan:
        """What opening, encoding, recommending and fine-tuning need; see `plan_personal`."""
        learned = len(self.state.exported_step) > 0
        return plan_personal(
            self.folder.personal, sizes=self._sizes, learned=learned, moments=moments, batch=batch
        )

    @property
    def state(self) -> State:
        """Weights and history as they are now."""
        with self._lock:
            return self._state

    def set_history(self, change: Callable[[History], History]) -> None:
        """Replace the history by what a function makes of it; nothing is written before it is saved."""
        with self._lock:
            self._check_open()
            self._state = replace(self._state, history=change(self._state.history))

    def rank(self, history: np.ndarray, *, k: int, barred: Barred) -> tuple[np.ndarray, np.ndarray]:
        """The best items for a history, by descending score and then ascending item index.

        Args:
            history: integer [n] item indices, the oldest first, n >= 1, each once; of more than the bundle
                keeps the latest count.
            k: 1 .. I.
            barred: what may not come.

        Returns:
            int64 [m] item indices and float32 [m] scores, m at most k.

        Raises:
            BudgetError: it does not fit the budget.
            LergRuntimeError: the bundle is closed.
        """
        with self._lock:
            history = history[-self.max_history :]
            return self._opened().rank(history, self.weights(history), k=k, barred=barred)

    def row(self, history: np.ndarray) -> np.ndarray:
        """What `rank` ranks by for a history: a score is its product with an item's row. Float32 [d]."""
        with self._lock:
            history = history[-self.max_history :]
            return self._opened().row(history, self.weights(history))

    def similar(self, items: np.ndarray, k: int, added: np.ndarray | None = None) -> Best:
        """The items nearest to each of these by cosine of their rows, itself left out; see `nearest`.

        Args:
            items: item indices, those of added items from I on.
            added: float32 [n, d], rows of items that were added here; None for none.
        """
        with self._lock:
            return self._opened().similar(items, k=k, added=added)

    def rows(self) -> np.ndarray:
        """The row of each item, float32 [I, d]; the caller's own."""
        with self._lock:
            return self._opened().rows()

    def shares(self, history: np.ndarray, item: int) -> np.ndarray:
        """What each item of a history adds to the score of `item`, w_r h' M h_r: float64 [n].

        Args:
            history: integer [n] item indices, the oldest first, n >= 1, each once; of more than the bundle
                keeps the earlier add nothing.
            item: index of the item with the row h.
        """
        with self._lock:
            counted = history[-self.max_history :]
            shares = np.zeros(len(history), dtype=np.float64)
            shares[len(history) - len(counted) :] = self._opened().shares(
                counted, self.weights(counted), item
            )
            return shares

    def most_popular(self, only: Filter, *, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The items that most users had touched at export, by the bundle's degrees; see `most_popular`."""
        degrees = self.items.degrees
        return most_popular(
            lambda first, last: degrees_of(degrees[first:last]), count=len(degrees), k=k, only=only
        )

    @contextmanager
    def turn(self) -> Iterator[None]:
        """The bundle for one thread alone, for as long as the block lasts."""
        with self._lock:
            self._check_open()
            yield

    def comparison(self, history: np.ndarray) -> tuple[np.ndarray, float]:
        """What fine-tuning compares a history with items by.

        Args:
            history: integer [n] item indices, the oldest first, n >= 1, each once.

        Returns:
            The metric float32 [d, d], and the standard deviation of the scores of a sample of items.
        """
        with self._lock:
            return self._opened().comparison(history, self.weights(history))

    def distance(self, history: np.ndarray, late: np.ndarray) -> float:
        """Mean of log2(1 + rank) of items among all that a history does not have, themselves left out.

        Args:
            history: integer [n] item indices, the oldest first, n >= 1, each once.
            late: integer [m] item indices, m >= 1, none of them in it.
        """
        with self._lock:
            return self._opened().distance(history, self.weights(history), late)

    def drop_tables(self) -> None:
        """Free what answers need; it is made again for the next one."""
        with self._lock:
            self._tables = None

    def learned(self, codebook: np.ndarray, step: np.ndarray, remainder: np.ndarray) -> None:
        """Take new weights; what was exported is kept, for `erase`. Nothing is written before it is saved."""
        with self._lock:
            before = self._state
            exported = before.exported_codebook, before.exported_step
            if not len(exported[1]):
                exported = before.codebook, before.step
            self._state = replace(
                before,
                codebook=codebook,
                step=step,
                remainder=remainder,
                exported_codebook=exported[0],
                exported_step=exported[1],
            )
            self._tables = None

    def take_back(self, state: State) -> None:
        """Go back to a state of before."""
        with self._lock:
            self._state, self._tables = state, None

    def save(self, path: str | os.PathLike[str] | None) -> None:
        """Store the state; see `Recommender.save`."""
        with self._lock:
            self._check_open()
            saved = replace(self._state, generation=self._state.generation + 1)

            def on_saved(stamp: bytes) -> None:
                self._stamp, self._state = stamp, saved

            if path is None or Path(path).resolve() == self.folder.path.resolve():
                save_state(
                    self.folder.path, saved, digest=self.folder.digest, over=self._stamp, on_saved=on_saved
                )
            else:
                copy_bundle(self.folder, path, saved)

    def erase(self) -> None:
        """Forget the history, what was learned from it, and all added items, here and in every file there.

        Raises:
            OSError: the state cannot be written; the history stays.
        """
        with self._lock:
            self._check_open()
            before = self._state
            self._state = replace(before, history=History(), added=None)
            if len(before.exported_step):
                nobody = np.empty(0, np.int32)
                self._state = State(
                    before.exported_codebook, before.exported_step, nobody, nobody, before.generation
                )
                self._tables = None
            try:
                self.save(None)  # which removes what crashed saves have left beside the file, too
            except BaseException:
                if self._state.generation == before.generation:
                    self._state = before
                raise
            self._sizes = self._sizes._replace(added_bytes=0)

    def close(self) -> None:
        """Give all memory back."""
        with self._lock:
            self._closed, self._tables = True, None

    def weights(self, history: np.ndarray) -> np.ndarray:
        """What each item of a history counts, float32 [n], the oldest first."""
        counts = (degrees_of(self.items.degrees[history]) + 1.0) * len(history)
        weights = 1.0 / np.sqrt(counts)
        if self._shape.half_life is not None:
            weights *= np.exp2(-np.arange(len(history) - 1, -1, -1) / self._shape.half_life)
        return weights.astype(np.float32)

    def _opened(self) -> PersonalTables:
        self._check_open()
        if self._tables is None:
            self._tables = PersonalTables(self._shape, self.items.slots, self._state, engine=self.engine)
        return self._tables

    def _check_open(self) -> None:
        if self._closed:
            raise LergRuntimeError("this Recommender is closed; open the bundle again")
