"""The rule for people whom a bundle does not know, chosen on users held out of a second training."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lerg_edge.histories.choosing import RuleChoice, choose_rule
from lerg_edge.histories.newcomers import hold_out_users
from lerg_edge.histories.rule import HistoryRule
from lerg_edge.training.options import Pretrained, TrainingOptions
from lerg_edge.training.pretraining import propagated
from lerg_edge.workdir import WorkDir
from lerg_exporter.exporting import stages
from lerg_exporter.exporting.cut import Cut
from lerg_exporter.exporting.options import ExportOptions
from lerg_exporter.exporting.progress import Progress
from lerg_exporter.exporting.serving import rules_of

__all__ = ["LEAST_NEWCOMERS", "choose_unknown"]

LEAST_NEWCOMERS = 100
"""Fewer of them could not tell one rule from another, and nothing is trained for them."""


def choose_unknown(
    cut: Cut,
    model: Pretrained,
    options: ExportOptions,
    training: TrainingOptions,
    *,
    codebook_rows: int,
    work: WorkDir,
    progress: Progress,
) -> RuleChoice:
    """Train once more without some users, for the epochs that were best, and rank for these by histories.

    Without enough users, or where the options leave nothing open, nothing is trained and the rule is what the
    options say.

    Args:
        cut: the training pairs.
        model: the bundle's, for its number of epochs.
        training: its trainer's settings.
        codebook_rows: of the codebook that is pretrained.
    """
    rules = rules_of(options)
    given = HistoryRule(ridge=options.ridge or None, half_life=options.half_life or None)
    if len(rules) < 2 or options.newcomers == 0:
        return RuleChoice(given, {}, 0)
    held = hold_out_users(cut.train, seed=options.seed, count=options.newcomers)
    if len(held.users) < LEAST_NEWCOMERS:
        progress.note(
            f"fewer than {LEAST_NEWCOMERS} users can be held out to choose how unknown people are served; "
            f"they are served by {given}"
        )
        return RuleChoice(given, {}, len(held.users))
    if not held.in_time:
        rules = tuple(rule for rule in rules if rule.half_life == given.half_life)
    everything = replace(training, validation_share=0.0)
    known = Cut.of(held.known, everything)
    teacher_epochs = None
    if options.assignment_kind.teacher:
        teacher_epochs = stages.teacher_epochs(cut, options, training, work=work)
    learned = stages.assigned(
        known,
        options,
        everything,
        codebook_rows=codebook_rows,
        teacher_epochs=teacher_epochs,
        work=work,
        progress=progress,
    )
    until = stages.stopped_after(everything, model.best_epoch)
    found = stages.pretrained(known, learned, until, options, work=work, progress=progress)
    users, items = known.matrix.shape
    rows = propagated(stages.rounded(found, options), known.matrix)[users:]
    degrees = np.bincount(held.known.items, minlength=items)
    choice = choose_rule(
        rows, degrees, held.histories, held.wanted, rules=rules, newcomers=1, draws=held.draws
    )
    for rule, score in choice.scores.items():
        progress.note(f"validation NDCG@20 of {choice.people} users held out, by {rule}, is {score:.4f}")
    return choice
