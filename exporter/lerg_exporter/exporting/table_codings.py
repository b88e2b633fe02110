"""Ways to code given tables, and which of them is taken: the smallest that keeps what validation asks for."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lerg_edge.assigning.product import untrained
from lerg_edge.codes.assignment import Assignment, LearnedAssignment, identity_assignment
from lerg_edge.codes.widths import FLOAT_BITS
from lerg_edge.errors import BudgetError, InputError
from lerg_edge.pruning.model import entity_rows
from lerg_edge.training.options import Pretrained
from lerg_edge.training.pretraining import propagated
from lerg_edge.workdir import WorkDir
from lerg_exporter.bundles.estimate import DataSizes
from lerg_exporter.exporting import stages
from lerg_exporter.exporting.budget import Plan, choose_plan
from lerg_exporter.exporting.cut import Cut
from lerg_exporter.exporting.options import ExportOptions
from lerg_exporter.exporting.selecting import check_selection, validated
from lerg_exporter.exporting.shaping import Given, Shaped, shaped
from lerg_exporter.exporting.shapings import SHAPINGS
from lerg_exporter.programs.choice import PROPAGATIONS

__all__ = ["TableTrial", "as_model", "choose_trial", "codings_of", "planned", "try_coding"]

_ENTRIES = (8, 4)
_BLOCK_WIDTHS = (2, 4, 8)
_ENOUGH = 0.99
"""Of the best score: the smallest coding that reaches it is taken."""


@dataclass(frozen=True, slots=True, eq=False)
class TableTrial:
    """Tables coded in one way.

    Attributes:
        options, plan: the way.
        model: before anybody is pruned.
        shaped: what ships, and its twin.
        score: NDCG@20 on validation pairs through the twin's rows; None where there are none.
    """

    options: ExportOptions
    plan: Plan
    model: Pretrained
    shaped: Shaped
    score: float | None

    @property
    def title(self) -> str:
        """For people."""
        if self.plan.entries:
            return f"{self.plan.entries} weighted codes"
        if self.options.is_full_table:
            return f"rows of {self.options.bits} bits"
        return f"{self.options.resolved_codes_per_entity} product codes"


def codings_of(options: ExportOptions, stated: Collection[str]) -> tuple[ExportOptions, ...]:
    """The ways that settings leave open, the usual one first.

    Args:
        options: with the usual ones.
        stated: the settings that were given: what they say is not tried otherwise.
    """
    found: list[ExportOptions] = []
    if not {"propagation", "assignment", "codes_per_entity"} & set(stated):
        for name, kind in PROPAGATIONS.items():
            if kind.entries:
                found += _folded(options, name, "entries" in stated)
    if options.propagation_kind.entries:
        counts = (options.entries,) if "entries" in stated else _ENTRIES
        return tuple(replace(options, entries=count) for count in counts)
    if "entries" in stated:
        return tuple(found) or (options,)
    if "codes_per_entity" in stated or not options.assignment_kind.block_width:
        return (*found, options)
    widths = [width for width in _BLOCK_WIDTHS if options.dim % width == 0] or [1]
    return (*found, *(replace(options, codes_per_entity=options.dim // width) for width in widths))


def _folded(options: ExportOptions, propagation: str, one: bool) -> list[ExportOptions]:
    """The options with folded rows; none where other settings forbid that.

    Args:
        one: the number of codes is stated.
    """
    try:
        return [
            replace(options, propagation=propagation, entries=count)
            for count in ((options.entries,) if one else _ENTRIES)
        ]
    except InputError:
        return []


def planned(codings: Sequence[ExportOptions], cut: Cut, data: DataSizes) -> list[tuple[ExportOptions, Plan]]:
    """The ways that meet the budgets, each with its plan.

    Raises:
        BudgetError: none does; speaks of the one that needs least.
        InputError: constraints of a selection that cannot be met.
    """
    found, faults = [], []
    for options in codings:
        try:
            plan = choose_plan(options, data)
        except BudgetError as fault:
            faults.append(fault)
            continue
        if len(codings) > 1 and plan.entries > int(plan.retention * (data.users + data.items)):
            continue  # fewer rows than a row has codes
        check_selection(cut.train, options, plan=plan)
        found.append((options, plan))
    if not found:
        raise faults[-1]
    return found


def as_model(rows: np.ndarray, layers: int) -> Pretrained:
    """Given rows float32 [N, d] as a trained model that nothing has coded."""
    return Pretrained(
        assignment=identity_assignment(len(rows)),
        codebook=rows,
        step=np.ones(1, np.float32),
        bits=FLOAT_BITS,
        layers=layers,
        history=(),
        best_epoch=0,
    )


def try_coding(
    rows: np.ndarray, cut: Cut, options: ExportOptions, plan: Plan, *, work: WorkDir
) -> TableTrial:
    """Code rows, choose who stays, and ask validation.

    Args:
        rows: float32 [N, d], as wide as the options say, users first.

    Raises:
        InputError: constraints that contradict each other.
    """
    model = _coded(rows, cut, options, plan)
    made = shaped(
        Given(cut, model, propagated(model, cut.matrix), options, plan),
        SHAPINGS[options.propagation],
        work=work,
    )
    score = None
    if len(cut.split.users):
        score = validated(
            *entity_rows(made.twin),
            cut.split,
            pruned=~made.twin.retained[: cut.train.user_count],
            by_history=options.pruned_users != "placeholder",
        )
    return TableTrial(options, plan, model, made, score)


def choose_trial(trials: Sequence[TableTrial]) -> TableTrial:
    """The smallest of those that come within a hundredth of the best; without scores the usual one."""
    scores = [trial.score for trial in trials if trial.score is not None]
    if len(scores) < len(trials):
        return trials[0]
    enough = [trial for trial in trials if trial.score is not None and trial.score >= _ENOUGH * max(scores)]
    return min(enough, key=lambda trial: trial.plan.storage_bytes)


def _coded(rows: np.ndarray, cut: Cut, options: ExportOptions, plan: Plan) -> Pretrained:
    """Product codes of the rows, or rows of their own in so many bits; for folding the rows as they are."""
    training = stages.training_options(options, pairs=cut.train.pair_count)
    if options.propagation_kind.entries:
        return as_model(rows, training.layers)
    kind = options.assignment_kind
    if kind.one_each:
        learned = LearnedAssignment(identity_assignment(len(rows)), rows)
    else:
        settings: Mapping[str, Any] = (
            {"codes_per_entity": options.resolved_codes_per_entity}
            if "codes_per_entity" in kind.reads
            else {}
        )
        made = kind.function("assign")(
            cut.split, training, codebook_rows=plan.codebook_rows, teacher=rows, **settings
        )
        learned = LearnedAssignment(made) if isinstance(made, Assignment) else made
    if learned.codebook is None:
        raise InputError.naming(
            "{assignment:{}} gives no codebook, and none is trained here; choose another", options.assignment
        )
    return untrained(cut.split, learned.assignment, training, start=learned.codebook)
