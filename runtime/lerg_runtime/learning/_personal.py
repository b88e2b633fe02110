"""`Recommender.finetune` of a personal bundle: from the history that it keeps to new weights."""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np

from lerg_runtime._arguments import whole
from lerg_runtime.errors import InputError, LergRuntimeError
from lerg_runtime.learning._optimiser import OptimiserOptions
from lerg_runtime.learning._own_history import LEAST_ITEMS, OwnHistory
from lerg_runtime.learning._remainders import count_moved
from lerg_runtime.learning._training import FineTuneOptions, FineTuneReport, OnEpoch, OnProgress, train
from lerg_runtime.planning._fitting import check_phase
from lerg_runtime.serving._personal import PersonalBundle

__all__ = ["finetune_personal", "personal_options"]

_MOST_RISE = 0.05  # of the mean of log2(1 + rank); less is no difference


def personal_options(
    bundle: PersonalBundle,
    *,
    epochs: int,
    optimiser: str,
    learning_rate: float | None,
    momentum: float | None,
    batch: int | None,
    seed: int,
    force: bool,
    idle: Mapping[str, object],
) -> FineTuneOptions:
    """Checked arguments, completed by the bundle's defaults.

    Args:
        idle: arguments that say nothing here, by name; all of them must be None.

    Raises:
        InputError: a value that cannot be, or the bundle has no program to learn by.
    """
    manifest, where = bundle.folder.personal, bundle.folder.path
    for name, value in idle.items():
        if value is not None:
            raise InputError(
                f"{where} is a personal bundle, which learns from the history that it keeps; observe what "
                f"happened and leave {name} out"
            )
    defaults, most = manifest.finetune, manifest.model.max_batch
    if defaults is None:
        raise InputError(
            f"{where} is a personal bundle without a program to learn by; export it with --personal "
            "--finetune"
        )
    if batch is not None and whole(batch, "batch", least=2) > most:
        raise InputError(f"batch is {batch}; this bundle's program takes up to {most}")
    return FineTuneOptions(
        epochs=whole(epochs, "epochs", least=1),
        batch=defaults.batch if batch is None else batch,
        optimiser=OptimiserOptions.choose(
            optimiser, learning_rate=learning_rate, momentum=momentum, defaults=defaults
        ),
        replay=None,
        negative_candidates=1,
        seed=whole(seed, "seed", least=0),
        force=force,
    )


def finetune_personal(
    bundle: PersonalBundle,
    options: FineTuneOptions,
    *,
    on_progress: OnProgress | None,
    on_epoch: OnEpoch | None,
) -> FineTuneReport:
    """Train on the history that the bundle keeps; other threads wait until it is over.

    Raises:
        InputError: the history is too short, or holds every item.
        BudgetError: it does not fit; nothing large has been allocated.
        LergRuntimeError: the loss became no number, or learning has done harm; the weights are as before.
    """
    began = time.monotonic()
    shape, empty = bundle.folder.personal.model, bundle.engine.budget.empty
    moments = {"adam": 2, "sgd": int(options.optimiser.momentum > 0)}[options.optimiser.name]
    with bundle.turn():
        state = bundle.state
        history = state.history.items.astype(np.int64)
        if len(history) < LEAST_ITEMS:
            raise InputError(
                f"the history has {len(history)} items and learning takes {LEAST_ITEMS}; observe more first"
            )
        plan = bundle.plan(moments=moments, batch=options.batch)
        for phase in ("finetune", "compare"):
            check_phase(plan.phase(phase), bundle.budget_bytes, doing="fine-tuning")
        metric, spread = bundle.comparison(history)
        data = OwnHistory(
            history,
            bundle.weights(history) * np.sqrt(len(history)),
            slots=bundle.items.slots,
            metric=metric,
            scale=1.0 / spread if spread > 0 else 1.0,
            batch=options.batch,
            allocate=empty,
        )
        items, late = data.items, data.late
        distance = bundle.distance(items, late) if len(late) else 0.0
        bundle.drop_tables()
        learned = state.codebook, state.step, state.remainder

        def publish(codebook: np.ndarray, step: np.ndarray, remainder: np.ndarray) -> None:
            nonlocal learned
            learned = codebook, step.copy(), remainder

        run = train(
            bundle.engine,
            shape,
            data,
            None,
            state,
            options,
            publish=publish,
            on_progress=on_progress,
            on_epoch=on_epoch,
        )
        del data, metric  # their memory is planned for what follows
        bundle.learned(*learned)
        if len(late) and not options.force:
            now = bundle.distance(items, late)
            if now > distance + _MOST_RISE:
                bundle.take_back(state)
                raise _harmful(len(late), distance, now, options.optimiser.learning_rate)
    return FineTuneReport(
        epochs=run.epochs,
        new_interactions=0,
        known_interactions=len(history),
        untrainable=0,
        unknown=0,
        replayed=0,
        steps=run.steps,
        stopped=run.stopped,
        seconds=time.monotonic() - began,
        peak_bytes=int(bundle.engine.budget.peak),
        moved=count_moved(state.codebook, learned[0], shape.bits),
        elements=shape.codebook_rows * shape.dim,
        held_out=len(late),
        loss_before=run.loss_before,
        loss_after=run.loss_after,
    )


def _harmful(held_out: int, before: float, now: float, rate: float) -> LergRuntimeError:
    return LergRuntimeError(
        f"learning has made it worse: the latest {held_out} items of the history were held out and rank at "
        f"{2**now - 1:.0f}, not at {2**before - 1:.0f}, so the weights stay as they were; fine-tune with a "
        f"learning rate below {rate:g}, or for fewer epochs"
    )
