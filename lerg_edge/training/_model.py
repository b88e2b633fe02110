"""The model while it is being trained."""

from __future__ import annotations

from typing import Any

import torch

from lerg_edge.codes.embedding import CompositionalEmbedding
from lerg_edge.codes.quantiser import fake_quantise
from lerg_edge.codes.widths import FLOAT_BITS
from lerg_edge.propagation.layers import BipartiteGraph, mean_of_layers
from lerg_edge.training.objectives import Objective


def layer_zero(
    codebook: torch.Tensor, step: torch.Tensor, embedding: CompositionalEmbedding, *, bits: int
) -> torch.Tensor:
    """Layer-0 rows [N, d] of a latent codebook; 32 bits means that nothing is quantised."""
    return embedding.compose(codebook if bits == FLOAT_BITS else fake_quantise(codebook, step, bits=bits))


def training_loss(
    codebook: torch.Tensor,
    step: torch.Tensor,
    embedding: CompositionalEmbedding,
    graph: BipartiteGraph,
    batch: Any,
    *,
    objective: Objective,
    bits: int,
    layers: int,
    l2: float,
    noise: torch.Generator | None = None,
) -> torch.Tensor:
    """Loss of a batch of the objective, its penalty included, differentiable by codebook and step.

    Args:
        noise: source of what an objective draws while it computes.
    """
    rows = layer_zero(codebook, step, embedding, bits=bits)
    return objective.loss(rows, graph, batch, layers=layers, l2=l2, noise=noise)


def propagated_rows(
    codebook: torch.Tensor,
    step: torch.Tensor,
    embedding: CompositionalEmbedding,
    graph: BipartiteGraph,
    *,
    bits: int,
    layers: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Propagated rows [U, d] and [I, d] without a gradient."""
    with torch.no_grad():
        rows = mean_of_layers(graph, layer_zero(codebook, step, embedding, bits=bits), layers=layers)
        return rows[: graph.user_count], rows[graph.user_count :]
