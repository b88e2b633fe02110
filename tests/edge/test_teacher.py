"""How full tables and the codebooks learned from them are trained."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lerg_edge.assigning.teacher import (
    SettingsTrial,
    codebook_options,
    leaves_settings_to_validation,
    preferred,
    teacher_options,
    try_in_batch_settings,
)
from lerg_edge.codes.assignment import identity_assignment
from lerg_edge.data.interactions import Interactions
from lerg_edge.training.contrast import Contrast
from lerg_edge.training.pretraining import TrainingOptions, pretrain, validation_cut


def test_a_full_table_is_trained_by_how_many_pairs_there_are() -> None:
    wanted = TrainingOptions(dim=24, layers=1, bits=4, per_row_steps=True, seed=3)
    many, few = (teacher_options(wanted, pairs=pairs) for pairs in (2_000_000, 40_000))
    for made in (many, few):
        assert (made.loss, made.bits, made.per_row_steps) == ("in-batch", 32, False)
        assert (made.dim, made.layers, made.seed) == (24, 1, 3)
    assert many.loss_settings["correction"] == 0.0 < few.loss_settings["correction"]
    assert many.loss_settings["temperature"] == 0.12 < few.loss_settings["temperature"]
    assert many.batch == 2048 > (few.batch or 0)
    assert teacher_options(wanted, pairs=0).loss_settings["temperature"] == 0.3
    assert teacher_options(wanted, pairs=40_000, epochs=7).epochs == 7


def test_a_codebook_is_trained_on_by_the_objective_of_its_full_table() -> None:
    wanted = TrainingOptions(dim=24, layers=1, bits=4, per_row_steps=True, epochs=1)
    made = codebook_options(wanted, pairs=40_000)
    full = teacher_options(wanted, pairs=40_000)
    assert (made.loss, made.loss_settings) == (full.loss, full.loss_settings)
    assert (made.bits, made.per_row_steps, made.epochs) == (4, True, 1)


def test_with_a_contrast_negatives_are_drawn() -> None:
    wanted = TrainingOptions(augment=Contrast())
    for made in (teacher_options(wanted, pairs=40_000), codebook_options(wanted, pairs=40_000)):
        assert (made.loss, made.augment) == ("softmax", wanted.augment)


def test_settings_are_tried_where_there_are_pairs_enough_and_the_loss_has_its_usual_ones() -> None:
    full = teacher_options(TrainingOptions(layers=1), pairs=300_000)
    assert leaves_settings_to_validation(full, pairs=300_000)
    assert not leaves_settings_to_validation(full, pairs=100_000)
    assert not leaves_settings_to_validation(replace(full, validation_share=0.0), pairs=300_000)
    own = replace(full, loss_settings={**full.loss_settings, "power": 0.5})
    assert not leaves_settings_to_validation(own, pairs=300_000)
    contrasted = teacher_options(TrainingOptions(augment=Contrast()), pairs=300_000)
    assert not leaves_settings_to_validation(contrasted, pairs=300_000)


def test_settings_are_tried_for_two_epochs_at_most(interactions: Interactions) -> None:
    training = teacher_options(TrainingOptions(dim=8, layers=1), pairs=interactions.pair_count)
    split = validation_cut(interactions.matrix(), training)
    told: list[SettingsTrial] = []
    trials = try_in_batch_settings(split, training, on_trial=told.append)
    assert tuple(told) == trials
    assert [trial.power for trial in trials] == [0.84, 1.0, 1.12]
    usual = training.loss_settings["temperature"]
    assert [trial.temperature for trial in trials] == [usual, round(1.25 * usual, 3), round(1.25 * usual, 3)]
    assert len({trial.ndcg for trial in trials}) > 1
    # A trial is the beginning of the training that follows.
    table = identity_assignment(sum(split.train.shape))
    started = pretrain(split, table, replace(training, stop_after=2))
    assert trials[0].ndcg == max(report.ndcg or 0.0 for report in started.history)
    one = try_in_batch_settings(split, replace(training, epochs=1))
    assert one[0].ndcg == started.history[0].ndcg


@pytest.mark.parametrize(
    ("scores", "power"), [((0.1, 0.09, 0.08), 1), ((0.1, 0.1004, 0.1), 1), ((0.1, 0.101, 0.102), 3)]
)
def test_the_usual_settings_stay_unless_others_are_clearly_better(
    scores: tuple[float, ...], power: float
) -> None:
    trials = [SettingsTrial(temperature=0.1, power=n + 1, ndcg=score) for n, score in enumerate(scores)]
    assert preferred(trials).power == power
