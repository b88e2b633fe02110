"""Pretraining on the full graph, and the full-table baseline by the same loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from scipy import sparse

from lerg_edge.codes.assignment import Assignment, identity_assignment, metis_assignment
from lerg_edge.codes.embedding import CompositionalEmbedding
from lerg_edge.codes.quantiser import least_error_step
from lerg_edge.codes.widths import FLOAT_BITS
from lerg_edge.data.interactions import Interactions
from lerg_edge.data.validation import ValidationSplit, cut_validation
from lerg_edge.errors import InputError
from lerg_edge.propagation.layers import BipartiteGraph
from lerg_edge.training._loop import fit, training_device
from lerg_edge.training._model import propagated_rows
from lerg_edge.training.options import EpochReport, Pretrained, TrainingOptions, default_codes

__all__ = [
    "EpochReport",
    "Pretrained",
    "TrainingOptions",
    "as_split",
    "assign",
    "assign_each",
    "default_codes",
    "pretrain",
    "propagated",
    "quantised",
    "training_device",
    "validation_cut",
    "without_pruned",
]


def validation_cut(matrix: sparse.csr_matrix, options: TrainingOptions) -> ValidationSplit:
    """Cut the validation set that :func:`pretrain` stops by; the same options and data give the same cut."""
    return cut_validation(
        matrix,
        share=options.validation_share,
        max_users=options.validation_users,
        rng=np.random.default_rng([options.seed, 2]),
    )


def as_split(train: Interactions | ValidationSplit, options: TrainingOptions) -> ValidationSplit:
    """A cut as it is, or training interactions as :func:`validation_cut` cuts them."""
    return train if isinstance(train, ValidationSplit) else validation_cut(train.matrix(), options)


def assign(
    train: Interactions | ValidationSplit,
    options: TrainingOptions,
    *,
    codebook_rows: int | None = None,
    codes_per_entity: int = 2,
    anchor_weight: float = 0.6,
    auxiliaries: Literal["neighbours", "random"] = "neighbours",
) -> Assignment:
    """Assign meta-embeddings to entities from what :func:`pretrain` will train on.

    The held-out validation pairs stay out of the partition. With them a user would share codes with exactly
    the items that validation asks for, and the validation score would rise long after real accuracy has
    fallen.

    Args:
        train: training interactions, or what validation has cut them into.
        options: ``dim`` and ``bits`` for the default of ``codebook_rows``; validation settings; seed.
        codebook_rows: c; by default :func:`default_codes`.
        codes_per_entity: t.
        anchor_weight: w*.
        auxiliaries: see :func:`metis_assignment`.

    Raises:
        InputError: a value outside its range.
    """
    matrix = as_split(train, options).train
    count = (
        default_codes(sum(matrix.shape), dim=options.dim, bits=options.bits)
        if codebook_rows is None
        else codebook_rows
    )
    return metis_assignment(
        matrix,
        codebook_rows=count,
        codes_per_entity=codes_per_entity,
        anchor_weight=anchor_weight,
        auxiliaries=auxiliaries,
        seed=options.seed,
    )


def assign_each(
    train: Interactions | ValidationSplit, options: TrainingOptions, *, codebook_rows: int
) -> Assignment:
    """Give every entity a code of its own: the full table, trained by the same loop.

    Args:
        train: see :func:`assign`.
        options: of the trainer.
        codebook_rows: c.

    Raises:
        InputError: ``codebook_rows`` is not the number of entities.
    """
    entities = sum(as_split(train, options).train.shape)
    if codebook_rows != entities:
        raise InputError(
            f"codebook_rows is {codebook_rows}; a full table has one for each of the {entities} entities"
        )
    return identity_assignment(entities)


def pretrain(
    train: Interactions | ValidationSplit,
    assignment: Assignment,
    options: TrainingOptions,
    *,
    start: np.ndarray | None = None,
    checkpoint: Path | None = None,
    on_epoch: Callable[[EpochReport], None] | None = None,
) -> Pretrained:
    """Train a quantised codebook on the full graph.

    BPR, or the loss that the options name, with L2 on the layer-0 rows of the batch, Adam, early stopping on
    validation NDCG@20. Stopped at any moment and called again with the same arguments and ``checkpoint``, it
    goes on after the last whole epoch and ends with the same bytes as an uninterrupted run.

    Args:
        train: training interactions, of which a validation set is cut, or such a cut.
        assignment: S over all entities, from :func:`assign` or elsewhere.
        options: how to train.
        start: float32 [c, d], codebook to start from in place of what ``options.start`` says.
        checkpoint: path of the files ``<checkpoint>.json`` and ``<checkpoint>-<0|1>.safetensors``, written
            after every epoch.
        on_epoch: called after every epoch, not for those that a checkpoint brings back.

    Returns:
        The latent codebook and steps of the epoch with the best validation NDCG@20.

    Raises:
        InputError: options out of range, an assignment of another size, a checkpoint of other data or
            options.
    """
    split = as_split(train, options)
    return fit(split, assignment, options, start=start, checkpoint=checkpoint, on_epoch=on_epoch)


def quantised(pretrained: Pretrained, *, bits: int, per_row: bool = False) -> Pretrained:
    """Quantise a model that was trained in 32 bits, without training: the step of least squared error.

    Args:
        pretrained: the model.
        bits: 4, 8 or 16.
        per_row: a step for each codebook row.

    Raises:
        InputError: the model is quantised already.
    """
    if pretrained.bits != FLOAT_BITS:
        raise InputError(
            f"the model has {pretrained.bits} bits already; train it in {FLOAT_BITS} to quantise it"
        )
    step = least_error_step(pretrained.codebook, bits=bits, per_row=per_row)
    return replace(pretrained, step=step, bits=bits)


def without_pruned(pretrained: Pretrained, retained: np.ndarray) -> Pretrained:
    """Leave out the rows of a full table that belong to pruned entities, whose code 0 then nobody reads.

    Args:
        pretrained: a model with a code of its own for each entity.
        retained: bool [N].
    """
    codes = np.where(retained, np.cumsum(retained) - 1, 0).astype(np.int32)[:, None]
    step = pretrained.step
    return replace(
        pretrained,
        assignment=Assignment(codes, int(retained.sum()), pretrained.assignment.anchor_weight),
        codebook=pretrained.codebook[retained],
        step=step if step.size == 1 else step[retained],
    )


def propagated(pretrained: Pretrained, matrix: sparse.csr_matrix) -> np.ndarray:
    """Propagate a trained model over a graph with the codebook as it will be stored, quantised.

    H = 1/(L+1) * sum over l = 0..L of A^l S Q. Give it all training interactions, those that validation held
    out included.

    Args:
        pretrained: the model.
        matrix: interactions [U, I].

    Returns:
        float32 [U + I, d], users first.
    """
    step = torch.from_numpy(np.array(pretrained.step, np.float32))
    users, items = propagated_rows(
        torch.from_numpy(np.array(pretrained.codebook, np.float32)),
        step if step.numel() == 1 else step.unsqueeze(1),
        CompositionalEmbedding.from_assignment(pretrained.assignment),
        BipartiteGraph.from_interactions(matrix),
        bits=pretrained.bits,
        layers=pretrained.layers,
    )
    return torch.cat([users, items]).numpy()
