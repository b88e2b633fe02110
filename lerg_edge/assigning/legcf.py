"""LEGCF: an assignment that is learned in turns with the codebook.

Training starts from METIS parts, as LERG's does. Then, with E the codebook and H the propagated rows, the
assignment that reproduces H best is, in closed form, S' = H E^+; each row of it is made sparse again and
training goes on with E.

Source: LEGCF, arXiv 2403.18479, its assignment update. Ours: the t largest entries of a row are kept, the
largest of them as the anchor with weight w* while the others share 1 - w*, because that is the form which
programs carry; an update comes when validation has stopped to rise or half of the epochs that are left are
used, at most twice; and one that validation does not confirm is undone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from lerg_edge.codes.assignment import Assignment
from lerg_edge.codes.quantiser import dequantise, quantise
from lerg_edge.data.interactions import Interactions
from lerg_edge.data.validation import ValidationSplit
from lerg_edge.errors import InputError
from lerg_edge.training._loop import fit
from lerg_edge.training.options import EpochReport, Pretrained, TrainingOptions
from lerg_edge.training.pretraining import as_split, propagated

__all__ = ["pretrain", "updated_assignment"]

_UPDATES = 2
_SCORES_AT_ONCE = 1 << 25  # of float32: 128 MiB


def updated_assignment(
    rows: np.ndarray, codebook: np.ndarray, *, codes_per_entity: int, anchor_weight: float
) -> Assignment:
    """The t largest entries of each row of H E^+, the largest first.

    Args:
        rows: H, float32 [N, d].
        codebook: E, float32 [c, d].
        codes_per_entity: t.
        anchor_weight: w*.

    Raises:
        InputError: ``codes_per_entity`` is not between 1 and c.
    """
    count = len(codebook)
    if not 1 <= codes_per_entity <= count:
        raise InputError(
            f"codes_per_entity is {codes_per_entity}; it must lie between 1 and codebook_rows, {count}"
        )
    inverse = torch.linalg.pinv(torch.from_numpy(codebook).double()).float()
    at_once = max(1, _SCORES_AT_ONCE // count)
    parts = [
        torch.topk(part @ inverse, codes_per_entity, dim=1).indices
        for part in torch.from_numpy(np.ascontiguousarray(rows, np.float32)).split(at_once)
    ]
    return Assignment(torch.cat(parts).int().numpy(), count, anchor_weight)


def pretrain(
    train: Interactions | ValidationSplit,
    assignment: Assignment,
    options: TrainingOptions,
    *,
    checkpoint: Path | None = None,
    on_epoch: Callable[[EpochReport], None] | None = None,
) -> Pretrained:
    """Train codebook and assignment in turns; arguments and errors of ``training.pretraining.pretrain``.

    ``options.epochs`` bounds the epochs of all turns together.

    Returns:
        Codebook, steps and assignment of the best epoch; the history has every epoch.
    """
    split = as_split(train, options)
    history: list[EpochReport] = []

    def turn(number: int, codes: Assignment, start: Pretrained | None) -> Pretrained:
        before, left = tuple(history), options.epochs - len(history)
        epochs = left if number == _UPDATES else -(-left // 2)
        found = fit(
            split,
            codes,
            replace(options, epochs=epochs),
            start=start,
            checkpoint=checkpoint and checkpoint.with_name(f"{checkpoint.name}-turn{number}"),
            on_epoch=on_epoch and (lambda report: on_epoch(_continued(report, before))),
        )
        history.extend(_continued(report, before) for report in found.history)
        return replace(found, best_epoch=len(before) + found.best_epoch)

    best = turn(0, assignment, None)
    for number in range(1, _UPDATES + 1):
        if len(history) >= options.epochs:
            break
        # Validation pairs stay out of the rows: codes that had seen them would only seem better.
        codes = updated_assignment(
            propagated(best, split.train),
            dequantise(quantise(best.codebook, best.step, bits=best.bits), best.step),
            codes_per_entity=assignment.codes_per_entity,
            anchor_weight=assignment.anchor_weight,
        )
        found = turn(number, codes, best)
        if not history[found.best_epoch - 1].best:
            break
        best = found
    return replace(best, history=tuple(history))


def _continued(report: EpochReport, before: Sequence[EpochReport]) -> EpochReport:
    """An epoch of a turn as one of the whole training."""
    best = report.best and all(
        report.ndcg is None or earlier.ndcg is None or report.ndcg > earlier.ndcg for earlier in before
    )
    return replace(report, epoch=len(before) + report.epoch, best=best)
