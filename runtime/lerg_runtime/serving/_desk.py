"""Who may use what is in memory: any number of threads ask, and one at a time learns.

Calls that ask hold a lease on the tables of one snapshot. The thread that learns works on weights of its own
and publishes them at once, together with the interactions. Its callbacks see what it has so far: its draft.

No wait can be for ever. A thread waits for memory only while it holds no lease, and who holds one waits for
nothing but a lane, which is never held while a caller's code runs.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from lerg_runtime.errors import BudgetError, LergRuntimeError
from lerg_runtime.serving._lanes import Lanes
from lerg_runtime.serving._snapshot import Snapshot
from lerg_runtime.serving._tables import Serving

__all__ = ["Desk"]

Refusal = Callable[[], BudgetError]


@dataclass(slots=True, eq=False)
class _Held:
    """Tables in memory, None while they are made, and how many calls are on them."""

    snapshot: Snapshot
    serving: Serving | None = None
    leases: int = 0


@dataclass(slots=True, eq=False)
class _Lease:
    """What one thread has, and how many calls of it, one within the other."""

    held: _Held
    serving: Serving
    depth: int = 1


class Maker(Protocol):
    """What makes tables and lanes."""

    def make_serving(self, snapshot: Snapshot, lanes: Lanes) -> Serving:
        """Tables of a snapshot over lanes; raises BudgetError where they do not fit."""

    def make_lanes(self) -> Lanes:
        """The lanes of a time when nobody learns."""


class Desk:
    """Hands out snapshots, leases on their tables, and the one turn at learning.

    Args:
        snapshot: to begin with.
        maker: whose desk it is. It is not kept: a circle would leave a closed bundle, and all its memory, to
            the garbage collector.
    """

    def __init__(self, snapshot: Snapshot, *, maker: Maker) -> None:
        self._maker: Maker = weakref.proxy(maker)
        self._changed = threading.Condition()  # over all that follows
        self._now = snapshot
        self._draft: Snapshot | None = None
        self._learner: int | None = None
        self._doing = ""
        self._refusal: Refusal | None = None
        self._draining = False
        self._closed = False
        self._making = False
        self._held: list[_Held] = []
        self._mine: dict[int, _Lease] = {}  # by thread
        self._lanes: Lanes | None = None

    def snapshot(self) -> Snapshot:
        """What the thread that asks sees: the draft if it is the one that learns."""
        with self._changed:
            return self._seen_by(threading.get_ident())

    @property
    def learns(self) -> bool:
        """Whether the thread that asks is the one that learns."""
        return self._learner == threading.get_ident()

    @contextmanager
    def serving(self) -> Iterator[Serving]:
        """Tables of one snapshot; they stay as they are for as long as the block lasts.

        Raises:
            BudgetError: they do not fit beside what is in memory, or beside the learning that goes on.
            LergRuntimeError: the desk is closed.
        """
        held, serving = self._take_lease()
        try:
            yield serving
        finally:
            self._give_back(held)

    @contextmanager
    def turn(self, doing: str) -> Iterator[None]:
        """The one turn at learning, for as long as the block lasts.

        Args:
            doing: how to call it, such as `fine-tuned`.

        Raises:
            LergRuntimeError: somebody has it, or the thread is inside a call that asks.
        """
        me = threading.get_ident()
        with self._changed:
            self._check_open()
            if self._learner is not None:
                raise LergRuntimeError(
                    f"this Recommender is being {self._doing}; wait until that has returned"
                )
            if me in self._mine:
                raise LergRuntimeError(
                    f"this Recommender cannot be {doing} from a callback of another of its calls; "
                    "wait until that has returned"
                )
            self._learner, self._doing = me, doing
        try:
            yield
        finally:
            with self._changed:
                self._learner = self._draft = self._refusal = None
                self._draining = False
                self._drop_idle(all_lanes=True)
                self._changed.notify_all()

    def make_room(self, lanes: Lanes | None, *, wait: bool, refusal: Refusal | None = None) -> None:
        """Called in a turn, before its memory is taken: free tables and lanes.

        Args:
            lanes: to answer in meanwhile, None for the usual ones.
            wait: until all calls have ended; else what is in use stays.
            refusal: what calls of other threads get until the turn ends.
        """
        with self._changed:
            self._draining = wait
            try:
                while wait and (self._mine or self._making):
                    self._changed.wait()
                    self._check_open()
                self._drop_idle(all_lanes=True)
                if wait:
                    self._lanes = lanes
                self._refusal = refusal
            finally:
                self._draining = False
                self._changed.notify_all()

    def show_draft(self, draft: Snapshot) -> None:
        """Called in a turn: what the thread that learns sees from now on."""
        self.drop_draft_tables()
        with self._changed:
            self._draft = draft

    def drop_draft_tables(self) -> None:
        """Called in a turn: free what a callback has made, where learning may want its memory."""
        with self._changed:
            if self._refusal is not None:
                self._drop_idle(all_lanes=True)
            elif self._draft is not None:
                self._held = [held for held in self._held if held.snapshot is not self._draft]
            self._changed.notify_all()

    def free_idle(self) -> bool:
        """Free tables and lanes that nobody is on, for who needs their memory; whether there were any."""
        with self._changed:
            return self._drop_idle(all_lanes=True)

    def publish(self, snapshot: Snapshot) -> None:
        """What all threads see from now on. Calls that are under way end with what they began with."""
        with self._changed:
            self._check_open()
            self._now = snapshot
            self._drop_idle()
            self._changed.notify_all()

    def check_open(self) -> None:
        """Raises LergRuntimeError if the desk is closed."""
        with self._changed:
            self._check_open()

    def close(self) -> None:
        """Refuse new calls; memory is freed when those under way have ended."""
        with self._changed:
            self._closed = True
            self._drop_idle(all_lanes=True)
            self._changed.notify_all()

    def _seen_by(self, thread: int) -> Snapshot:
        return self._draft if self._draft is not None and self._learner == thread else self._now

    def _check_open(self) -> None:
        if self._closed:
            raise LergRuntimeError("this Recommender is closed; open the bundle again")

    def _take_lease(self) -> tuple[_Held, Serving]:
        me = threading.get_ident()
        with self._changed:
            lease = self._mine.get(me)
            if lease is not None:  # from a callback of a call: it answers from what that one does
                lease.depth += 1
                return lease.held, lease.serving
            while True:
                self._check_open()
                if self._refusal is not None and self._learner != me:
                    raise self._refusal()
                snapshot = self._seen_by(me)
                found = next((held for held in self._held if held.snapshot is snapshot), None)
                if not self._draining or self._learner == me:
                    if found is not None and found.serving is not None:
                        return self._lease(found, found.serving)
                    if not self._making:
                        break
                self._changed.wait()
            self._making = True
            self._held.append(held := _Held(snapshot))
            if self._lanes is None:
                self._lanes = self._maker.make_lanes()
            lanes = self._lanes
        try:
            serving = self._make(held, lanes)
        except BaseException:
            with self._changed:
                self._making = False
                self._held.remove(held)
                self._changed.notify_all()
            raise
        with self._changed:
            self._making = False
            held.serving = serving
            self._changed.notify_all()
            return self._lease(held, serving)

    def _make(self, held: _Held, lanes: Lanes) -> Serving:
        """The tables of a snapshot, once others have left enough memory for them."""
        while True:
            try:
                return self._maker.make_serving(held.snapshot, lanes)
            except BudgetError:
                with self._changed:
                    if self._drop_idle(all_lanes=True):
                        continue
                    if not self._mine:
                        raise
                    self._changed.wait()
                    self._check_open()

    def _lease(self, held: _Held, serving: Serving) -> tuple[_Held, Serving]:
        held.leases += 1
        self._mine[threading.get_ident()] = _Lease(held, serving)
        return held, serving

    def _give_back(self, held: _Held) -> None:
        me = threading.get_ident()
        with self._changed:
            lease = self._mine[me]
            lease.depth -= 1
            if lease.depth > 0:
                return
            del self._mine[me]
            held.leases -= 1
            past = held.snapshot is not self._now and held.snapshot is not self._draft
            if self._closed or self._refusal is not None:
                self._drop_idle(all_lanes=True)
            elif past and held.leases == 0 and held in self._held:
                self._held.remove(held)
                self._drop_lanes(all_lanes=False)
            self._changed.notify_all()

    def _drop_idle(self, *, all_lanes: bool = False) -> bool:
        """Free tables that no call is on, and lanes that none has; whether there were any."""
        idle = [held for held in self._held if held.serving is not None and held.leases == 0]
        self._held = [held for held in self._held if held not in idle]
        return self._drop_lanes(all_lanes=all_lanes) or bool(idle)

    def _drop_lanes(self, *, all_lanes: bool) -> bool:
        if self._lanes is None or not (all_lanes or not self._held):
            return False
        dropped = self._lanes.drop_idle()
        if not self._held and self._learner is None:
            self._lanes = None  # the next ones are as many as then fit
        return dropped
