"""How the full table is trained that codes are learned from, and their codebook after it.

docs/accuracy.md has what was tried.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from lerg_edge.codes.assignment import identity_assignment
from lerg_edge.codes.widths import FLOAT_BITS
from lerg_edge.data.validation import ValidationSplit
from lerg_edge.training.options import TrainingOptions
from lerg_edge.training.pretraining import pretrain

__all__ = [
    "SettingsTrial",
    "codebook_options",
    "in_batch_settings",
    "leaves_settings_to_validation",
    "preferred",
    "teacher_options",
    "try_in_batch_settings",
]

_TEACHER_EPOCHS = 60
_TEACHER_PATIENCE = 8
_CONTRASTED_EPOCHS = 80
_CODEBOOK_EPOCHS = 2
_MANY_PAIRS = 800_000
_STEPS_PER_EPOCH = 45
_PAIRS_TO_TRY_WITH = 200_000
_TRIAL_EPOCHS = 2
_MARGIN = 1.005
# Of the temperature that suits the number of pairs, and powers of the denominator.
_TRIED = ((1.0, 0.84), (1.25, 1.0), (1.25, 1.12))


def teacher_options(training: TrainingOptions, *, pairs: int, epochs: int | None = None) -> TrainingOptions:
    """How the full table is trained whose layer-0 rows are coded.

    By a softmax over the other positives of the batch, from small rows and at a rate that does not fall; with
    XSimGCL's contrast over drawn negatives, at one that does.

    Args:
        training: of the model that is to be made: dimension, layers, validation, seed and device are its.
        pairs: training interactions, see :func:`in_batch_settings`.
        epochs: most of them; None for 60, and 80 with a contrast.
    """
    training = replace(training, bits=FLOAT_BITS, per_row_steps=False)
    if training.augment is not None:
        return _contrasted(training, pairs=pairs, epochs=_CONTRASTED_EPOCHS if epochs is None else epochs)
    return replace(
        training,
        loss="in-batch",
        loss_settings=in_batch_settings(pairs),
        learning_rate=1e-3,
        schedule="constant",
        l2=1e-5,
        start="normal",
        start_scale=0.0075,
        epochs=_TEACHER_EPOCHS if epochs is None else epochs,
        patience=_TEACHER_PATIENCE,
        batch=_batch(pairs),
    )


def codebook_options(training: TrainingOptions, *, pairs: int) -> TrainingOptions:
    """How the codebook is trained on, once codes are found: by the objective of the full table.

    Args:
        training: of the model.
        pairs: training interactions.
    """
    epochs = min(_CODEBOOK_EPOCHS, training.epochs)
    if training.augment is not None:
        return replace(_contrasted(training, pairs=_MANY_PAIRS, epochs=epochs), learning_rate=0.01)
    return replace(
        teacher_options(training, pairs=pairs, epochs=epochs),
        bits=training.bits,
        per_row_steps=training.per_row_steps,
        schedule="cosine",
        l2=0.0,
        batch=2 * _batch(pairs),
    )


def in_batch_settings(pairs: int) -> dict[str, float]:
    """Settings of the in-batch softmax for so many training interactions.

    Fewer of them want a higher temperature, and more of the correction for popularity: NDCG@20 of validation
    pairs, full tables of one layer, on lastfm's 42 thousand 0.132 without either, 0.146 at a temperature of
    0.2, 0.155 with a correction of 0.5 too; on gowalla's 810 thousand 0.106 without and 0.092 with that
    correction.
    """
    small = min(1.0, pairs / _MANY_PAIRS)
    return {
        "temperature": round(min(0.3, 0.12 * max(small, 1e-9) ** -0.17), 3),
        "correction": round(0.4 * (1.0 - small), 3),
        "group": 1024,
    }


def leaves_settings_to_validation(training: TrainingOptions, *, pairs: int) -> bool:
    """Whether settings of the in-batch softmax are worth a trial: it is used, on 200 thousand pairs or more.

    With fewer, what a trial says is within noise: on lastfm's 42 thousand, trained to the end, powers of 0.84
    and 1 have 0.154 and 0.153. Between that and gowalla's 810 thousand nothing was measured. Settings other
    than :func:`in_batch_settings` are somebody's, and stay.
    """
    return (
        training.loss == "in-batch"
        and training.loss_settings == in_batch_settings(pairs)
        and training.validation_share > 0
        and pairs >= _PAIRS_TO_TRY_WITH
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsTrial:
    """A full table trained for two epochs.

    Attributes:
        temperature, power: of the in-batch softmax.
        ndcg: validation NDCG@20 of the better epoch.
    """

    temperature: float
    power: float
    ndcg: float


def try_in_batch_settings(
    split: ValidationSplit,
    training: TrainingOptions,
    *,
    on_trial: Callable[[SettingsTrial], None] | None = None,
) -> tuple[SettingsTrial, ...]:
    """Train for two epochs at each of three temperatures and powers of the in-batch softmax, the usual first.

    How hard items should be pushed apart differs from data to data, and shows at once: docs/accuracy.md has
    what it gave on three sets.

    Args:
        split: what to train on, and the validation pairs.
        training: of the full table, with the usual settings.
        on_trial: is told of each trial.
    """
    table = identity_assignment(sum(split.train.shape))
    trials: list[SettingsTrial] = []
    for factor, power in _TRIED:
        tried = {"temperature": round(factor * training.loss_settings["temperature"], 3), "power": power}
        options = replace(
            training,
            epochs=min(_TRIAL_EPOCHS, training.epochs),
            loss_settings={**training.loss_settings, **tried},
        )
        ndcg = max(report.ndcg or 0.0 for report in pretrain(split, table, options).history)
        trials.append(SettingsTrial(**tried, ndcg=ndcg))
        if on_trial:
            on_trial(trials[-1])
    return tuple(trials)


def preferred(trials: Sequence[SettingsTrial]) -> SettingsTrial:
    """The best of some trials, or the first, the usual one, if none is better by more than half a percent."""
    best = max(trials, key=lambda trial: trial.ndcg)
    return best if best.ndcg > _MARGIN * trials[0].ndcg else trials[0]


def _batch(pairs: int) -> int:
    """Interactions in a step: a power of two, for 45 steps an epoch at least unless the data is tiny."""
    return int(2 ** np.clip(np.rint(np.log2(max(pairs, 1) / _STEPS_PER_EPOCH)), 7, 11))


def _contrasted(training: TrainingOptions, *, pairs: int, epochs: int) -> TrainingOptions:
    """A softmax over drawn negatives beside a contrast; fewer pairs want smaller steps and more penalty."""
    small = min(1.0, pairs / _MANY_PAIRS)
    return replace(
        training,
        loss="softmax",
        negatives=8,
        learning_rate=0.05 * small ** (1 / 3),
        schedule="cosine",
        l2=1e-3 / small**0.5,
        epochs=epochs,
        patience=epochs,
        batch=None,
    )
