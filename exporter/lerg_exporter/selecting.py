"""Which selector an export uses: the one that is asked for, or of several the one that validation prefers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lerg_edge.graph import normalised_bipartite
from lerg_edge.metrics import evaluate_embeddings
from lerg_edge.placeholders import Placeholders
from lerg_edge.selection import Selection
from lerg_edge.validation import ValidationSplit
from lerg_exporter.selectors import AUTO, CANDIDATES

__all__ = ["Chosen", "choose", "validated"]

Chosen = tuple[Selection, Placeholders]
"""Whom to keep, and what stands for the others."""


def choose(
    selector: str, select: Callable[[str], Chosen], score: Callable[[Selection, Placeholders], float]
) -> tuple[Chosen, dict[str, float]]:
    """The selection by a selector, or with `auto` the best of those by `CANDIDATES`.

    Args:
        selector: a selector's name, or `auto`.
        select: makes the selection by a named selector.
        score: validation NDCG@20 of a selection; ties go to the earlier candidate.

    Returns:
        The selection, and the score of each candidate; without `auto` nobody is asked for any.
    """
    if selector != AUTO:
        return select(selector), {}
    found = {name: select(name) for name in CANDIDATES}
    scores = {name: score(*chosen) for name, chosen in found.items()}
    return found[max(scores, key=lambda name: scores[name])], scores


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
