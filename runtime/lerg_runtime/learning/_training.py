"""Fine-tuning: mini-batches of triples through the program `finetune`, an optimiser between them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from lerg_runtime.bundle._state import State
from lerg_runtime.bundle._state_shape import StateShape
from lerg_runtime.engine._engine import Engine, LoadedMethod, native
from lerg_runtime.errors import LergRuntimeError
from lerg_runtime.learning._negatives import Negatives
from lerg_runtime.learning._optimiser import OptimiserOptions, Updater
from lerg_runtime.learning._remainders import add_remainder, remainder_shape, take_remainder

__all__ = [
    "EpochReport",
    "FineTuneOptions",
    "FineTuneProgress",
    "FineTuneReport",
    "OnEpoch",
    "OnProgress",
    "train",
]


@dataclass(frozen=True, slots=True)
class FineTuneOptions:
    """Checked arguments of fine-tuning.

    Attributes:
        epochs: 1 or more.
        batch: triples a step.
        optimiser: what moves the weights.
        replay: earlier interactions in an epoch; None for the bundle's default, or all where none is new.
        negative_candidates: items drawn for each negative.
        seed: the same seed gives the same result.
        force: keep what was learned even where it does harm.
    """

    epochs: int
    batch: int
    optimiser: OptimiserOptions
    replay: int | None
    negative_candidates: int
    seed: int
    force: bool = False


@dataclass(frozen=True, slots=True)
class FineTuneProgress:
    """After one step.

    Attributes:
        epoch, epochs: from 1, and how many there will be at most.
        step, steps: within the epoch, from 1.
        loss: of this step's batch.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float

    def __str__(self) -> str:
        return f"epoch {self.epoch}/{self.epochs}, step {self.step}/{self.steps}, loss {self.loss:.4f}"


@dataclass(frozen=True, slots=True)
class EpochReport:
    """After one epoch.

    Attributes:
        epoch, epochs: from 1, and how many there will be at most.
        loss: mean over the triples of the epoch.
        triples: gone over.
        seconds: it took.
    """

    epoch: int
    epochs: int
    loss: float
    triples: int
    seconds: float


@dataclass(frozen=True, slots=True)
class FineTuneReport:
    """What fine-tuning did.

    Attributes:
        epochs: finished, one report each.
        new_interactions: given, known by their ids, and not known before as interactions.
        known_interactions: given and known before; they are trained on, not stored again.
        untrainable: given, of a pruned user with a pruned item; they count as seen and are stored.
        unknown: given and skipped because an id is unknown.
        disliked: pairs of a file that are rated below its threshold, and that count as seen from now on.
        withdrawn: of them, learned from before; they are no positives any more.
        replayed: earlier interactions in each epoch.
        steps: of the optimiser.
        stopped: the caller's `on_epoch` ended it early.
        seconds: in all.
        peak_bytes: most that was taken from the budget.
        moved: elements of the codebook that are other integers now (or floats, of 32 bits).
        elements: that there are.
        held_out: new interactions that were not learned from, to see whether learning does harm.
        loss_before, loss_after: on them, or where there are too few on the first triples; None untrained.
    """

    epochs: tuple[EpochReport, ...]
    new_interactions: int
    known_interactions: int
    untrainable: int
    unknown: int
    replayed: int
    steps: int
    stopped: bool
    seconds: float
    peak_bytes: int
    disliked: int = 0
    withdrawn: int = 0
    moved: int = 0
    elements: int = 0
    held_out: int = 0
    loss_before: float | None = None
    loss_after: float | None = None

    @property
    def losses(self) -> tuple[float, ...]:
        """Mean loss of each epoch."""
        return tuple(epoch.loss for epoch in self.epochs)


OnProgress = Callable[[FineTuneProgress], object]
OnEpoch = Callable[[EpochReport], "bool | None"]
Publish = Callable[[np.ndarray, np.ndarray, np.ndarray], None]
_MOST_RISE = 1.05  # of the loss on triples that are looked at again, and
_LEAST_RISE = 0.01
_DIVERGED = 2.0  # times as large a loss


class TrainingData(Protocol):
    """What epochs go over."""

    @property
    def held_out(self) -> int:
        """How much of it epochs leave out."""

    def __len__(self) -> int: ...

    def batches(self, size: int, random: Any, negatives: Any) -> Iterator[tuple[np.ndarray, ...]]:
        """Inputs of the program, batch after batch of an epoch; the first of them has a row a triple."""

    def held_out_triples(self, random: Any, negatives: Any) -> tuple[np.ndarray, ...] | None:
        """One batch of what epochs leave out; None where there is none."""


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """What `train` has done: reports, steps, whether it was ended early, and the losses of the check."""

    epochs: tuple[EpochReport, ...]
    steps: int
    stopped: bool
    loss_before: float | None = None
    loss_after: float | None = None


def train(
    engine: Engine,
    shape: StateShape,
    training_set: TrainingData,
    negatives: Negatives | None,
    state: State,
    options: FineTuneOptions,
    *,
    publish: Publish,
    on_progress: OnProgress | None,
    on_epoch: OnEpoch | None,
) -> TrainingRun:
    """Run epochs and hand each one's quantised result to `publish`.

    Args:
        engine: where programs and memory come from.
        shape: of the model.
        training_set: what to go over; nothing is done if it is empty.
        negatives: draws the items to tell the positives from; None where the data does it by itself.
        state: the weights to start from, and what rounding left of them.
        options: what was asked for; `replay` and `negative_candidates` are the data's.
        publish: takes the packed codebook, the step and the remainder after each epoch; all are written again
            later.
        on_progress: called after each step.
        on_epoch: called after `publish`; False ends the training.

    Raises:
        LergRuntimeError: the loss or the weights are no numbers any more, or learning has done harm: triples
            that it did not see, or where there are too few the first that it saw, are told apart worse.
        BudgetError: something does not fit the budget.
    """
    empty, optimiser, epochs = engine.budget.empty, options.optimiser, options.epochs
    latent: np.ndarray = empty((shape.codebook_rows, shape.dim), "float32")
    latent_step: np.ndarray = empty((shape.step_count,), "float32")
    packed: np.ndarray = empty(shape.packed_shape, shape.packed_dtype)
    left_over: np.ndarray = empty(remainder_shape(shape), "int8")
    native().dequantise(state.codebook, state.step, shape.bits, latent)
    add_remainder(latent, state.remainder, state.step)
    latent_step[:] = state.step
    loss: np.ndarray = empty((), "float32")
    gradients = [empty(latent.shape, "float32"), empty(latent_step.shape, "float32")]
    updater = Updater(optimiser, latent, latent_step, allocate=empty)
    method: LoadedMethod | None = None
    random = np.random.default_rng(options.seed)
    reports: list[EpochReport] = []
    steps, stopped = 0, False
    check: tuple[np.ndarray, ...] | None = None
    loss_before = loss_after = None
    steps_per_epoch = math.ceil(len(training_set) / options.batch)
    for epoch in range(1, epochs + 1 if len(training_set) else 1):
        began = time.monotonic()
        total, triples = 0.0, 0
        if negatives is not None and negatives.uses_tables:
            method = None  # its arenas must be free before those of encode are taken
            _quantise(latent, latent_step, shape.bits, packed, optimiser)
            negatives.refresh(engine, packed, latent_step)
        if method is None:
            method = engine.load("finetune", parameters={"codebook": latent, "step": latent_step})
        if check is None and training_set.held_out:
            check = training_set.held_out_triples(np.random.default_rng([options.seed, 1]), negatives)
            if check is not None:
                method.execute(*check, outputs=[loss, *gradients, None, None])
                loss_before = float(loss[()])
        for number, inputs in enumerate(training_set.batches(options.batch, random, negatives), start=1):
            method.execute(*inputs, outputs=[loss, *gradients, None, None])
            value = float(loss[()])
            if check is None:
                check, loss_before = inputs, value
            if not math.isfinite(value):
                raise LergRuntimeError(
                    f"the loss is {value} in epoch {epoch}, step {number}; "
                    f"fine-tune with a learning rate below {optimiser.learning_rate:g}"
                )
            # Adam's first steps have the size of the rate whatever the gradient: a rate that falls to zero
            # lets the weights settle on the quantiser's grid. SGD keeps its rate, as ExecuTorch's own does.
            decay = 1.0 - steps / (epochs * steps_per_epoch) if optimiser.name == "adam" else 1.0
            updater.update(*gradients, rate_share=decay)
            total, triples, steps = total + value * len(inputs[0]), triples + len(inputs[0]), steps + 1
            if on_progress is not None:
                on_progress(FineTuneProgress(epoch, epochs, number, steps_per_epoch, value))
        _quantise(latent, latent_step, shape.bits, packed, optimiser)
        native().dequantise(packed, latent_step, shape.bits, gradients[0])
        take_remainder(latent, gradients[0], latent_step, left_over)
        publish(packed, latent_step, left_over)
        mean = total / max(1, triples)
        # An untold ranking has a loss of log 2.
        if loss_before is not None and mean > _DIVERGED * max(loss_before, math.log(2)) and not options.force:
            raise _harmful(f"the loss was {loss_before:.4f} and is {mean:.4f} in epoch {epoch}", optimiser)
        seconds = time.monotonic() - began
        reports.append(EpochReport(epoch, epochs, mean, triples, seconds))
        if on_epoch is not None and on_epoch(reports[-1]) is False:
            stopped = epoch < epochs
            break
    if method is not None and check is not None and loss_before is not None:
        method.execute(*check, outputs=[loss, *gradients, None, None])
        loss_after = float(loss[()])
        worse = loss_after > _MOST_RISE * loss_before + _LEAST_RISE
        if worse and not options.force:
            which = "interactions that were held out" if training_set.held_out else "what was learned from"
            raise _harmful(f"the loss on {which} was {loss_before:.4f} and is {loss_after:.4f}", optimiser)
    return TrainingRun(tuple(reports), steps, stopped, loss_before, loss_after)


def _harmful(what: str, optimiser: OptimiserOptions) -> LergRuntimeError:
    return LergRuntimeError(
        f"learning has made it worse: {what}, so the weights stay as they were; fine-tune with a learning "
        f"rate below {optimiser.learning_rate:g}, or go over more earlier interactions"
    )


def _quantise(
    latent: np.ndarray, step: np.ndarray, bits: int, packed: np.ndarray, optimiser: OptimiserOptions
) -> None:
    """Round the weights into `packed`.

    Raises:
        LergRuntimeError: they have left the range in which they can be rounded.
    """
    try:
        native().quantise(latent, step, bits, packed)
    except ValueError as error:
        raise LergRuntimeError(
            f"the weights cannot be stored any more ({error}); fine-tune with a learning rate below "
            f"{optimiser.learning_rate:g}"
        ) from None
