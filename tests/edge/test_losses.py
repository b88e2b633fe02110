"""The training loss and its gradient against dense float64 formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import sparse

from lerg_edge.codes.assignment import metis_assignment
from lerg_edge.codes.embedding import CompositionalEmbedding
from lerg_edge.codes.widths import bounds
from lerg_edge.propagation.graph import full_adjacency, normalised_bipartite
from lerg_edge.propagation.layers import BipartiteGraph
from lerg_edge.training import losses
from lerg_edge.training._model import training_loss
from lerg_edge.training.losses import TripleBatch, bpr, row_penalty, sampled_softmax
from lerg_edge.training.objectives import OverTriples
from lerg_edge.training.sampling import Triples, epoch_batches

USERS, ITEMS, CODES, DIM, L2 = 20, 15, 9, 6, 0.03


def _matrix() -> sparse.csr_matrix:
    return sparse.csr_matrix((np.random.default_rng(2).random((USERS, ITEMS)) < 0.25).astype(np.float32))


def _batch(size: int = 30) -> tuple[Triples, TripleBatch]:
    rng = np.random.default_rng(3)
    triples = next(epoch_batches(_matrix(), batch=size, rng=rng, per_positive=2))
    return triples, TripleBatch.from_triples(triples, user_count=USERS, item_count=ITEMS)


@pytest.mark.parametrize("at_once", [1, 7, 4096])
def test_bpr_and_its_gradient_by_finite_differences(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(losses, "_ROWS_AT_ONCE", at_once)
    triples, batch = _batch()
    rows = torch.randn(USERS + ITEMS, 3, dtype=torch.float64, requires_grad=True)
    table = rows.detach().numpy()
    apart = table[USERS + triples.negatives] - table[USERS + triples.positives]
    margins = (table[triples.users] * apart).sum(axis=1)
    assert bpr(rows, batch).item() == pytest.approx(np.logaddexp(0, margins).mean())
    assert torch.autograd.gradcheck(lambda table: bpr(table, batch), (rows,))


def test_sampled_softmax_and_its_gradient_by_finite_differences() -> None:
    triples, batch = _batch()
    rows = torch.randn(USERS + ITEMS, 3, dtype=torch.float64, requires_grad=True)
    table = rows.detach().numpy()
    each = triples.per_positive
    users, positives = triples.users[::each], triples.positives[::each]
    items = np.column_stack([positives, triples.negatives.reshape(-1, each)])
    scores = np.einsum("pd,pkd->pk", table[users], table[USERS + items])
    expected = (np.logaddexp.reduce(scores, axis=1) - scores[:, 0]).mean()
    assert sampled_softmax(rows, batch).item() == pytest.approx(expected)
    assert torch.autograd.gradcheck(lambda table: sampled_softmax(table, batch), (rows,))


def test_sampled_softmax_over_one_negative_is_bpr() -> None:
    triples = next(epoch_batches(_matrix(), batch=30, rng=np.random.default_rng(3)))
    batch = TripleBatch.from_triples(triples, user_count=USERS, item_count=ITEMS)
    rows = torch.randn(USERS + ITEMS, 3, dtype=torch.float64)
    assert sampled_softmax(rows, batch).item() == pytest.approx(bpr(rows, batch).item())


def test_penalty_gradient_by_finite_differences() -> None:
    triples, batch = _batch()
    rows = torch.randn(USERS + ITEMS, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda table: row_penalty(table, batch), (rows,))
    lengths = rows.detach().square().sum(dim=1).numpy()
    expected = (
        lengths[triples.users] + lengths[USERS + triples.positives] + lengths[USERS + triples.negatives]
    )
    assert row_penalty(rows, batch).item() == pytest.approx(expected.mean() / 2)


@pytest.mark.parametrize("bits", [4, 8, 32])
@pytest.mark.parametrize("per_row", [False, True])
def test_whole_step_against_a_dense_oracle(bits: int, per_row: bool) -> None:
    matrix = _matrix()
    triples, batch = _batch()
    assignment = metis_assignment(matrix, codebook_rows=CODES, codes_per_entity=2, anchor_weight=0.7, seed=0)
    generator = torch.Generator().manual_seed(4)
    codebook = torch.randn(CODES, DIM, generator=generator)
    shape = (CODES, 1) if per_row else (1,)
    step = torch.rand(shape, generator=generator) * 0.05 + 0.02

    first, first_step = codebook.clone().requires_grad_(), step.clone().requires_grad_()
    loss = training_loss(
        first,
        first_step,
        CompositionalEmbedding.from_assignment(assignment),
        BipartiteGraph.from_interactions(matrix),
        batch,
        objective=OverTriples(function=bpr),
        bits=bits,
        layers=3,
        l2=L2,
    )
    loss.backward()

    exact, exact_step = codebook.double().requires_grad_(), step.double().requires_grad_()
    expected = _dense_loss(exact, exact_step, assignment.matrix(), matrix, triples, bits)
    expected.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    torch.testing.assert_close(first.grad.double(), exact.grad, rtol=1e-4, atol=1e-6)
    if bits == 32:
        assert first_step.grad is None
    else:
        torch.testing.assert_close(first_step.grad.double(), exact_step.grad, rtol=1e-3, atol=1e-6)


def _dense_loss(
    codebook: torch.Tensor,
    step: torch.Tensor,
    assignment: sparse.csr_matrix,
    matrix: sparse.csr_matrix,
    triples: Triples,
    bits: int,
) -> torch.Tensor:
    """Everything as matrices, derivatives by autograd."""
    if bits != 32:
        low, high = bounds(bits)
        # g only scales the step's gradient: a leaf seen through s*g + (s - s*g).detach().
        scale = 1 / math.sqrt(codebook.numel() / step.numel() * high)
        seen = step * scale + (step - step * scale).detach()
        clipped = torch.clamp(codebook / seen, low, high)
        codebook = (clipped + (torch.round(clipped) - clipped).detach()) * seen
    rows = torch.from_numpy(assignment.toarray()).double() @ codebook
    adjacency = torch.from_numpy(full_adjacency(normalised_bipartite(matrix)).toarray()).double()
    layer, total = rows, rows
    for _ in range(3):
        layer = adjacency @ layer
        total = total + layer
    users, items = (total / 4)[:USERS], (total / 4)[USERS:]
    u, p, n = (
        torch.from_numpy(part).long() for part in (triples.users, triples.positives, triples.negatives)
    )
    margins = (users[u] * (items[n] - items[p])).sum(1)
    penalty = rows[u].square().sum(1) + rows[USERS + p].square().sum(1) + rows[USERS + n].square().sum(1)
    return torch.nn.functional.softplus(margins).mean() + L2 / 2 * penalty.mean()
