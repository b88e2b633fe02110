"""Item rows of a personal bundle: how they come about, and which of them serve people held out best.

The recommender's table knows what is liked together by people who are alike; least squares knows what is
touched together. Side by side they rank better than either, and the ridge metric of a history rule weighs
their directions. What helps differs from data to data, so an export asks people who were held out.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from lerg_edge.codes.assignment import LearnedAssignment, identity_assignment
from lerg_edge.data.interactions import Interactions
from lerg_edge.training.least_squares import (
    LeastSquaresOptions,
    alternating_least_squares,
    default_confidence,
)
from lerg_edge.training.pretraining import pretrain, propagated
from lerg_edge.workdir import WorkDir, fingerprint
from lerg_exporter.exporting import stages
from lerg_exporter.exporting.cut import Cut
from lerg_exporter.exporting.options import ExportOptions
from lerg_exporter.exporting.progress import Progress

__all__ = ["ItemTable", "item_tables"]


@dataclass(frozen=True, slots=True, eq=False)
class ItemTable:
    """Rows of all items.

    Attributes:
        rows: float32 [I, d].
        epochs, best_epoch: of the recommender's training; 0 without.
    """

    rows: np.ndarray
    epochs: int = 0
    best_epoch: int = 0


def item_tables(
    known: Interactions,
    options: ExportOptions,
    asked: Collection[str],
    *,
    epochs: int | None = None,
    work: WorkDir,
    tell: Progress,
) -> Mapping[str, ItemTable]:
    """Tables by the names of `item_training`.

    Args:
        known: pairs to learn from.
        options: settings.
        asked: names, in the order in which they come back.
        epochs: of the recommender, all pairs learned from; None for those that validation pairs prefer.
        work: where training is kept.
    """
    made: dict[str, ItemTable] = {}
    if {"recommender", "both"} & set(asked):
        made["recommender"] = _by_recommender(known, options, epochs, work=work, tell=tell)
    if {"als", "both"} & set(asked):
        made["als"] = _by_least_squares(known, options, work=work, tell=tell)
    if "both" in asked:
        ours = made["recommender"]
        rows = np.concatenate([_of_unit_length(ours.rows), _of_unit_length(made["als"].rows)], axis=1)
        made["both"] = replace(ours, rows=rows)
    return MappingProxyType({name: made[name] for name in asked})


def _by_recommender(
    known: Interactions, options: ExportOptions, epochs: int | None, *, work: WorkDir, tell: Progress
) -> ItemTable:
    """A full table, and what it gives of the items once propagated."""
    training = stages.training_options(options, pairs=known.pair_count)
    settings = stages.full_table_options(training, options, pairs=known.pair_count)
    if epochs is not None:
        settings = stages.stopped_after(replace(settings, validation_share=0.0), epochs)
    each = LearnedAssignment(identity_assignment(known.user_count + known.item_count))
    cut = Cut.of(known, settings)
    model = stages.trained(cut, each, settings, options, by=pretrain, work=work, progress=tell)
    rows = propagated(model, cut.matrix)[known.user_count :]
    return ItemTable(rows, len(model.history), model.best_epoch)


def _by_least_squares(
    known: Interactions, options: ExportOptions, *, work: WorkDir, tell: Progress
) -> ItemTable:
    settings = LeastSquaresOptions(
        dim=options.dim, confidence=default_confidence(known.item_count), seed=options.seed
    )
    matrix = known.matrix()
    key = fingerprint("least_squares", pairs=matrix, options=settings)
    found = work.load("least_squares", key)
    if found is not None:
        tell.note("least squares are taken from the work folder")
        return ItemTable(found[0]["items"])
    tell.note("fitting least squares")
    _, rows = alternating_least_squares(
        matrix, settings, on_round=lambda done: tell.advance(done, settings.rounds, "least squares")
    )
    work.store("least_squares", key, tensors={"items": rows}, result={})
    return ItemTable(rows)


def _of_unit_length(rows: np.ndarray) -> np.ndarray:
    """The rows with a mean squared length of one, so that neither table drowns the other."""
    squared = float(np.square(rows, dtype=np.float64).sum(axis=1).mean())
    return rows * np.float32(squared**-0.5) if squared > 0.0 else rows
