"""From interactions to a bundle: every stage in order, and what was found on the way."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lerg_edge.data.interactions import Dataset, Interactions
from lerg_edge.errors import InputError
from lerg_edge.metrics import evaluate_embeddings
from lerg_edge.pruning.model import CompressedModel, entity_rows
from lerg_edge.pruning.placeholders import build_placeholders
from lerg_edge.training.options import EpochReport, Pretrained, TrainingOptions
from lerg_edge.training.pretraining import propagated, training_device
from lerg_edge.workdir import WorkDir
from lerg_exporter.bundles.estimate import DataSizes
from lerg_exporter.bundles.write import Draft, draft_bundle
from lerg_exporter.exporting import stages
from lerg_exporter.exporting.budget import Plan, choose_plan, over_budget, pretraining_codes
from lerg_exporter.exporting.cut import Cut
from lerg_exporter.exporting.data_report import seen_beside
from lerg_exporter.exporting.item_features import most_feature_bytes
from lerg_exporter.exporting.later import choose_learning
from lerg_exporter.exporting.learning import given_learning
from lerg_exporter.exporting.loss_choice import loss_settings_chosen
from lerg_exporter.exporting.newcomers import choose_unknown
from lerg_exporter.exporting.options import ExportOptions
from lerg_exporter.exporting.ordering import in_order
from lerg_exporter.exporting.progress import Progress, Silent
from lerg_exporter.exporting.reading import ReadingOptions
from lerg_exporter.exporting.refitting import refit, refits
from lerg_exporter.exporting.resolving import config_of_bundle
from lerg_exporter.exporting.selecting import check_selection
from lerg_exporter.exporting.serving import OTHER_STAGE, PRUNED_WAYS, Ways, choose_known, given_ways
from lerg_exporter.exporting.shaping import Given, shaped
from lerg_exporter.exporting.shapings import SHAPINGS
from lerg_exporter.exporting.target import check_target
from lerg_exporter.exporting.threads import fixed_threads
from lerg_exporter.exporting.tuning import RANKING, Tuned, evaluate_surely, tune
from lerg_exporter.exporting.writing import ExportRun
from lerg_exporter.programs.quiet_imports import imported_meanwhile
from lerg_runtime import Recommender
from lerg_runtime.bundle import BundleFolder, Manifest, save_state

__all__ = ["ExportReport", "check_export", "export"]

_NEEDED_LATER = ("lerg_exporter.programs.trace", "sklearn.cluster")


@dataclass(frozen=True, slots=True, eq=False)
class ExportReport:
    """What an export has made.

    Attributes:
        path: the bundle.
        manifest: what it says; metrics by stage are in `manifest.document["metrics"]`.
        plan: what was chosen where the options left a choice.
        pretrained_epochs, best_epoch: of pretraining.
        history: its epochs; the seconds of those that were not trained now are 0.
        ways: how everybody is served.
        tuned: of fine-tuning through the program; None if it was left out.
    """

    path: Path
    manifest: Manifest
    plan: Plan
    pretrained_epochs: int
    best_epoch: int
    history: tuple[EpochReport, ...]
    ways: Ways
    tuned: Tuned | None


def export(
    dataset: Dataset,
    output: str | os.PathLike[str],
    options: ExportOptions | None = None,
    *,
    reading: ReadingOptions | None = None,
    work_dir: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> ExportReport:
    """Train, prune, rewire, trace and fine-tune a model and write its bundle, whole or not at all.

    Args:
        dataset: training pairs, and test pairs if metrics are wanted.
        output: the bundle's folder.
        options: settings.
        reading: how the data was read, for the manifest; None says nothing of it.
        work_dir: where stages are kept for another run; None keeps none.
        overwrite: replace a bundle that is there.
        progress: is told how far the work is.

    Raises:
        lerg_edge.errors.InputError: data or options are not usable.
        lerg_edge.errors.BudgetError: a budget cannot be met.
        lerg_runtime.errors.InputError: something is in the way at `output`.
    """
    chosen = options or ExportOptions()
    if chosen.personal:
        raise InputError.naming("{personal:true} is another kind of bundle; make it with export_personal")
    tell = progress or Silent()
    check_target(output, overwrite=overwrite)
    dataset = in_order(dataset)
    training = stages.training_options(chosen, pairs=dataset.train.pair_count)
    plan = check_export(dataset, chosen)
    again = refits(dataset, chosen)
    tell.note(f"{plan.codebook_rows} codes, retention {plan.retention:g}, batches of {plan.batch}")
    if dataset.train.pair_count == dataset.train.user_count * dataset.train.item_count:
        tell.note("everybody has touched every item: there is nothing to tell apart and nothing to recommend")
    with (
        fixed_threads(chosen.threads),
        _work_dir(work_dir) as work,
        tempfile.TemporaryDirectory(prefix="lerg-export-") as scratch,
    ):
        cut = Cut.of(dataset.train, training)
        tell.stage("assigning")
        config = config_of_bundle(chosen, reading, plan=plan, dataset=dataset)
        loss = loss_settings_chosen(cut, chosen, work=work, progress=tell)
        chosen = loss.options
        training = stages.training_options(chosen, pairs=dataset.train.pair_count)
        codes = pretraining_codes(chosen, dataset.train, stored=plan.codebook_rows)
        with imported_meanwhile(*_NEEDED_LATER):
            learned = stages.assigned(cut, chosen, training, codebook_rows=codes, work=work, progress=tell)
        tell.stage("pretraining")
        model = stages.pretrained(cut, learned, training, chosen, work=work, progress=tell)
        model = stages.rounded(model, chosen)
        tell.stage(f"selecting and {chosen.propagation_kind.verb}")
        embeddings = propagated(model, cut.matrix)
        metrics = {"before_pruning": _full_metrics(embeddings, dataset, cut)}
        given = Given(cut, model, embeddings, chosen, plan)
        pruned = shaped(given, SHAPINGS[chosen.propagation], work=work)
        tell.stage("choosing how to serve")
        twin_model = _honest(pruned.twin, propagated(model, cut.split.train), chosen, plan)
        ways = _ways(cut, twin_model, model, chosen, training, codebook_rows=codes, work=work, progress=tell)
        tell.stage("tracing")
        summary = {**loss.described(), **pruned.summary}
        run = ExportRun(
            dataset, chosen, plan, training.l2, model, summary, ways, config, given_learning(chosen)
        )
        draft = draft_bundle(pruned.model, run.limits, lowering=chosen.lowering)
        pruned_users = ~pruned.model.retained[: dataset.train.user_count]
        twin = None
        if chosen.resolved_finetune_epochs:
            twin = _twin(run, draft, twin_model, cut, Path(scratch))
        first = Path(scratch) / "untuned"
        run.write(draft, first)
        fault = over_budget(first, chosen, found="the bundle came out at", remedy="retention")
        if fault is not None:
            raise fault
        tell.stage("evaluating")
        intervals: dict[str, dict[str, list[float]]] = {}

        def measure(served: Mapping[str, str]) -> None:
            for stage, found in _bundle_metrics(first, dataset, served).items():
                metrics[stage], intervals[stage] = found

        measured = {draft.model.kind: ways.pruned_users}
        if dataset.test is not None and pruned_users.any():
            other = next(way for way in PRUNED_WAYS if way != ways.pruned_users)
            measured[OTHER_STAGE[ways.pruned_users]] = other
        measure(measured)
        tuned = None
        if twin is not None:
            tell.stage("fine-tuning")
            tuned = _tune(run, twin, work=work, progress=tell)
            opened = BundleFolder.open(first)
            save_state(opened.path, tuned.state(), digest=opened.digest)
            measure({"finetuned": ways.pruned_users})
        tell.stage("choosing how to learn")
        learning = choose_learning(
            run, cut, training, tuned, codebook_rows=codes, work=work, scratch=Path(scratch), progress=tell
        )
        run = _affordable(replace(run, learning=learning), draft, Path(scratch) / "raised", progress=tell)
        if again:
            tell.stage("training again on everything")
            run, draft, tuned = refit(
                run,
                cut,
                training,
                tuned,
                codebook_rows=codes,
                work=work,
                scratch=Path(scratch),
                progress=tell,
            )
        mapped = run.mapped(draft, Path(scratch) / "mapped", tuned=tuned, tell=tell)
        tell.stage("writing")
        manifest = run.write(
            draft,
            output,
            tuned=tuned,
            mapped=mapped,
            metrics=metrics,
            intervals=intervals,
            overwrite=overwrite,
        )
    return ExportReport(
        Path(output),
        manifest,
        plan,
        len(model.history),
        model.best_epoch,
        model.history,
        run.ways,
        tuned,
    )


def check_export(dataset: Dataset, options: ExportOptions) -> Plan:
    """Refuse what cannot be made, before anything is trained for it, and choose what the options leave open.

    Raises:
        InputError: data or options are not usable.
        BudgetError: a budget cannot be met.
    """
    stages.training_options(options, pairs=dataset.train.pair_count)
    training_device(options.device)
    shipped = dataset.whole() if refits(dataset, options) else dataset
    sizes = DataSizes.of(
        shipped.train,
        seen_beside(shipped),
        titles=shipped.titles,
        feature_bytes=most_feature_bytes(shipped, dim=options.dim),
    )
    plan = choose_plan(options, sizes)
    check_selection(dataset.train, options, plan=plan)
    return plan


def _honest(
    twin: CompressedModel, embeddings: np.ndarray, options: ExportOptions, plan: Plan
) -> CompressedModel:
    """The twin with placeholders that have not seen the validation pairs either.

    A placeholder is the centre of the propagated rows around it, and whose row goes where depends on all of
    its pairs: where people have few of them, one more tells most of what validation asks for.

    Args:
        embeddings: float32 [N, d], propagated over what validation leaves.
    """
    placeholders = build_placeholders(
        embeddings,
        twin.retained,
        user_count=twin.user_count,
        count=plan.placeholders,
        bits=options.bits,
        seed=options.seed,
    )
    return replace(twin, placeholders=placeholders)


def _ways(
    cut: Cut,
    twin: CompressedModel,
    model: Pretrained,
    options: ExportOptions,
    training: TrainingOptions,
    *,
    codebook_rows: int,
    work: WorkDir,
    progress: Progress,
) -> Ways:
    """How everybody is served: what is asked for, and by validation what is left open."""
    unknown = choose_unknown(
        cut, model, options, training, codebook_rows=codebook_rows, work=work, progress=progress
    )
    ways = replace(given_ways(options), unknown=unknown.rule)
    if unknown.scores:
        ways = replace(ways, validation={"unknown": unknown.described()})
    retained = twin.retained[: twin.user_count]
    return choose_known(ways, entity_rows(twin), cut.split, retained, options, progress=progress)


def _affordable(run: ExportRun, draft: Draft, folder: Path, *, progress: Progress) -> ExportRun:
    """The run without local counts that nobody asked for, where what they take is beyond a budget."""
    options = run.options
    if not run.learning.local_counts or options.local_counts is not None:
        return run
    run.write(draft, folder)
    if over_budget(folder, options, found="the bundle came out at", remedy="retention") is None:
        return run
    progress.note("items are not raised by local counts, which the memory budget has no room for")
    return replace(run, learning=replace(run.learning, local_counts=0.0))


@dataclass(frozen=True, slots=True, eq=False)
class _Twin:
    """The bundle as it would be without the validation pairs, so that its score on them is honest.

    Its graph or its folded rows, its placeholders and its interactions leave them out; weights that are
    trained on it fit the bundle's own program all the same.

    Attributes:
        draft: its model and programs.
        held_out: the validation pairs.
        bundle: its folder.
    """

    draft: Draft
    held_out: Interactions
    bundle: Path


def _twin(
    run: ExportRun,
    draft: Draft,
    model: CompressedModel,
    cut: Cut,
    scratch: Path,
) -> _Twin:
    """Write the twin of a bundle.

    Args:
        draft: the bundle's own.
        model: the twin's.
        cut: training pairs.
        scratch: where its folder goes.
    """
    twin = draft_bundle(model, draft.limits, lowering=draft.lowering, with_golden=False)
    folder = scratch / "twin"
    run.write(twin, folder, interactions=cut.part(cut.split.train))
    return _Twin(twin, cut.part(cut.split.held_out), folder)


def _tune(run: ExportRun, twin: _Twin, *, work: WorkDir, progress: Progress) -> Tuned:
    """Fine-tune on the twin, everybody served as by the bundle."""
    tensors, numbers = twin.draft.model.to_stage()
    options = run.options
    chosen = options.finetune_candidates is not None or run.plan.negative_candidates == 1
    return tune(
        twin.bundle,
        twin.held_out,
        epochs=options.resolved_finetune_epochs,
        candidates=[run.plan.negative_candidates] if chosen else [1, run.plan.negative_candidates],
        seed=options.seed,
        work=work,
        key=[tensors, numbers, twin.draft.limits, options.finetune_learning_rate, run.ways.document()],
        progress=progress,
    )


def _full_metrics(embeddings: np.ndarray, dataset: Dataset, cut: Cut) -> dict[str, Any]:
    """Of the unpruned model: all entities propagated over the full graph."""
    if dataset.test is None:
        return {}
    users, seen = dataset.train.user_count, cut.matrix
    if dataset.disliked is not None:
        seen = seen + dataset.disliked.matrix()
    found = evaluate_embeddings(
        embeddings[:users], embeddings[users:], seen, dataset.test.matrix(), k=RANKING
    )
    return {f"recall@{RANKING}": found.recall, f"ndcg@{RANKING}": found.ndcg, "users": found.users}


def _bundle_metrics(
    bundle: Path, dataset: Dataset, served: Mapping[str, str]
) -> dict[str, tuple[dict[str, Any], dict[str, list[float]]]]:
    """Through the programs of one open bundle, by stage, and how sure they are; nothing without a test set.

    Args:
        served: by stage, how pruned users are.
    """
    if dataset.test is None:
        return {stage: ({}, {}) for stage in served}
    found = {}
    with Recommender.open(bundle) as recommender:
        for stage, way in served.items():
            recommender.serve_users(pruned=way)
            found[stage] = evaluate_surely(recommender, dataset.test)
    return found


@contextmanager
def _work_dir(path: str | os.PathLike[str] | None) -> Iterator[WorkDir]:
    if path is not None:
        yield WorkDir.at(path)
        return
    with tempfile.TemporaryDirectory(prefix="lerg-work-") as folder:
        yield WorkDir.at(folder)
