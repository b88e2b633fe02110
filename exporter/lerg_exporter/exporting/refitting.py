"""Training the model that ships on everything, once the one that left something out has been measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from lerg_edge.data.interactions import Dataset, Interactions
from lerg_edge.training.options import Pretrained, TrainingOptions
from lerg_edge.training.pretraining import propagated
from lerg_edge.workdir import WorkDir
from lerg_exporter.bundles.write import Draft, draft_bundle
from lerg_exporter.exporting import stages
from lerg_exporter.exporting.cut import Cut
from lerg_exporter.exporting.kinds.selectors import AUTO, ROUNDING
from lerg_exporter.exporting.options import ExportOptions
from lerg_exporter.exporting.progress import Progress
from lerg_exporter.exporting.selecting import preferred
from lerg_exporter.exporting.shaping import Given, Shaped, shaped
from lerg_exporter.exporting.shapings import SHAPINGS
from lerg_exporter.exporting.tuning import Tuned, retune
from lerg_exporter.exporting.writing import ExportRun

__all__ = ["refit", "refits", "remade"]


def refits(dataset: Dataset, options: ExportOptions) -> bool:
    """Whether the model that ships is trained again: as asked for, else where the split is `none`."""
    if options.refit is not None:
        return options.refit
    return dataset.split is not None and dataset.split.kind == "none"


def refit(
    run: ExportRun,
    cut: Cut,
    training: TrainingOptions,
    tuned: Tuned | None,
    *,
    codebook_rows: int,
    work: WorkDir,
    scratch: Path,
    progress: Progress,
) -> tuple[ExportRun, Draft, Tuned | None]:
    """Make the model again with validation and cut-out test pairs among what it learns from.

    Nothing is left to choose by, so everything is as validation chose it before: epochs, selector, how pruned
    users are served, negatives. A test set that was given is not learned from.

    Args:
        run: the measured one.
        cut: its training pairs.
        training: its trainer's settings.
        tuned: its fine-tuning, or None.
        codebook_rows: of the codebook that is pretrained.
        scratch: a folder for bundles in between.
    """
    model, made = remade(
        run,
        run.dataset.whole().train,
        cut,
        training,
        codebook_rows=codebook_rows,
        work=work,
        progress=progress,
    )
    again = replace(run, summary={**run.summary, **made.summary}, pretrained=model, refitted=True)
    draft = draft_bundle(made.model, run.limits, lowering=run.options.lowering)
    if tuned is None:
        return again, draft, None
    folder = scratch / "again"
    again.write(draft, folder)
    return (
        again,
        draft,
        retune(folder, tuned, epochs=run.options.resolved_finetune_epochs, seed=run.options.seed),
    )


def remade(
    run: ExportRun,
    train: Interactions,
    cut: Cut,
    training: TrainingOptions,
    *,
    codebook_rows: int,
    work: WorkDir,
    progress: Progress,
) -> tuple[Pretrained, Shaped]:
    """The model of a run made anew of other pairs over the same ids, all as validation chose it then.

    Args:
        run: the measured one.
        train: every pair that is learned from.
        cut: the training pairs of the run.
        training: its trainer's settings.
        codebook_rows: of the codebook that is pretrained.
    """
    options = _decided(run)
    teacher_epochs = None
    if options.assignment_kind.teacher:
        teacher_epochs = stages.teacher_epochs(cut, options, training, work=work)
    everything = replace(training, validation_share=0.0)
    whole = Cut.of(train, everything)
    learned = stages.assigned(
        whole,
        options,
        everything,
        codebook_rows=codebook_rows,
        teacher_epochs=teacher_epochs,
        work=work,
        progress=progress,
    )
    until = stages.stopped_after(everything, run.pretrained.best_epoch)
    model = stages.pretrained(whole, learned, until, options, work=work, progress=progress)
    model = stages.rounded(model, options)
    given = Given(whole, model, propagated(model, whole.matrix), options, run.plan)
    return model, shaped(given, SHAPINGS[options.propagation], work=work)


def _decided(run: ExportRun) -> ExportOptions:
    """The options with what validation has chosen."""
    options = replace(run.options, pruned_users=run.ways.pruned_users)
    if options.selector != AUTO:
        return options
    selector = preferred(run.summary["selection"]["validation_ndcg@20"])
    # A boundary that this selector does not round by would be refused as one without effect.
    boundary = options.rounding_boundary if selector in ROUNDING else ExportOptions().rounding_boundary
    return replace(options, selector=selector, rounding_boundary=boundary)
