"""Choosing a coding of item rows, and the rule that goes with it, on people who were held out of training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from lerg_edge.errors import InputError
from lerg_edge.histories.choosing import CANDIDATES, RuleChoice, better, choose_rule, scores_by
from lerg_edge.histories.rule import Histories, HistoryRule
from lerg_edge.personal.coded_items import CodedItems
from lerg_edge.personal.coding import Coding, code_items
from lerg_edge.personal.sheltering import Sheltered, degrees_of

__all__ = ["CodingTrial", "TableChoice", "choose_coding", "choose_table", "scores_of", "try_codings"]

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


@dataclass(frozen=True, slots=True, eq=False)
class TableChoice:
    """Which table of item rows was taken.

    Attributes:
        name: of the table.
        sheltered: its rows.
        scores: NDCG@20 by table, each served by the rule that suits it; empty where there was no choice or
            too few people could be asked.
    """

    name: str
    sheltered: Sheltered
    scores: Mapping[str, float]


def choose_table(
    tables: Mapping[str, Sheltered],
    degree_codes: np.ndarray,
    histories: Histories,
    wanted: sparse.csr_matrix,
    *,
    rules: Sequence[HistoryRule] = CANDIDATES,
    draws: int = 1,
) -> TableChoice:
    """The table that serves people held out best, a plainer one unless another is better beyond noise.

    Args:
        tables: rows by name, the plainest first.
        degree_codes, histories, wanted, rules, draws: see :func:`try_codings`.
    """
    first, *others = tables
    degrees = degrees_of(degree_codes)
    found: dict[str, np.ndarray] = {}
    for name, table in tables.items() if others else ():
        rows = table.rows[table.slots]
        choice = choose_rule(rows, degrees, histories, wanted, rules=rules, newcomers=1, draws=draws)
        if choice.scores:
            found[name] = scores_by(choice.rule, rows, degrees, histories, wanted, newcomers=1, draws=draws)
    best = first
    for name in others if found else ():
        if better(found[name], found[best]):
            best = name
    return TableChoice(best, tables[best], {name: float(score.mean()) for name, score in found.items()})


def try_codings(
    sheltered: Sheltered,
    degree_codes: np.ndarray,
    codings: Sequence[Coding],
    histories: Histories,
    wanted: sparse.csr_matrix,
    *,
    rules: Sequence[HistoryRule] = CANDIDATES,
    draws: int = 1,
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
        draws: rows of these that are of one person, one after the other.
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
            draws=draws,
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
