"""What an export would use, its defaults resolved, so that the same bundle can be made again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from lerg_edge.data.interactions import Dataset
from lerg_edge.own import without_folder
from lerg_edge.training.pretraining import training_device
from lerg_exporter.exporting import stages
from lerg_exporter.exporting.budget import Plan
from lerg_exporter.exporting.config import values_of
from lerg_exporter.exporting.options import ExportOptions
from lerg_exporter.exporting.reading import ReadingOptions
from lerg_exporter.exporting.refitting import refits

__all__ = ["config_of_bundle", "resolved"]


def resolved(
    options: ExportOptions, *, plan: Plan | None = None, dataset: Dataset | None = None
) -> ExportOptions:
    """The options with everything stated that is known by now: giving them instead makes the same bundle.

    What validation chooses stays open. Resolving twice changes nothing.

    Args:
        plan: what was chosen for the data, or None.
        dataset: the data, or None.
    """
    kind = options.assignment_kind
    stated: dict[str, Any] = {
        "layers": options.resolved_layers,
        "max_users": options.resolved_max_users,
        "finetune_epochs": options.resolved_finetune_epochs,
        "threads": torch.get_num_threads() if options.threads is None else options.threads,
        "device": str(training_device(options.device)).split(":", maxsplit=1)[0],
    }
    if "codes_per_entity" in kind.reads:
        stated["codes_per_entity"] = options.resolved_codes_per_entity
    if dataset is not None:
        pairs = dataset.train.pair_count
        training = stages.training_options(options, pairs=pairs)
        stated |= {"learning_rate": training.learning_rate, "l2": training.l2}
        full = stages.full_table_options(training, options, pairs=pairs) if kind.teacher else training
        stated |= {"epochs": full.epochs, "refit": refits(dataset, options)}
    if plan is not None:
        stated |= {"retention": plan.retention, "placeholders": plan.placeholders, "batch": plan.batch}
        if not options.is_full_table:
            stated["codebook_rows"] = plan.codebook_rows
        if options.propagation_kind.entries:
            stated["entries"] = plan.entries
    return replace(options, **stated)


def config_of_bundle(
    options: ExportOptions, reading: ReadingOptions | None, *, plan: Plan, dataset: Dataset
) -> Mapping[str, Any]:
    """What a bundle's manifest holds of its settings: those of :func:`resolved`, without folders.

    Neither the files of test pairs, titles and features are named nor the folder of a selector, assignment or
    recommender of one's own.
    """
    read = {} if reading is None else values_of(reading)
    stated = {**read, **values_of(resolved(options, plan=plan, dataset=dataset))}
    for file in ("test", "item_titles", "item_features"):
        stated.pop(file, None)
    stated |= {name: without_folder(stated[name]) for name in ("selector", "assignment", "recommender")}
    lists = {name: list(value) for name, value in stated.items() if isinstance(value, tuple)}
    return {name: value for name, value in {**stated, **lists}.items() if value is not None}
