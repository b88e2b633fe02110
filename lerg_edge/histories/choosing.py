"""Choosing a rule on people whose later items are known and hidden, by a margin over noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import sparse

from lerg_edge.histories.rule import Histories, HistoryRule, history_rows, ridge_metric
from lerg_edge.metrics import per_user_metrics, top_items

__all__ = [
    "CANDIDATES",
    "HALF_LIVES",
    "RIDGES",
    "RuleChoice",
    "better",
    "choose_rule",
    "score_rows",
    "scores_by",
]

RIDGES = (None, 1.0, 3.0, 10.0)
HALF_LIVES = (None, 5.0, 10.0, 20.0, 50.0)
CANDIDATES = tuple(HistoryRule(ridge=ridge, half_life=half) for half in HALF_LIVES for ridge in RIDGES)
RANKING = 20
_BATCH = 128
_LEAST_PEOPLE = 100  # fewer of them tell nothing, and the plain rule stays
_LEAST_GAIN = 0.005  # of the score
_STANDARD_ERRORS = 2.0


@dataclass(frozen=True, slots=True)
class RuleChoice:
    """What was chosen, and what each candidate gave.

    Attributes:
        rule: the one to serve by.
        scores: mean NDCG@20 by candidate; empty where too few could be asked.
        people: over whom it is.
    """

    rule: HistoryRule
    scores: Mapping[HistoryRule, float]
    people: int

    def described(self) -> dict[str, Any]:
        """For people."""
        told = {str(rule): round(score, 5) for rule, score in self.scores.items()}
        return {**self.rule.described(), f"validation_ndcg@{RANKING}": told, "validation_users": self.people}


def choose_rule(
    item_rows: np.ndarray,
    degrees: np.ndarray,
    histories: Histories,
    wanted: sparse.csr_matrix,
    *,
    rules: Sequence[HistoryRule] = CANDIDATES,
    newcomers: int,
    draws: int = 1,
) -> RuleChoice:
    """The best rule for these people, the simpler one unless a richer is better beyond noise.

    First the metric, all items counting alike, then recency on top of it: each must win by half a percent and
    by two standard errors of the difference, person by person.

    Args:
        item_rows: float32 [I, d], as they are served.
        degrees: int [I], users who have touched each item.
        histories: of B people, in the order of time.
        wanted: [B, I], what they touched afterwards.
        rules: candidates, the plainest first.
        newcomers: see :func:`lerg_edge.histories.rule.history_rows`.
        draws: rows of `histories` and `wanted` that are of one person, one after the other.
    """
    plain, people = rules[0], len(histories) // draws
    if people < _LEAST_PEOPLE:
        return RuleChoice(plain, {}, people)
    scores = {
        rule: scores_by(rule, item_rows, degrees, histories, wanted, newcomers=newcomers, draws=draws)
        for rule in rules
    }
    best = plain
    for allowed in ([rule for rule in scores if rule.half_life == plain.half_life], list(scores)):
        found = max(allowed, key=lambda rule: scores[rule].mean())
        if better(scores[found], scores[best]):
            best = found
    return RuleChoice(best, {rule: float(score.mean()) for rule, score in scores.items()}, people)


def scores_by(
    rule: HistoryRule,
    item_rows: np.ndarray,
    degrees: np.ndarray,
    histories: Histories,
    wanted: sparse.csr_matrix,
    *,
    newcomers: int,
    draws: int = 1,
) -> np.ndarray:
    """NDCG@20 of each person who is served by a rule, the mean of their draws, float64 [B / draws].

    Arguments as of :func:`choose_rule`.
    """
    rows = history_rows(histories, item_rows, degrees, half_life=rule.half_life, newcomers=newcomers)
    metric = ridge_metric(item_rows, rule.ridge).astype(np.float32)
    found = score_rows(rows @ metric, item_rows, histories.matrix(len(item_rows)), wanted)
    return found.reshape(-1, draws).mean(axis=1)


def better(score: np.ndarray, other: np.ndarray) -> bool:
    """Whether a score is above another beyond noise, person by person.

    Args:
        score, other: float64 [B], B >= 1, of the same people.
    """
    gain = score - other
    noise = float(gain.std()) / len(gain) ** 0.5
    return float(gain.mean()) > max(_LEAST_GAIN * float(other.mean()), _STANDARD_ERRORS * noise)


def score_rows(
    rows: np.ndarray, item_rows: np.ndarray, seen: sparse.csr_matrix, wanted: sparse.csr_matrix
) -> np.ndarray:
    """NDCG@20 of each person over the whole catalogue but for what they have seen, float64 [B].

    Args:
        rows: float32 [B, d].
        item_rows: float32 [I, d].
        seen, wanted: [B, I].
    """
    table = torch.from_numpy(np.ascontiguousarray(item_rows, np.float32))
    found = []
    for start in range(0, len(rows), _BATCH):
        part = slice(start, start + _BATCH)
        scores = torch.from_numpy(np.ascontiguousarray(rows[part], np.float32)) @ table.T
        left_out = seen[part]
        of_row = np.repeat(np.arange(left_out.shape[0]), np.diff(left_out.indptr))
        scores[torch.from_numpy(of_row), torch.from_numpy(left_out.indices).long()] = -torch.inf
        found.append(per_user_metrics(top_items(scores, RANKING), wanted[part])[1])
    return np.concatenate(found) if found else np.zeros(0)
