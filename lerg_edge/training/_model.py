"""The model while it is being trained."""

from __future__ import annotations

import torch

from lerg_edge.codes.embedding import CompositionalEmbedding
from lerg_edge.codes.quantiser import FLOAT_BITS, fake_quantise
from lerg_edge.propagation.layers import BipartiteGraph, mean_of_layers, propagate
from lerg_edge.training.contrast import Contrast, contrast_loss, propagate_noisily
from lerg_edge.training.losses import TripleBatch, bpr, row_penalty, sampled_softmax
from lerg_edge.training.options import Loss

_LOSSES = {"bpr": bpr, "softmax": sampled_softmax}


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
    batch: TripleBatch,
    *,
    bits: int,
    layers: int,
    l2: float,
    loss: Loss = "bpr",
    contrast: Contrast | None = None,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """Loss of the propagated rows plus l2/2 times the mean squared length of the batch's layer-0 rows.

    Args:
        contrast: adds XSimGCL's noise and contrast, both drawn from ``generator``.
    """
    rows = layer_zero(codebook, step, embedding, bits=bits)
    penalty = l2 * row_penalty(rows, batch)
    if contrast is None or generator is None:
        return _LOSSES[loss](propagate(graph, rows, layers=layers), batch) + penalty
    noisy, layer = propagate_noisily(graph, rows, layers=layers, contrast=contrast, generator=generator)
    contrasted = contrast_loss(noisy, layer, batch, contrast=contrast, generator=generator)
    return _LOSSES[loss](noisy, batch) + contrast.weight * contrasted + penalty


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
