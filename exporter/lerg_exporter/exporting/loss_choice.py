"""Temperature and power of the in-batch softmax, by validation."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from lerg_edge.assigning.teacher import (
    SettingsTrial,
    leaves_settings_to_validation,
    preferred,
    try_in_batch_settings,
)
from lerg_edge.workdir import WorkDir, fingerprint
from lerg_exporter.exporting import stages
from lerg_exporter.exporting.cut import Cut
from lerg_exporter.exporting.options import ExportOptions
from lerg_exporter.exporting.progress import Progress
from lerg_exporter.exporting.tuning import RANKING

__all__ = ["LossChoice", "loss_settings_chosen"]


@dataclass(frozen=True, slots=True)
class LossChoice:
    """How the in-batch softmax is set.

    Attributes:
        options: with temperature and power, where validation chose them.
        trials: what it chose from; none if it didn't.
    """

    options: ExportOptions
    trials: tuple[SettingsTrial, ...] = ()

    def described(self) -> dict[str, Any]:
        """What was tried and chosen, for a manifest; nothing if nothing was tried."""
        if not self.trials:
            return {}
        tried = [
            {
                "temperature": trial.temperature,
                "power": trial.power,
                f"validation_ndcg@{RANKING}": round(trial.ndcg, 5),
            }
            for trial in self.trials
        ]
        chosen = {"temperature": self.options.temperature, "power": self.options.power}
        return {"loss_settings": {**chosen, "tried": tried}}


def loss_settings_chosen(
    cut: Cut, options: ExportOptions, *, work: WorkDir, progress: Progress
) -> LossChoice:
    """Temperature and power of the in-batch softmax by validation, where it can tell.

    The options stay as they are if one of the two is stated, if no full table is trained by that loss and its
    usual settings, or if there are too few pairs for a trial.
    """
    pairs, kind = cut.train.pair_count, options.assignment_kind
    training = stages.training_options(options, pairs=pairs)
    if kind.teacher or options.personal:
        training = stages.full_table_options(training, options, pairs=pairs)
    has_table = kind.teacher or kind.one_each or options.personal
    if (
        not has_table
        or stages.stated_loss_settings(options)
        or not leaves_settings_to_validation(training, pairs=pairs)
    ):
        return LossChoice(options)
    key = fingerprint("loss_trials", graph=cut.matrix, options=training)
    found = None if options.is_own else work.load("loss_trials", key)
    if found is None:
        progress.note("trying settings of the in-batch softmax")

        def on_trial(trial: SettingsTrial) -> None:
            progress.note(
                f"temperature {trial.temperature:g} and power {trial.power:g}: "
                f"validation NDCG@20 {trial.ndcg:.4f}"
            )

        trials = try_in_batch_settings(cut.split, training, on_trial=on_trial)
        if not options.is_own:
            work.store("loss_trials", key, tensors={}, result={"trials": [asdict(trial) for trial in trials]})
    else:
        trials = tuple(SettingsTrial(**trial) for trial in found[1]["trials"])
    best = preferred(trials)
    return LossChoice(replace(options, temperature=best.temperature, power=best.power), trials)
