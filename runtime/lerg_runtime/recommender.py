"""The device's API: open a bundle, recommend, fine-tune on what happened here, save."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lerg_runtime._arguments import ranking_length, ranking_lengths, whole
from lerg_runtime._own_history import HistoryHandle
from lerg_runtime.bundle._ids import RawId
from lerg_runtime.errors import InputError
from lerg_runtime.learning import _finetune
from lerg_runtime.learning._asked import finetune_options
from lerg_runtime.learning._personal import finetune_personal, personal_options
from lerg_runtime.learning._training import FineTuneReport, OnEpoch, OnProgress
from lerg_runtime.pairs._items import Given, ItemFilter
from lerg_runtime.pairs._resolved import OnUnknown, OnUnknownUser, Pairs, check_on_unknown
from lerg_runtime.serving import _evaluate, _explain, _person, _profile, _recommend, _scores, _similar
from lerg_runtime.serving._answer import Ranking
from lerg_runtime.serving._metrics import Metrics
from lerg_runtime.serving._personal import PersonalBundle

__all__ = ["Recommender"]


class Recommender(HistoryHandle):
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

    Ids are texts or integers; an unknown one raises `UnknownIdError` unless `on_unknown` says otherwise. Any
    argument that cannot be used raises `InputError`, among them a question that needs users, of a personal
    bundle, or the history that a personal bundle keeps, of another. Arrays that are returned are the
    caller's: 12 bytes a place of a ranking (and the texts, one object an id) that the memory budget does not
    count. Nothing else grows with them. Make one with `Recommender.open`.
    """

    def recommend(
        self,
        users: Given | None = None,
        *,
        k: int | None = None,
        include_seen: bool = False,
        items: ItemFilter | None = None,
        exclude: ItemFilter | None = None,
        on_unknown: OnUnknownUser = "raise",
    ) -> Ranking:
        """The best items, by descending score and then ascending item index.

        Args:
            users: one raw id, or several. Of a personal bundle None, for the one whose history is kept here.
            k: 1 .. number of items; None for 20, or all items if there are fewer.
            include_seen: items that the user has seen may come too: those of the bundle's interactions and
                local ones, those that the export held out, and those that were rated low.
            items: the only items that may come, a list for everybody or a mapping from raw user id to a list;
                users whom it doesn't name may be given any. None for all items, an empty list for none.
            exclude: items that may not come, likewise; they are left out of `items` too.
            on_unknown: `skip` gives an unknown user no items. `popular` gives them the items that most users
                have touched, by descending number, which is then the score; of a personal bundle, the same
                where the history is empty. Both leave unknown ids out of `items` and `exclude`.

        Returns:
            Raw item ids (int64, or objects of type str) and scores float32, best first: of one user one
            dimension and as many as there are, at most k; of several [users, k], and where the items run
            out the score is -inf and the id -1, or None among ids that are text.
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
        return _recommend.for_users(
            self._open,
            users,
            k=k,
            include_seen=include_seen,
            items=items,
            exclude=exclude,
            on_unknown=on_unknown,
        )

    def recommend_from_history(
        self,
        history: Given,
        *,
        k: int | None = None,
        include_seen: bool = False,
        items: Given | None = None,
        exclude: Given | None = None,
        on_unknown: OnUnknownUser = "raise",
    ) -> Ranking:
        """The best items for somebody whom the bundle does not know, from what they have touched.

        Their row is one hop of the propagation rule from their items' rows: the sum over distinct items i of
        h_i / sqrt(deg_u deg_i), deg_u being the number of these items and deg_i that of the users who have
        touched i, this one included. Where the export found it better for people whom it held out, the latest
        items count more, and rows are compared by a ridge metric; `manifest.ways.unknown` says which. Nothing
        is stored: to learn from them takes an export.

        Args:
            history: raw ids of what they have touched, the oldest first; of repeats the last counts. The
                order matters only to bundles whose rule has a half-life.
            k, items, exclude: as for `recommend`, of one user.
            include_seen: items of the history may come too.
            on_unknown: `skip` leaves unknown items out; `popular` does too, and where none is left it gives
                the items that most users have touched.

        Returns:
            Raw item ids and scores float32, best first, as `recommend` gives them for one user.
        """
        k = ranking_length(k, usual=20, most=len(self.item_ids), of="items")
        return _recommend.for_history(
            self._any,
            history,
            k=k,
            include_seen=include_seen,
            items=items,
            exclude=exclude,
            on_unknown=on_unknown,
        )

    def similar_items(
        self, items: Given, *, k: int | None = None, on_unknown: OnUnknown = "raise"
    ) -> Ranking:
        """The items whose rows are nearest to that of an item by cosine, itself left out.

        Args:
            items: one raw id, or several.
            k: 1 .. number of items - 1; None for 10, or all others if there are fewer.
            on_unknown: `skip` gives an unknown item none.

        Returns:
            Raw item ids and cosines float32, best first, ties by item index: of one item [k], of several
            [items, k].
        """
        k = ranking_length(k, usual=10, most=len(self.item_ids) - 1, of="other items")
        return _similar.similar_items(self._any, items, k=k, on_unknown=on_unknown)

    def similar_users(
        self, users: Given, *, k: int | None = None, on_unknown: OnUnknown = "raise"
    ) -> Ranking:
        """The users whose rows are nearest by cosine to that of a user, as `similar_items`.

        A user's row is the one that they are ranked by. Where histories stand for it, all of them are gone
        through, for 64 of `users` at a time.
        """
        k = ranking_length(k, usual=10, most=len(self.user_ids) - 1, of="other users")
        return _similar.similar_users(self._open, users, k=k, on_unknown=on_unknown)

    def score(
        self, users: Given | None, items: Given, *, on_unknown: OnUnknown = "raise"
    ) -> np.ndarray | float:
        """The scores of some items for some users, the same as those beside a recommendation.

        Args:
            users: one raw id, or several. Of a personal bundle None, for the one whose history is kept here.
            items: one raw id, or several; seen ones have a score like all others.
            on_unknown: `skip` gives an unknown user or item the score NaN.

        Returns:
            Every user with every item, float32 [users, items]; with one dimension less for an id that stands
            alone, so that of one user and one item it is a float.
        """
        if users is None and self.is_personal:
            return _scores.of_person(self._personal, items, on_unknown=on_unknown)
        return _scores.of_users(self._open, users, items, on_unknown=on_unknown)

    def score_from_history(
        self, history: Given, items: Given, *, on_unknown: OnUnknown = "raise"
    ) -> np.ndarray | float:
        """The scores of some items for a history, as `recommend_from_history` takes it.

        They are float32 [items], or of one item a float. `skip` leaves unknown items of the history out.
        """
        return _scores.of_history(self._any, history, items, on_unknown=on_unknown)

    def explain(
        self, who: Given | None, item: RawId, *, on_unknown: OnUnknown = "raise"
    ) -> _explain.Explanation:
        """What each item of a history adds to the score of an item; the shares and the rest are the score.

        Where somebody is served from their history, the score is a sum over it and the shares are exact:
        w_i h' M h_i / sqrt(deg_u deg_i), h being the item's row, h_i those of the history, and M and w_i the
        metric and the recency of the bundle's rule. For a user who has a row of their own the shares are
        those of one hop, without M and w_i, and the rest is all else: their own codes, and what comes from
        further away. `served_by` of the result says which.

        Args:
            who: a raw user id, or a list of raw item ids: the history of somebody whom the bundle does not
                know. Of a personal bundle None, for the history that is kept here.
            item: raw id; it may be in the history.
            on_unknown: `skip` leaves out unknown items of the history.
        """
        bundle = self._any
        if isinstance(bundle, PersonalBundle):
            return _explain.in_person(bundle, who, item, on_unknown=on_unknown)
        return _explain.in_shared(bundle, who, item, on_unknown=on_unknown)

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
                no positives any more; None trains on all that the bundle has, as the workstation does. A
                personal bundle takes None: it learns from the history that it keeps, each item told from
                others by the rest.
            epochs: 1 or more.
            optimiser: `adam` or `sgd`.
            learning_rate, momentum, batch: None for the bundle's defaults. Adam's rate falls linearly to
                zero over the training, SGD's stays.
            replay: earlier interactions that each epoch goes over again; None for what the export found best,
                `manifest.finetune.replay` for each new one, or for each of a quarter batch if that is more.
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
        asked: dict[str, Any] = {
            "epochs": epochs,
            "optimiser": optimiser,
            "learning_rate": learning_rate,
            "momentum": momentum,
            "batch": batch,
            "seed": seed,
            "force": force,
        }
        elsewhere: dict[str, Any] = {"replay": replay, "negative_candidates": negative_candidates}
        if self.is_personal:
            options = personal_options(
                self._personal, **asked, idle={"interactions": interactions, **elsewhere}
            )
            return finetune_personal(self._personal, options, on_progress=on_progress, on_epoch=on_epoch)
        bundle = self._open
        options = finetune_options(self.manifest, **asked, **elsewhere)
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
        """Metrics of rankings of all items of the bundle, seen ones left out, at one k or at several at once.

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
            InputError: no interaction is left to measure.
            BudgetError: the pairs, or the figures of users, do not fit the memory budget.
        """
        ks = ranking_lengths(k, usual=20, most=self.manifest.model.items, of="items")
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
            BudgetError: a program does not fit the memory budget.
            LergRuntimeError: it is being fine-tuned or profiled.
        """
        k = ranking_length(k, usual=20, most=self.manifest.model.items, of="items")
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
