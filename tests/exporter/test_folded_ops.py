"""The reference operators of folded propagation against a dense float64 matrix and formulas written out."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from _operators import CODES, DIM, FOLDED_PLACES, FOLDED_ROWS, FOLDED_USERS, folded_case

import lerg_exporter.programs.native.ops  # noqa: F401 - defines torch.ops.lerg

LERG = torch.ops.lerg


def dense_entries(entries: tuple[torch.Tensor, ...]) -> np.ndarray:
    """The matrix [rows, codes], one entry at a time."""
    codes, weights, scales, table = (tensor.numpy() for tensor in entries)
    matrix = np.zeros((FOLDED_ROWS, CODES))
    for (row, column), code in np.ndenumerate(codes):
        matrix[row, code] += float(weights[row, column]) * float(table[scales[row]])
    return matrix


def batch_rows(matrix: np.ndarray, rest: np.ndarray, triples: tuple[torch.Tensor, ...]) -> list[np.ndarray]:
    """The row of each slot, one slot at a time."""
    users = [*matrix[:FOLDED_USERS], *rest[: FOLDED_PLACES[0]]]
    items = [*matrix[FOLDED_USERS:], *rest[FOLDED_PLACES[0] :]]
    return [side[slot] for side, slots in zip((users, items, items), triples, strict=True) for slot in slots]


@pytest.mark.parametrize("steps", [1, CODES])
@pytest.mark.parametrize("bits", [4, 8, 16])
def test_folded_rows_are_those_of_a_dense_matrix(bits: int, steps: int) -> None:
    entries, triples, rest = folded_case(steps=steps)
    rng = np.random.default_rng(bits)
    codebook = torch.tensor(rng.normal(size=(CODES, DIM)))
    step = torch.tensor(rng.uniform(0.5, 1.5, steps)) / 2 ** (bits - 2)
    where = (FOLDED_USERS, FOLDED_PLACES[0])
    found = LERG.folded_rows(codebook, step, *entries, rest, *triples, *where, bits)
    high = 2 ** (bits - 1)
    quantised = np.clip(np.rint(codebook.numpy() / step.numpy()[:, None]), -high, high - 1)
    quantised = quantised * step.numpy()[:, None]
    expected = batch_rows(dense_entries(entries) @ quantised, rest.numpy(), triples)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("bits", [4, 8, 16])
def test_folded_tables_are_those_of_a_dense_matrix(bits: int) -> None:
    entries, _, rest = folded_case()
    rng = np.random.default_rng(bits)
    kind = {4: torch.uint8, 8: torch.int8, 16: torch.int16}[bits]
    limits = torch.iinfo(kind)
    width = DIM // 2 if bits == 4 else DIM
    packed = torch.tensor(rng.integers(limits.min, limits.max + 1, (CODES, width))).to(kind)
    step = torch.tensor([0.1], dtype=torch.float64)
    matrix = dense_entries(entries) @ LERG.dequantise(packed, step, bits).numpy()
    where = (FOLDED_USERS, FOLDED_PLACES[0])
    for side, (own, places) in enumerate(
        zip((matrix[:FOLDED_USERS], matrix[FOLDED_USERS:]), (rest[:2], rest[2:]), strict=True)
    ):
        found = LERG.folded_table(packed, step, *entries, rest, *where, side, bits)
        np.testing.assert_allclose(found, np.concatenate([own, places]), rtol=0, atol=1e-12)


def pairwise_loss(rows: np.ndarray, l2: float) -> float:
    """The loss of a batch's rows, one triple at a time."""
    user, positive, negative = rows.reshape(3, -1, DIM)
    margins = [float(u @ n - u @ p) for u, p, n in zip(user, positive, negative, strict=True)]
    loss = sum(math.log(1 + math.exp(margin)) for margin in margins) / len(user)
    return loss + 0.5 * l2 * float((rows**2).sum()) / len(user)


def test_folded_loss_is_its_formula() -> None:
    rows = np.random.default_rng(2).normal(size=(12, DIM))
    entries, triples, _ = folded_case()
    weights = (torch.zeros(CODES, DIM, dtype=torch.float64), torch.ones(1, dtype=torch.float64))
    found = LERG.folded_loss(torch.tensor(rows), *weights, *entries, *triples, FOLDED_USERS, 8, 0.3)
    assert float(found) == pytest.approx(pairwise_loss(rows, 0.3), rel=1e-12)


def test_folded_gradient_is_that_of_the_dense_matrix() -> None:
    """By central differences, a weight of the codebook at a time."""
    entries, triples, rest = folded_case()
    codebook = np.random.default_rng(9).normal(size=(CODES, DIM))
    matrix = dense_entries(entries)

    def rows(weights: np.ndarray) -> np.ndarray:
        return np.array(batch_rows(matrix @ weights, rest.numpy(), triples))

    grad = torch.tensor(0.7, dtype=torch.float64)
    found = LERG.folded_loss_grad(
        grad, torch.tensor(rows(codebook)), *entries, *triples, FOLDED_USERS, CODES, 0.3
    )
    for place in np.ndindex(codebook.shape):
        moved = [codebook.copy(), codebook.copy()]
        for weights, size in zip(moved, (1e-5, -1e-5), strict=True):
            weights[place] += size
        ends = [pairwise_loss(rows(weights), 0.3) for weights in moved]
        assert float(found[place]) == pytest.approx(0.7 * (ends[0] - ends[1]) / 2e-5, rel=1e-5, abs=1e-8)


def test_folded_gradient_reaches_codebook_and_step_through_the_loss_alone() -> None:
    entries, triples, rest = folded_case(torch.float32)
    codebook = torch.randn(CODES, DIM, generator=torch.Generator().manual_seed(0)).requires_grad_()
    step = torch.tensor([0.1], requires_grad=True)
    weights, where = (codebook, step), (FOLDED_USERS, FOLDED_PLACES[0])
    rows = LERG.folded_rows(*weights, *entries, rest, *triples, *where, 8)
    LERG.folded_loss(rows, *weights, *entries, *triples, FOLDED_USERS, 8, 0.3).backward()
    quantised = LERG.folded_loss_grad(
        torch.tensor(1.0), rows.detach(), *entries, *triples, FOLDED_USERS, CODES, 0.3
    )
    inner = (quantised, codebook.detach(), step.detach(), 8)
    assert torch.equal(codebook.grad, LERG.fake_quantise_grad_codebook(*inner))
    assert torch.equal(step.grad, LERG.fake_quantise_grad_step(*inner))
    with pytest.raises(NotImplementedError, match="through lerg::folded_loss"):
        LERG.folded_rows(*weights, *entries, rest, *triples, *where, 8).sum().backward()
