"""Rows that are made longer keep their ranking and their stored integers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lerg_edge.codes.assignment import metis_assignment
from lerg_edge.codes.quantiser import quantise
from lerg_edge.data.interactions import Interactions
from lerg_edge.training.pretraining import Pretrained, propagated
from lerg_edge.training.scaling import mean_gap, with_telling_scores


def small_rows(interactions: Interactions, *, bits: int, scale: float) -> Pretrained:
    assignment = metis_assignment(interactions.matrix(), codebook_rows=30, anchor_weight=0.7, seed=0)
    codebook = np.random.default_rng(0).standard_normal((30, 8)).astype(np.float32) * np.float32(scale)
    step = np.full(1, 1.0 if bits == 32 else scale / 40, np.float32)
    return Pretrained(
        assignment=assignment, codebook=codebook, step=step, bits=bits, layers=1, history=(), best_epoch=0
    )


def test_the_gap_is_that_of_all_scores(interactions: Interactions) -> None:
    matrix = interactions.matrix()
    rows = propagated(small_rows(interactions, bits=8, scale=1.0), matrix)
    scores = rows[: matrix.shape[0]].astype(np.float64) @ rows[matrix.shape[0] :].astype(np.float64).T
    touched = matrix.toarray() > 0
    expected = (scores - scores.mean(axis=1, keepdims=True))[touched].mean()
    assert mean_gap(rows, matrix) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("bits", [4, 8, 16, 32])
def test_short_rows_become_longer_and_nothing_else_changes(interactions: Interactions, bits: int) -> None:
    matrix = interactions.matrix()
    model = small_rows(interactions, bits=bits, scale=0.01)
    before = propagated(model, matrix)
    assert 0 < mean_gap(before, matrix) < 1
    scaled = with_telling_scores(model, matrix)
    after = propagated(scaled, matrix)
    assert 3 <= mean_gap(after, matrix) <= 12
    factor = scaled.codebook[0, 0] / model.codebook[0, 0]
    assert np.frexp(factor)[0] == 0.5
    np.testing.assert_array_equal(after, before * factor)
    if bits == 32:
        np.testing.assert_array_equal(scaled.step, [1.0])
    else:
        integers = [quantise(each.codebook, each.step, bits=bits) for each in (model, scaled)]
        np.testing.assert_array_equal(*integers)


def test_scores_that_tell_stay(interactions: Interactions) -> None:
    matrix = interactions.matrix()
    model = small_rows(interactions, bits=8, scale=10.0)
    assert mean_gap(propagated(model, matrix), matrix) >= 1
    assert with_telling_scores(model, matrix) is model


def test_rows_of_zeros_stay(interactions: Interactions) -> None:
    model = small_rows(interactions, bits=8, scale=0.01)
    nothing = replace(model, codebook=np.zeros_like(model.codebook))
    assert with_telling_scores(nothing, interactions.matrix()) is nothing
