"""Weighted sums of rows by whole rows, and their adjoint, against sums that are made one entry at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lerg_exporter.programs.portable import fold as portable_fold
from lerg_exporter.programs.portable import ops as _operators  # noqa: F401  defines what they are made of

# Rows, entries a row, codes, and how many rows have code 1 for their first entries.
SIZES = {
    "a code of thousands of entries": (3000, 3, 40, 2900),
    "one code": (100, 32, 1, 0),
    "more codes than entries": (6, 2, 300, 0),
    "one entry": (51, 1, 7, 20),
    "as many as two groups hold": (256, 1, 2, 256),
    "one more": (257, 1, 2, 257),
}


@pytest.mark.parametrize("name", SIZES)
def test_sums_and_adjoint_are_those_of_single_entries(name: str) -> None:
    rows, entries, codes, common = SIZES[name]
    rng = np.random.default_rng(rows)
    chosen = rng.integers(0, codes, (rows, entries)).astype(np.int32)
    chosen[:common] = 1
    weights, table, grad = (
        rng.standard_normal(shape).astype(np.float32) for shape in ((rows, entries), (codes, 5), (rows, 5))
    )
    sums, adjoint = np.zeros((rows, 5)), np.zeros((codes, 5))
    for (row, entry), code in np.ndenumerate(chosen):
        sums[row] += float(weights[row, entry]) * table[code].astype(np.float64)
        adjoint[code] += float(weights[row, entry]) * grad[row].astype(np.float64)
    given, factors = torch.from_numpy(chosen), torch.from_numpy(weights)
    found = portable_fold.fold(torch.from_numpy(table), given, factors)
    back = portable_fold.unfold(torch.from_numpy(grad), given, factors, codes)
    for ours, expected in ((found, sums), (back, adjoint)):
        np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-6 * np.abs(expected).max())
