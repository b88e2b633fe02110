"""`Recommender.finetune`, from raw pairs to new weights."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from lerg_runtime._limits import MAX_LOCAL_INTERACTIONS
from lerg_runtime.bundle._arrays import Allocate
from lerg_runtime.bundle._csr import InteractionRows
from lerg_runtime.bundle._state import State
from lerg_runtime.errors import InputError
from lerg_runtime.learning._disliking import Disliked, merged_pairs
from lerg_runtime.learning._negatives import Negatives
from lerg_runtime.learning._remainders import count_moved
from lerg_runtime.learning._training import (
    EpochReport,
    FineTuneOptions,
    FineTuneProgress,
    FineTuneReport,
    OnEpoch,
    OnProgress,
    train,
)
from lerg_runtime.learning._training_set import TrainingSet
from lerg_runtime.pairs._resolved import ResolvedPairs
from lerg_runtime.planning._fitting import check_phase, finetune_changes
from lerg_runtime.serving._core import OpenBundle
from lerg_runtime.serving._snapshot import Snapshot

__all__ = ["finetune"]

_PAIRS_AT_ONCE = 1 << 13
_LEAST_TO_HOLD_OUT = 100  # fewer new interactions are all learned from
_HELD_OUT_SHARE = 0.1


def finetune(
    bundle: OpenBundle,
    pairs: ResolvedPairs | None,
    options: FineTuneOptions,
    *,
    on_progress: OnProgress | None,
    on_epoch: OnEpoch | None,
) -> FineTuneReport:
    """Train on new pairs beside earlier ones, or with None on all earlier ones; the caller has the turn.

    Pairs that are rated low are stored as seen. Where all of them are, nothing is trained.

    Raises:
        InputError: too many local interactions.
        BudgetError: it does not fit; nothing large has been allocated.
        LergRuntimeError: the loss became no number, or learning has done harm; everything is as before.
    """
    began = time.monotonic()
    users, items = (np.empty(0, np.int32),) * 2 if pairs is None else (pairs.users, pairs.items)
    desk = bundle.desk
    before = desk.snapshot()
    count = len(users) - before.interactions.count(users, items)
    disliked = Disliked.counted(bundle, before, pairs)
    replay = options.replay
    if replay is None and pairs is not None:
        replay = bundle.manifest.finetune.replayed(len(users), batch=options.batch)
    total = before.state.pairs + count + disliked.added - disliked.liked_again
    if total > MAX_LOCAL_INTERACTIONS:
        raise InputError(
            f"there would be {total} local interactions and a bundle holds {MAX_LOCAL_INTERACTIONS}; "
            "export a new one"
        )
    shape = bundle.manifest.model
    interactions, state = before.interactions, before.state
    empty = bundle.empty
    unknown, everything = (0 if pairs is None else pairs.unknown), pairs is None
    needed = _check_budget(
        bundle,
        options,
        new=len(users),
        repeated=len(users) - count,
        disliked=disliked,
        given_low=0 if pairs is None else len(pairs.low_users),
        replay=replay,
    )
    if needed:
        bundle.make_room(needed, doing="fine-tuned")
    low = before.disliked
    if pairs is not None and disliked.changed:
        state = disliked.merge(bundle, before, pairs)
        low = bundle.rated_low(state)
    del pairs
    if len(users) == 0 and not everything:
        desk.publish(Snapshot(state, interactions, low))
        return _report(bundle, unknown, disliked, began=began)
    fresh: tuple[np.ndarray, ...] = ()
    if count:
        fresh = _not_in(before.interactions, users, items, count, allocate=empty)
        interactions = interactions.with_pairs(*fresh, allocate=empty)
    new = interactions.find(users, items, allocate=empty)
    given = len(users)
    del users, items  # their memory is planned for what follows
    if count:
        state = _with_pairs(state, *fresh, user_count=shape.users, item_count=shape.items, allocate=empty)
    del fresh
    training_set = TrainingSet(
        interactions,
        bundle.entities,
        shape,
        new=new,
        replay=replay,
        disliked=low,
        allocate=empty,
        hold_out=lambda count: _held_out(count, batch=options.batch),
        seed=options.seed,
    )
    negatives = Negatives(
        interactions,
        bundle.entities,
        shape,
        batch=options.batch,
        candidates=options.negative_candidates,
        allocate=empty,
    )
    learnt = Snapshot(state, interactions, low)

    def publish(codebook: np.ndarray, step: np.ndarray, remainder: np.ndarray) -> None:
        nonlocal learnt
        now = replace(state, codebook=codebook, step=step.copy(), remainder=remainder)
        learnt = Snapshot(now, interactions, low)
        desk.show_draft(learnt)

    def step_ended(progress: FineTuneProgress) -> None:
        desk.check_open()
        if on_progress is not None:
            on_progress(progress)
            if bundle.budget_bytes is not None:
                desk.drop_draft_tables()

    def epoch_ended(report: EpochReport) -> bool | None:
        goes_on = None if on_epoch is None else on_epoch(report)
        desk.drop_draft_tables()
        return goes_on

    run = train(
        bundle.engine,
        shape,
        training_set,
        negatives,
        state,
        options,
        publish=publish,
        on_progress=step_ended,
        on_epoch=epoch_ended,
    )
    desk.publish(learnt)
    return replace(
        _report(bundle, unknown, disliked, began=began),
        epochs=run.epochs,
        new_interactions=count,
        known_interactions=given - count,
        untrainable=given - training_set.new,
        replayed=training_set.replayed,
        steps=run.steps,
        stopped=run.stopped,
        moved=count_moved(state.codebook, learnt.state.codebook, shape.bits),
        elements=shape.codebook_rows * shape.dim,
        held_out=training_set.held_out,
        loss_before=run.loss_before,
        loss_after=run.loss_after,
    )


def _report(bundle: OpenBundle, unknown: int, disliked: Disliked, *, began: float) -> FineTuneReport:
    """What is to tell where nothing was trained."""
    return FineTuneReport(
        epochs=(),
        new_interactions=0,
        known_interactions=0,
        untrainable=0,
        unknown=unknown,
        disliked=disliked.added,
        withdrawn=disliked.withdrawn,
        replayed=0,
        steps=0,
        stopped=False,
        seconds=time.monotonic() - began,
        peak_bytes=int(bundle.engine.budget.peak),
    )


def _held_out(count: int, *, batch: int) -> int:
    """Of so many new interactions, those that are not learned from, to see whether learning does harm."""
    return 0 if count < _LEAST_TO_HOLD_OUT else min(round(_HELD_OUT_SHARE * count), batch)


def _check_budget(
    bundle: OpenBundle,
    options: FineTuneOptions,
    *,
    new: int,
    repeated: int,
    disliked: Disliked,
    given_low: int,
    replay: int | None,
) -> int:
    """Bytes that fine-tuning needs by the plan, the resident arrays included.

    Where all that is new is rated low, nothing is trained, and the state changes alone, or nothing: 0.
    """
    workload = bundle.workload(
        batch=options.batch,
        optimiser=options.optimiser.name,
        momentum=options.optimiser.momentum > 0,
        new_interactions=new,
        repeated=repeated,
        given_disliked=given_low,
        new_disliked=disliked.added,
        liked_again=disliked.liked_again,
        replayed=replay,
        negative_candidates=options.negative_candidates,
    )
    plan = bundle.plan(workload)
    merging = plan.phase("dislike").total_bytes if disliked.changed else 0
    if disliked.changed:
        check_phase(plan.phase("dislike"), bundle.budget_bytes, doing="storing what is rated low")
    if new == 0 and given_low:
        return merging
    phase = plan.phase("finetune")
    if bundle.budget_bytes is not None:
        changes = finetune_changes(
            bundle.manifest,
            bundle.sizes,
            local=len(bundle.state.users),
            disliked=len(bundle.state.disliked_users),
            remainder=len(bundle.state.remainder) > 0,
            workload=workload,
            budget_bytes=bundle.budget_bytes,
        )
        check_phase(phase, bundle.budget_bytes, doing="fine-tuning", changes=changes)
    return max(merging, phase.total_bytes)


def _not_in(
    interactions: InteractionRows, users: np.ndarray, items: np.ndarray, count: int, *, allocate: Allocate
) -> tuple[np.ndarray, np.ndarray]:
    """The `count` pairs that are new, in counted memory; the arrays themselves if all are."""
    if count == len(users):
        return users, items
    fresh, end = (allocate((count,), "int32"), allocate((count,), "int32")), 0
    for start in range(0, len(users), _PAIRS_AT_ONCE):
        part = slice(start, start + _PAIRS_AT_ONCE)
        new = ~interactions.contains(users[part], items[part])
        kept = int(np.count_nonzero(new))
        for target, source in zip(fresh, (users, items), strict=True):
            target[end : end + kept] = source[part][new]
        end += kept
    return fresh


def _with_pairs(
    state: State,
    users: np.ndarray,
    items: np.ndarray,
    *,
    user_count: int,
    item_count: int,
    allocate: Allocate,
) -> State:
    """The state with more local interactions, sorted as before."""
    users, items = merged_pairs(
        state.users,
        state.items,
        users,
        items,
        user_count=user_count,
        item_count=item_count,
        allocate=allocate,
    )
    return replace(state, users=users, items=items)
