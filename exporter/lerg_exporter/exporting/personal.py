"""From interactions to a personal bundle: items that serve anybody from a history, and nobody's data.

People are held out of training altogether: on some a coding of the items and the rule that serves a history
are chosen, on others what ships is measured, through the bundle's own programs.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lerg_edge.data.interactions import Dataset, Interactions
from lerg_edge.errors import BudgetError
from lerg_edge.histories.newcomers import Newcomers
from lerg_edge.histories.rule import HistoryRule
from lerg_edge.metrics import ranking_metrics
from lerg_edge.own import without_folder
from lerg_edge.personal.choosing import (
    CodingTrial,
    TableChoice,
    choose_coding,
    choose_table,
    scores_of,
    try_codings,
)
from lerg_edge.personal.coding import code_items, codings_for
from lerg_edge.personal.model import PersonalModel
from lerg_edge.personal.sheltering import Sheltered, degree_codes, shelter
from lerg_edge.workdir import WorkDir
from lerg_exporter.bundles.personal import PersonalDraft, draft_personal, write_personal
from lerg_exporter.exporting import stages
from lerg_exporter.exporting.budget import over_budget
from lerg_exporter.exporting.config import values_of
from lerg_exporter.exporting.cut import Cut
from lerg_exporter.exporting.data_report import described_data
from lerg_exporter.exporting.item_features import MappedFeatures, map_features
from lerg_exporter.exporting.item_tables import ItemTable, item_tables
from lerg_exporter.exporting.loss_choice import LossChoice, loss_settings_chosen
from lerg_exporter.exporting.options import ExportOptions
from lerg_exporter.exporting.people import People, parted
from lerg_exporter.exporting.progress import Progress, Silent
from lerg_exporter.exporting.reading import ReadingOptions
from lerg_exporter.exporting.serving import rules_of
from lerg_exporter.exporting.target import check_target
from lerg_exporter.exporting.threads import fixed_threads
from lerg_exporter.programs.limits import ProgramLimits
from lerg_runtime import Recommender
from lerg_runtime.bundle import PersonalManifest

__all__ = ["GivenItems", "PersonalReport", "export_personal"]

_RANKING = 20


@dataclass(frozen=True, slots=True, eq=False)
class PersonalReport:
    """What an export of a personal bundle has made.

    Attributes:
        path: the bundle.
        manifest: what it says.
        chosen: the coding of the items, and the rule that suits it.
        tried: all codings that were, the smallest first.
    """

    path: Path
    manifest: PersonalManifest
    chosen: CodingTrial
    tried: tuple[CodingTrial, ...]


@dataclass(frozen=True, slots=True, eq=False)
class GivenItems:
    """Rows of items that are coded in place of trained ones.

    Attributes:
        rows: gives them of the pairs that are known, float32 [I, d].
        metrics: gives what the given model scores for users, int64 [n], whom the bundle is measured on.
        described: what was given, for people.
    """

    rows: Callable[[Interactions], np.ndarray]
    metrics: Callable[[np.ndarray], dict[str, Any]]
    described: dict[str, Any]


def export_personal(
    dataset: Dataset,
    output: str | os.PathLike[str],
    options: ExportOptions,
    *,
    given: GivenItems | None = None,
    reading: ReadingOptions | None = None,
    work_dir: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> PersonalReport:
    """Train, pool what few people touched, choose a coding, trace, and write a personal bundle, whole or not.

    Args:
        dataset: training pairs, and test pairs if metrics are wanted.
        output: the bundle's folder.
        options: settings, `personal` among them.
        given: rows to code; None trains them.
        reading: how the data was read, for the manifest.
        work_dir: where training is kept for another run; None keeps nothing.
        overwrite: replace a bundle that is there.
        progress: is told how far the work is.

    Raises:
        lerg_edge.errors.InputError: data or options are not usable.
        lerg_edge.errors.BudgetError: a budget cannot be met.
        lerg_runtime.errors.InputError: something is in the way at `output`.
    """
    tell = progress or Silent()
    check_target(output, overwrite=overwrite)
    people = parted(dataset, options)
    asked, loss = options, LossChoice(options)
    with (
        fixed_threads(options.threads),
        tempfile.TemporaryDirectory(prefix="lerg-export-") as scratch,
    ):
        work = WorkDir.at(Path(scratch) / "work" if work_dir is None else work_dir)
        names = options.resolved_item_trainings
        tables: Mapping[str, ItemTable]
        if given is None:
            tell.stage("training")
            if set(names) != {"als"}:
                cut = Cut.of(people.known, stages.training_options(options, pairs=people.known.pair_count))
                loss = loss_settings_chosen(cut, options, work=work, progress=tell)
                options = loss.options
            tables = item_tables(people.known, options, names, work=work, tell=tell)
        else:
            tables = {"given": ItemTable(given.rows(people.known))}
        tell.stage("choosing how items are stored")
        degrees = _degree_bytes(people.known, options)
        table = _table(tables, degrees, people, options, tell=tell)
        tried = _tried(table.sheltered, degrees, people.choosing, options, tell=tell)
        learned, sheltered, learning = tables[table.name], table.sheltered, people.known
        if given is None and options.refit is not False and len(people.choosing.users):
            tell.stage("training again with the people who chose")
            learning, epochs = people.learning, learned.best_epoch
            learned = item_tables(learning, options, [table.name], epochs=epochs, work=work, tell=tell)[
                table.name
            ]
            sheltered, degrees = _sheltered(learned, learning, options), _degree_bytes(learning, options)
        tell.note(
            f"{sheltered.own:,} items have a row of their own; {len(sheltered.slots) - sheltered.own:,} with "
            f"fewer than {options.min_item_users} users share {len(sheltered.counts):,}"
        )
        tell.stage("tracing")
        left = list(tried)
        while True:
            chosen = choose_coding(left)
            items = chosen.items
            if sheltered is not table.sheltered:
                items = code_items(sheltered.rows, chosen.coding, seed=options.seed)
            model = PersonalModel(items, sheltered.slots, sheltered.counts, degrees, chosen.choice.rule)
            described = _described(people, learning.pair_count, asked, reading, learned, chosen, tried)
            described |= loss.described()
            if given is not None:
                described["given"] = given.described
            else:
                described["item_training"] = _told(table)
            place = Path(scratch) / f"{len(left)}"
            draft = draft_personal(
                model,
                ProgramLimits(max_k=options.max_k),
                lowering=options.lowering,
                max_history=options.max_history,
                learns=options.finetune,
            )
            _write(draft, place, dataset, training=described)
            mapped = map_features(replace(dataset, train=people.known), place, seed=options.seed, tell=tell)
            if mapped is not None:
                described["features"] = mapped.described
            fault = over_budget(
                place,
                options,
                found="the smallest personal bundle needs",
                remedy="dim",
                more_bytes=0 if mapped is None else mapped.stored_bytes,
            )
            if fault is None:
                break
            # The smallest that is good enough does not fit: the best of those that are smaller still.
            left = [trial for trial in left if trial.stored_bytes < chosen.stored_bytes]
            if not left:
                raise fault
        tell.stage("measuring")
        metrics = _measured(place, people, tell=tell)
        if given is not None and metrics:
            # Nobody was held out of the training of what was given.
            metrics = {"given": given.metrics(people.measured), "compressed": metrics["held_out_people"]}
        tell.stage("writing")
        written = _write(
            draft,
            Path(output),
            dataset,
            training=described,
            metrics=metrics,
            mapped=mapped,
            overwrite=overwrite,
        )
    return PersonalReport(Path(output), written, chosen, tried)


def _table(
    tables: Mapping[str, ItemTable],
    degree_bytes: np.ndarray,
    people: People,
    options: ExportOptions,
    *,
    tell: Progress,
) -> TableChoice:
    """Which rows are coded, what few people touched pooled; people held out choose."""
    found = choose_table(
        {name: _sheltered(table, people.known, options) for name, table in tables.items()},
        degree_bytes,
        people.choosing.histories,
        people.choosing.wanted,
        rules=_rules(options, in_time=people.choosing.in_time),
        draws=people.choosing.draws,
    )
    for name, score in found.scores.items():
        tell.note(f"item_training {name}: NDCG@{_RANKING} {score:.4f} before coding")
    return found


def _sheltered(table: ItemTable, pairs: Interactions, options: ExportOptions) -> Sheltered:
    return shelter(table.rows, pairs.matrix(), least=options.min_item_users, seed=options.seed)


def _degree_bytes(pairs: Interactions, options: ExportOptions) -> np.ndarray:
    degrees = np.bincount(pairs.items, minlength=pairs.item_count)
    return degree_codes(degrees, least=options.min_item_users)


def _told(table: TableChoice) -> dict[str, Any]:
    """How items were learned, for people."""
    told = {name: round(score, 5) for name, score in table.scores.items()}
    return {"chosen": table.name, f"validation_ndcg@{_RANKING}": told}


def _tried(
    sheltered: Sheltered,
    degree_bytes: np.ndarray,
    people: Newcomers,
    options: ExportOptions,
    *,
    tell: Progress,
) -> tuple[CodingTrial, ...]:
    codings = codings_for(*sheltered.rows.shape, most_bytes=options.storage_budget)
    if options.item_coding != "auto":
        codings = tuple(coding for coding in codings if coding.kind == options.item_coding)
    if not codings:
        raise BudgetError.naming(
            "{storage_budget:{}} holds no item rows that are stored by {item_coding:{}}; give more",
            options.storage_budget,
            options.item_coding,
        )

    def on_trial(trial: CodingTrial) -> None:
        asked = f", NDCG@{_RANKING} {trial.score:.4f} by {trial.choice.rule}" if trial.choice.scores else ""
        tell.note(f"{trial.coding}: {trial.stored_bytes:,} bytes{asked}")

    return try_codings(
        sheltered,
        degree_bytes,
        codings,
        people.histories,
        people.wanted,
        rules=_rules(options, in_time=people.in_time),
        draws=people.draws,
        seed=options.seed,
        on_trial=on_trial,
    )


def _rules(options: ExportOptions, *, in_time: bool) -> tuple[HistoryRule, ...]:
    """What histories may be served by: recency is not tried where their order is a drawn one."""
    rules = tuple(rules_of(options))
    if in_time or options.half_life is not None:
        return rules
    return tuple(rule for rule in rules if rule.half_life is None)


def _write(
    draft: PersonalDraft,
    place: Path,
    dataset: Dataset,
    *,
    training: dict[str, Any],
    metrics: dict[str, dict[str, float]] | None = None,
    mapped: MappedFeatures | None = None,
    overwrite: bool = False,
) -> PersonalManifest:
    return write_personal(
        draft,
        place,
        item_ids=dataset.train.item_ids,
        item_titles=None if dataset.titles is None else dataset.titles.texts,
        item_features=None if mapped is None else mapped.found,
        entities=dataset.train.user_count + dataset.train.item_count,
        data=described_data(dataset),
        metrics=metrics,
        training=training,
        overwrite=overwrite,
    )


def _measured(bundle: Path, people: People, *, tell: Progress) -> dict[str, dict[str, float]]:
    """Recall and NDCG of people held out, each served from all their training items, as a device would."""
    count = len(people.histories)
    if not count:
        return {}
    items = people.wanted.shape[1]
    top = np.full((count, min(_RANKING, items)), -1, np.int64)
    with Recommender.open(bundle) as recommender:
        ids = recommender.item_ids
        for person in range(count):
            first, last = people.histories.starts[person : person + 2]
            history = ids.take(people.histories.items[first:last].astype(np.int64))
            free = items - len(history)
            if free:
                ranked, _ = recommender.recommend_from_history(history, k=min(top.shape[1], free))
                top[person, : len(ranked)] = ids.find_many(ranked)
            tell.advance(person + 1, count)
    found = ranking_metrics(top, people.wanted)
    return {
        "held_out_people": {
            f"recall@{_RANKING}": found.recall,
            f"ndcg@{_RANKING}": found.ndcg,
            "users": found.users,
        }
    }


def _described(
    people: People,
    pairs: int,
    options: ExportOptions,
    reading: ReadingOptions | None,
    table: ItemTable,
    chosen: CodingTrial,
    tried: tuple[CodingTrial, ...],
) -> dict[str, Any]:
    """How the model was made, for people; it names nobody and no pair."""
    settings = {**({} if reading is None else values_of(reading)), **values_of(options)}
    for file in ("test", "item_titles", "item_features"):
        settings.pop(file, None)
    settings["recommender"] = without_folder(options.recommender)
    told = {name: list(value) if isinstance(value, tuple) else value for name, value in settings.items()}
    return {
        "seed": options.seed,
        "pairs": pairs,
        "epochs": table.epochs,
        "best_epoch": table.best_epoch,
        "min_item_users": options.min_item_users,
        "coding": str(chosen.coding),
        "codings": dict(scores_of(tried)),
        "rule": chosen.choice.described(),
        "people": {"choosing": len(people.choosing.users), "measuring": len(people.histories)},
        "config": {name: value for name, value in told.items() if value is not None},
    }
