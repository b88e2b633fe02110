"""Choosing a coding of item rows, and the rule that goes with it, on people who were held out of training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from lerg_edge.errors import InputError
from lerg_edge.histories.choosing import CANDIDATES, RuleChoice, choose_rule
from lerg_edge.histories.rule import Histories, HistoryRule
from lerg_edge.personal.coded_items import CodedItems
from lerg_edge.personal.coding import Coding, code_items
from lerg_edge.personal.sheltering import Sheltered, degrees_of

__all__ = ["CodingTrial", "choose_coding", "try_codings"]

_ENOUGH = 0.99
"""Of the best score: the smallest coding that reaches it is taken."""


@dataclass(frozen=True, slots=True, eq=False)
class CodingTrial:
    """A coding and what people held out get of it.

    Attributes:
        coding: how rows are stored.
        items: the rows.
        choice: the rule that suits them, and its scores.
        stored_bytes: of codes, weights and codebook.
    """

    coding: Coding
    items: CodedItems
    choice: RuleChoice
    stored_bytes: int

    @property
    def score(self) -> float:
        """NDCG@20 by the rule; 0 where too few people could be asked."""
        return self.choice.scores.get(self.choice.rule, 0.0)


def try_codings(
    sheltered: Sheltered,
    degree_codes: np.ndarray,
    codings: Sequence[Coding],
    histories: Histories,
    wanted: sparse.csr_matrix,
    *,
    rules: Sequence[HistoryRule] = CANDIDATES,
    seed: int,
    on_trial: Callable[[CodingTrial], object] = lambda trial: None,
) -> tuple[CodingTrial, ...]:
    """Code the rows in each way and serve the people held out by each.

    Args:
        sheltered: rows by slot.
        degree_codes: uint8 [I].
        codings: to try.
        histories, wanted: of the people held out.
        rules: that they may be served by, the plainest first.
        seed: of the codebooks.
        on_trial: is told each.
    """
    trials = []
    for coding in codings:
        items = code_items(sheltered.rows, coding, seed=seed)
        choice = choose_rule(
            items.rows()[sheltered.slots],
            degrees_of(degree_codes),
            histories,
            wanted,
            rules=rules,
            newcomers=1,
        )
        size = coding.stored_bytes(*sheltered.rows.shape)
        trials.append(CodingTrial(coding, items, choice, size))
        on_trial(trials[-1])
    return tuple(trials)


def choose_coding(trials: Sequence[CodingTrial]) -> CodingTrial:
    """The smallest of those that come within a hundredth of the best; without scores the largest.

    Raises:
        InputError: there is none to choose from.
    """
    if not trials:
        raise InputError("no coding of the items fits; give more bytes or fewer items")
    if not any(trial.choice.scores for trial in trials):
        return max(trials, key=lambda trial: trial.stored_bytes)
    best = max(trial.score for trial in trials)
    return min(
        (trial for trial in trials if trial.score >= _ENOUGH * best), key=lambda trial: trial.stored_bytes
    )


def scores_of(trials: Sequence[CodingTrial]) -> Mapping[str, dict[str, float | int]]:
    """By coding, its bytes and its score, for people."""
    return {
        str(trial.coding): {"bytes": trial.stored_bytes, "ndcg@20": round(trial.score, 5)} for trial in trials
    }
