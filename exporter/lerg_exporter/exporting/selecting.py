"""Whom an export keeps: by the selector asked for, or of several by the one that validation prefers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from lerg_edge.data.interactions import Interactions
from lerg_edge.data.validation import ValidationSplit
from lerg_edge.errors import InputError
from lerg_edge.metrics import evaluate_embeddings
from lerg_edge.propagation.graph import normalised_bipartite
from lerg_edge.pruning.placeholders import Placeholders, build_placeholders
from lerg_edge.selection import Constraints, Selection, SelectionProblem, find_selector, select
from lerg_exporter.exporting.budget import Plan
from lerg_exporter.exporting.cut import Cut
from lerg_exporter.exporting.kinds.selectors import AUTO, CANDIDATES, PROGRAMS
from lerg_exporter.exporting.options import ExportOptions

__all__ = [
    "Chosen",
    "check_selection",
    "choose",
    "constraints_of",
    "preferred",
    "selected",
    "selection_settings",
    "validated",
]

Chosen = tuple[Selection, Placeholders]
"""Whom to keep, and what stands for the others."""
_LEAST_GAIN = 0.005  # of the program's score, or its selection stays: less is noise on thousands of users


def choose(
    selector: str, make: Callable[[str], Chosen], score: Callable[[Selection, Placeholders], float]
) -> tuple[Chosen, dict[str, float]]:
    """The selection by a selector, or with `auto` the best of those by `CANDIDATES`.

    A simple rule takes the place of the binary program where its score is better by half a percent at least.

    Args:
        selector: a selector's name, or `auto`.
        make: the selection by a named selector.
        score: validation NDCG@20 of a selection; equals go to the earlier candidate.

    Returns:
        The selection, and the score of each candidate; without `auto` nobody is asked for any.
    """
    if selector != AUTO:
        return make(selector), {}
    found = {name: make(name) for name in CANDIDATES}
    scores = {name: score(*chosen) for name, chosen in found.items()}
    return found[preferred(scores)], scores


def preferred(scores: Mapping[str, float]) -> str:
    """The candidate that `auto` takes.

    Args:
        scores: validation NDCG@20 of each of `CANDIDATES`.
    """
    best, program = (max(names, key=lambda name: scores[name]) for names in (CANDIDATES, PROGRAMS))
    return program if scores[best] < (1 + _LEAST_GAIN) * scores[program] else best


def validated(
    user_rows: np.ndarray,
    item_rows: np.ndarray,
    split: ValidationSplit,
    *,
    pruned: np.ndarray,
    by_history: bool,
) -> float:
    """NDCG@20 on validation pairs of rows that have not seen them; 0 where there are no such pairs.

    Args:
        user_rows: float32 [U, d]; item_rows: float32 [I, d].
        split: training and validation pairs.
        pruned: bool [U], who is not retained.
        by_history: pruned users are served one hop from their items, as a device does it.
    """
    if by_history and pruned.any():
        histories = normalised_bipartite(split.train)[np.flatnonzero(pruned)]
        user_rows = user_rows.copy()
        user_rows[pruned] = histories @ item_rows
    return evaluate_embeddings(user_rows, item_rows, split.train, split.held_out, users=split.users).ndcg


def selection_settings(train: Interactions, options: ExportOptions, *, plan: Plan) -> dict[str, Any]:
    """All but the embeddings that :func:`selected` depends on, for a fingerprint."""
    return {
        "retention": plan.retention,
        "selector": [*CANDIDATES, _LEAST_GAIN] if options.selector == AUTO else options.selector,
        "pruned_users": options.pruned_users == "placeholder" if options.selector == AUTO else None,
        "boundary": options.rounding_boundary,
        "constraints": constraints_of(train, options),
        "placeholders": plan.placeholders,
        "bits": options.bits,
        "seed": options.seed,
    }


def selected(
    cut: Cut, embeddings: np.ndarray, options: ExportOptions, selector: str, *, plan: Plan
) -> tuple[Selection, Placeholders]:
    """Whom a selector keeps, and what stands for the others; errors of `exporting.shaping.shaped`."""
    problem = SelectionProblem.at_retention(
        cut.matrix,
        embeddings,
        retention=plan.retention,
        constraints=constraints_of(cut.train, options),
        seed=options.seed,
    )
    selection = select(problem, selector=find_selector(selector, boundary=options.rounding_boundary))
    placeholders = build_placeholders(
        embeddings,
        selection.retained,
        user_count=cut.train.user_count,
        count=plan.placeholders,
        bits=options.bits,
        seed=options.seed,
    )
    return selection, placeholders


def check_selection(train: Interactions, options: ExportOptions, *, plan: Plan) -> None:
    """Refuse a selection or a folding that cannot be made, before anything is trained for it.

    Raises:
        InputError: an unknown id or selector, or constraints that contradict each other.
        BudgetError: an edge budget that no choice meets.
    """
    for name in CANDIDATES if options.selector == AUTO else (options.selector,):
        find_selector(name)
    entities = train.user_count + train.item_count
    stay = int(plan.retention * entities)
    if plan.entries and not plan.entries <= plan.codebook_rows <= stay:
        if options.codebook_rows is None:
            raise InputError.naming(
                "{entries} is {} and {} entities stay; with {propagation:folded} give at most as many",
                plan.entries,
                stay,
            )
        raise InputError.naming(
            "{codebook_rows} is {} and {entries} is {}; with {propagation:folded} give at least as many rows "
            "as entries, and at most {}, the entities that stay",
            plan.codebook_rows,
            plan.entries,
            stay,
        )
    if plan.codebook_rows > entities and not plan.entries:
        name, value = (
            ("codebook_rows", plan.codebook_rows)
            if options.codebook_rows
            else ("codes_per_entity", options.resolved_codes_per_entity)
        )
        raise InputError.naming(
            f"{{{name}}} is {{}} and there are {{}} entities; give at most as many", value, entities
        )
    matrix = train.matrix()
    nothing = np.zeros((sum(matrix.shape), 1), np.float32)
    constraints = constraints_of(train, options)
    SelectionProblem.at_retention(matrix, nothing, retention=plan.retention, constraints=constraints).rules()


def constraints_of(train: Interactions, options: ExportOptions) -> Constraints:
    """The side constraints of a selection, raw ids looked up.

    Raises:
        InputError: an id that is not in the data.
    """
    return Constraints(
        min_users=options.min_users,
        min_items=options.min_items,
        keep_users=np.array([train.user_ids.index_of(raw) for raw in options.keep_users], np.int64),
        keep_items=np.array([train.item_ids.index_of(raw) for raw in options.keep_items], np.int64),
        edge_budget=options.edge_budget,
    )
