"""An open bundle as callers hold it: what it is, what it takes, saving and closing it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

import numpy as np

from lerg_runtime.bundle import IdMap, Manifest, State
from lerg_runtime.bundle._ids import RawId
from lerg_runtime.bundle._trust import Trust
from lerg_runtime.engine._resident import resident_bytes
from lerg_runtime.errors import LergRuntimeError
from lerg_runtime.interactions_file import InteractionsFile
from lerg_runtime.learning._asked import memory_plan
from lerg_runtime.pairs._by_user import ItemsByUser
from lerg_runtime.pairs._items import Given
from lerg_runtime.pairs._resolved import OnUnknown
from lerg_runtime.planning._phases import MemoryPlan
from lerg_runtime.serving._adding import add_item, added_items, remove_item
from lerg_runtime.serving._core import OpenBundle
from lerg_runtime.serving._embeddings import item_embeddings, user_embeddings
from lerg_runtime.serving._naming import title_of, titles_of
from lerg_runtime.serving._opening import open_bundle
from lerg_runtime.serving._personal import PersonalBundle

__all__ = ["BundleHandle"]


class BundleHandle:
    """All of a `Recommender` but its questions and its learning."""

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
    ) -> Self:
        """Open a bundle after checking every byte of it.

        Args:
            path: the bundle's folder.
            memory_budget: bytes, or a text such as `64MiB`: the most that opening, recommending and
                fine-tuning may take together, over what Python and its libraries need.
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
        baseline = resident_bytes()
        bundle = open_bundle(path, memory_budget=memory_budget, threads=threads, trust=trust)
        return cls(bundle, baseline_rss_bytes=baseline)

    def close(self) -> None:
        """Give all memory back, that of calls under way when they end; the object cannot be used any more."""
        bundle, self._bundle = self._bundle, None
        if bundle is not None and os.getpid() == self._process:
            bundle.close()

    def __enter__(self) -> Self:
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
        """Raw item ids in index order; those of items that were added here are the last."""
        return self._any.item_ids

    @property
    def added_items(self) -> list[RawId]:
        """Raw ids of the items that were added here, in that order."""
        return added_items(self._any)

    def add_item(
        self,
        item: RawId,
        *,
        features: Mapping[str, Any] | None = None,
        users: Given | None = None,
        boost: float = 1.0,
        on_unknown: OnUnknown = "raise",
    ) -> None:
        """Recommend an item that the bundle was not made with, from now on and with all others.

        Its row comes from one of two things, and stays as it is until the item is added again: fine-tuning
        moves the rows of the others alone. `save` keeps it in `state.bin`, which holds 1,000 such items at
        most. An added item is recommended, scored and compared; for histories, fine-tuning, measuring and
        explanations it takes an export.

        Args:
            item: its raw id, an integer where the bundle's items have integers. One that was added before is
                added anew.
            features: what is known of it, by the names in `manifest.features`: of a category a text (whose
                values `|` separates) or a list of texts, a number, or the numbers of a vector. What is left
                out counts nothing. For bundles that were exported with item features.
            users: raw ids of who has touched it. The row is one hop of the propagation rule from theirs, the
                sum of h_u / sqrt(deg_u), brought to the length that items' rows have in the quadratic mean;
                and they have seen the item. For shared bundles.
            boost: what the row is multiplied by, above 0 and up to 100, and with it its scores: more than 1
                shows the item to more people, less to fewer.
            on_unknown: `skip` leaves out features, values and users that the bundle does not know.

        Raises:
            UnknownIdError: a user is unknown.
            InputError: the id is the bundle's own or no id, neither or both of features and users are given,
                the bundle has no map of features or is personal, or a feature is none of its kind.
            BudgetError: it does not fit the memory budget; all is as before.
        """
        add_item(self._any, item, features=features, users=users, boost=boost, on_unknown=on_unknown)

    def remove_item(self, item: RawId) -> None:
        """Take an item out that was added here.

        What was saved before keeps it until `save` writes the state again.

        Raises:
            UnknownIdError: none of this id was added here.
            InputError: it is the bundle's own.
        """
        remove_item(self._any, item)

    def user_embeddings(self) -> np.ndarray:
        """The row that each user is ranked by now, float32 [U, d] in the order of `user_ids`.

        Of pruned users, and of all whom the bundle serves from their history, it is what stands for them.
        A score is the product of a user's row and an item's, to the rounding of sums.
        """
        return user_embeddings(self._open)

    def item_embeddings(self) -> np.ndarray:
        """The row of each item now, float32 [n, d] in the order of `item_ids`; pruned ones by placeholder."""
        return item_embeddings(self._any)

    @property
    def has_titles(self) -> bool:
        """Whether the bundle has a title of any item."""
        return self._any.titles is not None

    def title(self, item: RawId) -> str | None:
        """The title of an item; None if it has none.

        Raises:
            UnknownIdError: the item is unknown.
        """
        return title_of(self._any, item)

    def titles(self, items: Sequence[RawId] | np.ndarray) -> list[str | None]:
        """The titles of items, in their order; None for an item that has none.

        Args:
            items: raw ids, such as `recommend` gives for one user.

        Raises:
            UnknownIdError: an item is unknown.
            InputError: no list of items.
        """
        return titles_of(self._any, items)

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
        return self._any.calls_at_once

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
        """
        bundle = self._any
        if isinstance(bundle, PersonalBundle):
            return bundle.plan()
        return memory_plan(
            bundle, batch=batch, optimiser=optimiser, new_interactions=new_interactions, threads=threads
        )

    def serve_users(self, *, pruned: str | None = None, retained: str | None = None) -> None:
        """Rank users of the bundle otherwise than its export chose, until it is closed.

        Nothing of it is stored. Calls under way end as they began; the next one makes the tables anew.

        Args:
            pruned: `history` ranks users who are not retained by what they have touched, `placeholder` by
                what stands for them; None leaves it as it is.
            retained: `history` ranks the others so too, `table` by a row of their own; likewise.

        Raises:
            InputError: there is no such way, or the bundle is personal.
            BudgetError: it does not fit the memory budget; all is as before.
            LergRuntimeError: it is being fine-tuned or profiled, or the call comes from a callback.
        """
        self._open.serve_users(pruned=pruned, retained=retained)

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

    def _items_by_user(
        self, file: InteractionsFile, *, asked: Sequence[str], skip_unknown: bool
    ) -> ItemsByUser:
        """What a file lists for each of its users, to recommend by; see `ItemsByUser`.

        Raises:
            BudgetError: it does not fit beside recommending.
        """
        bundle = self._open
        found = ItemsByUser(
            file,
            bundle.item_ids,
            bundle.entities.user_ids,
            asked=frozenset(asked),
            skip_unknown=skip_unknown,
            allocate=bundle.empty,
        )
        bundle.check_answers_fit()
        return found

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
