"""The device's API: open a bundle, recommend, fine-tune on what happened here, save."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any

import numpy as np

from lerg_runtime._arguments import batch_size, candidates, ranking_length, ranking_lengths, whole
from lerg_runtime._history_calls import HistoryCalls
from lerg_runtime.bundle import BundleFolder, IdMap, Manifest, State
from lerg_runtime.bundle._ids import RawId
from lerg_runtime.bundle._trust import Trust
from lerg_runtime.engine._resident import resident_bytes
from lerg_runtime.engine._threads import choose_threads, use_threads
from lerg_runtime.errors import InputError, LergRuntimeError
from lerg_runtime.learning import _finetune
from lerg_runtime.learning._optimiser import OptimiserOptions
from lerg_runtime.learning._training import FineTuneReport, OnEpoch, OnProgress
from lerg_runtime.pairs._resolved import OnUnknown, Pairs, check_on_unknown, index_of
from lerg_runtime.planning._phases import MemoryPlan
from lerg_runtime.serving import _evaluate, _person, _profile, _recommend
from lerg_runtime.serving._core import OpenBundle
from lerg_runtime.serving._metrics import Metrics
from lerg_runtime.serving._personal import PersonalBundle
from lerg_runtime.sizes import parse_size

__all__ = ["Recommender"]


class Recommender(HistoryCalls):
    """One open bundle. Any number of threads may ask it; one at a time learns.

    Each call answers from one state of weights and interactions. As many calls are worked on at a time as
    `threads` says and the memory budget holds; the others wait.

    `finetune` and `profile` have one turn between them: a second one is refused at once. What is learned is
    published when fine-tuning returns, weights and interactions together. Where the memory budget does not
    hold fine-tuning and answers at the same time, `finetune` waits until the calls under way have ended, and
    calls of other threads raise `BudgetError` until it has returned. A callback of `finetune` may ask, and
    sees what has been learned up to the last epoch; one of `evaluate` may ask, and sees what is evaluated.

    `save` stores what the calling thread sees: beside a fine-tune of another thread, the state of before.
    `close` lets calls under way end, and ends fine-tuning without a change. A process that was forked from
    one with an open Recommender opens the bundle itself, and its kernels keep to one thread.

    Make one with `Recommender.open`. Attributes: `manifest`, and `user_ids` and `item_ids`, the raw ids in
    index order.
    """

    def __init__(self, bundle: OpenBundle | PersonalBundle, *, baseline_rss_bytes: int) -> None:
        self._bundle: OpenBundle | PersonalBundle | None = bundle
        self._baseline_rss_bytes = baseline_rss_bytes
        self._process = os.getpid()

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        memory_budget: str | int | None = None,
        threads: int | None = None,
        trust: Trust | None = None,
    ) -> Recommender:
        """Open a bundle after checking every byte of it.

        Args:
            path: the bundle's folder.
            memory_budget: bytes, or a text such as `64MiB`: the most that opening, recommending and
                fine-tuning may take together, over what Python and its libraries need. The arrays that a
                call returns are the caller's and not among it.
            threads: most calls that are worked on at a time, and threads that the kernels of one call run on
                where it is alone. The latter are one pool for the process, and what was set last holds. None
                takes what an earlier opening has set, else the environment's OMP_NUM_THREADS, else as many
                as there are processors that this process may use. No answer depends on it.
            trust: open only the bundle whose `SHA256SUMS` has this digest, `sha256:` and 64 hexadecimal
                digits, or one that is signed by this Ed25519 public key, the path of a PEM file. None takes
                any bundle that is whole.

        Raises:
            InputError: no such folder, the budget is not a size, no such number of threads, or `trust` is
                neither a digest nor a key.
            BundleError: the bundle is damaged, foreign, too new, or not the trusted one.
            BudgetError: opening it and recommending for one user need more; nothing has been allocated.
        """
        budget = None if memory_budget is None else parse_size(memory_budget, name="memory budget")
        choose_threads(threads)  # refused before anything is read
        baseline = resident_bytes()
        folder = BundleFolder.open(path, trust=trust)
        lanes = use_threads(threads)
        if folder.is_personal:
            return cls(PersonalBundle(folder, budget_bytes=budget), baseline_rss_bytes=baseline)
        bundle = OpenBundle(folder, budget_bytes=budget, threads=lanes)
        return cls(bundle, baseline_rss_bytes=baseline)

    def close(self) -> None:
        """Give all memory back, that of calls under way when they end; the object cannot be used any more."""
        bundle, self._bundle = self._bundle, None
        if bundle is not None and os.getpid() == self._process:
            bundle.close()

    def __enter__(self) -> Recommender:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def manifest(self) -> Manifest:
        """What the bundle is."""
        return self._any.folder.manifest

    @property
    def is_personal(self) -> bool:
        """Whether the bundle holds items alone and serves one person from the history that it keeps here."""
        return self._any.folder.is_personal

    @property
    def user_ids(self) -> IdMap:
        """Raw user ids in index order."""
        return self._open.entities.user_ids

    @property
    def item_ids(self) -> IdMap:
        """Raw item ids in index order."""
        return self._any.item_ids

    @property
    def state(self) -> State:
        """A copy of the weights and local interactions as they are now."""
        now = self._any.state
        return replace(now, codebook=np.array(now.codebook), step=np.array(now.step))

    @property
    def memory(self) -> tuple[int, int]:
        """Bytes taken from the budget now, and the most so far."""
        budget = self._any.engine.budget
        return int(budget.used), int(budget.peak)

    @property
    def threads(self) -> int:
        """How many calls are worked on at a time, by what `open` was told or by what the budget holds."""
        bundle = self._any
        if isinstance(bundle, PersonalBundle):
            return 1
        share = bundle.share()
        return share.lanes if share is not None else 1

    def plan(
        self,
        *,
        batch: int | None = None,
        optimiser: str = "adam",
        new_interactions: int = 0,
        threads: int = 1,
    ) -> MemoryPlan:
        """Bytes that opening, encoding, recommending and fine-tuning need, item by item.

        Args:
            batch: triples in a step of fine-tuning, None for the bundle's default.
            optimiser: `adam` or `sgd`.
            new_interactions: that fine-tuning would be given.
            threads: that ask at the same time.

        Raises:
            InputError: a value that cannot be.
        """
        bundle = self._any
        if isinstance(bundle, PersonalBundle):
            return bundle.plan()
        options = OptimiserOptions.choose(
            optimiser, learning_rate=1.0, momentum=None, defaults=self.manifest.finetune
        )
        changes: dict[str, Any] = {
            "optimiser": options.name,
            "batch": batch_size(self.manifest, batch),
            "lanes": whole(threads, "threads", least=1),
        }
        return self._open.plan(self._open.workload(**changes, new_interactions=new_interactions))

    def recommend(
        self,
        users: RawId | Sequence[RawId] | np.ndarray | None = None,
        *,
        k: int | None = None,
        include_seen: bool = False,
        items: Sequence[RawId] | np.ndarray | None = None,
        exclude: Sequence[RawId] | np.ndarray | None = None,
        on_unknown: OnUnknown = "raise",
    ) -> tuple[np.ndarray, np.ndarray]:
        """The best items, by descending score and then ascending item index.

        Args:
            users: one raw id, or several. Of a personal bundle None, for the one whose history is kept here.
            items, exclude: of a personal bundle: the only items that may come, and items that may not; None
                for all of them and for none.
            k: 1 .. number of items; None for 20, or all items if there are fewer.
            include_seen: items that the user has seen may come too: those of the bundle's interactions and
                local ones, those that the export held out, and those that were rated low.
            on_unknown: `skip` gives an unknown user no items instead of raising.

        Returns:
            Raw item ids (int64, or objects of type str) and scores float32, best first: of one user one
            dimension and as many as there are, at most k; of several [users, k], and where the items run
            out the score is -inf and the id -1, or None among ids that are text. They are the caller's: 12
            bytes a place (and the texts, one object an item) that the memory budget does not count. Nothing
            else grows with them; for many users and a large k ask for some users at a time.

        Raises:
            UnknownIdError: a user is unknown.
            InputError: k is out of range.
        """
        k = ranking_length(k, usual=20, most=len(self.item_ids), of="items")
        if users is None and self.is_personal:
            return _person.for_person(
                self._personal,
                k=k,
                include_seen=include_seen,
                items=items,
                exclude=exclude,
                on_unknown=on_unknown,
            )
        bundle = self._open
        if items is not None or exclude is not None:
            raise InputError("items and exclude need a personal bundle; rank with a larger k and leave out")
        return _recommend.for_users(bundle, users, k=k, include_seen=include_seen, on_unknown=on_unknown)

    def recommend_from_history(
        self,
        items: Sequence[RawId] | np.ndarray,
        *,
        k: int | None = None,
        include_seen: bool = False,
        on_unknown: OnUnknown = "raise",
    ) -> tuple[np.ndarray, np.ndarray]:
        """The best items for somebody whom the bundle does not know, from what they have touched.

        Their row is one hop of the propagation rule from their items' rows: the sum over distinct items i of
        h_i / sqrt(deg_u deg_i), deg_u being the number of these items and deg_i that of the users who have
        touched i, this one included. Where the export found it better for people whom it held out, the latest
        items count more, and rows are compared by a ridge metric; `manifest.ways.unknown` says which. Nothing
        is stored: to learn from them takes an export.

        Args:
            items: raw ids of what they have touched, the oldest first; of repeats the last counts. The order
                matters only to bundles whose rule has a half-life.
            k: 1 .. number of items; None for 20, or all items if there are fewer.
            include_seen: items of the history may come too.
            on_unknown: `skip` leaves out unknown items.

        Returns:
            Raw item ids and scores float32, best first, as `recommend` gives them for one user.

        Raises:
            UnknownIdError: an item is unknown.
            InputError: k is out of range, or there is no item, or none that is known.
        """
        k = ranking_length(k, usual=20, most=len(self.item_ids), of="items")
        bundle = self._any
        if isinstance(bundle, PersonalBundle):
            return _person.for_history(bundle, items, k=k, include_seen=include_seen, on_unknown=on_unknown)
        return _recommend.for_history(bundle, items, k=k, include_seen=include_seen, on_unknown=on_unknown)

    def similar_items(self, item: RawId, *, k: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """The items whose embeddings are nearest to that of `item` by cosine, itself left out.

        Args:
            item: raw id.
            k: 1 .. number of items - 1; None for 10, or all others if there are fewer.

        Returns:
            Raw item ids and cosines float32, best first; ties by item index.

        Raises:
            UnknownIdError: the item is unknown.
            InputError: k is out of range.
        """
        k = ranking_length(k, usual=10, most=len(self.item_ids) - 1, of="other items")
        index = index_of(self.item_ids, item, kind="item")
        items, cosines = self._any.similar(index, k=k)
        return _recommend.raw_items(self.item_ids, items), cosines

    def finetune(
        self,
        interactions: Pairs | None = None,
        *,
        epochs: int = 3,
        optimiser: str = "adam",
        learning_rate: float | None = None,
        momentum: float | None = None,
        batch: int | None = None,
        replay: int | None = None,
        negative_candidates: int | None = None,
        seed: int = 0,
        force: bool = False,
        on_progress: OnProgress | None = None,
        on_epoch: OnEpoch | None = None,
        on_unknown: OnUnknown = "raise",
    ) -> FineTuneReport:
        """Learn from interactions that happened here; they and what is rated low count as seen from then on.

        Only the codebook and its step move. If anything fails, all is as before. What is recommended
        afterwards is what `save` stores: the quantised weights. Other threads may ask meanwhile and get the
        answers of before.

        Args:
            interactions: (user, item) raw ids, or an `InteractionsFile`, whose pairs below its threshold are
                no positives any more; None trains on all that the bundle has, as the workstation does.
            epochs: 1 or more.
            optimiser: `adam` or `sgd`.
            learning_rate, momentum, batch: None for the bundle's defaults. Adam's rate falls linearly to
                zero over the training, SGD's stays.
            replay: earlier interactions that each epoch goes over again; None for four times the new ones,
                at least a batch.
            negative_candidates: items drawn for each negative, of which the one that the weights of the
                epoch's start score highest is taken; 1 draws uniformly and needs the least memory. None for
                the bundle's default.
            seed: the same seed gives the same result.
            force: keep what was learned even where it tells held-out interactions apart worse than before. A
                tenth of the new ones are held out where there are a hundred or more; with fewer, the first
                triples of the training are looked at again.
            on_progress: called with a `FineTuneProgress` after each step.
            on_epoch: called with an `EpochReport` after each epoch, when this object answers this thread with
                the weights of that epoch; returning False ends the training.
            on_unknown: `skip` leaves out interactions with an unknown id.

        Raises:
            UnknownIdError: an id is unknown.
            InputError: an argument or an interaction is not usable.
            BudgetError: it does not fit the memory budget; nothing has been allocated.
            LergRuntimeError: it is being fine-tuned or profiled already, the loss is no number any more, or
                learning has done harm; weights and interactions are as before.
        """
        bundle = self._open
        options = _finetune.FineTuneOptions(
            epochs=whole(epochs, "epochs", least=1),
            batch=batch_size(self.manifest, batch),
            optimiser=OptimiserOptions.choose(
                optimiser, learning_rate=learning_rate, momentum=momentum, defaults=self.manifest.finetune
            ),
            replay=None if replay is None else whole(replay, "replay", least=0),
            negative_candidates=candidates(self.manifest, negative_candidates),
            seed=whole(seed, "seed", least=0),
            force=force,
        )
        check_on_unknown(on_unknown)
        with bundle.desk.turn("fine-tuned"):
            # The pairs have no name here, so that they are freed where they are not needed any more.
            return _finetune.finetune(
                bundle,
                None if interactions is None else bundle.resolved(interactions, on_unknown, low_will_do=True),
                options,
                on_progress=on_progress,
                on_epoch=on_epoch,
            )

    def evaluate(
        self,
        test: Pairs,
        *,
        k: int | Sequence[int] | None = None,
        per_user: bool = False,
        on_unknown: OnUnknown = "raise",
        on_progress: Callable[[int, int], object] | None = None,
    ) -> Metrics:
        """Metrics of rankings of the whole catalogue, seen items left out, at one k or at several at once.

        Pairs that the bundle has learned from or that were rated low are counted and not measured; what the
        export held out is a candidate where `test` has it.

        Args:
            test: held-out (user, item) raw ids, or an `InteractionsFile`.
            k: 1 .. number of items, or up to 16 such lengths; None for 20, or all items if there are fewer.
            per_user: keep each user's figures in `Metrics.per_user`, for intervals and comparisons. They
                take 32 bytes a user and k, and 12 a user, of the memory budget until nobody has them.
            on_unknown: `skip` leaves out interactions with an unknown id.
            on_progress: called with users done and users in all.

        Raises:
            UnknownIdError: an id is unknown.
            InputError: k is out of range, or no interaction is left to measure.
            BudgetError: the pairs, or the figures of users, do not fit the memory budget.
        """
        ks = ranking_lengths(k, usual=20, most=len(self.item_ids), of="items")
        pairs = self._open.resolved(test, on_unknown)
        return _evaluate.evaluate(self._open, pairs, ks=ks, per_user=per_user, on_progress=on_progress)

    def profile(
        self,
        *,
        k: int | None = None,
        runs: int = 100,
        seconds: float = 5.0,
        on_progress: Callable[[int, int], object] | None = None,
    ) -> _profile.Profile:
        """Time and memory of each program here; weights and interactions stay as they are.

        Args:
            k: items of a recommendation, capped at what one call of the program gives; None for 20.
            runs: timed runs of a program at most.
            seconds: for which a program is timed at most, beyond its first few runs.
            on_progress: called with programs done and programs in all.

        Raises:
            InputError: an argument is out of range.
            BudgetError: a program does not fit the memory budget.
            LergRuntimeError: it is being fine-tuned or profiled.
        """
        k = ranking_length(k, usual=20, most=len(self.item_ids), of="items")
        if not (math.isfinite(seconds) and seconds > 0):
            raise InputError(f"seconds is {seconds}; it must be above 0")
        return _profile.profile(
            self._open,
            baseline_rss_bytes=self._baseline_rss_bytes,
            k=min(k, self.manifest.model.max_k),
            runs=whole(runs, "runs", least=1),
            seconds=seconds,
            on_progress=on_progress,
        )

    def save(self, path: str | os.PathLike[str] | None = None) -> None:
        """Store the weights and local interactions; a crash leaves the old state or the new one.

        Args:
            path: None replaces the state of the bundle that was opened; a path gets a whole new bundle,
                and must not exist.

        Raises:
            InputError: something is in the way, or somebody else has saved since the bundle was opened.
            OSError: the disk is full or not writable; what was there stays.
            UnsyncedError: it is saved, but the disk does not promise that a power cut will leave it so.
        """
        self._any.save(path)

    @property
    def _open(self) -> OpenBundle:
        """The bundle if it serves the users that it was made from; raises InputError for a personal one."""
        bundle = self._any
        bundle.folder.manifest  # noqa: B018  refuses a personal one, in its own words
        return bundle  # type: ignore[return-value]

    @property
    def _personal(self) -> PersonalBundle:
        """The bundle if it is personal; raises InputError for one that serves many users."""
        bundle = self._any
        bundle.folder.personal  # noqa: B018  refuses a shared one, in its own words
        return bundle  # type: ignore[return-value]

    @property
    def _any(self) -> OpenBundle | PersonalBundle:
        bundle = self._bundle
        if bundle is None:
            raise LergRuntimeError("this Recommender is closed; open the bundle again")
        if os.getpid() != self._process:
            raise LergRuntimeError(
                "this Recommender was opened before the process was forked; open the bundle here"
            )
        return bundle
