"""A recommender of one's own: LightGCN with two layers, trained with a tenth of the rows dropped.

A recommender is a `RecommenderKind`: what it does in place of plain propagation while a model is trained, and
what suits it. Name its file and the record:

    lerg-export run demo -o bundle --set recommender=examples/own_recommender.py:DROPPING

What a device runs, and what is validated, is plain propagation over as many layers.
"""

from __future__ import annotations

import torch

from lerg_edge.propagation.layers import BipartiteGraph, propagate
from lerg_edge.training.losses import TripleBatch
from lerg_exporter import RecommenderKind

DROPPED = 0.1


def drop_rows(
    graph: BipartiteGraph,
    rows: torch.Tensor,
    batch: TripleBatch,
    *,
    layers: int,
    generator: torch.Generator,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Propagate without a tenth of the layer-0 rows, the others scaled up (arXiv 1706.02263)."""
    kept = torch.rand(len(rows), 1, generator=generator, device=rows.device) >= DROPPED
    return propagate(graph, rows * kept / (1 - DROPPED), layers=layers), rows.new_zeros(())


DROPPING = RecommenderKind(layers=2, augment=drop_rows, full_table={"learning_rate": 0.01, "l2": 1e-3})
