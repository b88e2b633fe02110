"""The stages that make a model, each taken from the work folder when it is still valid.

What a stage's result depends on is its fingerprint. Another retention leaves the pretrained model as it is;
another bit width keeps the assignment only if `codebook_rows` is stated too, and trains the codebook anew.
What a recommender or an assignment of one's own makes is never taken from the folder: its code is not part of
the fingerprint.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import numpy as np

from lerg_edge.assigning.teacher import teacher_options
from lerg_edge.codes.assignment import Assignment, LearnedAssignment, identity_assignment
from lerg_edge.codes.widths import FLOAT_BITS
from lerg_edge.errors import InputError
from lerg_edge.training.options import EpochReport, Pretrained, TrainingOptions
from lerg_edge.training.pretraining import pretrain, quantised
from lerg_edge.training.scaling import with_telling_scores
from lerg_edge.workdir import WorkDir, fingerprint
from lerg_exporter.exporting.cut import Cut
from lerg_exporter.exporting.options import ExportOptions
from lerg_exporter.exporting.progress import Progress, Silent

__all__ = [
    "assigned",
    "full_table_options",
    "pretrained",
    "rounded",
    "stated_loss_settings",
    "stopped_after",
    "teacher_epochs",
    "trained",
    "training_options",
]

_IN_BATCH = "in-batch"


def training_options(options: ExportOptions, *, pairs: int) -> TrainingOptions:
    """The trainer's settings; what the options leave open suits the assignment, or is the trainer's own.

    Args:
        pairs: training interactions, which a full table's settings depend on.

    Raises:
        InputError: a setting of the in-batch softmax is stated where another loss is used.
    """
    post_training = options.quantisation == "post-training"
    kind, recommender = options.assignment_kind, options.recommender_kind
    chosen: dict[str, Any] = {
        # With a full table to learn from, what is stated is for that; its codebook is trained for fewer.
        "epochs": None if kind.training else options.epochs,
        "batch": options.pretrain_batch,
        "learning_rate": options.learning_rate,
        "l2": options.l2,
    }
    training = TrainingOptions(
        dim=options.dim,
        bits=FLOAT_BITS if post_training else options.bits,
        layers=options.resolved_layers,
        augment=recommender.augmentation(),
        per_row_steps=options.step_sizes == "row" and not post_training,
        seed=options.seed,
        device=options.device,  # type: ignore[arg-type]
    )
    if kind.training:
        if options.epochs is not None:
            training = replace(training, epochs=options.epochs)
        training = kind.function("training")(training, pairs=pairs)
    if kind.one_each:
        training = recommender.for_full_table(training, pairs=pairs)
    training = replace(training, **{name: value for name, value in chosen.items() if value is not None})
    if kind.teacher:
        _check_loss_settings(teacher_options(training, pairs=pairs), options)
        return training if training.loss != _IN_BATCH else _with_loss_settings(training, options)
    _check_loss_settings(training, options)
    return _with_loss_settings(training, options)


def full_table_options(training: TrainingOptions, options: ExportOptions, *, pairs: int) -> TrainingOptions:
    """How the full table is trained that codes or item rows are learned from.

    Args:
        training: of the model.
        pairs: training interactions.
    """
    return _with_loss_settings(teacher_options(training, pairs=pairs, epochs=options.epochs), options)


def stated_loss_settings(options: ExportOptions) -> dict[str, float]:
    """Settings of the in-batch softmax that the options state."""
    named = {"temperature": options.temperature, "power": options.power}
    return {name: value for name, value in named.items() if value is not None}


def _check_loss_settings(training: TrainingOptions, options: ExportOptions) -> None:
    """Refuse settings of the in-batch softmax where another loss is used.

    Raises:
        InputError: one is stated.
    """
    for name, value in stated_loss_settings(options).items():
        if training.loss != _IN_BATCH:
            raise InputError.naming(
                f"{{{name}:{{}}}} is of the in-batch softmax, and this model is trained by another loss; "
                "leave it out",
                value,
            )


def _with_loss_settings(training: TrainingOptions, options: ExportOptions) -> TrainingOptions:
    stated = stated_loss_settings(options)
    return replace(training, loss_settings={**training.loss_settings, **stated}) if stated else training


def assigned(
    cut: Cut,
    options: ExportOptions,
    training: TrainingOptions,
    *,
    codebook_rows: int,
    teacher_epochs: int | None = None,
    work: WorkDir,
    progress: Progress,
) -> LearnedAssignment:
    """Which codes make up which entity, and where that says it the codebook to start from.

    Args:
        codebook_rows: rows of the codebook.
        teacher_epochs: after which the full table's training ends, if codes are learned from one; None leaves
            that to validation.
    """
    kind = options.assignment_kind
    given = {
        "codes_per_entity": options.resolved_codes_per_entity,
        "anchor_weight": options.anchor_weight,
        "auxiliaries": options.auxiliaries,
    }
    settings: dict[str, Any] = {"codebook_rows": codebook_rows, **{name: given[name] for name in kind.reads}}
    if kind.teacher:
        full = _teacher(cut, options, training, epochs=teacher_epochs, work=work, progress=progress)
        settings["teacher"] = full.codebook
    key = fingerprint(
        "assignment",
        made_by=options.assignment if options.is_own else kind.assign,
        graph=cut.matrix,
        seed=training.seed,
        layers=training.layers if kind.teacher else None,
        validation=[training.validation_share, training.validation_users],
        **settings,
    )
    found = None if options.is_own else work.load("assignment", key)
    if found is not None:
        return LearnedAssignment(Assignment.from_stage(*found), found[0].get("codebook"))
    made = kind.function("assign")(cut.split, training, **settings)
    learned: LearnedAssignment = LearnedAssignment(made) if isinstance(made, Assignment) else made
    tensors, numbers = learned.assignment.to_stage()
    if learned.codebook is not None:
        tensors["codebook"] = learned.codebook
    if not options.is_own:
        work.store("assignment", key, tensors=tensors, result=numbers)
    return learned


def _teacher(
    cut: Cut,
    options: ExportOptions,
    training: TrainingOptions,
    *,
    epochs: int | None,
    work: WorkDir,
    progress: Progress,
) -> Pretrained:
    """A full table, whose layer-0 rows float32 [N, d] an assignment is learned from."""
    progress.note("training the full table that codes are learned from")
    settings = full_table_options(training, options, pairs=cut.train.pair_count)
    if epochs is not None:
        settings = stopped_after(settings, epochs)
    table = identity_assignment(sum(cut.matrix.shape))
    return trained(
        cut, LearnedAssignment(table), settings, options, by=pretrain, work=work, progress=progress
    )


def teacher_epochs(cut: Cut, options: ExportOptions, training: TrainingOptions, *, work: WorkDir) -> int:
    """The epoch of the full table that validation chose; the table is in the work folder by now."""
    return _teacher(cut, options, training, epochs=None, work=work, progress=Silent()).best_epoch


def stopped_after(training: TrainingOptions, epochs: int) -> TrainingOptions:
    """The same training, ended after so many epochs; 0 for a codebook that no epoch is trained for."""
    if not epochs:
        return training
    if training.schedule == "constant":
        return replace(training, epochs=epochs)
    return replace(training, stop_after=epochs)


def pretrained(
    cut: Cut,
    learned: LearnedAssignment,
    training: TrainingOptions,
    options: ExportOptions,
    *,
    work: WorkDir,
    progress: Progress,
) -> Pretrained:
    """The model that :func:`trained` makes, with scores that fine-tuning can tell apart.

    See `lerg_edge.training.scaling`; neither a ranking nor a stored integer is another for it. It is for full
    tables and codes that are learned from one, which a softmax over cosines has trained, and for bundles that
    are fine-tuned as they were trained: folded rows are made anew, and were not found to gain by it.
    """
    model = trained(cut, learned, training, options, work=work, progress=progress)
    kind = options.assignment_kind
    by_cosines = kind.teacher or kind.one_each
    if by_cosines and options.propagation_kind.trains_on:
        return with_telling_scores(model, cut.split.train)
    return model


def trained(
    cut: Cut,
    learned: LearnedAssignment,
    training: TrainingOptions,
    options: ExportOptions,
    *,
    by: Callable[..., Pretrained] | None = None,
    work: WorkDir,
    progress: Progress,
) -> Pretrained:
    """The codebook trained on the full graph; an interrupted run goes on after its last whole epoch.

    Args:
        training: the trainer's settings.
        options: say what trains it.
        by: what trains it, if it is not what suits the assignment; it may change the assignment.
    """
    trainer = by or options.assignment_kind.function("pretrain")
    start = {} if learned.codebook is None else {"start": learned.codebook}

    def on_epoch(report: EpochReport) -> None:
        score = "" if report.ndcg is None else f", validation NDCG@20 {report.ndcg:.4f}"
        progress.advance(report.epoch, training.epochs, f"loss {report.loss:.4f}{score}")

    train = partial(trainer, cut.split, learned.assignment, training, on_epoch=on_epoch, **start)
    if options.is_own:
        return train()
    key = fingerprint(
        "pretrained",
        graph=cut.matrix,
        assignment=learned.assignment,
        options=training,
        trained_by=trainer,
        **start,
    )
    found = work.load("pretrained", key)
    if found is not None:
        progress.note("pretraining is taken from the work folder")
        return _pretrained_of(training, *found)
    checkpoint = work.checkpoint("pretrained", key)
    result: Pretrained = train(checkpoint=checkpoint)
    tensors, numbers = result.assignment.to_stage()
    work.store(
        "pretrained",
        key,
        tensors={"codebook": result.codebook, "step": result.step, **tensors},
        result={
            **numbers,
            "best_epoch": result.best_epoch,
            "history": [{**asdict(report), "seconds": 0.0} for report in result.history],
        },
    )
    for leftover in checkpoint.parent.glob(f"{checkpoint.name}*"):
        leftover.unlink()
    return result


def rounded(model: Pretrained, options: ExportOptions) -> Pretrained:
    """The model in the bits that ship: as it was trained, or quantised now."""
    if options.quantisation != "post-training":
        return model
    return quantised(model, bits=options.bits, per_row=options.step_sizes == "row")


def _pretrained_of(
    training: TrainingOptions, tensors: dict[str, np.ndarray], result: dict[str, Any]
) -> Pretrained:
    return Pretrained(
        assignment=Assignment.from_stage(tensors, result),
        codebook=tensors["codebook"],
        step=tensors["step"],
        bits=training.bits,
        layers=training.layers,
        history=tuple(EpochReport(**report) for report in result["history"]),
        best_epoch=result["best_epoch"],
    )
