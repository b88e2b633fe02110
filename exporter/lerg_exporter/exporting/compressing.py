"""From tables that somebody else has trained to a bundle: codes, programs, and what the coding costs."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lerg_edge.data.interactions import Dataset, Interactions
from lerg_edge.data.readers import read_features, read_titles
from lerg_edge.histories.choosing import RuleChoice, choose_rule
from lerg_edge.histories.newcomers import hold_out_users
from lerg_edge.histories.rule import HistoryRule
from lerg_edge.metrics import evaluate_embeddings
from lerg_edge.propagation.ordering import order_entities
from lerg_edge.pruning.model import entity_rows
from lerg_edge.tables import GivenTables
from lerg_edge.tables.fitting import fitted
from lerg_edge.tables.matching import Matched, matched
from lerg_edge.training.pretraining import propagated
from lerg_edge.workdir import WorkDir
from lerg_exporter.bundles.estimate import DataSizes
from lerg_exporter.bundles.write import Draft, draft_bundle
from lerg_exporter.exporting import stages
from lerg_exporter.exporting.budget import over_budget
from lerg_exporter.exporting.cut import Cut
from lerg_exporter.exporting.data_report import seen_beside
from lerg_exporter.exporting.item_features import most_feature_bytes
from lerg_exporter.exporting.newcomers import LEAST_NEWCOMERS
from lerg_exporter.exporting.options import ExportOptions
from lerg_exporter.exporting.personal import GivenItems, PersonalReport, export_personal
from lerg_exporter.exporting.progress import Progress, Silent
from lerg_exporter.exporting.reading import ReadingOptions
from lerg_exporter.exporting.resolving import config_of_bundle
from lerg_exporter.exporting.serving import choose_known, given_ways, rules_of
from lerg_exporter.exporting.table_codings import (
    TableTrial,
    as_model,
    choose_trial,
    codings_of,
    planned,
    try_coding,
)
from lerg_exporter.exporting.table_settings import table_options
from lerg_exporter.exporting.target import check_target
from lerg_exporter.exporting.threads import fixed_threads
from lerg_exporter.exporting.tuning import RANKING, evaluate, evaluate_surely
from lerg_exporter.exporting.writing import ExportRun
from lerg_runtime import Recommender
from lerg_runtime.bundle import Manifest

__all__ = ["CompressReport", "compress"]


@dataclass(frozen=True, slots=True, eq=False)
class CompressReport:
    """What was made of given tables.

    Attributes:
        path: the bundle.
        manifest: what it says; in `manifest.document["metrics"]`, `given` and `compressed` are of the test
            pairs, `given_on_known` and `compressed_on_known` of pairs that the tables may have been trained
            on.
        chosen: how rows are coded.
        tried: all ways that were, the usual one first.
        left_out: pairs of users or items without a row.
    """

    path: Path
    manifest: Manifest
    chosen: TableTrial
    tried: tuple[TableTrial, ...]
    left_out: int


def compress(
    tables: GivenTables,
    output: str | os.PathLike[str],
    settings: Mapping[str, Any] | None = None,
    *,
    dataset: Dataset | None = None,
    reading: ReadingOptions | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> CompressReport | PersonalReport:
    """Code given tables, trace the programs, and write a bundle, whole or not at all; nothing is trained.

    With interactions the smallest coding is taken that keeps 99 % of the best one's NDCG@20 on pairs cut from
    them, and the bundle knows what its users have seen. Without any, rows are 8 weighted codes each.

    Args:
        tables: rows of users and items, or of items alone.
        output: the bundle's folder.
        settings: those of :class:`lerg_exporter.ExportOptions` that are not to be the usual ones, by name.
        dataset: interactions by the raw ids of the tables, and test pairs if metrics are wanted.
        reading: how the interactions were read, for the manifest.
        overwrite: replace a bundle that is there.
        progress: is told how far the work is.

    Returns:
        A `PersonalReport` with the setting `personal`, which codes items alone.

    Raises:
        lerg_edge.errors.InputError: tables, interactions or settings are not usable.
        lerg_edge.errors.BudgetError: a budget cannot be met.
        lerg_runtime.errors.InputError: something is in the way at `output`.
    """
    tell, stated = progress or Silent(), dict(settings or {})
    check_target(output, overwrite=overwrite)
    options = table_options(stated, dim=tables.dim, layers=tables.layers, has_pairs=_has_pairs(dataset))
    found = _in_order(tables, dataset, reading)
    if found.left_out:
        tell.note(f"{found.left_out:,} pairs of users or items without a row were left out")
    if options.personal:
        return export_personal(
            found.dataset,
            output,
            options,
            given=_given_items(tables, found, options),
            reading=reading,
            overwrite=overwrite,
            progress=progress,
        )
    with (
        fixed_threads(options.threads),
        tempfile.TemporaryDirectory(prefix="lerg-compress-") as scratch,
    ):
        job = _Job(tables, found, options, stated, reading, Path(scratch), tell)
        return _shared(job, Path(output), overwrite=overwrite)


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    """What one compression works on.

    Attributes:
        tables: as given; `found`: their rows and pairs, in the order of the bundle.
        options: with the usual settings; `stated`: those that were given.
        reading: how the interactions were read.
        scratch: a folder for what lies in between.
        tell: is told how far the work is.
    """

    tables: GivenTables
    found: Matched
    options: ExportOptions
    stated: Mapping[str, Any]
    reading: ReadingOptions | None
    scratch: Path
    tell: Progress


def _has_pairs(dataset: Dataset | None) -> bool:
    return dataset is not None and dataset.train.pair_count > 0


def _given_items(tables: GivenTables, found: Matched, options: ExportOptions) -> GivenItems:
    """What a personal bundle codes, and what it is compared with."""
    layers, train = options.resolved_layers, found.dataset.train
    users, items = fitted(found.users, found.items, dim=options.dim, layers=layers)

    def rows(known: Interactions) -> np.ndarray:
        if not layers:
            return items
        return propagated(as_model(np.concatenate([users, items]), layers), known.matrix())[len(users) :]

    def metrics(people: np.ndarray) -> dict[str, Any]:
        test = found.dataset.test
        if test is None:
            return {}
        return given_metrics(found, layers, train.matrix(), train.matrix(), test.matrix(), users=people)

    return GivenItems(rows, metrics, _described(tables, layers=layers))


def _in_order(tables: GivenTables, dataset: Dataset | None, reading: ReadingOptions | None) -> Matched:
    """Rows and pairs, entities with neighbours in common near each other."""
    found = matched(tables, dataset, skip_unknown=reading is not None and reading.skip_bad_rows)
    if reading is not None and reading.item_titles is not None:
        titles = read_titles(reading.item_titles, found.dataset.train.item_ids)
        found = replace(found, dataset=replace(found.dataset, titles=titles))
    if reading is not None and reading.item_features is not None:
        features = read_features(reading.item_features, found.dataset.train.item_ids)
        found = replace(found, dataset=replace(found.dataset, features=features))
    order = order_entities(found.dataset.train.matrix())
    return found.reordered(order.users, order.items)


def _shared(job: _Job, output: Path, *, overwrite: bool) -> CompressReport:
    """A bundle of users and items."""
    options, tell, dataset = job.options, job.tell, job.found.dataset
    training = stages.training_options(options, pairs=dataset.train.pair_count)
    cut = Cut.of(dataset.train, training)
    tell.stage("coding")
    tried = _tried(job, cut, layers=training.layers)
    chosen = choose_trial(tried)
    tell.stage("choosing how to serve")
    run = _run(job, chosen, tried, cut, l2=training.l2)
    tell.stage("tracing")
    draft = draft_bundle(chosen.shaped.model, run.limits, lowering=options.lowering)
    first = job.scratch / "first"
    run.write(draft, first)
    fault = over_budget(first, options, found="the bundle came out at", remedy="codes_per_entity")
    if fault is not None:
        raise fault
    tell.stage("evaluating")
    metrics, intervals = _metrics(job, run, draft, chosen, cut, first)
    mapped = run.mapped(draft, job.scratch / "mapped", tuned=None, tell=tell)
    tell.stage("writing")
    manifest = run.write(
        draft, output, mapped=mapped, metrics=metrics, intervals=intervals, overwrite=overwrite
    )
    return CompressReport(output, manifest, chosen, tried, job.found.left_out)


def _tried(job: _Job, cut: Cut, *, layers: int) -> tuple[TableTrial, ...]:
    """The ways that settings and budgets leave open; the usual one alone where nobody can be asked."""
    found, dataset = job.found, job.found.dataset
    rows = np.concatenate(fitted(found.users, found.items, dim=job.options.dim, layers=layers))
    sizes = DataSizes.of(
        dataset.train,
        seen_beside(dataset),
        titles=dataset.titles,
        feature_bytes=most_feature_bytes(dataset, dim=job.options.dim),
    )
    ways = planned(codings_of(job.options, job.stated), cut, sizes)
    if not len(cut.split.users):
        ways = ways[:1]
    work, tried = WorkDir.at(job.scratch / "work"), []
    for number, (options, plan) in enumerate(ways, start=1):
        trial = try_coding(rows, cut, options, plan, work=work)
        score = "" if trial.score is None else f", validation NDCG@{RANKING} {trial.score:.4f}"
        job.tell.advance(number, len(ways))
        job.tell.note(f"{trial.title}: at most {plan.storage_bytes:,} bytes{score}")
        tried.append(trial)
    return tuple(tried)


def _run(job: _Job, chosen: TableTrial, tried: Sequence[TableTrial], cut: Cut, *, l2: float) -> ExportRun:
    """What every bundle of this export has in common."""
    options, dataset, made = chosen.options, job.found.dataset, chosen.shaped
    unknown = _unknown(cut, entity_rows(made.model)[1], options, job.tell)
    ways = replace(given_ways(options), unknown=unknown.rule)
    if unknown.scores:
        ways = replace(ways, validation={"unknown": unknown.described()})
    retained = made.twin.retained[: dataset.train.user_count]
    ways = choose_known(ways, entity_rows(made.twin), cut.split, retained, options, progress=job.tell)
    codings = {each.title: round(each.score, 5) for each in tried if each.score is not None}
    summary = {
        "given": _described(job.tables, layers=chosen.model.layers),
        "coding": chosen.title,
        **({f"validation_ndcg@{RANKING}": codings} if codings else {}),
        **made.summary,
    }
    config = config_of_bundle(options, job.reading, plan=chosen.plan, dataset=dataset)
    return ExportRun(dataset, options, chosen.plan, l2, chosen.model, summary, ways, config)


def _described(tables: GivenTables, *, layers: int) -> dict[str, Any]:
    """What was given, for people."""
    return {"form": tables.form, "dim": tables.dim, "layers": layers}


def _unknown(cut: Cut, items: np.ndarray, options: ExportOptions, tell: Progress) -> RuleChoice:
    """The rule for people whom the bundle does not know, asked of some of its users.

    They are left out of nothing: the rows are as they were given, and may have been trained on these users.
    """
    rules = rules_of(options)
    given = HistoryRule(ridge=options.ridge or None, half_life=options.half_life or None)
    held = hold_out_users(cut.train, seed=options.seed)
    if len(rules) < 2 or len(held.users) < LEAST_NEWCOMERS:
        return RuleChoice(given, {}, len(held.users))
    if not held.in_time:
        rules = tuple(rule for rule in rules if rule.half_life == given.half_life)
    degrees = np.bincount(held.known.items, minlength=len(items))
    choice = choose_rule(
        items, degrees, held.histories, held.wanted, rules=rules, newcomers=1, draws=held.draws
    )
    tell.note(f"people whom the bundle does not know are served by {choice.rule}")
    return choice


def _metrics(
    job: _Job, run: ExportRun, draft: Draft, chosen: TableTrial, cut: Cut, bundle: Path
) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, list[float]]]]:
    """Of the given tables, float and by dot product, and through the programs; on pairs that were cut from
    the interactions where no test pairs are given.
    """
    found, dataset, intervals = job.found, job.found.dataset, {}
    if dataset.test is not None:
        seen = cut.matrix if dataset.disliked is None else cut.matrix + dataset.disliked.matrix()
        given = given_metrics(found, chosen.model.layers, cut.matrix, seen, dataset.test.matrix())
        with Recommender.open(bundle) as recommender:
            made, intervals["compressed"] = evaluate_surely(recommender, dataset.test)
        return {"given": given, "compressed": made}, intervals
    if not len(cut.split.users):
        return {}, {}
    known, wanted = cut.split.train, cut.split.held_out
    given = given_metrics(found, chosen.model.layers, known, known, wanted)
    twin = draft_bundle(chosen.shaped.twin, draft.limits, lowering=draft.lowering, with_golden=False)
    run.write(twin, job.scratch / "twin", interactions=cut.part(known))
    with Recommender.open(job.scratch / "twin") as recommender:
        made = evaluate(recommender, cut.part(wanted))
    return {"given_on_known": given, "compressed_on_known": made}, {}


def given_metrics(
    found: Matched, layers: int, graph: Any, seen: Any, wanted: Any, *, users: np.ndarray | None = None
) -> dict[str, Any]:
    """NDCG@20 and Recall@20 of the rows as they were given.

    Args:
        layers: how often they are propagated, over `graph` [U, I].
        seen, wanted: [U, I].
        users: restrict to these.
    """
    rows = np.concatenate([found.users, found.items])
    if layers:
        rows = propagated(as_model(rows, layers), graph)
    count = len(found.users)
    got = evaluate_embeddings(rows[:count], rows[count:], seen, wanted, k=RANKING, users=users)
    return {f"recall@{RANKING}": got.recall, f"ndcg@{RANKING}": got.ndcg, "users": got.users}
