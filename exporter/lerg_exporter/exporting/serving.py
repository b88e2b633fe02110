"""How a bundle serves people: from tables or from histories, and by which rule; validation decides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lerg_edge.data.validation import ValidationSplit
from lerg_edge.histories.choosing import CANDIDATES, RIDGES, better, choose_rule, score_rows
from lerg_edge.histories.rule import Histories, HistoryRule, history_rows, ridge_metric
from lerg_exporter.exporting.options import ExportOptions
from lerg_exporter.exporting.progress import Progress

__all__ = ["OTHER_STAGE", "PRUNED_WAYS", "RETAINED_WAYS", "Ways", "choose_known", "given_ways", "rules_of"]

PRUNED_WAYS = ("placeholder", "history")
RETAINED_WAYS = ("table", "history")
OTHER_STAGE = {"history": "placeholders_only", "placeholder": "with_history"}
"""By the way that a bundle serves pruned users, the name of what the other way gives."""
_LEAST_USERS = 100
_RANKING = 20


@dataclass(frozen=True, slots=True)
class Ways:
    """How everybody is served.

    Attributes:
        pruned_users: `placeholder` or `history`.
        retained_users: `table` or `history`.
        known: the rule of histories for users of the bundle.
        unknown: likewise for people whom it does not know.
        validation: by whom it is about, what each candidate gave; for people.
    """

    pruned_users: str = PRUNED_WAYS[0]
    retained_users: str = RETAINED_WAYS[0]
    known: HistoryRule = field(default_factory=HistoryRule)
    unknown: HistoryRule = field(default_factory=HistoryRule)
    validation: Mapping[str, Any] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """`serving` of a manifest."""
        return {
            "pruned_users": self.pruned_users,
            "retained_users": self.retained_users,
            "known": self.known.described(),
            "unknown": self.unknown.described(),
        }


def given_ways(options: ExportOptions) -> Ways:
    """What the options say; the plain way where they leave it to validation."""
    rule = HistoryRule(ridge=options.ridge or None)
    return Ways(
        PRUNED_WAYS[0] if options.pruned_users == "auto" else options.pruned_users,
        RETAINED_WAYS[0] if options.retained_users == "auto" else options.retained_users,
        rule,
        HistoryRule(ridge=rule.ridge, half_life=options.half_life or None),
    )


def rules_of(options: ExportOptions) -> tuple[HistoryRule, ...]:
    """The rules that are left to choose among."""

    def left(rule: HistoryRule) -> bool:
        return options.ridge in (None, rule.ridge or 0) and options.half_life in (None, rule.half_life or 0)

    return tuple(rule for rule in CANDIDATES if left(rule))


def choose_known(
    ways: Ways,
    rows: tuple[np.ndarray, np.ndarray],
    split: ValidationSplit,
    retained: np.ndarray,
    options: ExportOptions,
    *,
    progress: Progress,
) -> Ways:
    """The ways of users whom the bundle knows, by what serves them without validation pairs.

    Pruned users are served from their history unless placeholders are better, and where fewer than a hundred
    of them can be validated; retained ones from the table unless histories are better beyond noise.

    Args:
        ways: what is decided already.
        rows: of users and of items, float32 [U, d] and [I, d], as a bundle without the validation pairs has
            them.
        split: training and validation pairs.
        retained: bool [U].
    """
    users, seen = split.users, split.train[split.users]
    if not len(users):
        return _undecided(ways, options, retained)
    histories = Histories(seen.indices, seen.indptr.astype(np.int64))
    degrees = np.bincount(split.train.indices, minlength=len(rows[1]))
    wanted = split.held_out[users]
    told: dict[str, Any] = {}
    known = ways.known
    if options.ridge is None:
        rules = [HistoryRule(ridge=ridge) for ridge in RIDGES]
        choice = choose_rule(rows[1], degrees, histories, wanted, rules=rules, newcomers=0)
        known, told["known"] = choice.rule, choice.described()
    from_history = history_rows(histories, rows[1], degrees) @ ridge_metric(rows[1], known.ridge).astype(
        np.float32
    )
    by_history = score_rows(from_history, rows[1], seen, wanted)
    by_table = score_rows(rows[0][users], rows[1], seen, wanted)
    pruned_way, retained_way = ways.pruned_users, ways.retained_users
    pruned = ~retained[users]
    if options.pruned_users == "auto" and not retained.all():
        enough = int(pruned.sum()) >= _LEAST_USERS
        pruned_way = "history"
        if enough:
            told["pruned_users"] = _told(PRUNED_WAYS, by_table[pruned], by_history[pruned])
            pruned_way = PRUNED_WAYS[int(by_history[pruned].mean() >= by_table[pruned].mean())]
        else:
            progress.note(
                f"fewer than {_LEAST_USERS} pruned users can be validated; they are served by history"
            )
    stays = ~pruned
    if options.retained_users == "auto" and int(stays.sum()) >= _LEAST_USERS:
        told["retained_users"] = _told(RETAINED_WAYS, by_table[stays], by_history[stays])
        retained_way = RETAINED_WAYS[int(better(by_history[stays], by_table[stays]))]
    for side in ("pruned_users", "retained_users"):
        for way, score in told.get(side, {}).get(f"validation_ndcg@{_RANKING}", {}).items():
            progress.note(f"validation NDCG@{_RANKING} of {side.replace('_', ' ')} by {way} is {score:.4f}")
    return Ways(pruned_way, retained_way, known, ways.unknown, {**ways.validation, **told})


def _undecided(ways: Ways, options: ExportOptions, retained: np.ndarray) -> Ways:
    """Without anybody to ask: pruned users from their history, all else plain."""
    way = "history" if options.pruned_users == "auto" and not retained.all() else ways.pruned_users
    return Ways(way, ways.retained_users, ways.known, ways.unknown, ways.validation)


def _told(ways: tuple[str, str], by_table: np.ndarray, by_history: np.ndarray) -> dict[str, Any]:
    scores = dict(zip(ways, (float(by_table.mean()), float(by_history.mean())), strict=True))
    return {f"validation_ndcg@{_RANKING}": scores, "validation_users": len(by_table)}
