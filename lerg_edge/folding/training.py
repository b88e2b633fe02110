"""Training a codebook in the folded form itself, with rows that stay as they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from lerg_edge.data.interactions import Interactions
from lerg_edge.folding.dictionary import Dictionary
from lerg_edge.folding.matrix import FoldedRows
from lerg_edge.training._loop import fit
from lerg_edge.training.options import EpochReport, TrainingOptions
from lerg_edge.training.pretraining import validation_cut

__all__ = ["train_codebook"]


def train_codebook(
    train: Interactions,
    rows: FoldedRows,
    options: TrainingOptions,
    *,
    checkpoint: Path | None = None,
    on_epoch: Callable[[EpochReport], None] | None = None,
) -> Dictionary:
    """Train a quantised codebook for folded rows: the loop of graph propagation, without any propagation.

    With :func:`lerg_edge.folding.matrix.largest_entries` this is truncated P trained in the form that it is
    used in. :func:`lerg_edge.folding.dictionary.learn_dictionary` needs a propagated model to start from, and
    gets much nearer to it with the same entries.

    Args:
        train: training interactions; a validation set is cut from them, as for pretraining.
        rows: of all entities, made from what that cut leaves.
        options: how to train; ``layers`` is ignored.
        checkpoint, on_epoch: as for :func:`lerg_edge.training.pretraining.pretrain`.

    Raises:
        InputError: rows of another size, or a checkpoint of other data or options.
    """
    split = validation_cut(train.matrix(), options)
    found = fit(split, rows, replace(options, layers=0), checkpoint=checkpoint, on_epoch=on_epoch)
    return Dictionary(found.codebook, found.step, found.bits)
