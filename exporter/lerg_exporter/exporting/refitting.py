"""Training the model that ships on everything, once the one that left something out has been measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from lerg_edge.data.interactions import Dataset
from lerg_edge.training.options import Pretrained, TrainingOptions
from lerg_edge.training.pretraining import propagated, quantised
from lerg_edge.workdir import WorkDir
from lerg_exporter.bundles.write import Draft, draft_bundle
from lerg_exporter.exporting import stages
from lerg_exporter.exporting.folded import folded
from lerg_exporter.exporting.kinds.assignments import ASSIGNMENTS
from lerg_exporter.exporting.kinds.selectors import AUTO, ROUNDING
from lerg_exporter.exporting.options import ExportOptions
from lerg_exporter.exporting.progress import Progress
from lerg_exporter.exporting.selecting import preferred
from lerg_exporter.exporting.tuning import Tuned, retune
from lerg_exporter.exporting.writing import ExportRun

__all__ = ["refit", "refits", "shape_of"]


def refits(dataset: Dataset, options: ExportOptions) -> bool:
    """Whether the model that ships is trained again: as asked for, else where the split is `none`."""
    if options.refit is not None:
        return options.refit
    return dataset.split is not None and dataset.split.kind == "none"


def shape_of(options: ExportOptions) -> Callable[..., stages.Pruned]:
    """The stage that makes a bundle's model from the pretrained one."""
    return folded if options.propagation == "folded" else stages.rewired


def refit(
    run: ExportRun,
    training: TrainingOptions,
    tuned: Tuned | None,
    *,
    codes: int,
    work: WorkDir,
    scratch: Path,
    progress: Progress,
) -> tuple[ExportRun, Draft, Tuned | None]:
    """Make the model again with validation and cut-out test pairs among what it learns from.

    Nothing is left to choose by, so everything is as validation chose it before: epochs, selector, how pruned
    users are served, negatives. A test set that was given is not learned from.

    Args:
        run: the measured one.
        training: its trainer's settings.
        tuned: its fine-tuning, or None.
        codes: of the codebook that is pretrained.
        scratch: a folder for bundles in between.
    """
    measured, options = run.dataset, _decided(run)
    train = measured.whole().train
    teacher_epochs = None
    if ASSIGNMENTS[options.assignment].teacher:
        teacher_epochs = stages.teacher_epochs(measured.train, options, training, work=work)
    everything = replace(training, validation_share=0.0)
    learned = stages.assigned(
        train,
        options,
        everything,
        codes=codes,
        teacher_epochs=teacher_epochs,
        work=work,
        progress=progress,
    )
    model: Pretrained = stages.pretrained(
        train,
        learned,
        stages.stopped_after(everything, run.pretrained.best_epoch),
        kind=options.assignment,
        work=work,
        progress=progress,
    )
    if options.quantisation == "post-training":
        model = quantised(model, bits=options.bits, per_row=options.steps == "row")
    embeddings = propagated(model, train.matrix())
    pruned = shape_of(options)(train, model, embeddings, options, everything, plan=run.plan, work=work)
    again = replace(run, summary={**run.summary, **pruned.summary}, pretrained=model, refitted=True)
    draft = draft_bundle(pruned.model, run.limits, lowering=options.lowering, propagation=options.propagation)
    if tuned is None:
        return again, draft, None
    folder = scratch / "again"
    again.write(draft, folder)
    return again, draft, retune(folder, tuned, epochs=options.tuning_epochs, seed=options.seed)


def _decided(run: ExportRun) -> ExportOptions:
    """The options with what validation has chosen."""
    options = replace(run.options, pruned_users=run.ways.pruned_users)
    if options.selector != AUTO:
        return options
    selector = preferred(run.summary["selection"]["validation_ndcg@20"])
    # A boundary that this selector does not round by would be refused as one without effect.
    boundary = options.rounding_boundary if selector in ROUNDING else ExportOptions().rounding_boundary
    return replace(options, selector=selector, rounding_boundary=boundary)
