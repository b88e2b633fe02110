"""Conjugate gradients against a dense solver in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lerg_edge.codes.conjugate_gradients import conjugate_gradients


@pytest.mark.parametrize("by_column", [True, False])
def test_enough_steps_solve_the_equations(by_column: bool) -> None:
    rng = np.random.default_rng(0)
    factor = rng.standard_normal((12, 12))
    matrix, right = factor @ factor.T + np.eye(12), rng.standard_normal((12, 5))
    dense, start = torch.from_numpy(matrix).double(), torch.from_numpy(rng.standard_normal((12, 5)))
    before = start.clone()
    found = conjugate_gradients(
        lambda table: dense @ table,
        start,
        torch.from_numpy(right) - dense @ start,
        iterations=12 if by_column else 60,
        by_column=by_column,
    )
    np.testing.assert_allclose(found.numpy(), np.linalg.solve(matrix, right), atol=1e-6)
    assert torch.equal(start, before)


def test_no_step_is_the_start() -> None:
    start = torch.ones(3, 2)
    assert torch.equal(conjugate_gradients(lambda table: table, start, start, iterations=0), start)
