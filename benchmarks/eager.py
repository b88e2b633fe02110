"""The peer: the same fine-tuning step and retrieval as a PyTorch user would write them, in eager mode."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch

from lerg_edge.pruning.rewired_model import RewiredModel


class EagerFineTune(torch.nn.Module):
    """LSQ codebook, composition, LightGCN over torch's sparse CSR product, BPR; autograd does the rest.

    Holds the symmetric normalised adjacency of the m retained entities as one float32 CSR matrix [m, m].
    """

    def __init__(self, model: RewiredModel, *, l2: float) -> None:
        super().__init__()
        self.bits, self.layers, self.l2 = model.bits, model.layers, l2
        self.codebook = torch.nn.Parameter(torch.from_numpy(model.codebook.copy()))
        self.step = torch.nn.Parameter(torch.from_numpy(model.step.copy()))
        self.assignment = torch.from_numpy(model.assignment[model.retained].astype(np.int64))
        others = self.assignment.shape[1] - 1
        rest = [(1.0 - model.anchor_weight) / others] * others if others else []
        self.weights = torch.tensor([model.anchor_weight if others else 1.0, *rest])
        self.adjacency = symmetric_adjacency(model.graph)
        self.users = model.graph.shape[0]

    def propagated(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Layer-0 rows and their mean over the layers, both [m, d]."""
        high = 2 ** (self.bits - 1) - 1
        step = self.step if self.step.numel() == 1 else self.step[:, None]
        scaled = torch.clamp(self.codebook / step, -high - 1, high)
        codebook = (scaled + (scaled.round() - scaled).detach()) * step
        first = (codebook[self.assignment] * self.weights[None, :, None]).sum(1)
        layer, total = first, first
        for _ in range(self.layers):
            layer = self.adjacency @ layer
            total = total + layer
        return first, total / (self.layers + 1)

    def forward(self, users: torch.Tensor, positives: torch.Tensor, negatives: torch.Tensor) -> torch.Tensor:
        """BPR loss with L2 on the layer-0 rows; slots int64 [B] of retained entities."""
        first, rows = self.propagated()
        picked = [users, positives + self.users, negatives + self.users]
        user, positive, negative = (rows[index] for index in picked)
        loss = torch.nn.functional.softplus((user * (negative - positive)).sum(1)).mean()
        return loss + self.l2 / 2 * sum(first[index].square().sum(1).mean() for index in picked)


def symmetric_adjacency(graph: sp.csr_matrix) -> torch.Tensor:
    """D^-1/2 A D^-1/2 of a bipartite graph [m_u, m_i] as a torch CSR tensor [m, m]."""
    whole = sp.bmat([[None, graph], [graph.T, None]], format="csr", dtype=np.float32)
    degree = np.asarray(whole.sum(1)).ravel()
    scale = sp.diags_array(np.divide(1.0, np.sqrt(degree), where=degree > 0, out=np.zeros_like(degree)))
    scaled = (scale @ whole @ scale).tocsr().astype(np.float32)
    return torch.sparse_csr_tensor(
        torch.from_numpy(scaled.indptr.astype(np.int32)),
        torch.from_numpy(scaled.indices.astype(np.int32)),
        torch.from_numpy(scaled.data),
        size=scaled.shape,
    )


def top_items(users: torch.Tensor, items: torch.Tensor, seen: torch.Tensor, k: int) -> torch.Tensor:
    """Scores of every item [B, I], seen ones masked, then torch.topk: item indices int64 [B, k]."""
    scores = users @ items.T
    scores[seen] = -torch.inf
    return torch.topk(scores, k).indices
