"""XSimGCL's loss and gradient against plain torch, and what must hold when nothing is contrasted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import sparse

from lerg_edge.codes.assignment import identity_assignment
from lerg_edge.codes.embedding import CompositionalEmbedding
from lerg_edge.data.interactions import Interactions
from lerg_edge.errors import InputError
from lerg_edge.propagation.graph import full_adjacency, normalised_bipartite
from lerg_edge.propagation.layers import BipartiteGraph
from lerg_edge.training._model import training_loss
from lerg_edge.training.contrast import Contrast, contrast_loss, info_nce, propagate_noisily
from lerg_edge.training.losses import TripleBatch, bpr
from lerg_edge.training.objectives import OverTriples
from lerg_edge.training.options import TrainingOptions
from lerg_edge.training.pretraining import assign, pretrain
from lerg_edge.training.sampling import Triples, epoch_batches

USERS, ITEMS, DIM, L2 = 20, 15, 6, 0.03


def _matrix() -> sparse.csr_matrix:
    return sparse.csr_matrix((np.random.default_rng(2).random((USERS, ITEMS)) < 0.25).astype(np.float32))


def _batch() -> tuple[Triples, TripleBatch]:
    rng = np.random.default_rng(3)
    triples = next(epoch_batches(_matrix(), batch=12, rng=rng, per_positive=2))
    return triples, TripleBatch.from_triples(triples, user_count=USERS, item_count=ITEMS)


def _plain_loss(table: torch.Tensor, triples: Triples, contrast: Contrast, layers: int) -> torch.Tensor:
    """The definition with dense matrices, for autograd to differentiate."""
    generator = torch.Generator().manual_seed(9)
    adjacency = torch.from_numpy(full_adjacency(normalised_bipartite(_matrix())).toarray()).double()
    rows = [table]
    for _ in range(layers):
        layer = adjacency @ rows[-1]
        noise = torch.rand(layer.shape, generator=generator, dtype=torch.float64)
        unit = noise / noise.square().sum(1, keepdim=True).sqrt()
        rows.append(layer + contrast.noise * unit * layer.detach().sign())
    mean, picked = torch.stack(rows).mean(0), rows[contrast.layer]
    users, positives, negatives = (
        torch.from_numpy(np.asarray(part, np.int64) + shift)
        for part, shift in ((triples.users, 0), (triples.positives, USERS), (triples.negatives, USERS))
    )
    margin = (mean[users] * (mean[negatives] - mean[positives])).sum(1)
    loss = torch.log1p(torch.exp(margin)).mean()
    for members in (users.unique(), positives.unique()):
        first, second = (
            part[members] / part[members].square().sum(1, keepdim=True).sqrt() for part in (mean, picked)
        )
        scores = torch.exp(first @ second.T / contrast.temperature)
        loss = loss - contrast.weight * torch.log(scores.diagonal() / scores.sum(1)).mean()
    squares = table.square().sum(1)
    return loss + L2 / 2 * (squares[users] + squares[positives] + squares[negatives]).mean()


@pytest.mark.parametrize(("layers", "layer"), [(3, 1), (3, 3), (2, 2), (1, 1)])
def test_loss_and_gradient_are_those_of_plain_autograd(layers: int, layer: int) -> None:
    contrast = Contrast(weight=0.7, noise=0.3, temperature=0.25, layer=layer)
    triples, batch = _batch()
    table = torch.randn(
        USERS + ITEMS, DIM, dtype=torch.float64, generator=torch.Generator().manual_seed(1)
    ).requires_grad_()
    expected = _plain_loss(table, triples, contrast, layers)
    (expected_gradient,) = torch.autograd.grad(expected, table)
    found = training_loss(
        table,
        torch.ones(1, dtype=torch.float64),
        CompositionalEmbedding.from_assignment(identity_assignment(USERS + ITEMS), dtype=torch.float64),
        BipartiteGraph.from_interactions(_matrix(), dtype=torch.float64),
        batch,
        objective=OverTriples(function=bpr, augment=contrast),
        bits=32,
        layers=layers,
        l2=L2,
        noise=torch.Generator().manual_seed(9),
    )
    (gradient,) = torch.autograd.grad(found, table)
    # Edges are weighted in float32 on their way into the graph.
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)
    np.testing.assert_allclose(gradient.numpy(), expected_gradient.numpy(), rtol=1e-5, atol=1e-7)


def test_noise_has_its_length_and_points_into_the_orthant() -> None:
    graph = BipartiteGraph.from_interactions(_matrix())
    rows = torch.randn(USERS + ITEMS, DIM, generator=torch.Generator().manual_seed(1))
    _, noisy = propagate_noisily(
        graph, rows, layers=1, contrast=Contrast(noise=0.5), generator=torch.Generator().manual_seed(2)
    )
    plain = graph.adjacency.product(rows)
    reached = plain.abs().sum(1) > 0
    moved = (noisy - plain)[reached]
    np.testing.assert_allclose(moved.norm(dim=1).numpy(), 0.5, rtol=1e-5)
    assert (moved.sign() * plain[reached].sign() >= 0).all()
    assert (noisy[~reached] == 0).all()


def test_rows_that_agree_with_themselves_alone_cost_least() -> None:
    rows = torch.eye(4)
    alone = -torch.log(torch.exp(torch.tensor(1 / 0.5)) / (torch.exp(torch.tensor(1 / 0.5)) + 3))
    assert info_nce(rows, 3 * rows, temperature=0.5).item() == pytest.approx(alone.item(), rel=1e-6)
    turned = info_nce(rows, rows[[1, 2, 3, 0]], temperature=0.5).item()
    assert turned == pytest.approx(alone.item() + 2, rel=1e-6)


def test_a_step_contrasts_no_more_than_it_may() -> None:
    _, batch = _batch()
    rows = torch.randn(USERS + ITEMS, DIM, generator=torch.Generator().manual_seed(1), requires_grad=True)
    contrast = Contrast(most=3)
    loss = contrast_loss(
        rows, rows.detach(), batch, contrast=contrast, generator=torch.Generator().manual_seed(2)
    )
    (gradient,) = torch.autograd.grad(loss, rows)
    moved = torch.nonzero(gradient.abs().sum(1))[:, 0]
    assert len(moved) == 6
    assert set(moved.tolist()) <= set(batch.users.tolist()) | {USERS + int(i) for i in batch.positives}


def test_training_repeats_and_an_interrupted_one_goes_on(interactions: Interactions, tmp_path: Any) -> None:
    options = TrainingOptions(dim=8, epochs=3, batch=256, seed=5, augment=Contrast())
    assignment = assign(interactions, options, codebook_rows=30)
    whole = pretrain(interactions, assignment, options)
    pretrain(interactions, assignment, replace(options, epochs=1), checkpoint=tmp_path / "run")
    resumed = pretrain(interactions, assignment, options, checkpoint=tmp_path / "run")
    assert whole.codebook.tobytes() == resumed.codebook.tobytes()
    plain = pretrain(interactions, assignment, replace(options, augment=None))
    assert plain.codebook.tobytes() != whole.codebook.tobytes()
    assert whole.history[-1].loss < whole.history[0].loss


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"weight": 0.0}, "weight"), ({"noise": -1.0}, "noise"), ({"temperature": float("nan")}, "temperature"),
     ({"layer": 0}, "layer"), ({"most": 1}, "most")],
)  # fmt: skip
def test_what_cannot_be_is_named(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=f"{words} of a contrast"):
        Contrast(**changes)


def test_a_layer_that_is_not_there_is_refused() -> None:
    graph, rows = BipartiteGraph.from_interactions(_matrix()), torch.zeros(USERS + ITEMS, DIM)
    with pytest.raises(InputError, match="layer of a contrast is 3 and there are 2 layers"):
        Contrast(layer=3)(graph, rows, _batch()[1], layers=2, generator=torch.Generator())
